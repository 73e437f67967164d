-- sessions: how full the server is, and sessions that hold or wait for too long; of others' sessions a login without
-- pg_read_all_stats sees neither state nor times, but everybody sees counts and waits for locks
SELECT (SELECT sum(d.numbackends) FROM pg_stat_database d)::int AS connections, current_setting('max_connections')::int AS most,
       count(*) FILTER (WHERE a.state LIKE 'idle in transaction%%' AND a.state_change < now() - interval '5 minutes')::int AS idle,
       (SELECT count(DISTINCT l.pid) FROM pg_locks l WHERE NOT l.granted AND l.waitstart < now() - interval '30 seconds')::int AS waiting,
       count(*) FILTER (WHERE a.state = 'active' AND a.query_start < now() - interval '10 minutes' AND a.backend_type = 'client backend')::int AS long,
       (SELECT age(d.datfrozenxid)::bigint FROM pg_database d WHERE d.datname = current_database()) AS age
  FROM pg_stat_activity a
 WHERE a.pid <> pg_backend_pid()

-- tables: what the statistics of the tables say, without reading one of them
SELECT format('%%I.%%I', t.schemaname, t.relname) AS name, t.schemaname AS schema, t.relname AS table_name, t.n_live_tup::float8 AS live,
       t.n_dead_tup::float8 AS dead, (t.n_tup_ins + t.n_tup_upd + t.n_tup_del)::float8 AS written, t.n_tup_ins::float8 AS inserted,
       coalesce(greatest(t.last_autovacuum, t.last_vacuum) < now() - interval '1 day', true) AS not_vacuumed
  FROM pg_stat_all_tables t
 WHERE t.schemaname !~ '^(pg_|agents($|_))' AND t.schemaname <> 'information_schema'
   AND CASE WHEN %(schemas)s::text[] IS NULL THEN t.schemaname <> ALL (%(platform)s::text[]) ELSE t.schemaname = ANY (%(schemas)s::text[]) END

-- has_statements: where the statistics of statements are, if this login may use them
SELECT quote_ident(n.nspname) AS schema FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
 WHERE e.extname = 'pg_stat_statements' AND has_schema_privilege(n.oid, 'usage')
