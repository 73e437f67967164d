-- close_replaced_schemas: ends the validity of schema memories whose subject gets new content
UPDATE agents.agent_memory m
   SET valid_until = clock_timestamp(), updated_at = now()
  FROM json_to_recordset(%(rows)s) AS r (kind text, subject text, content_hash text)
 WHERE r.kind = 'schema' AND m.kind = 'schema' AND m.valid_until IS NULL AND m.subject = r.subject
   AND m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.content_hash <> decode(r.content_hash, 'hex')

-- save: inserts memories, or adds evidence to those with the same text, in the order of their hashes, so that concurrent saves
-- do not deadlock. Trust changes only to 'human'; what a turn teaches is that of its last time. The memories that led to the new ones are counted as used.
WITH used AS (
  INSERT INTO agents.memory_use AS u (tenant_id, memory_id)
  SELECT tenant_id, id FROM agents.agent_memory
   WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = ANY (%(used)s) ORDER BY id
  ON CONFLICT (memory_id, tenant_id) DO UPDATE SET use_count = u.use_count + 1, last_used_at = now()
)
INSERT INTO agents.agent_memory AS m
       (tenant_id, database_id, kind, subject, content, content_hash, metadata, trust, source_thread, source_turn, source_quote,
        speaker, evidence_count, embedding, embedding_model)
SELECT %(tenant_id)s, %(database_id)s, r.kind, r.subject, r.content, decode(r.content_hash, 'hex'), r.metadata, r.trust,
       r.source_thread, r.source_turn, r.source_quote, r.speaker, r.evidence_count, agents.as_vector(r.embedding),
       CASE WHEN r.embedding IS NOT NULL THEN %(model)s END
  FROM json_to_recordset(%(rows)s) AS r (kind text, subject text, content text, content_hash text, metadata jsonb, trust text,
       source_thread text, source_turn int, source_quote text, speaker text, evidence_count int, embedding text)
 ORDER BY r.content_hash
ON CONFLICT (tenant_id, database_id, content_hash) WHERE valid_until IS NULL
DO UPDATE SET evidence_count = m.evidence_count + excluded.evidence_count, updated_at = now(),
              trust = CASE WHEN excluded.trust = 'human' THEN 'human' ELSE m.trust END,
              metadata = CASE WHEN excluded.metadata ? 'examples' THEN m.metadata || excluded.metadata ELSE m.metadata END
RETURNING id, kind, content, trust, subject, metadata, source_thread, source_turn, source_quote, speaker, evidence_count,
          embedding_model, valid_from, valid_until, created_at, encode(content_hash, 'hex') AS content_hash

-- known_hashes: returns which of these texts are stored already
SELECT encode(content_hash, 'hex') AS content_hash FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND valid_until IS NULL
   AND content_hash = ANY (SELECT decode(h, 'hex') FROM unnest(%(hashes)s::text[]) h)

-- fold: moves the changes that the search statistics do not contain yet into them
SELECT agents.fold_memory_changes(%(database_id)s)

-- get: returns one memory
SELECT m.*, coalesce(u.use_count, 0) AS use_count, u.last_used_at
  FROM agents.agent_memory m LEFT JOIN agents.memory_use u ON u.tenant_id = m.tenant_id AND u.memory_id = m.id
 WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.id = %(id)s

-- alike: finds the statements that have most words in common with one
SELECT * FROM agents.search_memories(%(query)s, %(database_id)s, NULL, NULL, 20, %(kinds)s)

-- link: notes what new memories have to do with earlier ones, and ends the validity of those that they replace or correct
WITH earlier AS (
  SELECT id FROM agents.agent_memory
   WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = ANY (%(earlier)s) ORDER BY id FOR UPDATE
), linked AS (
  INSERT INTO agents.memory_links (tenant_id, memory_id, earlier_id, relation)
  SELECT %(tenant_id)s, later.id, earlier.id, %(relation)s
    FROM earlier, unnest(%(ids)s::bigint[]) AS later (id) WHERE later.id <> earlier.id
  ON CONFLICT DO NOTHING
)
UPDATE agents.agent_memory m SET valid_until = clock_timestamp(), updated_at = now()
  FROM earlier
 WHERE m.id = earlier.id AND m.tenant_id = %(tenant_id)s AND m.valid_until IS NULL AND m.id <> ALL (%(ids)s::bigint[])
   AND %(relation)s <> 'derived'

-- links: returns what a memory has to do with others; `later` says that the other one came after it
SELECT relation, earlier_id AS other, false AS later FROM agents.memory_links WHERE tenant_id = %(tenant_id)s AND memory_id = %(id)s
 UNION ALL
SELECT relation, memory_id, true FROM agents.memory_links WHERE tenant_id = %(tenant_id)s AND earlier_id = %(id)s
 ORDER BY 1, 2

-- restore: makes a memory valid again, and ends the validity of those that took its place
WITH later AS (
  UPDATE agents.agent_memory m SET valid_until = clock_timestamp(), updated_at = now()
    FROM agents.memory_links l
   WHERE l.tenant_id = %(tenant_id)s AND l.earlier_id = %(id)s AND l.relation = 'replaces'
     AND m.id = l.memory_id AND m.tenant_id = %(tenant_id)s AND m.valid_until IS NULL
)
UPDATE agents.agent_memory SET valid_until = NULL, updated_at = now()
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = %(id)s AND kind <> 'schema'

-- end: ends the validity of memories
UPDATE agents.agent_memory SET valid_until = clock_timestamp(), updated_at = now()
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = ANY (%(ids)s) AND valid_until IS NULL

-- confirm: notes that a human called answers right
UPDATE agents.agent_memory SET metadata = metadata || '{"confirmed": true}', updated_at = now()
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = ANY (%(ids)s) AND valid_until IS NULL

-- of_turn: returns the valid memories of one turn
SELECT * FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND valid_until IS NULL
   AND source_thread = %(thread)s AND source_turn = %(turn)s

-- of_saying: returns what else the turn left in which a memory was said
SELECT * FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id <> %(id)s AND kind = 'interaction'
   AND source_thread = %(thread)s AND source_turn = %(turn)s

-- concluded: returns what was concluded from memories, with the `earlier_id` of each; a human's own statements were not
SELECT m.*, l.earlier_id FROM agents.memory_links l
  JOIN agents.agent_memory m ON m.id = l.memory_id AND m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s
 WHERE l.tenant_id = %(tenant_id)s AND l.earlier_id = ANY (%(ids)s) AND l.relation = 'derived'
   AND m.trust <> 'human' AND m.kind <> 'schema'
 ORDER BY m.id

-- with_words: returns the memories, also those no longer valid, that have every word of a memory
SELECT m.* FROM agents.agent_memory f JOIN agents.agent_memory m ON m.terms @> f.terms
 WHERE f.tenant_id = %(tenant_id)s AND f.database_id = %(database_id)s AND f.id = %(id)s AND f.terms <> '{}'
   AND m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.id <> f.id AND m.kind <> 'schema'
 ORDER BY m.id LIMIT 1000

-- forget: deletes memories for good
DELETE FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = ANY (%(ids)s)

-- list: lists the newest valid memories
SELECT m.*, coalesce(u.use_count, 0) AS use_count, u.last_used_at
  FROM agents.agent_memory m LEFT JOIN agents.memory_use u ON u.tenant_id = m.tenant_id AND u.memory_id = m.id
 WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.valid_until IS NULL
   AND (%(kind)s::text IS NULL OR m.kind = %(kind)s) AND (%(before)s::bigint IS NULL OR m.id < %(before)s)
 ORDER BY m.id DESC LIMIT %(limit)s

-- counts: counts the valid memories by kind, for `agent status`
SELECT kind, count(*)::int AS total,
       (count(*) FILTER (WHERE embedding_model IS DISTINCT FROM %(model)s))::int AS unembedded
  FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND valid_until IS NULL
 GROUP BY kind ORDER BY kind

-- record_use: counts a use of each memory that still exists, in the order of their ids, so that two callers do not deadlock
INSERT INTO agents.memory_use AS u (tenant_id, memory_id)
SELECT tenant_id, id FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = ANY (%(used)s) ORDER BY id
ON CONFLICT (memory_id, tenant_id) DO UPDATE SET use_count = u.use_count + 1, last_used_at = now()

-- register_model: registers a model's vector space in this scope, before its first vector is stored, and returns its dimensions
WITH added AS (
  INSERT INTO agents.embedding_models (tenant_id, database_id, model, dimensions, similarity_mean, similarity_deviation)
  VALUES (%(tenant_id)s, %(database_id)s, %(model)s, %(dimensions)s, %(mean)s, %(deviation)s)
  ON CONFLICT DO NOTHING RETURNING dimensions
)
SELECT dimensions FROM added
 UNION ALL
SELECT dimensions FROM agents.embedding_models
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND model = %(model)s
 LIMIT 1

-- index_model: creates the model's own index while it is still empty
SELECT agents.prepare_embedding_model(%(model)s, %(dimensions)s)

-- calibrate: measures the similarity of unrelated memories, from random pairs of recent ones
UPDATE agents.embedding_models e
   SET similarity_mean = s.mean, similarity_deviation = greatest(s.deviation, 0.02)
  FROM (SELECT avg(similarity) AS mean, stddev_samp(similarity) AS deviation, count(similarity) AS pairs
          FROM (SELECT 1 - agents.cosine_distance(embedding, lag(embedding) OVER (ORDER BY hashint8(id))) AS similarity
                  FROM (SELECT id, embedding FROM agents.agent_memory
                         WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND valid_until IS NULL
                           AND embedding_model = %(model)s
                         ORDER BY id DESC LIMIT 300) AS recent) AS paired) AS s
 WHERE e.tenant_id = %(tenant_id)s AND e.database_id = %(database_id)s AND e.model = %(model)s AND s.pairs >= 50

-- pending: counts the memories that wait for a vector of the current model
SELECT count(*)::int AS pending FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND valid_until IS NULL
   AND (embedding_model IS NULL OR embedding_model < %(model)s OR embedding_model > %(model)s)

-- claim_pending: claims some of them for a while, so that no lock is held while they are embedded
UPDATE agents.agent_memory
   SET embedding_lease = now() + %(lease)s
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = ANY (ARRAY(
       SELECT id FROM agents.agent_memory
        WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND valid_until IS NULL
          AND (embedding_model IS NULL OR embedding_model < %(model)s OR embedding_model > %(model)s)
          AND (embedding_lease IS NULL OR embedding_lease < now())
        LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
RETURNING id, content

-- store_embeddings: stores the vectors of claimed memories that still exist
UPDATE agents.agent_memory m
   SET embedding = agents.as_vector(r.embedding), embedding_model = %(model)s, embedding_lease = NULL
  FROM json_to_recordset(%(rows)s) AS r (id bigint, embedding text)
 WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.id = r.id

-- release_claims: releases claims, so that the next attempt need not wait for the lease to end
UPDATE agents.agent_memory SET embedding_lease = %(until)s
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = ANY (%(ids)s)
