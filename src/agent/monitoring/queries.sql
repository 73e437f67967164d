-- begin_run: begin a run, unless one is running or the last one is not `least` ago
INSERT INTO agents.monitor_runs (tenant_id, database_id, every)
SELECT %(tenant_id)s, %(database_id)s, %(every)s::interval
 WHERE NOT EXISTS (SELECT FROM agents.monitor_runs r
                    WHERE r.tenant_id = %(tenant_id)s AND r.database_id = %(database_id)s
                      AND r.started_at BETWEEN now() - %(least)s::interval AND now())
ON CONFLICT (tenant_id, database_id) WHERE status = 'running' DO NOTHING
RETURNING id, now() AS now

-- lose_runs: a run whose process died, or that began in the future of this clock, is lost
UPDATE agents.monitor_runs SET status = 'lost', finished_at = now()
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND status = 'running'
   AND NOT started_at BETWEEN now() - %(patience)s::interval AND now() + interval '1 minute'

-- finish_run: note how a run went
UPDATE agents.monitor_runs
   SET status = 'done', finished_at = clock_timestamp(), checks = %(checks)s, opened = %(opened)s, resolved = %(resolved)s,
       statement_ms = %(statement_ms)s
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = %(id)s
RETURNING id, status, started_at, finished_at, checks, opened, resolved, statement_ms

-- runs: the newest runs
SELECT id, status, started_at, finished_at, checks, opened, resolved, statement_ms FROM agents.monitor_runs
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s ORDER BY id DESC LIMIT %(limit)s

-- health: when the monitor ran last, how often it should, and whether somebody's process should be running it
SELECT (SELECT max(finished_at) FROM agents.monitor_runs r
         WHERE r.tenant_id = %(tenant_id)s AND r.database_id = %(database_id)s AND r.status = 'done') AS last,
       (SELECT r.every FROM agents.monitor_runs r
         WHERE r.tenant_id = %(tenant_id)s AND r.database_id = %(database_id)s AND r.every IS NOT NULL ORDER BY id DESC LIMIT 1) AS every,
       (SELECT r.started_at FROM agents.monitor_runs r
         WHERE r.tenant_id = %(tenant_id)s AND r.database_id = %(database_id)s AND r.every IS NOT NULL ORDER BY id DESC LIMIT 1) AS scheduled,
       EXISTS (SELECT FROM agents_jobs.workers w WHERE w.seen_at > now() - interval '1 day' AND w.started_at < now() - %(grace)s::interval) AS expected,
       now() AS now

-- leave: a monitor that ends by itself is not missed
UPDATE agents.monitor_runs SET every = NULL WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND every IS NOT NULL

-- states: what the checks remember
SELECT check_name, state FROM agents.monitor_state WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s

-- remember: store what the checks remember
INSERT INTO agents.monitor_state (tenant_id, database_id, check_name, state)
SELECT %(tenant_id)s, %(database_id)s, s.key, s.value FROM jsonb_each(%(states)s::jsonb) s
ON CONFLICT (tenant_id, database_id, check_name) DO UPDATE SET state = excluded.state, updated_at = now()
RETURNING check_name

-- measure: store measurements, one of each metric and subject at a time
INSERT INTO agents.measurements (tenant_id, database_id, metric, subject, value)
SELECT DISTINCT ON (m.metric, m.subject) %(tenant_id)s, %(database_id)s, m.metric, m.subject, m.value
  FROM unnest(%(metrics)s::text[], %(subjects)s::text[], %(values)s::float8[]) m (metric, subject, value)
ON CONFLICT (tenant_id, database_id, metric, subject, at) DO UPDATE SET value = excluded.value
RETURNING metric

-- series: the measurements of one metric; those of a clock that ran ahead are left out
SELECT extract(epoch FROM at)::float8 AS at, value FROM agents.measurements
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND metric = %(metric)s AND subject = %(subject)s
   AND at BETWEEN now() - %(age)s::interval AND now()
 ORDER BY at

-- forget: delete measurements, runs and resolved alerts that nobody looks at any more
WITH old_runs AS (
  DELETE FROM agents.monitor_runs WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND started_at < now() - interval '30 days'
), old_alerts AS (
  DELETE FROM agents.alerts WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND status = 'resolved'
     AND coalesce(resolved_at, seen_at) < now() - interval '90 days' AND coalesce(muted_until, now()) <= now()
)
DELETE FROM agents.measurements WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND at < now() - interval '30 days'
