-- log_runs: store runs that are not there yet; their triggers note them for the totals
WITH stored AS (
INSERT INTO agents.execution_log (tenant_id, agent_name, task_id, task_ref, task_type, execution_time, success, error_message,
                                  resource_usage, steps, cost_usd, tokens, propensity, parameters, "timestamp")
SELECT %(tenant_id)s, g.agent_name, g.task_id, g.task_ref, g.task_type, g.execution_time, g.success, g.error_message, g.resource_usage,
       g.steps, g.cost_usd, g.tokens, g.propensity, g.parameters, g."timestamp"
  FROM json_to_recordset(%(runs)s::json)
       AS g(agent_name text, task_id uuid, task_ref text, task_type text, execution_time float8, success boolean, error_message text,
            resource_usage jsonb, steps text[], cost_usd float8, tokens bigint, propensity float8, parameters jsonb, "timestamp" timestamptz)
 WHERE g.task_id IS NULL OR NOT EXISTS (
   SELECT FROM agents.execution_keys k WHERE k.tenant_id = %(tenant_id)s AND k.task_id = g.task_id AND k.agent_name = g.agent_name)
RETURNING 1)
SELECT count(*) AS stored FROM stored

-- complete_runs: add what a known run lacks; what it has stays
UPDATE agents.execution_log e
   SET success = coalesce(e.success, g.success), execution_time = coalesce(e.execution_time, g.execution_time),
       error_message = coalesce(e.error_message, g.error_message), resource_usage = coalesce(e.resource_usage, g.resource_usage),
       cost_usd = coalesce(e.cost_usd, g.cost_usd), tokens = coalesce(e.tokens, g.tokens), task_type = coalesce(e.task_type, g.task_type)
  FROM json_to_recordset(%(runs)s::json)
       AS g(agent_name text, task_id uuid, task_type text, execution_time float8, success boolean, error_message text, resource_usage jsonb,
            cost_usd float8, tokens bigint)
  JOIN agents.execution_keys k ON k.tenant_id = %(tenant_id)s AND k.task_id = g.task_id AND k.agent_name = g.agent_name
 WHERE e.tenant_id = %(tenant_id)s AND e.agent_name = k.agent_name AND e.logged_at = k.logged_at AND e.task_id = k.task_id
   AND (e.success IS NULL AND g.success IS NOT NULL OR e.execution_time IS NULL AND g.execution_time IS NOT NULL
        OR e.cost_usd IS NULL AND g.cost_usd IS NOT NULL OR e.tokens IS NULL AND g.tokens IS NOT NULL
        OR e.task_type IS NULL AND g.task_type IS NOT NULL OR e.resource_usage IS NULL AND g.resource_usage IS NOT NULL)

-- clear_runs: delete every run of the tenant
DELETE FROM agents.execution_log WHERE tenant_id = %(tenant_id)s

-- clear_changes: forget what is not counted yet
DELETE FROM agents.execution_unfolded WHERE tenant_id = %(tenant_id)s

-- clear_rollups: forget the totals
DELETE FROM agents.execution_rollups WHERE tenant_id = %(tenant_id)s

-- clear_measures: forget what was measured and submitted
DELETE FROM agents.performance_metrics WHERE tenant_id = %(tenant_id)s

-- clear_embeddings: forget the agents' embeddings
DELETE FROM agents.agent_embeddings WHERE tenant_id = %(tenant_id)s

-- clear_reports: forget what was found
DELETE FROM agents.analytics_reports WHERE tenant_id = %(tenant_id)s

-- fold: add up to so many changes to the totals
SELECT agents.fold_executions(%(most)s) AS folded, %(tenant_id)s::text AS tenant_id

-- totals: the totals of one level, by agent, task type and day
SELECT r.* FROM agents.execution_rollups r
 WHERE r.tenant_id = %(tenant_id)s AND r.level = %(level)s AND (%(agent_name)s::text IS NULL OR r.agent_name = %(agent_name)s)
   AND (%(task_type)s::text IS NULL OR r.task_type = %(task_type)s) AND r.day >= %(since)s
 ORDER BY r.agent_name, r.task_type, r.day

-- count_runs: how many runs there are, and how many of them have an outcome
SELECT coalesce(sum(r.runs), 0)::bigint AS runs, coalesce(sum(r.known), 0)::bigint AS known, coalesce(sum(r.succeeded), 0)::bigint AS succeeded
  FROM agents.execution_rollups r WHERE r.tenant_id = %(tenant_id)s AND r.level = 'cell'

-- recent_runs: the newest runs of each agent, at most so many of one agent, so that a loud one does not hide the others
SELECT e.id, e.agent_name, e.task_id, e.task_type, e.execution_time, e.success, e.error_message, e.steps, e.cost_usd, e.tokens,
       e.resource_usage, e."timestamp", e.logged_at
  FROM (SELECT DISTINCT r.agent_name FROM agents.execution_rollups r WHERE r.tenant_id = %(tenant_id)s AND r.level = 'cell') a
 CROSS JOIN LATERAL (
   SELECT * FROM agents.execution_log l WHERE l.tenant_id = %(tenant_id)s AND l.agent_name = a.agent_name
    ORDER BY l.logged_at DESC LIMIT %(each)s) e
 ORDER BY e."timestamp" DESC, e.id DESC LIMIT %(most)s

-- exported_runs: a page of runs, agent by agent, oldest first
SELECT e.id, e.agent_name, coalesce(e.task_ref, e.task_id::text) AS task_id, e.task_type, e.execution_time, e.success, e.error_message,
       e.resource_usage, e.steps, e.cost_usd, e.tokens, e.propensity, e."timestamp", e.logged_at
  FROM agents.execution_log e WHERE e.tenant_id = %(tenant_id)s AND (e.agent_name, e.logged_at, e.id) > (%(agent_name)s, %(after)s::timestamptz, %(after_id)s)
 ORDER BY e.agent_name, e.logged_at, e.id LIMIT %(most)s

-- submit_metrics: keep what somebody measured of an agent
INSERT INTO agents.performance_metrics (tenant_id, agent_name, task_type, avg_execution_time, success_rate, resource_cpu, resource_memory,
                                        coordination_score, throughput, source)
VALUES (%(tenant_id)s, %(agent_name)s, %(task_type)s, %(response_time)s, %(success_rate)s, %(cpu)s, %(memory)s, %(coordination)s,
        %(throughput)s, 'submitted')
RETURNING id

-- submitted: the newest measures that were submitted of an agent
SELECT m.avg_execution_time AS response_time, m.throughput, m.success_rate, m.resource_cpu AS cpu, m.resource_memory AS memory,
       m.coordination_score AS coordination_effectiveness, m.last_updated
  FROM agents.performance_metrics m
 WHERE m.tenant_id = %(tenant_id)s AND m.agent_name = %(agent_name)s AND m.source = 'submitted' ORDER BY m.last_updated DESC LIMIT 1

-- measure: a row of performance_metrics for each agent whose totals have changed since its last one
INSERT INTO agents.performance_metrics (tenant_id, agent_name, avg_execution_time, success_rate, resource_cpu, resource_memory, throughput,
                                        coordination_score, source)
SELECT r.tenant_id, r.agent_name, sum(r.seconds) / nullif(sum(r.timed), 0), sum(r.succeeded)::float8 / nullif(sum(r.known), 0),
       sum(r.cpu) / nullif(sum(r.cpus), 0), sum(r.memory) / nullif(sum(r.memories), 0),
       sum(r.runs) / greatest(extract(epoch FROM max(r.last_at) - min(r.first_at)) / 3600, 1.0), (%(scores)s::jsonb ->> r.agent_name)::float8 AS score, 'measured'
  FROM agents.execution_rollups r
 WHERE r.tenant_id = %(tenant_id)s AND r.level = 'cell'
 GROUP BY r.tenant_id, r.agent_name
HAVING max(r.updated_at) > coalesce((SELECT max(m.last_updated) FROM agents.performance_metrics m
          WHERE m.tenant_id = r.tenant_id AND m.agent_name = r.agent_name AND m.source = 'measured'), '-infinity'::timestamptz)
   AND coalesce((SELECT max(m.last_updated) FROM agents.performance_metrics m
          WHERE m.tenant_id = r.tenant_id AND m.agent_name = r.agent_name AND m.source = 'measured'), '-infinity'::timestamptz)
       < now() - make_interval(secs => %(seconds)s)

-- expired_measures: measures that are older than they are kept
DELETE FROM agents.performance_metrics WHERE tenant_id = %(tenant_id)s AND last_updated < now() - make_interval(days => %(days)s)

-- keep_partitions: make the coming partitions of runs, and drop old ones
SELECT agents.keep_execution_partitions(%(days)s) AS dropped, %(tenant_id)s::text AS tenant_id

-- unregistered: agents that have runs and are not in the registry
SELECT DISTINCT r.agent_name FROM agents.execution_rollups r
 WHERE r.tenant_id = %(tenant_id)s AND r.level = 'cell'
   AND NOT EXISTS (SELECT FROM agents.agents a WHERE a.tenant_id = r.tenant_id AND a.agent_id = r.agent_name)

-- own_mark: up to where the agent's own executions were taken over
INSERT INTO agents.execution_marks AS m (tenant_id, own_id) VALUES (%(tenant_id)s, 0)
ON CONFLICT (tenant_id) DO UPDATE SET own_id = m.own_id RETURNING own_id

-- own_executions: finished executions of the agent itself after a mark; it stops at the first one that is still running
SELECT x.id, x.action, x.status, x.duration_ms, x.cost_usd, coalesce(x.input_tokens, 0) + coalesce(x.output_tokens, 0) AS tokens, x.created_at
  FROM agents.agent_execution_log x
 WHERE x.tenant_id = %(tenant_id)s AND x.id > %(after)s
   AND x.id < coalesce((SELECT min(u.id) FROM agents.agent_execution_log u
                         WHERE u.tenant_id = %(tenant_id)s AND u.id > %(after)s AND u.status = 'running'
                           AND u.created_at > now() - interval '1 hour'), 9223372036854775807)
 ORDER BY x.id LIMIT 1000

-- set_own_mark: note up to where they were taken over
UPDATE agents.execution_marks SET own_id = %(own_id)s WHERE tenant_id = %(tenant_id)s AND own_id < %(own_id)s

-- save_report: keep what a search found
INSERT INTO agents.analytics_reports AS r (tenant_id, name, content, runs) VALUES (%(tenant_id)s, %(name)s, %(content)s::jsonb, %(runs)s)
ON CONFLICT (tenant_id, name) DO UPDATE SET content = excluded.content, runs = excluded.runs, computed_at = now()

-- report: what the last search found
SELECT content, runs, computed_at, extract(epoch FROM now() - computed_at)::float8 AS age FROM agents.analytics_reports
 WHERE tenant_id = %(tenant_id)s AND name = %(name)s

-- active_model: the model of a name that predicts
SELECT id, model_name, model_type, version, accuracy, trained_on, convert_from(model_data, 'UTF8') AS model_data, card, status
  FROM agents.ml_models WHERE tenant_id = %(tenant_id)s AND model_name = %(name)s AND status = 'active'

-- model_history: every model without its numbers, newest first
SELECT id, model_name, model_type, version, accuracy, trained_on, hyperparameters, card, status FROM agents.ml_models
 WHERE tenant_id = %(tenant_id)s ORDER BY id DESC LIMIT 200

-- lock_models: one training of a tenant at a time
SELECT pg_try_advisory_xact_lock(hashtextextended('agents ml_models ' || %(tenant_id)s, 0)) AS alone

-- save_model: keep a trained model
INSERT INTO agents.ml_models (tenant_id, model_name, model_type, version, accuracy, model_data, hyperparameters, card, status)
VALUES (%(tenant_id)s, %(name)s, %(kind)s, coalesce((SELECT max(o.version::int) FROM agents.ml_models o
          WHERE o.tenant_id = %(tenant_id)s AND o.model_name = %(name)s AND o.version ~ '^\d{1,8}$'), 0) + 1, %(accuracy)s,
        convert_to(%(data)s, 'UTF8'), %(hyperparameters)s::jsonb, %(card)s::jsonb, %(status)s)
RETURNING id, version

-- retire_models: the model of a name that predicted no longer does
UPDATE agents.ml_models SET status = 'retired' WHERE tenant_id = %(tenant_id)s AND model_name = %(name)s AND status = 'active'

-- activate_model: let one version predict
UPDATE agents.ml_models SET status = 'active' WHERE tenant_id = %(tenant_id)s AND model_name = %(name)s AND version = %(version)s
RETURNING id

-- earlier_model: the newest version that predicted before the present one
SELECT version FROM agents.ml_models m
 WHERE m.tenant_id = %(tenant_id)s AND m.model_name = %(name)s AND m.status = 'retired'
   AND m.id < (SELECT a.id FROM agents.ml_models a WHERE a.tenant_id = m.tenant_id AND a.model_name = m.model_name AND a.status = 'active')
 ORDER BY m.id DESC LIMIT 1

-- forget_models: all but the newest versions of a name, and the active one
DELETE FROM agents.ml_models m WHERE m.tenant_id = %(tenant_id)s AND m.model_name = %(name)s AND m.status <> 'active'
   AND m.id < (SELECT min(k.id) FROM (SELECT o.id FROM agents.ml_models o
                WHERE o.tenant_id = %(tenant_id)s AND o.model_name = %(name)s ORDER BY o.id DESC LIMIT 20) k)

-- save_recommendation: note which agent was recommended, and how probable each one was
INSERT INTO agents.agent_recommendations (tenant_id, task_type, agent_name, propensity, propensities, explored)
VALUES (%(tenant_id)s, %(task_type)s, %(agent_name)s, %(propensity)s, %(propensities)s::jsonb, %(explored)s) RETURNING id

-- expired_recommendations: recommendations that are older than runs are kept
DELETE FROM agents.agent_recommendations WHERE tenant_id = %(tenant_id)s AND made_at < now() - make_interval(days => %(days)s)

-- save_embedding: keep an agent's embedding
INSERT INTO agents.agent_embeddings AS e (tenant_id, agent_name, embedding)
VALUES (%(tenant_id)s, %(agent_name)s, agents.as_vector(%(embedding)s))
ON CONFLICT (tenant_id, agent_name, coalesce(task_type, '')) DO UPDATE SET embedding = excluded.embedding, created_at = now()

-- nearest_agents: the agents whose embeddings are nearest to an agent's own
SELECT e.agent_name, 1 - agents.cosine_distance(e.embedding, o.embedding) AS similarity
  FROM agents.agent_embeddings o JOIN agents.agent_embeddings e ON e.tenant_id = o.tenant_id AND e.agent_name <> o.agent_name
 WHERE o.tenant_id = %(tenant_id)s AND o.agent_name = %(agent_name)s AND o.task_type IS NULL AND e.task_type IS NULL
 ORDER BY agents.cosine_distance(e.embedding, o.embedding) LIMIT %(most)s

-- count_agents: how many agents are registered
SELECT count(*) AS n FROM agents.agents WHERE tenant_id = %(tenant_id)s
