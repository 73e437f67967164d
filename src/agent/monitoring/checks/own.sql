-- executions: how many actions ended in the last half hour, how many failed, and the same of the week before
SELECT e.action, count(*) FILTER (WHERE recent)::int AS done, count(*) FILTER (WHERE recent AND e.status = 'failed')::int AS failed,
       count(*) FILTER (WHERE NOT recent)::int AS done_before, count(*) FILTER (WHERE NOT recent AND e.status = 'failed')::int AS failed_before
  FROM agents.agent_execution_log e, LATERAL (SELECT e.created_at > now() - interval '30 minutes' AS recent) r
 WHERE e.tenant_id = %(tenant_id)s AND e.database_id = %(database_id)s AND e.created_at BETWEEN now() - interval '7 days' AND now()
   AND e.status IN ('succeeded', 'failed')
 GROUP BY e.action

-- approvals: how many requests wait for a decision, run out soon, were approved and not carried out, or have an unknown outcome
SELECT count(*) FILTER (WHERE q.status = 'pending' AND q.expires_at > now())::int AS pending,
       count(*) FILTER (WHERE q.status = 'pending' AND q.expires_at > now()
                          AND now() - q.created_at > (q.expires_at - q.created_at) * 0.5)::int AS late,
       round(coalesce(extract(epoch FROM now() - min(q.created_at) FILTER (WHERE q.status = 'pending')) / 60, 0))::int AS oldest_minutes,
       count(*) FILTER (WHERE q.status = 'approved' AND q.executable AND q.decided_at < now() - interval '2 minutes'
                          AND (q.claim IS NULL OR q.claimed_until < now())
                          AND NOT EXISTS (SELECT FROM agents.agent_execution_log e WHERE e.tenant_id = q.tenant_id
                                             AND e.approval_id = q.id AND e.status <> 'running'))::int AS not_executed,
       (SELECT count(*) FROM agents.agent_execution_log e WHERE e.tenant_id = %(tenant_id)s AND e.database_id = %(database_id)s
           AND e.status = 'unknown')::int AS unknown
  FROM agents.human_approval_queue q
 WHERE q.tenant_id = %(tenant_id)s AND q.database_id = %(database_id)s AND q.status IN ('pending', 'approved')

-- dead_workers: processes that went silent without leaving, where no process of their host began after that
SELECT w.executor_id, w.host, extract(epoch FROM now() - w.seen_at)::float8 / 60 AS minutes,
       (SELECT count(*) FROM agents_jobs.workers a WHERE a.seen_at > now() - interval '1 minute')::int AS alive
  FROM agents_jobs.workers w
 WHERE %(tenant_id)s <> '' AND %(database_id)s <> '' AND w.seen_at < now() - interval '1 minute'
   AND NOT EXISTS (SELECT FROM agents_jobs.workers n WHERE n.host = w.host AND n.started_at > w.seen_at)

-- late_work: turns and actions that are due for minutes and that no worker takes
SELECT count(*)::int AS late, coalesce(extract(epoch FROM now() - min(o.ready_at)) / 60, 0)::float8 AS minutes
  FROM agents.open_work o
 WHERE o.tenant_id = %(tenant_id)s AND %(database_id)s <> '' AND o.ready_at < now() - interval '3 minutes'
   AND NOT EXISTS (SELECT FROM agents.controls c WHERE c.tenant_id = o.tenant_id AND (c.stopped OR c.read_only))

-- has_learner: whether the background learner has its tables here
SELECT to_regclass('agents.learning_runs') IS NOT NULL AND %(tenant_id)s <> '' AND %(database_id)s <> '' AS there

-- learning_runs: how the newest runs of the background learner ended
SELECT r.id, r.status FROM agents.learning_runs r
 WHERE r.tenant_id = %(tenant_id)s AND r.database_id = %(database_id)s AND r.status <> 'running' ORDER BY r.id DESC LIMIT %(limit)s

-- undelivered: services whose messages of the last day fail again and again, or for good
SELECT m.service, count(*)::int AS failed, count(DISTINCT m.place)::int AS places, max(m.error) AS error
  FROM (SELECT service, place, error FROM agents.messages
         WHERE tenant_id = %(tenant_id)s AND error IS NOT NULL AND (attempts >= 3 OR ready_at IS NULL) AND created_at > now() - interval '1 day'
        UNION ALL
        SELECT d.service, d.place, d.error FROM agents.alert_deliveries d
         WHERE d.tenant_id = %(tenant_id)s AND d.error IS NOT NULL AND (d.attempts >= 3 OR d.ready_at IS NULL)) m
 WHERE %(database_id)s <> ''
 GROUP BY m.service

-- durations: the 90th percentile of the seconds of each action in the last five minutes, and of the day before
SELECT d.action, count(*) FILTER (WHERE recent)::int AS calls,
       (percentile_cont(0.9) WITHIN GROUP (ORDER BY d.ms) FILTER (WHERE recent) / 1000)::float8 AS slow,
       CASE WHEN count(*) FILTER (WHERE NOT recent) >= 10
            THEN (percentile_cont(0.9) WITHIN GROUP (ORDER BY d.ms) FILTER (WHERE NOT recent) / 1000)::float8 END AS before
  FROM (SELECT e.action, e.duration_ms AS ms, e.created_at > now() - interval '5 minutes' AS recent FROM agents.agent_execution_log e
         WHERE e.tenant_id = %(tenant_id)s AND e.database_id = %(database_id)s AND e.duration_ms IS NOT NULL AND e.verdict <> 'ask'
           AND e.created_at BETWEEN now() - interval '1 day' AND now()) d
 GROUP BY d.action HAVING count(*) FILTER (WHERE recent) > 0
 ORDER BY count(*) DESC LIMIT 20

-- spent: what the models cost in the last hour, the most in an hour of the week before, and whose questions cost most
WITH spent AS (
  SELECT greatest(floor(extract(epoch FROM now() - e.created_at) / 3600)::int, 0) AS ago, e.actor, coalesce(e.cost_usd, 0) AS cost_usd,
         (coalesce(e.input_tokens, 0) + coalesce(e.output_tokens, 0))::float8 AS tokens
    FROM agents.agent_execution_log e
   WHERE e.tenant_id = %(tenant_id)s AND e.database_id = %(database_id)s AND e.created_at BETWEEN now() - interval '7 days' AND now()
), hours AS (
  SELECT ago, sum(cost_usd)::float8 AS cost_usd, sum(tokens)::float8 AS tokens FROM spent GROUP BY ago
)
SELECT coalesce(sum(cost_usd) FILTER (WHERE ago = 0), 0)::float8 AS cost_usd, coalesce(max(cost_usd) FILTER (WHERE ago > 0), 0)::float8 AS cost_usd_before,
       coalesce(sum(tokens) FILTER (WHERE ago = 0), 0)::float8 AS tokens, coalesce(max(tokens) FILTER (WHERE ago > 0), 0)::float8 AS tokens_before,
       count(*) FILTER (WHERE ago > 0)::int AS hours,
       (SELECT coalesce(jsonb_object_agg(t.actor, t.tokens), '{}') FROM (
          SELECT s.actor, sum(s.tokens) AS tokens FROM spent s WHERE s.ago = 0 GROUP BY s.actor ORDER BY 2 DESC LIMIT 3) t) AS by
  FROM hours

-- refusals: who had many actions refused, services with many strangers, who approved many requests too fast or their own ones
SELECT (SELECT coalesce(jsonb_agg(jsonb_build_object('actor', r.actor, 'count', r.count)), '[]') FROM (
          SELECT e.actor, count(*) FROM agents.agent_execution_log e
           WHERE e.tenant_id = %(tenant_id)s AND e.database_id = %(database_id)s AND e.status = 'refused'
             AND e.created_at BETWEEN now() - interval '15 minutes' AND now()
           GROUP BY e.actor HAVING count(*) >= %(refused)s) r) AS refused,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('service', s.service, 'count', s.count)), '[]') FROM (
          SELECT m.service, count(*) FROM agents.messaging_refusals m
           WHERE m.tenant_id = %(tenant_id)s AND m.refused_at BETWEEN now() - interval '15 minutes' AND now()
           GROUP BY m.service HAVING count(*) >= %(strangers)s) s) AS strangers,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('decided_by', d.decided_by, 'count', d.count)), '[]') FROM (
          SELECT q.decided_by, count(*) FROM agents.human_approval_queue q
           WHERE q.tenant_id = %(tenant_id)s AND q.database_id = %(database_id)s AND q.status = 'approved' AND q.decided_by IS NOT NULL
             AND q.decided_at BETWEEN now() - interval '2 minutes' AND now()
           GROUP BY q.decided_by HAVING count(*) >= %(fast)s) d) AS fast,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('decided_by', o.decided_by, 'count', o.count)), '[]') FROM (
          SELECT q.decided_by, count(*) FROM agents.human_approval_queue q
           WHERE q.tenant_id = %(tenant_id)s AND q.database_id = %(database_id)s AND q.status = 'approved' AND q.decided_by = q.requested_by
             AND q.risk_level = 'CRITICAL' AND q.decided_at BETWEEN now() - interval '1 hour' AND now()
             AND EXISTS (SELECT FROM agents.people p WHERE p.tenant_id = q.tenant_id AND p.active)
           GROUP BY q.decided_by) o) AS own

-- memories: memories that were not read yet, and those that are read again
SELECT m.id, m.kind, m.trust, m.content FROM agents.agent_memory m
 WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.valid_until IS NULL AND m.kind <> 'schema'
   AND (m.id > %(after)s OR m.id = ANY (%(again)s::bigint[]))
 ORDER BY (m.id = ANY (%(again)s::bigint[])) DESC, m.id LIMIT %(limit)s

-- failed_plans: plans of which runs failed in the last half hour, parts and fallbacks of others left out
SELECT p.plan_id, count(*)::int AS ended, count(*) FILTER (WHERE p.status = 'failed' AND f.id IS NULL)::int AS failed,
       (array_agg(p.id::text ORDER BY p.finished_at DESC) FILTER (WHERE p.status = 'failed'))[1] AS run_id
  FROM agents.plans p LEFT JOIN agents.plans f ON f.tenant_id = p.tenant_id AND f.fallback_of = p.id AND f.status <> 'failed'
 WHERE p.tenant_id = %(tenant_id)s AND %(database_id)s <> '' AND p.finished_at > now() - interval '30 minutes'
   AND p.fallback_of IS NULL AND p.parent_run IS NULL
 GROUP BY p.plan_id HAVING count(*) FILTER (WHERE p.status = 'failed' AND f.id IS NULL) > 0 ORDER BY failed DESC LIMIT 50

-- open_circuits: what does not answer
SELECT c.name, c.failures, coalesce(c.error, 'no answer') AS error FROM agents.circuits c
 WHERE c.tenant_id = %(tenant_id)s AND %(database_id)s <> '' AND c.phase <> 'closed' AND c.since > now() - interval '1 day' ORDER BY c.name LIMIT 50

-- waiting_plans: plans that no process has taken for minutes
SELECT count(*)::int AS waiting, coalesce(extract(epoch FROM now() - min(p.lease_until)) / 60, 0)::float8 AS minutes,
       (SELECT array_agg(DISTINCT a) FROM agents.plans q, unnest(q.agents) a
         WHERE q.tenant_id = %(tenant_id)s AND q.status = 'running' AND q.paused_at IS NULL AND q.lease_until < now() - interval '2 minutes') AS agents
  FROM agents.plans p
 WHERE p.tenant_id = %(tenant_id)s AND %(database_id)s <> '' AND p.status = 'running' AND p.paused_at IS NULL
   AND p.lease_until < now() - interval '2 minutes'
