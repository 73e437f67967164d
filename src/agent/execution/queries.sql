-- begin_effect: begin the approval's only execution, inside the effect's own transaction
SELECT agents.begin_effect(%(approval_id)s, %(claim)s) AS execution_id

-- finish_effect: record the effect's outcome, which commits with it
SELECT agents.finish_effect(%(approval_id)s, %(claim)s, %(result)s, %(row_count)s, %(elapsed_ms)s)

-- transaction_number: identify the effect's transaction, to ask this server after a crash whether it committed
SELECT pg_current_xact_id()::text AS id, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS timeline,
       pg_current_wal_insert_lsn()::text AS position

-- transaction_outcome: 'committed', 'aborted', 'in progress'; null if forgotten, or if the server was replaced or restored since
SELECT CASE WHEN left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) = %(timeline)s
             AND pg_current_wal_insert_lsn() >= %(position)s::pg_lsn THEN pg_xact_status(%(id)s::xid8) END AS outcome

-- claim: claim an approved request for a time; no row while another process holds it or its lock, or once it has an outcome
UPDATE agents.human_approval_queue q
   SET claim = gen_random_uuid(), claimed_until = clock_timestamp() + %(lease)s, attempts = q.attempts + 1
 WHERE q.tenant_id = %(tenant_id)s AND q.id = %(approval_id)s AND q.status = 'approved' AND q.executable = %(executable)s
   -- an effect whose server session still lives may hold the lock, and waiting for it could take for ever
   AND q.id = (SELECT f.id FROM agents.human_approval_queue f
                WHERE f.tenant_id = %(tenant_id)s AND f.id = %(approval_id)s FOR UPDATE SKIP LOCKED)
   -- a claim that ends later than any claim could was made under another clock
   AND (q.claim IS NULL OR NOT q.claimed_until BETWEEN clock_timestamp() AND clock_timestamp() + 2 * %(lease)s)
   AND NOT EXISTS (SELECT FROM agents.agent_execution_log e
                    WHERE e.tenant_id = q.tenant_id AND e.approval_id = q.id AND e.status <> 'running')
RETURNING q.claim, q.attempts

-- left_over: approved requests that nobody executed or executes, because the process that should have died
SELECT q.id FROM agents.human_approval_queue q
 WHERE q.tenant_id = %(tenant_id)s AND q.database_id = %(database_id)s AND q.status = 'approved' AND q.executable
   AND (q.claim IS NULL OR q.claimed_until < now())
   AND NOT EXISTS (SELECT FROM agents.agent_execution_log e
                    WHERE e.tenant_id = q.tenant_id AND e.approval_id = q.id AND e.status <> 'running')
 ORDER BY q.decided_at, q.id LIMIT 1000

-- release: give a claim back, so that nobody waits until it runs out
UPDATE agents.human_approval_queue q SET claim = NULL, claimed_until = NULL, attempts = greatest(q.attempts - 1, 0)
 WHERE q.tenant_id = %(tenant_id)s AND q.id = %(approval_id)s AND q.claim = %(claim)s
   AND q.id = (SELECT f.id FROM agents.human_approval_queue f
                WHERE f.tenant_id = %(tenant_id)s AND f.id = %(approval_id)s FOR UPDATE SKIP LOCKED)

-- record_intent: record an effect before it begins, where both cannot commit together; the unique index allows one
WITH held AS (
  SELECT q.* FROM agents.human_approval_queue q
   WHERE q.tenant_id = %(tenant_id)s AND q.id = %(approval_id)s AND q.claim = %(claim)s AND q.status = 'approved' AND q.executable = %(executable)s
     AND NOT EXISTS (SELECT FROM agents.controls c WHERE c.tenant_id = q.tenant_id AND (c.stopped OR c.read_only))
     FOR UPDATE
)
INSERT INTO agents.agent_execution_log (tenant_id, database_id, actor, action, arguments, verdict, risk_level, reasons, status,
  approval_id, approved_by, thread_id, turn, round, ordinal)
SELECT tenant_id, database_id, requested_by, action, arguments, 'ask', risk_level, reasons, 'running', id, decided_by,
       thread_id, turn, round, ordinal
  FROM held
RETURNING id

-- record_transaction: record which transaction of the other database carries the effect, before it commits. The lock
-- makes the holder and a process that takes the claim over wait for each other, so only one of them goes on.
WITH held AS (
  SELECT q.tenant_id, q.id FROM agents.human_approval_queue q
   WHERE q.tenant_id = %(tenant_id)s AND q.id = %(approval_id)s AND q.claim = %(claim)s FOR UPDATE
)
UPDATE agents.agent_execution_log e SET result = jsonb_build_object('transaction', %(transaction)s::jsonb)
  FROM held
 WHERE e.tenant_id = held.tenant_id AND e.approval_id = held.id AND e.status = 'running'
RETURNING e.id

-- record_outcome: record the outcome of an effect that did not commit with the log; the first outcome stays
WITH held AS (
  SELECT q.tenant_id, q.id FROM agents.human_approval_queue q
   WHERE q.tenant_id = %(tenant_id)s AND q.id = %(approval_id)s AND q.claim = %(claim)s FOR UPDATE
)
UPDATE agents.agent_execution_log e
   SET status = %(status)s, result = %(result)s, row_count = %(row_count)s, error = %(error)s, duration_ms = %(elapsed_ms)s,
       finished_at = now()
  FROM held
 WHERE e.tenant_id = held.tenant_id AND e.approval_id = held.id AND e.status = 'running'
RETURNING e.id

-- record_failure: record an approved statement that the database refused; this row uses its approval up
INSERT INTO agents.agent_execution_log (tenant_id, database_id, actor, action, arguments, verdict, risk_level, reasons, status,
  approval_id, approved_by, result, error, duration_ms, thread_id, turn, round, ordinal, finished_at)
SELECT tenant_id, database_id, requested_by, action, arguments, 'ask', risk_level, reasons, %(status)s, id, decided_by,
       %(result)s, %(error)s, %(elapsed_ms)s, thread_id, turn, round, ordinal, now()
  FROM agents.human_approval_queue
 WHERE tenant_id = %(tenant_id)s AND id = %(approval_id)s AND claim = %(claim)s AND status = 'approved'
ON CONFLICT (tenant_id, approval_id) WHERE approval_id IS NOT NULL DO NOTHING
RETURNING id

-- record: record an action that needed no approval or got none, and give its tool call, if any, the outcome
WITH logged AS (
  INSERT INTO agents.agent_execution_log (tenant_id, database_id, actor, action, arguments, verdict, risk_level, reasons, status,
    result, row_count, error, duration_ms, thread_id, turn, round, ordinal, finished_at)
  VALUES (%(tenant_id)s, %(database_id)s, %(actor)s, %(action)s, %(arguments)s, %(verdict)s, %(risk_level)s, %(reasons)s, %(status)s,
          %(result)s, %(row_count)s, %(error)s, %(duration_ms)s, %(thread_id)s, %(turn)s, %(round)s, %(ordinal)s, now())
  RETURNING id
), done AS (
  UPDATE agents.tool_calls c
     SET status = 'done', result = %(outcome)s::jsonb || jsonb_build_object('execution_id', logged.id), finished_at = now()
    FROM logged
   WHERE c.tenant_id = %(tenant_id)s AND c.thread_id = %(thread_id)s AND c.turn = %(turn)s AND c.round = %(round)s
     AND c.ordinal = %(ordinal)s AND c.status <> 'done' AND %(outcome)s::jsonb IS NOT NULL
)
SELECT id FROM logged

-- take_call: a stored call to carry out, with the request that it made before, its conversation, and the switches
SELECT c.turn, c.round, c.ordinal, c.call_id, c.tool, c.arguments, c.said, c.status, c.result,
       coalesce(c.approval_id, q.id) AS approval_id, k.stopped, k.read_only, k.reason, k.changed_by, k.changed_at,
       agents.transcript(c.thread_id, c.turn) AS transcript
  FROM agents.tool_calls c
  LEFT JOIN agents.human_approval_queue q
    ON (q.tenant_id, q.thread_id, q.turn, q.round, q.ordinal) = (c.tenant_id, c.thread_id, c.turn, c.round, c.ordinal)
   AND q.status <> 'edited'
  LEFT JOIN agents.controls k ON k.tenant_id = c.tenant_id
 WHERE c.tenant_id = %(tenant_id)s AND c.thread_id = %(thread_id)s AND c.turn = %(turn)s AND c.round = %(round)s
   AND c.ordinal = %(ordinal)s

-- of_approval: the only execution of an approval, and whether a process may still be at work on it
SELECT e.*, coalesce(q.claimed_until > now(), false) AS held
  FROM agents.agent_execution_log e
  JOIN agents.human_approval_queue q ON q.tenant_id = e.tenant_id AND q.id = e.approval_id
 WHERE e.tenant_id = %(tenant_id)s AND e.approval_id = %(approval_id)s

-- execution: one execution, with its statement without secrets where it was previewed
SELECT e.*, (SELECT q.preview ->> 'shown_sql' FROM agents.human_approval_queue q
           WHERE q.tenant_id = e.tenant_id AND q.id = e.approval_id AND q.preview ->> 'sql' = e.arguments ->> 'sql') AS shown_sql
  FROM agents.agent_execution_log e WHERE e.tenant_id = %(tenant_id)s AND e.id = %(id)s

-- execution_of_request: the execution of a request, as `execution` returns it
SELECT e.*, NULL::text AS shown_sql FROM agents.agent_execution_log e
 WHERE e.tenant_id = %(tenant_id)s AND e.approval_id = %(approval_id)s

-- settle: record a human's word on an execution of unknown outcome, once, and put it into the result of its tool call
WITH settled AS (
  UPDATE agents.agent_execution_log
     SET status = %(status)s, error = CASE WHEN %(status)s = 'failed' THEN %(message)s END, settled_by = %(by)s, settled_at = now(),
         settled_comment = %(comment)s, result = coalesce(result, '{}') || jsonb_build_object('message', %(message)s::text)
   WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND status = 'unknown'
  RETURNING *
), updated_call AS (
  UPDATE agents.tool_calls c
     SET result = (c.result - 'error') || jsonb_strip_nulls(jsonb_build_object(
           'success', s.status = 'succeeded', 'status', s.status, 'message', s.result->'message', 'error', s.error))
    FROM settled s
   WHERE c.tenant_id = s.tenant_id AND c.thread_id = s.thread_id AND c.turn = s.turn AND c.round = s.round AND c.ordinal = s.ordinal
     AND c.result->>'status' = 'unknown'
)
SELECT * FROM settled

-- unknown: the number of executions that wait for a human to say whether they happened
SELECT count(*) AS number FROM agents.agent_execution_log
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND status = 'unknown'

-- calls_of: the calls that a created tool's code made; their keys follow from its own (CallKey.host_call)
SELECT c.*, (SELECT q.preview ->> 'shown_sql' FROM agents.human_approval_queue q
           WHERE q.tenant_id = c.tenant_id AND q.id = c.approval_id AND q.preview ->> 'sql' = c.arguments ->> 'sql') AS shown_sql
  FROM agents.agent_execution_log e
  JOIN agents.agent_execution_log c USING (tenant_id, thread_id, turn, round)
 WHERE e.tenant_id = %(tenant_id)s AND e.id = %(id)s AND e.ordinal < 1000
   AND c.ordinal BETWEEN 1000 * (e.ordinal + 1) + 1 AND 1000 * (e.ordinal + 1) + 999
 ORDER BY c.ordinal, c.id

-- recent: the executions with the highest numbers, the highest first; with `before` only those below it
SELECT e.*, (SELECT q.preview ->> 'shown_sql' FROM agents.human_approval_queue q
           WHERE q.tenant_id = e.tenant_id AND q.id = e.approval_id AND q.preview ->> 'sql' = e.arguments ->> 'sql') AS shown_sql
  FROM agents.agent_execution_log e
 WHERE e.tenant_id = %(tenant_id)s AND e.database_id = %(database_id)s
   AND (%(thread_id)s::text IS NULL OR e.thread_id = %(thread_id)s) AND (%(status)s::text IS NULL OR e.status = %(status)s)
   AND (%(before)s::bigint IS NULL OR e.id < %(before)s)
 ORDER BY e.id DESC LIMIT %(limit)s

-- controls: the switches; no row means that nothing is switched off
SELECT stopped, read_only, reason, changed_by, changed_at FROM agents.controls WHERE tenant_id = %(tenant_id)s

-- set_controls: set the switches; a null one stays as it is, and the reason too if none is given while a switch is on
INSERT INTO agents.controls AS c (tenant_id, stopped, read_only, reason, changed_by, changed_at)
VALUES (%(tenant_id)s, coalesce(%(stopped)s::boolean, false), coalesce(%(read_only)s::boolean, false), %(reason)s, %(user)s, now())
ON CONFLICT (tenant_id) DO UPDATE
   SET stopped = coalesce(%(stopped)s::boolean, c.stopped), read_only = coalesce(%(read_only)s::boolean, c.read_only),
       reason = CASE WHEN %(reason)s = '' AND (coalesce(%(stopped)s::boolean, c.stopped) OR coalesce(%(read_only)s::boolean, c.read_only))
                     THEN c.reason ELSE %(reason)s END,
       changed_by = %(user)s, changed_at = now()
RETURNING stopped, read_only, reason, changed_by, changed_at
