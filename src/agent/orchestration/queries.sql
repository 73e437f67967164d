-- begin: store a plan that begins now; a key that is known changes nothing
INSERT INTO agents.plans (id, plan_id, definition, agents, format, replay_of, batch, idempotency_key, epoch, lease_until, deadline_at, requested_by)
VALUES (%(id)s, %(plan_id)s, %(definition)s::jsonb, %(agents)s, %(format)s, %(replay_of)s, %(batch)s, %(key)s, %(epoch)s,
        CASE WHEN %(epoch)s = 0 THEN now() ELSE now() + %(lease)s END, now() + %(timeout)s::interval, %(requested_by)s)
ON CONFLICT DO NOTHING

-- claim: take a plan that nobody runs any more; whoever had it writes no more
UPDATE agents.plans SET epoch = epoch + 1, lease_until = now() + %(lease)s
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND status = 'running' AND lease_until <= now() AND paused_at IS NULL
   AND format <= %(format)s RETURNING epoch

-- run: one run of a plan
SELECT id, plan_id, definition, agents, status, fallback_of, replay_of, batch, parent_run, parent_step, epoch, deadline_at, cancel_reason,
       paused_at, error, requested_by, created_at, finished_at,
       extract(epoch FROM deadline_at - clock_timestamp())::float8 AS seconds_left,
       extract(epoch FROM coalesce(finished_at, clock_timestamp()) - created_at)::float8 * 1000 AS duration_ms,
       (SELECT f.id FROM agents.plans f WHERE f.tenant_id = p.tenant_id AND f.fallback_of = p.id) AS fallback_id
  FROM agents.plans p WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- by_key: the run that an idempotency key began
SELECT id, definition FROM agents.plans WHERE tenant_id = %(tenant_id)s AND idempotency_key = %(key)s

-- named: the newest run of a plan with this id
SELECT id FROM agents.plans WHERE tenant_id = %(tenant_id)s AND plan_id = %(plan_id)s ORDER BY created_at DESC LIMIT 1

-- newest: the newest runs
SELECT id, plan_id, status, fallback_of, replay_of, batch, parent_run, parent_step, paused_at, error, requested_by, created_at, finished_at,
       extract(epoch FROM coalesce(finished_at, clock_timestamp()) - created_at)::float8 * 1000 AS duration_ms
  FROM agents.plans WHERE tenant_id = %(tenant_id)s AND (%(status)s::text IS NULL OR status = %(status)s)
   AND (%(since)s::timestamptz IS NULL OR (created_at, id) < (%(since)s, %(after)s))
 ORDER BY created_at DESC, id DESC LIMIT %(limit)s

-- beat: keep the leases of what this process runs, and learn what was cancelled or taken over
WITH held AS (
  SELECT id FROM agents.plans WHERE tenant_id = %(tenant_id)s AND id = ANY (%(ids)s) AND status = 'running' ORDER BY id FOR NO KEY UPDATE
)
UPDATE agents.plans p SET lease_until = now() + %(lease)s FROM held
 WHERE p.tenant_id = %(tenant_id)s AND p.id = held.id RETURNING p.id, p.epoch, p.cancel_reason, p.paused_at IS NOT NULL AS paused

-- lapsed: plans that nobody runs yet or any more
SELECT id, requested_by FROM agents.plans WHERE tenant_id = %(tenant_id)s AND status = 'running' AND lease_until <= now()
   AND paused_at IS NULL AND format <= %(format)s
 ORDER BY created_at LIMIT 100

-- steps: what is recorded of each step
SELECT step_id, status, role, part_of, attempts, output, error, duration_ms, started_at, finished_at FROM agents.plan_steps
 WHERE tenant_id = %(tenant_id)s AND run_id = %(id)s ORDER BY started_at, step_id

-- events: what happened, in order
SELECT id, kind, step_id, payload, at FROM agents.plan_events
 WHERE tenant_id = %(tenant_id)s AND run_id = %(id)s AND id > %(after)s ORDER BY id LIMIT %(limit)s

-- event: note what happened, if the plan is still this process's
INSERT INTO agents.plan_events (run_id, kind, step_id, payload)
SELECT p.id, %(kind)s, %(step_id)s, %(payload)s::jsonb FROM agents.plans p
 WHERE p.tenant_id = %(tenant_id)s AND p.id = %(id)s AND p.epoch = %(epoch)s AND p.status = 'running' FOR SHARE

-- step_started: note that a step begins, if the plan is still this process's
WITH mine AS (
  SELECT p.id FROM agents.plans p WHERE p.tenant_id = %(tenant_id)s AND p.id = %(id)s AND p.epoch = %(epoch)s AND p.status = 'running' FOR SHARE
), step AS (
  INSERT INTO agents.plan_steps AS s (run_id, step_id, status, role, part_of, epoch, started_at)
  SELECT id, %(step_id)s, 'running', %(role)s, %(part_of)s, %(epoch)s, clock_timestamp() FROM mine
  ON CONFLICT (tenant_id, run_id, step_id) DO UPDATE SET status = 'running', epoch = excluded.epoch WHERE s.status = 'running'
)
INSERT INTO agents.plan_events (run_id, kind, step_id, payload) SELECT id, 'step:started', %(step_id)s, %(payload)s::jsonb FROM mine

-- step_ended: record how a step ended, if the plan is still this process's
WITH mine AS (
  SELECT p.id FROM agents.plans p WHERE p.tenant_id = %(tenant_id)s AND p.id = %(id)s AND p.epoch = %(epoch)s AND p.status = 'running' FOR SHARE
), step AS (
  UPDATE agents.plan_steps s SET status = %(status)s, attempts = %(attempts)s, output = %(output)s::jsonb, error = %(error)s,
         duration_ms = %(duration_ms)s, finished_at = clock_timestamp()
    FROM mine WHERE s.tenant_id = %(tenant_id)s AND s.run_id = mine.id AND s.step_id = %(step_id)s AND s.status = 'running'
  RETURNING s.run_id
)
INSERT INTO agents.plan_events (run_id, kind, step_id, payload) SELECT run_id, %(kind)s, %(step_id)s, %(payload)s::jsonb FROM step

-- skipped: note the steps that will not run, because one that they wait for failed
INSERT INTO agents.plan_steps (run_id, step_id, status, epoch, error)
SELECT p.id, unnest(%(steps)s::text[]), 'skipped', p.epoch, %(error)s FROM agents.plans p
 WHERE p.tenant_id = %(tenant_id)s AND p.id = %(id)s AND p.epoch = %(epoch)s ON CONFLICT DO NOTHING

-- release: a process that ends gives its plans up at once
UPDATE agents.plans SET lease_until = now() WHERE tenant_id = %(tenant_id)s AND status = 'running'
   AND (id, epoch) IN (SELECT * FROM unnest(%(ids)s::uuid[], %(epochs)s::integer[]))

-- end: end a plan, if it is still this process's, with the steps that run; the plans of its steps end, too
WITH ended AS (
  UPDATE agents.plans SET status = %(status)s, error = %(error)s, finished_at = clock_timestamp(), lease_until = now()
   WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND epoch = %(epoch)s AND status = 'running' RETURNING id
), cancelled AS (
  UPDATE agents.plan_steps s SET status = 'cancelled', error = %(error)s, finished_at = clock_timestamp()
    FROM ended WHERE s.tenant_id = %(tenant_id)s AND s.run_id = ended.id AND s.status = 'running'
), parts AS (
  UPDATE agents.plans p SET cancel_reason = 'The plan that it is a part of has ended.', paused_at = NULL
    FROM ended WHERE p.tenant_id = %(tenant_id)s AND p.parent_run = ended.id AND p.status = 'running'
)
INSERT INTO agents.plan_events (run_id, kind, payload) SELECT id, %(kind)s, %(payload)s::jsonb FROM ended

-- begin_part: store a plan that is a step of a run, if that run still runs; a part that began already changes nothing
INSERT INTO agents.plans (id, plan_id, definition, agents, format, parent_run, parent_step, epoch, lease_until, deadline_at, requested_by)
SELECT %(id)s, %(plan_id)s, %(definition)s::jsonb, %(agents)s, %(format)s, p.id, %(parent_step)s, %(epoch)s, now() + %(lease)s,
       now() + %(timeout)s::interval, %(requested_by)s
  FROM agents.plans p WHERE p.tenant_id = %(tenant_id)s AND p.id = %(parent_run)s AND p.epoch = %(owner)s AND p.status = 'running' FOR SHARE
ON CONFLICT DO NOTHING

-- begin_fallback: begin the fallback of a plan that has failed just now, once
INSERT INTO agents.plans (id, plan_id, definition, agents, format, fallback_of, epoch, lease_until, deadline_at, requested_by)
SELECT %(id)s, %(plan_id)s, %(definition)s::jsonb, %(agents)s, %(format)s, p.id, %(epoch)s, now() + %(lease)s,
       coalesce(now() + %(timeout)s::interval, p.deadline_at), %(requested_by)s
  FROM agents.plans p WHERE p.tenant_id = %(tenant_id)s AND p.id = %(fallback_of)s AND p.epoch = %(owner)s AND p.status = 'failed'
ON CONFLICT DO NOTHING

-- ask_to_cancel: whoever runs the plan ends it; so do those who run its fallback and the plans of its steps. With `below`, only these
WITH RECURSIVE line AS (
  SELECT id FROM agents.plans WHERE tenant_id = %(tenant_id)s AND id = %(id)s
  UNION SELECT p.id FROM agents.plans p JOIN line ON p.parent_run = line.id OR p.fallback_of = line.id WHERE p.tenant_id = %(tenant_id)s
), held AS (
  SELECT p.id FROM agents.plans p JOIN line USING (id) WHERE p.tenant_id = %(tenant_id)s AND p.status = 'running' AND NOT (%(below)s AND p.id = %(id)s)
   ORDER BY p.id FOR NO KEY UPDATE OF p
)
UPDATE agents.plans p SET cancel_reason = %(reason)s, paused_at = NULL FROM held
 WHERE p.tenant_id = %(tenant_id)s AND p.id = held.id RETURNING p.id

-- pause: start nothing more of a run and of the plans of its steps
WITH RECURSIVE line AS (
  SELECT id FROM agents.plans WHERE tenant_id = %(tenant_id)s AND id = %(id)s
  UNION SELECT p.id FROM agents.plans p JOIN line ON p.parent_run = line.id OR p.fallback_of = line.id WHERE p.tenant_id = %(tenant_id)s
), held AS (
  SELECT p.id FROM agents.plans p JOIN line USING (id) WHERE p.tenant_id = %(tenant_id)s AND p.status = 'running' AND p.paused_at IS NULL
   ORDER BY p.id FOR NO KEY UPDATE OF p
)
UPDATE agents.plans p SET paused_at = now() FROM held WHERE p.tenant_id = %(tenant_id)s AND p.id = held.id RETURNING p.id

-- resume: go on with a run and the plans of its steps; the pause is no part of their time
WITH RECURSIVE line AS (
  SELECT id FROM agents.plans WHERE tenant_id = %(tenant_id)s AND id = %(id)s
  UNION SELECT p.id FROM agents.plans p JOIN line ON p.parent_run = line.id OR p.fallback_of = line.id WHERE p.tenant_id = %(tenant_id)s
), held AS (
  SELECT p.id FROM agents.plans p JOIN line USING (id) WHERE p.tenant_id = %(tenant_id)s AND p.status = 'running' AND p.paused_at IS NOT NULL
   ORDER BY p.id FOR NO KEY UPDATE OF p
)
UPDATE agents.plans p SET deadline_at = deadline_at + (now() - paused_at), paused_at = NULL FROM held
 WHERE p.tenant_id = %(tenant_id)s AND p.id = held.id RETURNING p.id

-- give_up: nobody runs a plan that is paused
UPDATE agents.plans SET lease_until = now()
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND epoch = %(epoch)s AND status = 'running' AND paused_at IS NOT NULL

-- part: the run of a plan that is a step of another one
SELECT id FROM agents.plans WHERE tenant_id = %(tenant_id)s AND parent_run = %(parent_run)s AND parent_step = %(parent_step)s

-- limits: agents of which only some steps may run at the same time
SELECT agent_id FROM agents.plan_agent_limits WHERE tenant_id = %(tenant_id)s

-- set_limit: how many steps of an agent may run at the same time
INSERT INTO agents.plan_agent_limits (agent_id, most) VALUES (%(agent_id)s, %(most)s)
ON CONFLICT (tenant_id, agent_id) DO UPDATE SET most = excluded.most

-- end_limit: any number may run
DELETE FROM agents.plan_agent_limits WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s

-- take_place: the first place of an agent that is free, or whose holder died
INSERT INTO agents.plan_agent_places AS p (agent_id, place, run_id, step_id, until)
SELECT l.agent_id, n.place, %(run_id)s, %(step_id)s, clock_timestamp() + %(lease)s
  FROM agents.plan_agent_limits l CROSS JOIN generate_series(1, l.most) n (place)
  LEFT JOIN agents.plan_agent_places held ON held.tenant_id = l.tenant_id AND held.agent_id = l.agent_id AND held.place = n.place
 WHERE l.tenant_id = %(tenant_id)s AND l.agent_id = %(agent_id)s AND (held.place IS NULL OR held.until < clock_timestamp())
 ORDER BY n.place LIMIT 1
ON CONFLICT (tenant_id, agent_id, place) DO UPDATE SET run_id = excluded.run_id, step_id = excluded.step_id, until = excluded.until
 WHERE p.until < clock_timestamp() RETURNING place

-- keep_place: a step that runs keeps its place
UPDATE agents.plan_agent_places SET until = clock_timestamp() + %(lease)s
 WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s AND run_id = %(run_id)s AND step_id = %(step_id)s

-- leave_place: the place is free
DELETE FROM agents.plan_agent_places WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s AND run_id = %(run_id)s AND step_id = %(step_id)s

-- copy_steps: a replay takes over what is done
INSERT INTO agents.plan_steps (run_id, step_id, status, attempts, epoch, output, duration_ms, started_at, finished_at)
SELECT %(id)s, step_id, status, attempts, 0, output, duration_ms, started_at, finished_at FROM agents.plan_steps
 WHERE tenant_id = %(tenant_id)s AND run_id = %(replay_of)s AND status = 'succeeded' AND role = 'step' AND step_id = ANY (%(steps)s)

-- forget_old: runs that ended long ago, with their steps and events
DELETE FROM agents.plans WHERE tenant_id = %(tenant_id)s AND finished_at < now() - make_interval(days => %(days)s)

-- unpublished: what the channel does not have yet, in order; no text and no value of anybody's
SELECT e.id, e.kind, e.payload ->> 'action' AS action, jsonb_strip_nulls(jsonb_build_object('planId', p.plan_id, 'runId', e.run_id, 'eventId', e.id, 'stepId', e.step_id,
       'agentId', e.payload -> 'agentId', 'success', coalesce(e.payload -> 'success', e.payload #> '{response,success}'),
       'duration', e.payload #> '{response,duration}', 'type', e.payload #> '{insight,type}')) AS data
  FROM agents.plan_events e JOIN agents.plans p ON p.tenant_id = e.tenant_id AND p.id = e.run_id
 WHERE e.tenant_id = %(tenant_id)s AND NOT e.published ORDER BY e.id LIMIT %(limit)s

-- published: the channel has these events
UPDATE agents.plan_events SET published = true WHERE tenant_id = %(tenant_id)s AND id = ANY (%(ids)s) AND NOT published

-- tenants: every tenant that uses the agent
SELECT tenant_id FROM agents.tenants ORDER BY tenant_id

-- open_session: a session that is not ready yet; an id that is taken changes nothing
INSERT INTO agents.learner_sessions (id, learner_id, subject, grade_level, agents, status)
VALUES (%(id)s, %(learner_id)s, %(subject)s, %(grade_level)s, %(agents)s::jsonb, 'failed') ON CONFLICT DO NOTHING RETURNING id

-- session_ready: its agents are prepared
UPDATE agents.learner_sessions SET status = 'ready' WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND status = 'failed'

-- session: one session, by its id or as the newest open one of a learner
SELECT id, learner_id, subject, grade_level, agents, status, created_at, last_seen_at, ended_at FROM agents.learner_sessions
 WHERE tenant_id = %(tenant_id)s AND (id = %(id)s OR (%(id)s::text IS NULL AND learner_id = %(learner_id)s AND status = 'ready'))
 ORDER BY created_at DESC LIMIT 1

-- session_seen: note that a session is in use
UPDATE agents.learner_sessions SET last_seen_at = now() WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- end_session: nothing more is done in it
UPDATE agents.learner_sessions SET status = 'ended', ended_at = now() WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND status <> 'ended'

-- end_idle: sessions that nobody has used for a day
UPDATE agents.learner_sessions SET status = 'ended', ended_at = now()
 WHERE tenant_id = %(tenant_id)s AND status <> 'ended' AND last_seen_at < now() - interval '1 day'

-- keep_value: a large input is stored once; one that is there is kept longer
INSERT INTO agents.plan_values (digest, value) VALUES (%(digest)s, %(value)s::jsonb)
ON CONFLICT (tenant_id, digest) DO UPDATE SET created_at = now()

-- use_value: a run has a large input
INSERT INTO agents.plan_value_uses (run_id, digest)
SELECT p.id, %(digest)s FROM agents.plans p WHERE p.tenant_id = %(tenant_id)s AND p.id = %(id)s ON CONFLICT DO NOTHING

-- values: large inputs
SELECT digest, value FROM agents.plan_values WHERE tenant_id = %(tenant_id)s AND digest = ANY (%(digests)s)

-- forget_values: large inputs that no run has any more
DELETE FROM agents.plan_values v WHERE v.tenant_id = %(tenant_id)s AND v.created_at < now() - interval '1 hour'
   AND NOT EXISTS (SELECT FROM agents.plan_value_uses u WHERE u.tenant_id = v.tenant_id AND u.digest = v.digest)

-- batch: the runs of a replay in bulk
SELECT id FROM agents.plans WHERE tenant_id = %(tenant_id)s AND batch = %(batch)s ORDER BY created_at, id LIMIT %(limit)s

-- of_status: runs to replay: of one plan, or of every plan
SELECT id FROM agents.plans p
 WHERE tenant_id = %(tenant_id)s AND status = %(status)s AND (%(plan_id)s::text IS NULL OR plan_id = %(plan_id)s) AND parent_run IS NULL AND fallback_of IS NULL
   AND NOT EXISTS (SELECT FROM agents.plans f WHERE f.tenant_id = p.tenant_id AND f.fallback_of = p.id AND f.status = 'succeeded')
 ORDER BY created_at DESC LIMIT %(limit)s

-- depth: how much runs, waits and is paused
SELECT count(*) FILTER (WHERE paused_at IS NULL AND lease_until > now())::int AS running,
       count(*) FILTER (WHERE paused_at IS NULL AND lease_until <= now())::int AS waiting,
       count(*) FILTER (WHERE paused_at IS NOT NULL)::int AS paused,
       coalesce(extract(epoch FROM now() - min(lease_until) FILTER (WHERE paused_at IS NULL AND lease_until <= now())), 0)::float8 AS oldest_seconds,
       (SELECT count(*)::int FROM agents.plan_steps s WHERE s.tenant_id = %(tenant_id)s AND s.status = 'running') AS steps
  FROM agents.plans WHERE tenant_id = %(tenant_id)s AND status = 'running'

-- places: agents with a limit, and how many of their steps run
SELECT l.agent_id, l.most, count(p.place) FILTER (WHERE p.until > now())::int AS taken
  FROM agents.plan_agent_limits l LEFT JOIN agents.plan_agent_places p ON p.tenant_id = l.tenant_id AND p.agent_id = l.agent_id
 WHERE l.tenant_id = %(tenant_id)s GROUP BY l.agent_id, l.most ORDER BY l.agent_id

-- set_schedule: let a plan begin by itself
INSERT INTO agents.plan_schedules AS s (name, definition, cron, time_zone, next_at, requested_by)
VALUES (%(name)s, %(definition)s::jsonb, %(cron)s, %(time_zone)s, %(next_at)s, %(by)s)
ON CONFLICT (tenant_id, name) DO UPDATE SET definition = excluded.definition, cron = excluded.cron, time_zone = excluded.time_zone, next_at = excluded.next_at,
   requested_by = excluded.requested_by, enabled = true, error = NULL
RETURNING name, definition ->> 'id' AS plan_id, cron, time_zone, enabled, next_at, last_run, error, requested_by

-- end_schedule: let it begin no more
DELETE FROM agents.plan_schedules WHERE tenant_id = %(tenant_id)s AND name = %(name)s

-- schedules: what begins by itself, the next first
SELECT name, definition ->> 'id' AS plan_id, cron, time_zone, enabled, next_at, last_run, error, requested_by FROM agents.plan_schedules
 WHERE tenant_id = %(tenant_id)s ORDER BY next_at, name

-- due: what should have begun by now
SELECT name, definition, cron, time_zone, next_at, requested_by FROM agents.plan_schedules
 WHERE tenant_id = %(tenant_id)s AND enabled AND next_at <= now() ORDER BY next_at LIMIT 100

-- begun: when it begins next, unless somebody has noted that
UPDATE agents.plan_schedules SET next_at = %(next_at)s, last_run = coalesce(%(run_id)s::uuid, last_run), error = %(error)s
 WHERE tenant_id = %(tenant_id)s AND name = %(name)s AND next_at = %(was)s
