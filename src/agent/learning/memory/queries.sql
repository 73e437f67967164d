-- close_replaced_schemas: a schema memory is keyed by its subject; new content ends the old row's validity
UPDATE agents.agent_memory m
   SET valid_until = clock_timestamp(), updated_at = now()
  FROM json_to_recordset(%(rows)s) AS r (kind text, subject text, content_hash text)
 WHERE r.kind = 'schema' AND m.kind = 'schema' AND m.valid_until IS NULL AND m.subject = r.subject
   AND m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.content_hash <> decode(r.content_hash, 'hex')

-- save: new memories, or more evidence for those that say exactly the same; in the order of their hashes, so that
-- concurrent saves wait for each other instead of deadlocking. Only a human's word changes who is trusted for it.
-- The memories that led to them are noted as used.
WITH used AS (
  INSERT INTO agents.memory_use AS u (tenant_id, memory_id)
  SELECT tenant_id, id FROM agents.agent_memory
   WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = ANY (%(used)s) ORDER BY id
  ON CONFLICT (memory_id, tenant_id) DO UPDATE SET use_count = u.use_count + 1, last_used_at = now()
)
INSERT INTO agents.agent_memory AS m
       (tenant_id, database_id, kind, subject, content, content_hash, metadata, trust, source_thread, source_turn, source_quote,
        evidence_count, embedding, embedding_model)
SELECT %(tenant_id)s, %(database_id)s, r.kind, r.subject, r.content, decode(r.content_hash, 'hex'), r.metadata, r.trust,
       r.source_thread, r.source_turn, r.source_quote, r.evidence_count, agents.as_vector(r.embedding),
       CASE WHEN r.embedding IS NOT NULL THEN %(model)s END
  FROM json_to_recordset(%(rows)s) AS r (kind text, subject text, content text, content_hash text, metadata jsonb, trust text,
       source_thread text, source_turn int, source_quote text, evidence_count int, embedding text)
 ORDER BY r.content_hash
ON CONFLICT (tenant_id, database_id, content_hash) WHERE valid_until IS NULL
DO UPDATE SET evidence_count = m.evidence_count + excluded.evidence_count, updated_at = now(),
              trust = CASE WHEN excluded.trust = 'human' THEN 'human' ELSE m.trust END
RETURNING id, kind, content, trust, subject, metadata, source_thread, source_turn, source_quote, evidence_count,
          embedding_model, valid_from, valid_until, created_at, encode(content_hash, 'hex') AS content_hash

-- known_hashes: which of these texts are remembered already
SELECT encode(content_hash, 'hex') AS content_hash FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND valid_until IS NULL
   AND content_hash = ANY (SELECT decode(h, 'hex') FROM unnest(%(hashes)s::text[]) h)

-- fold: move what the statistics miss into them
SELECT agents.fold_memory_changes(%(database_id)s)

-- get: one memory
SELECT m.*, coalesce(u.use_count, 0) AS use_count, u.last_used_at
  FROM agents.agent_memory m LEFT JOIN agents.memory_use u ON u.tenant_id = m.tenant_id AND u.memory_id = m.id
 WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.id = %(id)s

-- forget: one memory, for good
DELETE FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = %(id)s

-- list: the newest valid ones
SELECT m.*, coalesce(u.use_count, 0) AS use_count, u.last_used_at
  FROM agents.agent_memory m LEFT JOIN agents.memory_use u ON u.tenant_id = m.tenant_id AND u.memory_id = m.id
 WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.valid_until IS NULL
   AND (%(kind)s::text IS NULL OR m.kind = %(kind)s)
 ORDER BY m.id DESC LIMIT %(limit)s

-- counts: for `agent status`
SELECT kind, count(*)::int AS total,
       (count(*) FILTER (WHERE embedding_model IS DISTINCT FROM %(model)s))::int AS unembedded
  FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND valid_until IS NULL
 GROUP BY kind ORDER BY kind

-- record_use: of memories that are still there, in the order of their ids, so that two of these do not deadlock
INSERT INTO agents.memory_use AS u (tenant_id, memory_id)
SELECT tenant_id, id FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = ANY (%(used)s) ORDER BY id
ON CONFLICT (memory_id, tenant_id) DO UPDATE SET use_count = u.use_count + 1, last_used_at = now()

-- register_model: what this scope's vectors of a model look like, before the first one is stored
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

-- index_model: the model's own index, made while it is still empty
SELECT agents.prepare_embedding_model(%(model)s, %(dimensions)s)

-- calibrate: the similarity of unrelated memories, from pairs of recent ones in an order that means nothing
UPDATE agents.embedding_models e
   SET similarity_mean = s.mean, similarity_deviation = greatest(s.deviation, 0.02)
  FROM (SELECT avg(similarity) AS mean, stddev_samp(similarity) AS deviation, count(similarity) AS pairs
          FROM (SELECT 1 - agents.cosine_distance(embedding, lag(embedding) OVER (ORDER BY hashint8(id))) AS similarity
                  FROM (SELECT id, embedding FROM agents.agent_memory
                         WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND valid_until IS NULL
                           AND embedding_model = %(model)s
                         ORDER BY id DESC LIMIT 300) AS recent) AS paired) AS s
 WHERE e.tenant_id = %(tenant_id)s AND e.database_id = %(database_id)s AND e.model = %(model)s AND s.pairs >= 50

-- pending: how many wait for a vector of the current model
SELECT count(*)::int AS pending FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND valid_until IS NULL
   AND (embedding_model IS NULL OR embedding_model < %(model)s OR embedding_model > %(model)s)

-- claim_pending: some of those, for a while: no lock is held while they are embedded
UPDATE agents.agent_memory
   SET embedding_lease = now() + %(lease)s
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = ANY (ARRAY(
       SELECT id FROM agents.agent_memory
        WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND valid_until IS NULL
          AND (embedding_model IS NULL OR embedding_model < %(model)s OR embedding_model > %(model)s)
          AND (embedding_lease IS NULL OR embedding_lease < now())
        LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
RETURNING id, content

-- store_embeddings: of claimed rows that are still there
UPDATE agents.agent_memory m
   SET embedding = agents.as_vector(r.embedding), embedding_model = %(model)s, embedding_lease = NULL
  FROM json_to_recordset(%(rows)s) AS r (id bigint, embedding text)
 WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.id = r.id

-- release_claims: so that the next attempt need not wait for the lease to run out
UPDATE agents.agent_memory SET embedding_lease = %(until)s
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = ANY (%(ids)s)
