-- uncompared: returns statements that were not compared with the others yet
SELECT m.id, m.content FROM agents.agent_memory m
 WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.kind = ANY (%(kinds)s) AND m.valid_until IS NULL
   AND NOT EXISTS (SELECT FROM agents.memory_signatures s WHERE s.memory_id = m.id)
 LIMIT %(limit)s

-- sign: notes the signatures of statements
INSERT INTO agents.memory_signatures (tenant_id, database_id, memory_id, signature)
SELECT %(tenant_id)s, %(database_id)s, m.id, decode(r.signature, 'hex')
  FROM json_to_recordset(%(rows)s) AS r (id bigint, signature text)
  JOIN agents.agent_memory m ON m.id = r.id AND m.tenant_id = %(tenant_id)s
 ORDER BY m.id
ON CONFLICT (memory_id) DO NOTHING

-- same: returns valid statements of one kind with one signature, the one that stays first: the most trusted, best evidenced, oldest
SELECT (array_agg(m.id ORDER BY array_position('{human,database,agent,external}', m.trust), m.evidence_count DESC, m.id)) AS ids
  FROM agents.memory_signatures s JOIN agents.agent_memory m ON m.id = s.memory_id AND m.tenant_id = %(tenant_id)s
 WHERE s.tenant_id = %(tenant_id)s AND s.database_id = %(database_id)s AND s.signature <> '' AND m.valid_until IS NULL
   AND (%(signatures)s::text[] IS NULL OR s.signature = ANY (SELECT decode(one, 'hex') FROM unnest(%(signatures)s::text[]) one))
 GROUP BY s.signature, m.kind, m.subject HAVING count(*) > 1

-- near: returns pairs of valid statements of one kind, subject and trust whose vectors are near, the one that stays first
SELECT DISTINCT ON (least(m.id, o.id), greatest(m.id, o.id))
       s.id AS survivor, CASE WHEN s.id = m.id THEN o.id ELSE m.id END AS merged, m.content AS one, o.content AS other
  FROM agents.agent_memory m
 CROSS JOIN LATERAL agents.search_memories(NULL, m.database_id, m.embedding::real[], %(model)s, %(neighbours)s, ARRAY[m.kind]) AS f
  JOIN agents.agent_memory o ON o.id = f.id AND o.tenant_id = m.tenant_id
 CROSS JOIN LATERAL (SELECT CASE WHEN (m.evidence_count, -m.id) >= (o.evidence_count, -o.id) THEN m.id ELSE o.id END AS id) AS s
 WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.id = ANY (%(ids)s) AND m.valid_until IS NULL
   AND m.embedding_model = %(model)s AND o.embedding_model = %(model)s AND o.id <> m.id AND o.valid_until IS NULL
   AND o.kind = m.kind AND o.subject IS NOT DISTINCT FROM m.subject AND o.trust = m.trust
   AND 1 - agents.cosine_distance(m.embedding, o.embedding) >= %(least)s

-- lock_pairs: locks memories that are to be merged, and returns the pairs that are both still valid
WITH pairs AS (SELECT * FROM json_to_recordset(%(pairs)s) AS p (survivor bigint, merged bigint)),
locked AS (
  SELECT id FROM agents.agent_memory
   WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND valid_until IS NULL
     AND id = ANY (ARRAY(SELECT survivor FROM pairs UNION SELECT merged FROM pairs))
   ORDER BY id FOR UPDATE
)
SELECT p.survivor, p.merged FROM pairs p WHERE p.survivor IN (SELECT id FROM locked) AND p.merged IN (SELECT id FROM locked)

-- keep_wordings: keeps what is merged as it was said, with where it comes from
INSERT INTO agents.memory_wordings (tenant_id, former_id, memory_id, database_id, kind, subject, content, content_hash, metadata, trust, speaker,
       source_thread, source_turn, source_quote, evidence_count, derived_from, valid_from, created_at)
SELECT m.tenant_id, m.id, p.survivor, m.database_id, m.kind, m.subject, m.content, m.content_hash, m.metadata, m.trust, m.speaker,
       m.source_thread, m.source_turn, m.source_quote, m.evidence_count,
       ARRAY(SELECT l.earlier_id FROM agents.memory_links l WHERE l.tenant_id = m.tenant_id AND l.memory_id = m.id AND l.relation = 'derived'),
       m.valid_from, m.created_at
  FROM json_to_recordset(%(pairs)s) AS p (survivor bigint, merged bigint)
  JOIN agents.agent_memory m ON m.id = p.merged AND m.tenant_id = %(tenant_id)s

-- move_wordings: what had been merged into a memory that is merged now belongs to the one that stays
UPDATE agents.memory_wordings w SET memory_id = p.survivor
  FROM json_to_recordset(%(pairs)s) AS p (survivor bigint, merged bigint)
 WHERE w.memory_id = p.merged AND w.tenant_id = %(tenant_id)s

-- move_links: what was concluded from a merged memory, replaced or corrected it, or was replaced by it, is linked to the one that stays. What the
-- merged one was concluded from is a source of its wording only
INSERT INTO agents.memory_links (tenant_id, memory_id, earlier_id, relation)
SELECT DISTINCT l.tenant_id, coalesce(later.survivor, l.memory_id), coalesce(earlier.survivor, l.earlier_id), l.relation
  FROM agents.memory_links l
  LEFT JOIN json_to_recordset(%(pairs)s) AS later (survivor bigint, merged bigint) ON later.merged = l.memory_id
  LEFT JOIN json_to_recordset(%(pairs)s) AS earlier (survivor bigint, merged bigint) ON earlier.merged = l.earlier_id
 WHERE l.tenant_id = %(tenant_id)s AND (l.memory_id = ANY (%(merged)s) AND l.relation <> 'derived' OR l.earlier_id = ANY (%(merged)s))
   AND NOT (l.memory_id = ANY (%(merged)s) AND l.relation = 'derived')
   AND coalesce(later.survivor, l.memory_id) <> coalesce(earlier.survivor, l.earlier_id)
ON CONFLICT DO NOTHING

-- add_uses: adds the uses of merged memories to those of the one that stays
INSERT INTO agents.memory_use AS u (tenant_id, memory_id, use_count, last_used_at)
SELECT m.tenant_id, p.survivor, sum(m.use_count), max(m.last_used_at)
  FROM json_to_recordset(%(pairs)s) AS p (survivor bigint, merged bigint)
  JOIN agents.memory_use m ON m.memory_id = p.merged AND m.tenant_id = %(tenant_id)s
 GROUP BY 1, 2 ORDER BY 2
ON CONFLICT (memory_id, tenant_id) DO UPDATE SET use_count = u.use_count + excluded.use_count,
  last_used_at = greatest(u.last_used_at, excluded.last_used_at)

-- add_evidence: adds the evidence of merged memories to that of the one that stays
UPDATE agents.agent_memory s SET evidence_count = s.evidence_count + m.evidence, updated_at = now()
  FROM (SELECT p.survivor, sum(m.evidence_count)::int AS evidence
          FROM json_to_recordset(%(pairs)s) AS p (survivor bigint, merged bigint)
          JOIN agents.agent_memory m ON m.id = p.merged AND m.tenant_id = %(tenant_id)s GROUP BY 1) m
 WHERE s.id = m.survivor AND s.tenant_id = %(tenant_id)s

-- remove: deletes memories
DELETE FROM agents.agent_memory WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = ANY (%(merged)s)

-- wordings: returns what was merged into a memory
SELECT former_id, content, speaker, trust, source_thread, source_turn, valid_from FROM agents.memory_wordings
 WHERE tenant_id = %(tenant_id)s AND memory_id = %(id)s ORDER BY former_id

-- merged_into: returns the memory that has taken in another one
SELECT memory_id FROM agents.memory_wordings WHERE tenant_id = %(tenant_id)s AND former_id = %(id)s

-- expire: deletes memories that are kept for a time only and were neither saved nor used in it; what is no longer valid counts as `replaced`
DELETE FROM agents.agent_memory WHERE tenant_id = %(tenant_id)s AND id = ANY (ARRAY(
  SELECT m.id FROM agents.agent_memory m LEFT JOIN agents.memory_use u ON u.tenant_id = m.tenant_id AND u.memory_id = m.id
   WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s
     AND CASE WHEN %(kind)s = 'replaced' THEN m.valid_until < now() - %(days)s * interval '1 day'
         ELSE m.kind = %(kind)s AND m.valid_until IS NULL AND m.updated_at < now() - %(days)s * interval '1 day'
          AND (u.last_used_at IS NULL OR u.last_used_at < now() - %(days)s * interval '1 day') END
   ORDER BY m.id LIMIT %(limit)s))

-- drop_derived: deletes the wordings that were concluded from memories, and takes back the evidence that they gave
WITH gone AS (
  DELETE FROM agents.memory_wordings WHERE tenant_id = %(tenant_id)s AND derived_from && %(ids)s::bigint[] RETURNING memory_id, evidence_count
)
UPDATE agents.agent_memory m SET evidence_count = greatest(m.evidence_count - g.evidence, 1)
  FROM (SELECT memory_id, sum(evidence_count)::int AS evidence FROM gone GROUP BY 1) g
 WHERE m.id = g.memory_id AND m.tenant_id = %(tenant_id)s

-- quarantine: ends the validity of memories, and notes why and because of which one
UPDATE agents.agent_memory
   SET valid_until = clock_timestamp(), updated_at = now(),
       metadata = metadata || jsonb_build_object('quarantined', jsonb_build_object('source', %(source)s::bigint, 'reason', %(reason)s::text))
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = ANY (%(ids)s) AND valid_until IS NULL

-- release: makes memories valid again that were quarantined because of one
UPDATE agents.agent_memory SET valid_until = NULL, updated_at = now(), metadata = metadata - 'quarantined'
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND (metadata #>> '{quarantined,source}')::bigint = %(source)s

-- figures: counts memories by kind, with what is said of them elsewhere
SELECT m.kind, count(*) FILTER (WHERE m.valid_until IS NULL)::int AS valid, count(*) FILTER (WHERE m.valid_until IS NOT NULL)::int AS replaced,
       count(*) FILTER (WHERE m.metadata ? 'quarantined')::int AS quarantined,
       count(*) FILTER (WHERE m.valid_until IS NULL AND m.embedding_model IS DISTINCT FROM %(model)s)::int AS unembedded,
       coalesce(sum(m.evidence_count) FILTER (WHERE m.valid_until IS NULL), 0)::int AS evidence,
       count(u.memory_id) FILTER (WHERE m.valid_until IS NULL)::int AS used,
       min(m.created_at) AS oldest, max(m.created_at) AS newest
  FROM agents.agent_memory m LEFT JOIN agents.memory_use u ON u.tenant_id = m.tenant_id AND u.memory_id = m.id
 WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s
 GROUP BY m.kind ORDER BY m.kind

-- merged_figures: counts what was merged, and the statements that were not compared yet
SELECT (SELECT count(*)::int FROM agents.memory_wordings WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s) AS merged,
       (SELECT count(*)::int FROM agents.agent_memory m
         WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.kind = ANY (%(kinds)s) AND m.valid_until IS NULL
           AND NOT EXISTS (SELECT FROM agents.memory_signatures s WHERE s.memory_id = m.id)) AS uncompared

-- models: counts the vectors of each embedding model
SELECT embedding_model AS model, count(*)::int AS memories FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND valid_until IS NULL AND embedding_model IS NOT NULL
 GROUP BY 1 ORDER BY 2 DESC
