-- session_limits: those of a transaction, for a statement that refuses one; the pool forgets them
SELECT set_config('statement_timeout', %(statement_ms)s, false), set_config('lock_timeout', %(lock_ms)s, false),
       set_config('standard_conforming_strings', 'on', false), pg_backend_pid() AS pid,
       (SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS started

-- backend_lives: whether the session that ran it is still there: its client may be gone, and it works on
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %(pid)s AND backend_start::text = %(started)s) AS lives

-- state: the indexes of the named tables, or those named, with their number and whether they are valid; how often each table was vacuumed
WITH named AS (
  SELECT to_regclass(concat_ws('.', quote_ident(nullif(n.schema, '')), quote_ident(n.name))) AS id
    FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS n (schema, name)
)
SELECT (SELECT jsonb_object_agg(i.indexrelid::regclass::text, jsonb_build_array(i.indexrelid::bigint, i.indisvalid))
          FROM pg_index i WHERE i.indrelid IN (SELECT id FROM named) OR i.indexrelid IN (SELECT id FROM named)) AS indexes,
       (SELECT jsonb_object_agg(s.relid::regclass::text, s.vacuum_count)
          FROM pg_stat_all_tables s WHERE s.relid IN (SELECT id FROM named)) AS vacuums

-- seen: what an execution noted before it began
SELECT result->'before' AS before FROM agents.agent_execution_log
 WHERE tenant_id = %(tenant_id)s AND approval_id = %(approval_id)s AND status = 'running'

-- note: how things stand before it begins; only where nobody else has noted anything since we looked
UPDATE agents.agent_execution_log SET result = jsonb_build_object('before', %(before)s::jsonb)
 WHERE tenant_id = %(tenant_id)s AND approval_id = %(approval_id)s AND status = 'running'
   AND result->'before' IS NOT DISTINCT FROM %(seen)s::jsonb
RETURNING id
