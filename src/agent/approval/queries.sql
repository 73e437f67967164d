-- request: a question to a human; the same call asked twice finds its first row (see request_of_call)
INSERT INTO agents.human_approval_queue
  (tenant_id, database_id, action, arguments, risk_level, reasons, summary, preview, policy_version, binding, executable,
   requested_by, thread_id, turn, round, ordinal, expires_at)
VALUES (%(tenant_id)s, %(database_id)s, %(action)s, %(arguments)s, %(risk_level)s, %(reasons)s, %(summary)s, %(preview)s,
        %(policy_version)s, %(binding)s, %(executable)s, %(requested_by)s, %(thread_id)s, %(turn)s, %(round)s, %(ordinal)s,
        now() + %(timeout)s)
ON CONFLICT (tenant_id, thread_id, turn, round, ordinal) WHERE thread_id IS NOT NULL AND status <> 'edited' DO NOTHING
RETURNING *

-- request_of_call: the row that this tool call made before, as it is after edits
SELECT * FROM agents.human_approval_queue
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND round = %(round)s AND ordinal = %(ordinal)s
   AND status <> 'edited'

-- approval: one row
SELECT * FROM agents.human_approval_queue WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- pending: what waits for a human, oldest first
SELECT * FROM agents.human_approval_queue
 WHERE tenant_id = %(tenant_id)s AND status = 'pending' AND expires_at > now()
 ORDER BY created_at, id

-- approve: one winner; a decision after the expiry is no decision
UPDATE agents.human_approval_queue
   SET status = 'approved', decided_by = %(decided_by)s, decided_via = %(via)s, comment = %(comment)s, decided_at = now()
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND status = 'pending' AND expires_at > now()
RETURNING *

-- reject: one winner, and the log's row with it, whose unique index also keeps the action from ever being executed
WITH decided AS (
  UPDATE agents.human_approval_queue
     SET status = 'rejected', decided_by = %(decided_by)s, decided_via = %(via)s, comment = %(comment)s, decided_at = now()
   WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND status = 'pending' AND expires_at > now()
  RETURNING *
), logged AS (
  INSERT INTO agents.agent_execution_log (tenant_id, database_id, actor, action, arguments, verdict, risk_level, reasons, status,
    approval_id, approved_by, error, thread_id, turn, round, ordinal, finished_at)
  SELECT tenant_id, database_id, requested_by, action, arguments, 'ask', risk_level, reasons, 'rejected',
         id, decided_by, coalesce(nullif(comment, ''), 'rejected'), thread_id, turn, round, ordinal, now()
    FROM decided
)
SELECT * FROM decided

-- expire: what nobody answered in time; final, and logged like a rejection
WITH decided AS (
  UPDATE agents.human_approval_queue
     SET status = 'expired', decided_at = now()
   WHERE tenant_id = %(tenant_id)s AND status = 'pending' AND expires_at <= now()
  RETURNING *
), logged AS (
  INSERT INTO agents.agent_execution_log (tenant_id, database_id, actor, action, arguments, verdict, risk_level, reasons, status,
    approval_id, error, thread_id, turn, round, ordinal, finished_at)
  SELECT tenant_id, database_id, requested_by, action, arguments, 'ask', risk_level, reasons, 'expired',
         id, 'nobody answered in time', thread_id, turn, round, ordinal, now()
    FROM decided
)
SELECT id FROM decided

-- history: the newest first, decided or not
SELECT * FROM agents.human_approval_queue
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s
 ORDER BY created_at DESC, id DESC LIMIT %(limit)s

-- for_turn: every request of one turn, in the order of its calls
SELECT * FROM agents.human_approval_queue
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s
 ORDER BY round, ordinal
