-- heads: what is new since somebody looked: it moves with every request, execution, turn and alert
SELECT (SELECT count(*) FROM agents.human_approval_queue q WHERE q.tenant_id = %(tenant_id)s AND q.status = 'pending'
           AND q.expires_at > now() AND q.database_id = %(database_id)s) AS waiting,
       (SELECT max(e.id) FROM agents.agent_execution_log e WHERE e.tenant_id = %(tenant_id)s) AS execution,
       (SELECT count(*) FROM agents.turns t WHERE t.tenant_id = %(tenant_id)s AND t.started_at > now() - interval '1 hour'
           AND t.status IN ('running', 'waiting')) AS running,
       (SELECT max(t.started_at) FROM agents.turns t WHERE t.tenant_id = %(tenant_id)s) AS turn,
       (SELECT count(*) FROM agents.alerts a WHERE a.tenant_id = %(tenant_id)s AND a.database_id = %(database_id)s
           AND a.status = 'open' AND a.acknowledged_at IS NULL AND (a.muted_until IS NULL OR a.muted_until < now())) AS alerts,
       (SELECT max(a.opened_at) FROM agents.alerts a WHERE a.tenant_id = %(tenant_id)s AND a.database_id = %(database_id)s
           AND a.status = 'open') AS alert,
       c.stopped, c.read_only, c.reason, c.changed_by
  FROM (SELECT 1) one
  LEFT JOIN agents.controls c ON c.tenant_id = %(tenant_id)s

-- turns_over_time: questions of each stretch of time: how many, failed, how long, tokens and cost
SELECT (floor(extract(epoch FROM t.started_at - %(since)s) / %(seconds)s))::integer AS place,
       count(*) AS turns, count(*) FILTER (WHERE t.status = 'failed') AS failed,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM t.finished_at - t.started_at)) AS median_seconds,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM t.finished_at - t.started_at)) AS slow_seconds,
       sum(t.input_tokens + t.output_tokens)::bigint AS tokens, sum(t.cost_usd) AS cost_usd
  FROM agents.turns t
  JOIN agents.threads h ON h.tenant_id = t.tenant_id AND h.thread_id = t.thread_id
 WHERE t.tenant_id = %(tenant_id)s AND h.database_id = %(database_id)s AND t.started_at >= %(since)s
 GROUP BY 1 ORDER BY 1

-- turns_in_all: the same over the whole range, because percentiles cannot be added up
SELECT count(*) AS turns, count(*) FILTER (WHERE t.status = 'failed') AS failed,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM t.finished_at - t.started_at)) AS median_seconds,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM t.finished_at - t.started_at)) AS slow_seconds,
       coalesce(sum(t.input_tokens + t.output_tokens), 0)::bigint AS tokens, sum(t.cost_usd) AS cost_usd
  FROM agents.turns t
  JOIN agents.threads h ON h.tenant_id = t.tenant_id AND h.thread_id = t.thread_id
 WHERE t.tenant_id = %(tenant_id)s AND h.database_id = %(database_id)s AND t.started_at >= %(since)s

-- executions_over_time: actions of each stretch of time, and those that failed or were refused
SELECT (floor(extract(epoch FROM e.created_at - %(since)s) / %(seconds)s))::integer AS place,
       count(*) AS executions, count(*) FILTER (WHERE e.status = 'failed') AS failed,
       count(*) FILTER (WHERE e.approval_id IS NOT NULL) AS asked
  FROM agents.agent_execution_log e
 WHERE e.tenant_id = %(tenant_id)s AND e.created_at >= %(since)s AND e.database_id = %(database_id)s
 GROUP BY 1 ORDER BY 1

-- memories_over_time: memories that were added in each stretch of time
SELECT (floor(extract(epoch FROM m.created_at - %(since)s) / %(seconds)s))::integer AS place, count(*) AS memories
  FROM agents.agent_memory m
 WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.created_at >= %(since)s
 GROUP BY 1 ORDER BY 1
