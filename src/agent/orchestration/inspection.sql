-- mark_of_run: another text after whatever happens to a run
SELECT concat_ws(' ', p.status, p.paused_at,
       (SELECT max(e.id) FROM agents.plan_events e WHERE e.tenant_id = p.tenant_id AND e.run_id = p.id)) AS mark
  FROM agents.plans p WHERE p.tenant_id = %(tenant_id)s AND p.id = %(id)s

-- mark_of_runs: another text after one of the newest runs began, ended, was paused or resumed
SELECT md5(string_agg(concat_ws(' ', r.id, r.status, r.paused_at), ',' ORDER BY r.created_at, r.id)) AS mark
  FROM (SELECT id, status, paused_at, created_at FROM agents.plans WHERE tenant_id = %(tenant_id)s ORDER BY created_at DESC LIMIT 100) r

-- trail: what happened to a run, without what was said about it
SELECT id, kind, step_id, '{}'::jsonb AS payload, at FROM agents.plan_events
 WHERE tenant_id = %(tenant_id)s AND run_id = %(id)s ORDER BY id LIMIT %(limit)s

-- events_of_step: what happened to a step, to the elements of its list, and to what takes it back
SELECT e.id, e.kind, e.step_id, e.payload, e.at FROM agents.plan_events e
 WHERE e.tenant_id = %(tenant_id)s AND e.run_id = %(id)s
   AND e.step_id IN (SELECT %(step_id)s UNION SELECT s.step_id FROM agents.plan_steps s
                      WHERE s.tenant_id = %(tenant_id)s AND s.run_id = %(id)s AND s.part_of = %(step_id)s)
 ORDER BY e.id LIMIT %(limit)s

-- parts_of_step: the elements of a step's list, and what took it back
SELECT step_id, status, role, attempts, output, error, duration_ms, started_at, finished_at FROM agents.plan_steps
 WHERE tenant_id = %(tenant_id)s AND run_id = %(id)s AND part_of = %(step_id)s ORDER BY started_at, step_id LIMIT %(limit)s

-- runs_of_step: the runs of the plan that is a step, one for each attempt
SELECT id, plan_id, status FROM agents.plans
 WHERE tenant_id = %(tenant_id)s AND parent_run = %(id)s
   AND (parent_step = %(step_id)s OR left(parent_step, length(%(step_id)s) + 1) IN (%(step_id)s || '~', %(step_id)s || '['))
 ORDER BY created_at LIMIT %(limit)s
