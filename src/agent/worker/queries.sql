-- take_work: take some work that is due, for a time; whoever dies with it leaves it to others after that time. What was begun
-- before comes first: behind a long queue, the work of a dead process would wait for the whole queue
UPDATE agents.open_work w SET ready_at = now() + %(hold)s, attempts = w.attempts + 1
  FROM (SELECT tenant_id, kind, subject FROM agents.open_work
         WHERE ready_at <= now() ORDER BY attempts > 0 DESC, ready_at FOR UPDATE SKIP LOCKED LIMIT %(slots)s) AS due
 WHERE (w.tenant_id, w.kind, w.subject) = (due.tenant_id, due.kind, due.subject)
RETURNING w.tenant_id, w.kind, w.subject, w.attempts, w.ready_at

-- hold_work: keep a piece of work for some more time, while it is worked on, unless it was added again meanwhile
UPDATE agents.open_work SET ready_at = now() + %(hold)s
 WHERE tenant_id = %(tenant)s AND kind = %(kind)s AND subject = %(subject)s AND ready_at = %(held_until)s
RETURNING ready_at

-- finish_work: a piece of work is done, unless it was added again meanwhile
DELETE FROM agents.open_work
 WHERE tenant_id = %(tenant)s AND kind = %(kind)s AND subject = %(subject)s AND ready_at = %(held_until)s
RETURNING ready_at

-- postpone_work: look at a piece of work again later; without a wait, other workers are woken
UPDATE agents.open_work SET ready_at = now() + %(wait)s
 WHERE tenant_id = %(tenant)s AND kind = %(kind)s AND subject = %(subject)s
RETURNING CASE WHEN %(wait)s = interval '0' THEN pg_notify('agents_open_work', '') END

-- next_work: seconds until the next piece of work is due
SELECT extract(epoch FROM min(ready_at) - now())::float8 AS seconds FROM agents.open_work

-- thread: how long another run still holds a thread
SELECT greatest(extract(epoch FROM t.lease_until - now()), 0)::float8 AS held_seconds
  FROM agents.threads t WHERE t.tenant_id = %(tenant_id)s AND t.thread_id = %(thread_id)s

-- waiting: how many pieces of work are due, and nobody has taken them
SELECT count(*)::int AS waiting FROM agents.open_work WHERE ready_at <= now()

-- waiting_jobs: how many scheduled jobs wait in their queues
SELECT count(*)::int AS waiting FROM agents_jobs.workflow_status WHERE status = 'ENQUEUED'

-- tenants: every tenant that uses the agent
SELECT tenant_id FROM agents.tenants ORDER BY tenant_id

-- connections: how many the server has for logins that are no superusers, and how many are in use
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true)::int, 0) AS most,
       (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS used
