-- session_limits: set a transaction's limits for the session, for a statement that refuses one; the pool resets them
SELECT set_config('statement_timeout', %(statement_ms)s, false), set_config('lock_timeout', %(lock_ms)s, false),
       set_config('standard_conforming_strings', 'on', false), pg_backend_pid() AS pid,
       (SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS started

-- backend_lives: whether the session that runs a statement is still there; it works on when its client is gone
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %(pid)s AND backend_start::text = %(started)s) AS lives

-- state: the indexes that are named or are of the named tables: number and validity; how often each table was vacuumed
WITH named AS (
  SELECT to_regclass(concat_ws('.', quote_ident(nullif(n.schema, '')), quote_ident(n.name))) AS id
    FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS n (schema, name)
)
SELECT (SELECT jsonb_object_agg(i.indexrelid::regclass::text, jsonb_build_array(i.indexrelid::bigint, i.indisvalid))
          FROM pg_index i WHERE i.indrelid IN (SELECT id FROM named) OR i.indexrelid IN (SELECT id FROM named)) AS indexes,
       (SELECT jsonb_object_agg(s.relid::regclass::text, s.vacuum_count)
          FROM pg_stat_all_tables s WHERE s.relid IN (SELECT id FROM named)) AS vacuums

-- noted: the state that an execution noted before it began
SELECT result->'before' AS before FROM agents.agent_execution_log
 WHERE tenant_id = %(tenant_id)s AND approval_id = %(approval_id)s AND status = 'running'

-- note: note the state before a statement begins, unless another process has noted one since `earlier` was read
UPDATE agents.agent_execution_log SET result = jsonb_build_object('before', %(before)s::jsonb)
 WHERE tenant_id = %(tenant_id)s AND approval_id = %(approval_id)s AND status = 'running'
   AND result->'before' IS NOT DISTINCT FROM %(earlier)s::jsonb
RETURNING id
