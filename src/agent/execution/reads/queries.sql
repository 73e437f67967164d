-- reader_limits: set the limits of one read; a statement cannot lift its own timeout, and literals mean what the parser read
SELECT set_config('statement_timeout', %(statement_ms)s, true), set_config('lock_timeout', %(lock_ms)s, true),
       set_config('idle_in_transaction_session_timeout', %(idle_ms)s, true),
       set_config('standard_conforming_strings', 'on', true), set_config('datestyle', 'ISO, YMD', true),
       set_config('intervalstyle', 'postgres', true), set_config('bytea_output', 'hex', true),
       set_config('extra_float_digits', '1', true), set_config('client_min_messages', 'notice', true), set_config('search_path', 'pg_catalog, pg_temp', true),
       -- these make the server end the session when a statement or its client does not end
       CASE WHEN current_setting('server_version_num')::int >= 170000 THEN set_config('transaction_timeout', %(transaction_ms)s, true) END,
       CASE WHEN version() ~ 'linux' THEN set_config('client_connection_check_interval', '1000', true) END

-- reader_claims: set the Supabase user of this transaction; older functions of Supabase read the single claims
SELECT set_config('request.jwt.claims', %(claims)s, true), set_config('request.jwt.claim.sub', %(sub)s, true),
       set_config('request.jwt.claim.role', %(role)s, true), set_config('request.jwt.claim.email', %(email)s, true)

-- session_state: the state that a read must leave as it was; read before and after it
SELECT pg_backend_pid() AS pid, pg_current_xact_id_if_assigned() IS NULL AS no_transaction_id,
       ARRAY(SELECT concat_ws(' ', l.mode, l.locktype, l.relation::regclass) FROM pg_locks l
              WHERE l.pid = pg_backend_pid() AND l.mode <> 'AccessShareLock' AND l.locktype <> 'virtualxid' ORDER BY 1) AS locks,
       ARRAY(SELECT s.name || '=' || s.setting FROM pg_show_all_settings() s WHERE s.source = 'session' ORDER BY 1) AS settings,
       current_user::text || ' ' || session_user::text || ' ' || current_setting('role') AS users,
       ARRAY(SELECT p.name FROM pg_prepared_statements p ORDER BY 1) AS prepared,
       ARRAY(SELECT c.name FROM pg_cursors c WHERE c.name NOT IN ('', 'agent_shape', 'agent_read') ORDER BY 1) AS cursors,
       ARRAY(SELECT pg_listening_channels()) AS channels
