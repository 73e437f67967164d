-- close_replaced_schema: a schema memory is keyed by its subject; new content ends the old row's validity
UPDATE agents.agent_memory
   SET valid_until = now(), updated_at = now()
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND kind = 'schema' AND valid_until IS NULL
   AND %(kind)s = 'schema' AND subject = %(subject)s AND content_hash <> %(content_hash)s

-- save: a new memory, or more evidence for the one that says exactly the same
INSERT INTO agents.agent_memory AS m
       (tenant_id, database_id, kind, subject, content, content_hash, metadata, trust, source_thread, source_turn, source_quote)
VALUES (%(tenant_id)s, %(database_id)s, %(kind)s, %(subject)s, %(content)s, %(content_hash)s, %(metadata)s, %(trust)s,
        %(source_thread)s, %(source_turn)s, %(source_quote)s)
ON CONFLICT (tenant_id, database_id, kind, content_hash) WHERE valid_until IS NULL
DO UPDATE SET evidence_count = m.evidence_count + 1, updated_at = now()
RETURNING *

-- get: one memory
SELECT * FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = %(id)s

-- forget: one memory, for good
DELETE FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = %(id)s

-- list: the newest valid ones
SELECT * FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND valid_until IS NULL
   AND (%(kind)s::text IS NULL OR kind = %(kind)s)
 ORDER BY id DESC LIMIT %(limit)s

-- counts: for `agent status`
SELECT kind, count(*)::int AS total,
       (count(*) FILTER (WHERE embedding_model IS DISTINCT FROM %(model)s))::int AS unembedded
  FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND valid_until IS NULL
 GROUP BY kind ORDER BY kind

-- search: by words
SELECT m.*, ts_rank_cd(to_tsvector('english', content), q)::float8 AS score
  FROM agents.agent_memory m,
       to_tsquery('english', (SELECT coalesce(string_agg(quote_literal(w), ' | '), '')
                                FROM regexp_split_to_table(%(query)s, '[^[:alnum:]]+') w WHERE w <> '')) q
 WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.valid_until IS NULL
   AND (%(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s::text[])) AND to_tsvector('english', content) @@ q
 ORDER BY score DESC, id DESC LIMIT %(limit)s
