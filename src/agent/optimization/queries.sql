-- seed_patterns: make the patterns to begin with, where they are missing
SELECT agents.seed_patterns(%(tenant_id)s)

-- start_session: begin a learning session
INSERT INTO agents.learning_sessions (tenant_id, agent_id, focus_area, time_budget_ms, cost_budget_usd, started_by)
VALUES (%(tenant_id)s, %(agent_id)s, %(focus_area)s, %(time_ms)s, %(cost_usd)s, %(by)s)
RETURNING *, session_id::text AS session_id

-- session: a learning session
SELECT *, session_id::text AS session_id FROM agents.learning_sessions WHERE tenant_id = %(tenant_id)s AND session_id = %(session_id)s

-- sessions: the newest learning sessions
SELECT *, session_id::text AS session_id FROM agents.learning_sessions
 WHERE tenant_id = %(tenant_id)s ORDER BY started_at DESC LIMIT 200

-- active_session: the newest session of a user that is not over
SELECT *, session_id::text AS session_id FROM agents.learning_sessions
 WHERE tenant_id = %(tenant_id)s AND started_by = %(by)s AND status = 'active' ORDER BY started_at DESC LIMIT 1

-- end_session: end a session
UPDATE agents.learning_sessions SET status = 'ended', ended_at = now()
 WHERE tenant_id = %(tenant_id)s AND session_id = %(session_id)s AND status = 'active'

-- reserve: hold what is left of the time; nobody else can have it meanwhile
UPDATE agents.learning_sessions AS s
   SET reserved_ms = s.reserved_ms + (s.time_budget_ms - s.spent_ms - s.reserved_ms)
  FROM (SELECT o.session_id, o.time_budget_ms - o.spent_ms - o.reserved_ms AS ms FROM agents.learning_sessions o
         WHERE o.tenant_id = %(tenant_id)s AND o.session_id = %(session_id)s FOR UPDATE) AS free
 WHERE s.tenant_id = %(tenant_id)s AND s.session_id = free.session_id AND s.status = 'active' AND free.ms > 0
RETURNING free.ms AS ms

-- reserve_usd: hold an amount of money, if there is so much
UPDATE agents.learning_sessions SET reserved_usd = reserved_usd + %(usd)s
 WHERE tenant_id = %(tenant_id)s AND session_id = %(session_id)s AND status = 'active'
   AND spent_usd + reserved_usd + %(usd)s <= cost_budget_usd

-- settle: book what work took, and free the rest of what it held
UPDATE agents.learning_sessions
   SET reserved_ms = greatest(reserved_ms - %(ms)s, 0), spent_ms = spent_ms + %(took_ms)s,
       reserved_usd = greatest(reserved_usd - %(usd)s, 0), spent_usd = spent_usd + %(took_usd)s
 WHERE tenant_id = %(tenant_id)s AND session_id = %(session_id)s

-- launch_campaign: queue a research campaign
INSERT INTO agents.research_campaigns (tenant_id, session_id, topic, data_sources, mining_depth, launched_by)
VALUES (%(tenant_id)s, %(session_id)s, %(topic)s, %(data_sources)s, %(mining_depth)s, %(by)s)
RETURNING *, campaign_id::text AS campaign_id, session_id::text AS session_id

-- campaign: a research campaign
SELECT *, campaign_id::text AS campaign_id, session_id::text AS session_id FROM agents.research_campaigns
 WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s

-- campaigns: the newest research campaigns
SELECT *, campaign_id::text AS campaign_id, session_id::text AS session_id FROM agents.research_campaigns
 WHERE tenant_id = %(tenant_id)s ORDER BY created_at DESC LIMIT 200

-- open_campaigns: campaigns that nobody works on
SELECT campaign_id FROM agents.research_campaigns
 WHERE tenant_id = %(tenant_id)s AND status IN ('queued', 'running') AND (held_until IS NULL OR held_until < now()) ORDER BY created_at LIMIT 20

-- hold_campaign: take a campaign that nobody works on
UPDATE agents.research_campaigns
   SET status = 'running', holder = %(holder)s, held_until = now() + make_interval(secs => %(seconds)s), updated_at = now()
 WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s AND status IN ('queued', 'running')
   AND (held_until IS NULL OR held_until < now())
RETURNING *, campaign_id::text AS campaign_id, session_id::text AS session_id

-- campaign_step: note that a step is done, if the campaign is still ours
UPDATE agents.research_campaigns
   SET steps_done = %(steps)s, progress = %(steps)s::float8 / mining_depth, findings = %(findings)s::jsonb,
       held_until = now() + make_interval(secs => %(seconds)s), updated_at = now()
 WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s AND holder = %(holder)s AND status = 'running'
RETURNING campaign_id

-- end_campaign: note that a campaign is over, if it is still ours
UPDATE agents.research_campaigns
   SET status = %(status)s, reason = %(reason)s, holder = NULL, held_until = NULL, updated_at = now(), completed_at = now()
 WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s AND holder = %(holder)s AND status = 'running'

-- cancel_campaign: stop a campaign
UPDATE agents.research_campaigns
   SET status = 'cancelled', holder = NULL, held_until = NULL, updated_at = now(), completed_at = now()
 WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s AND status IN ('queued', 'running')

-- resume_campaign: let a campaign go on
UPDATE agents.research_campaigns SET status = 'queued', reason = '', completed_at = NULL, updated_at = now()
 WHERE tenant_id = %(tenant_id)s AND campaign_id = %(campaign_id)s AND status IN ('cancelled', 'failed')

-- recorded_runs: the newest runs whose outcome is known
SELECT e.id, e.agent_name, e.task_id, e.task_type, e.execution_time, e.success, e.cost_usd, e.steps, e.parameters, e.propensity, e."timestamp"
  FROM agents.execution_log e
 WHERE e.tenant_id = %(tenant_id)s AND e.success IS NOT NULL AND (%(task_type)s::text IS NULL OR e.task_type = %(task_type)s)
 ORDER BY e."timestamp" DESC, e.id DESC LIMIT %(most)s

-- recorded_turns: the newest turns of the agent that are over, and what is known of each
SELECT r.thread_id, r.turn, r.status, r.error, r.parameters, r.arm, r.propensity, r.optimization_id::text AS optimization_id, r.cost_usd,
       r.started_at, extract(epoch FROM r.finished_at - r.started_at)::float8 AS seconds, coalesce(c.rounds, 0) AS rounds, c.tools, c.waited,
       ARRAY(SELECT jsonb_array_elements_text(CASE WHEN jsonb_typeof(r.sources -> 'remarks') = 'array' THEN r.sources -> 'remarks' ELSE '[]' END)) AS remarks,
       ARRAY(SELECT jsonb_array_elements_text(x.result -> 'remarks') FROM agents.tool_calls x
              WHERE x.tenant_id = r.tenant_id AND x.thread_id = r.thread_id AND x.turn = r.turn AND jsonb_typeof(x.result -> 'remarks') = 'array') AS result_remarks,
       EXISTS (SELECT FROM agents.agent_memory m WHERE m.tenant_id = r.tenant_id AND m.database_id = %(database_id)s AND m.kind = 'feedback'
                  AND m.source_thread = r.thread_id AND m.source_turn = r.turn + 1) AS corrected
  FROM agents.turns r
  JOIN agents.threads t ON t.tenant_id = r.tenant_id AND t.thread_id = r.thread_id AND t.database_id = %(database_id)s
  LEFT JOIN LATERAL (SELECT max(c.round) AS rounds, array_agg(c.tool ORDER BY c.round, c.ordinal) AS tools, bool_or(c.approval_id IS NOT NULL) AS waited
                       FROM agents.tool_calls c WHERE c.tenant_id = r.tenant_id AND c.thread_id = r.thread_id AND c.turn = r.turn) c ON true
 WHERE r.tenant_id = %(tenant_id)s AND r.status IN ('done', 'failed')
 ORDER BY r.started_at DESC, r.thread_id, r.turn LIMIT %(most)s

-- compared_turns: the newest turns that are compared for a change, in the order in which they came
SELECT * FROM (
SELECT r.thread_id, r.turn, r.status, r.error, r.parameters, r.arm, r.propensity, r.optimization_id::text AS optimization_id, r.cost_usd,
       r.started_at, extract(epoch FROM r.finished_at - r.started_at)::float8 AS seconds, coalesce(c.rounds, 0) AS rounds, c.tools, c.waited,
       ARRAY(SELECT jsonb_array_elements_text(CASE WHEN jsonb_typeof(r.sources -> 'remarks') = 'array' THEN r.sources -> 'remarks' ELSE '[]' END)) AS remarks,
       ARRAY(SELECT jsonb_array_elements_text(x.result -> 'remarks') FROM agents.tool_calls x
              WHERE x.tenant_id = r.tenant_id AND x.thread_id = r.thread_id AND x.turn = r.turn AND jsonb_typeof(x.result -> 'remarks') = 'array') AS result_remarks,
       EXISTS (SELECT FROM agents.agent_memory m WHERE m.tenant_id = r.tenant_id AND m.database_id = %(database_id)s AND m.kind = 'feedback'
                  AND m.source_thread = r.thread_id AND m.source_turn = r.turn + 1) AS corrected
  FROM agents.turns r
  JOIN agents.threads t ON t.tenant_id = r.tenant_id AND t.thread_id = r.thread_id AND t.database_id = %(database_id)s
  LEFT JOIN LATERAL (SELECT max(c.round) AS rounds, array_agg(c.tool ORDER BY c.round, c.ordinal) AS tools, bool_or(c.approval_id IS NOT NULL) AS waited
                       FROM agents.tool_calls c WHERE c.tenant_id = r.tenant_id AND c.thread_id = r.thread_id AND c.turn = r.turn) c ON true
 WHERE r.tenant_id = %(tenant_id)s AND r.optimization_id = %(optimization_id)s::uuid AND r.arm IS NOT NULL
 ORDER BY r.started_at DESC, r.thread_id, r.turn LIMIT %(most)s) AS newest ORDER BY started_at, thread_id, turn

-- simulated_runs: the newest results of simulations
SELECT simulation_id, subject, results, created_at FROM agents.agent_simulations
 WHERE tenant_id = %(tenant_id)s ORDER BY created_at DESC LIMIT %(most)s

-- alert_times: when which check of the monitor was open
SELECT check_name, opened_at, resolved_at FROM agents.alerts
 WHERE tenant_id = %(tenant_id)s AND status IN ('open', 'resolved') ORDER BY opened_at DESC LIMIT 500

-- pattern: a pattern
SELECT *, pattern_id::text AS pattern_id, campaign_id::text AS campaign_id FROM agents.learning_patterns
 WHERE tenant_id = %(tenant_id)s AND pattern_id = %(pattern_id)s

-- patterns: patterns of a workflow type and those of any, the surest first
SELECT *, pattern_id::text AS pattern_id, campaign_id::text AS campaign_id FROM agents.learning_patterns
 WHERE tenant_id = %(tenant_id)s AND (%(workflow_type)s::text IS NULL OR workflow_type IN ('', %(workflow_type)s))
 ORDER BY source = 'seed', confidence_score DESC, pattern_key LIMIT 1000

-- save_pattern: keep what was found, once
INSERT INTO agents.learning_patterns AS p (tenant_id, pattern_key, pattern_category, workflow_type, description, events, parameters, source,
  status, confidence_score, lift, lift_error, p_value, false_discovery_rate, replication, runs_with, runs_without, evidence, campaign_id)
VALUES (%(tenant_id)s, %(pattern_key)s, %(pattern_category)s, %(workflow_type)s, %(description)s, %(events)s::jsonb, %(parameters)s::jsonb,
  'mined', 'found', %(confidence_score)s, %(lift)s, %(lift_error)s, %(p_value)s, %(false_discovery_rate)s, %(replication)s,
  %(runs_with)s, %(runs_without)s, %(evidence)s::jsonb, %(campaign_id)s)
ON CONFLICT (tenant_id, pattern_key) DO UPDATE SET
  workflow_type = excluded.workflow_type, description = excluded.description, parameters = excluded.parameters, confidence_score = excluded.confidence_score,
  lift = excluded.lift, lift_error = excluded.lift_error, p_value = excluded.p_value, false_discovery_rate = excluded.false_discovery_rate,
  replication = excluded.replication, runs_with = excluded.runs_with, runs_without = excluded.runs_without, evidence = excluded.evidence,
  campaign_id = excluded.campaign_id, updated_at = now()
RETURNING *, pattern_id::text AS pattern_id, campaign_id::text AS campaign_id

-- import_pattern: keep a pattern of somebody else, as unproven
INSERT INTO agents.learning_patterns AS p (tenant_id, pattern_key, pattern_category, workflow_type, description, events, parameters, source,
  status, confidence_score, evidence)
VALUES (%(tenant_id)s, %(pattern_key)s, %(pattern_category)s, %(workflow_type)s, %(description)s, %(events)s::jsonb, %(parameters)s::jsonb,
  'imported', 'unproven', %(confidence_score)s, %(evidence)s::jsonb)
ON CONFLICT (tenant_id, pattern_key) DO UPDATE SET
  workflow_type = excluded.workflow_type, description = excluded.description, events = excluded.events, parameters = excluded.parameters,
  confidence_score = excluded.confidence_score, evidence = excluded.evidence, updated_at = now()
RETURNING *, pattern_id::text AS pattern_id, campaign_id::text AS campaign_id

-- save_config: keep a configuration
INSERT INTO agents.auto_generated_configs (tenant_id, workflow_type, generated_config, source_patterns, conflicts, options, confidence_score,
  improves, created_by)
VALUES (%(tenant_id)s, %(workflow_type)s, %(config)s::jsonb, %(source_patterns)s::uuid[], %(conflicts)s::jsonb, %(options)s::jsonb,
  %(confidence)s, %(improves)s, %(by)s)
RETURNING *, config_id::text AS config_id, source_patterns::text[] AS source_patterns, improves::text AS improves

-- config: a configuration
SELECT *, config_id::text AS config_id, source_patterns::text[] AS source_patterns, improves::text AS improves
  FROM agents.auto_generated_configs WHERE tenant_id = %(tenant_id)s AND config_id = %(config_id)s

-- configs: the newest configurations
SELECT *, config_id::text AS config_id, source_patterns::text[] AS source_patterns, improves::text AS improves
  FROM agents.auto_generated_configs
 WHERE tenant_id = %(tenant_id)s AND (%(workflow_type)s::text IS NULL OR workflow_type = %(workflow_type)s)
 ORDER BY created_at DESC LIMIT 200

-- save_config_test: keep the result of a test
INSERT INTO agents.config_test_results (tenant_id, config_id, test_input, success, reason, simulator, runs, performance_metrics, intervals)
VALUES (%(tenant_id)s, %(config_id)s, %(test_input)s::jsonb, %(success)s, %(reason)s, %(simulator)s, %(runs)s, %(metrics)s::jsonb,
  %(intervals)s::jsonb)
RETURNING *, test_id::text AS test_id, config_id::text AS config_id

-- best_config: the configuration whose newest test with a figure has the best one
WITH tested AS (
SELECT c.config_id, c.created_at, count(t.test_id) AS tests,
       (array_agg((t.performance_metrics ->> %(metric)s)::float8 ORDER BY t.tested_at DESC) FILTER (WHERE t.performance_metrics ->> %(metric)s IS NOT NULL))[1] AS value,
       (array_agg(t.intervals -> %(metric)s ORDER BY t.tested_at DESC) FILTER (WHERE t.performance_metrics ->> %(metric)s IS NOT NULL))[1] AS interval
  FROM agents.auto_generated_configs c
  JOIN agents.config_test_results t ON t.tenant_id = c.tenant_id AND t.config_id = c.config_id
 WHERE c.tenant_id = %(tenant_id)s AND c.workflow_type = %(workflow_type)s
 GROUP BY c.config_id, c.created_at)
SELECT config_id, tests, value, interval FROM tested WHERE tests >= %(least)s AND value IS NOT NULL
 ORDER BY CASE WHEN %(smaller)s THEN value ELSE -value END, created_at DESC LIMIT 1

-- config_statistics: how many configurations and tests there are
SELECT (SELECT count(*) FROM agents.auto_generated_configs WHERE tenant_id = %(tenant_id)s) AS total_configs,
       (SELECT count(DISTINCT workflow_type) FROM agents.auto_generated_configs WHERE tenant_id = %(tenant_id)s) AS workflow_types,
       (SELECT count(*) FROM agents.config_test_results WHERE tenant_id = %(tenant_id)s) AS total_tests,
       (SELECT count(*) FROM agents.config_test_results WHERE tenant_id = %(tenant_id)s AND success) AS successful_tests

-- burnt_cases: cases that confirm nothing any more
SELECT case_id FROM agents.optimization_cases WHERE tenant_id = %(tenant_id)s AND workflow_type = %(workflow_type)s

-- burn_cases: note which cases were looked at
INSERT INTO agents.optimization_cases (tenant_id, workflow_type, case_id, optimization_id)
SELECT %(tenant_id)s, %(workflow_type)s, c, %(by)s FROM unnest(%(case_ids)s::text[]) AS c
ON CONFLICT DO NOTHING RETURNING case_id

-- cases_of: the cases that a test has looked at
SELECT case_id FROM agents.optimization_cases WHERE tenant_id = %(tenant_id)s AND optimization_id = %(optimization_id)s

-- give_back_cases: note that cases of a test were not looked at
DELETE FROM agents.optimization_cases
 WHERE tenant_id = %(tenant_id)s AND workflow_type = %(workflow_type)s AND optimization_id = %(by)s AND case_id = ANY (%(case_ids)s::text[])

-- save_optimization: keep a proposed change with what was registered
INSERT INTO agents.optimizations (tenant_id, pattern_id, agent_id, workflow_type, target, parameters, registration, registration_hash, created_by)
VALUES (%(tenant_id)s, %(pattern_id)s, %(agent_id)s, %(workflow_type)s, %(target)s, %(parameters)s::jsonb, %(registration)s::jsonb,
  %(hash)s, %(by)s)
RETURNING *, optimization_id::text AS optimization_id, pattern_id::text AS pattern_id

-- optimization: an optimization
SELECT *, optimization_id::text AS optimization_id, pattern_id::text AS pattern_id FROM agents.optimizations
 WHERE tenant_id = %(tenant_id)s AND optimization_id = %(optimization_id)s

-- optimizations: the newest optimizations
SELECT *, optimization_id::text AS optimization_id, pattern_id::text AS pattern_id FROM agents.optimizations
 WHERE tenant_id = %(tenant_id)s ORDER BY created_at DESC LIMIT 200

-- save_test: keep what a test showed, if nobody has an answer yet
UPDATE agents.optimizations
   SET status = 'tested', verdict = %(verdict)s, reason = %(reason)s, evidence = %(evidence)s::jsonb, cost_benefit_ratio = %(ratio)s,
       actual_improvement = %(improvement)s, more_cases = %(more_cases)s, tested_at = now()
 WHERE tenant_id = %(tenant_id)s AND optimization_id = %(optimization_id)s AND status IN ('proposed', 'tested')
   AND tested_at IS NOT DISTINCT FROM %(tested_at)s::timestamptz
RETURNING *, optimization_id::text AS optimization_id, pattern_id::text AS pattern_id

-- wait_optimization: a human is asked
UPDATE agents.optimizations SET status = 'waiting', approval_id = %(approval_id)s
 WHERE tenant_id = %(tenant_id)s AND optimization_id = %(optimization_id)s AND status = 'tested' AND %(by)s::text IS NOT NULL

-- begin_rollout: an approved change comes into force, or on trial
UPDATE agents.optimizations
   SET status = %(status)s, share = %(share)s, stage = 0, stage_began_at = now(), applied_by = %(by)s,
       applied_at = CASE WHEN %(status)s = 'applied' THEN now() END
 WHERE tenant_id = %(tenant_id)s AND optimization_id = %(optimization_id)s AND status IN ('tested', 'waiting') AND verdict = 'better'

-- on_trial: changes that are on trial or applied
SELECT optimization_id, parameters, status, share, stage, stage_began_at, applied_at, evidence FROM agents.optimizations
 WHERE tenant_id = %(tenant_id)s AND workflow_type = %(workflow_type)s AND status IN ('shadow', 'canary', 'applied')

-- next_stage: the next stage of a change begins, if nobody else has begun it
UPDATE agents.optimizations
   SET status = %(status)s, share = %(share)s, stage = %(to)s, stage_began_at = now(),
       applied_at = CASE WHEN %(status)s = 'applied' THEN now() END
 WHERE tenant_id = %(tenant_id)s AND optimization_id = %(optimization_id)s AND stage = %(stage)s AND status IN ('shadow', 'canary')
   AND %(by)s::text IS NOT NULL

-- save_evidence: keep what rehearsals of new turns showed
UPDATE agents.optimizations SET evidence = %(evidence)s::jsonb
 WHERE tenant_id = %(tenant_id)s AND optimization_id = %(optimization_id)s AND status = 'shadow'

-- save_prompt_variant: keep a variant of the instructions; the same text again is the same variant
INSERT INTO agents.prompt_variants (tenant_id, name, template, source, created_by)
VALUES (%(tenant_id)s, %(name)s, %(template)s, %(source)s, %(by)s) ON CONFLICT DO NOTHING

-- prompt_variant_text: the text of a variant of the instructions
SELECT template FROM agents.prompt_variants WHERE tenant_id = %(tenant_id)s AND name = %(name)s

-- turn_texts: what was asked and answered in the newest turns that are over
SELECT r.thread_id, r.turn, r.question, r.answer
  FROM agents.turns r JOIN agents.threads t ON t.tenant_id = r.tenant_id AND t.thread_id = r.thread_id AND t.database_id = %(database_id)s
 WHERE r.tenant_id = %(tenant_id)s AND r.status IN ('done', 'failed') ORDER BY r.started_at DESC LIMIT %(most)s

-- tenants: every tenant
SELECT tenant_id FROM agents.tenants ORDER BY tenant_id

-- reject_optimization: a human did not allow it
UPDATE agents.optimizations SET status = 'rejected'
 WHERE tenant_id = %(tenant_id)s AND optimization_id = %(optimization_id)s AND status = 'waiting' AND %(by)s::text IS NOT NULL

-- roll_back_optimization: the change is not in force any more
UPDATE agents.optimizations SET status = 'rolled_back', rolled_back_by = %(by)s, rolled_back_at = now(), rolled_back_because = %(reason)s
 WHERE tenant_id = %(tenant_id)s AND optimization_id = %(optimization_id)s AND status IN ('shadow', 'canary', 'applied')

-- newest_applied: the change of an agent's turns that was applied last
SELECT optimization_id::text AS optimization_id, applied_at FROM agents.optimizations
 WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s AND workflow_type = %(workflow_type)s AND status = 'applied'
 ORDER BY applied_at DESC LIMIT 1

-- waiting_optimizations: changes about which a human was asked
SELECT optimization_id FROM agents.optimizations WHERE tenant_id = %(tenant_id)s AND status = 'waiting' ORDER BY created_at LIMIT 50

-- save_metric: keep what a change claimed or realised
INSERT INTO agents.optimization_metrics (tenant_id, optimization_id, agent_id, metric, kind, value, lower_bound, upper_bound, runs)
VALUES (%(tenant_id)s, %(optimization_id)s, %(agent_id)s, %(metric)s, %(kind)s, %(value)s, %(lower)s, %(upper)s, %(runs)s)

-- optimization_counts: how many changes of an agent stand where
SELECT count(*) AS proposed, count(*) FILTER (WHERE tested_at IS NOT NULL) AS tested, count(*) FILTER (WHERE status = 'applied') AS applied,
       count(*) FILTER (WHERE status = 'rolled_back') AS rolled_back
  FROM agents.optimizations WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s

-- claimed_metrics: what changes of an agent claimed
SELECT optimization_id::text AS optimization_id, metric, value, lower_bound, upper_bound, runs, measured_at FROM agents.optimization_metrics
 WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s AND kind = 'claimed' ORDER BY measured_at DESC, id DESC LIMIT 200

-- learning_statistics: how much there is of everything
SELECT (SELECT count(*) FROM agents.learning_sessions WHERE tenant_id = %(tenant_id)s) AS total_sessions,
       (SELECT count(*) FROM agents.learning_sessions WHERE tenant_id = %(tenant_id)s AND status = 'active') AS active_sessions,
       (SELECT coalesce(sum(spent_usd), 0) FROM agents.learning_sessions WHERE tenant_id = %(tenant_id)s) AS spent_usd,
       (SELECT count(*) FROM agents.research_campaigns WHERE tenant_id = %(tenant_id)s) AS total_campaigns,
       (SELECT count(*) FROM agents.learning_patterns WHERE tenant_id = %(tenant_id)s) AS total_patterns,
       (SELECT count(*) FROM agents.learning_patterns WHERE tenant_id = %(tenant_id)s AND source = 'mined') AS mined_patterns,
       (SELECT count(*) FROM agents.optimizations WHERE tenant_id = %(tenant_id)s) AS total_optimizations,
       (SELECT count(*) FROM agents.optimizations WHERE tenant_id = %(tenant_id)s AND status = 'applied') AS applied_optimizations
