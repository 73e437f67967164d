-- request: store a request; no row when the same call has made one before (see request_of_call)
INSERT INTO agents.human_approval_queue
  (tenant_id, database_id, action, arguments, risk_level, reasons, summary, preview, policy_version, binding, executable,
   requested_by, votes_needed, replaces, delegated_to, thread_id, turn, round, ordinal, expires_at)
VALUES (%(tenant_id)s, %(database_id)s, %(action)s, %(arguments)s, %(risk_level)s, %(reasons)s, %(summary)s, %(preview)s,
        %(policy_version)s, %(binding)s, %(executable)s, %(requested_by)s, %(votes_needed)s, %(replaces)s, %(delegated_to)s, %(thread_id)s,
        %(turn)s, %(round)s, %(ordinal)s, now() + %(timeout)s)
ON CONFLICT (tenant_id, thread_id, turn, round, ordinal) WHERE thread_id IS NOT NULL AND status <> 'edited' DO NOTHING
RETURNING *

-- request_of_call: the request that this tool call made before, after edits
SELECT * FROM agents.human_approval_queue
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND round = %(round)s AND ordinal = %(ordinal)s
   AND status <> 'edited'

-- approval: one request, and the time at which it was read
SELECT *, clock_timestamp() AS read_at FROM agents.human_approval_queue WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- latest: the last request that edits have put in the place of this one
WITH RECURSIVE after AS (
  SELECT id FROM agents.human_approval_queue WHERE tenant_id = %(tenant_id)s AND id = %(id)s
  UNION ALL
  SELECT n.id FROM after JOIN agents.human_approval_queue o ON o.tenant_id = %(tenant_id)s AND o.id = after.id
    JOIN agents.human_approval_queue n ON n.tenant_id = o.tenant_id AND n.replaces = o.id AND o.status = 'edited'
)
SELECT max(id) AS id FROM after

-- successor: the request that replaced this one
SELECT id FROM agents.human_approval_queue WHERE tenant_id = %(tenant_id)s AND replaces = %(id)s

-- lock: lock a request for one decision; every other decision waits
SELECT * FROM agents.human_approval_queue WHERE tenant_id = %(tenant_id)s AND id = %(id)s FOR UPDATE

-- pending: the requests that wait for a human, the oldest first, or those after one, which may be decided by now
SELECT *, clock_timestamp() AS read_at FROM agents.human_approval_queue
 WHERE tenant_id = %(tenant_id)s AND status = 'pending' AND expires_at > now()
   AND (%(after)s::bigint IS NULL OR (created_at, id) > (
     SELECT b.created_at, b.id FROM agents.human_approval_queue b WHERE b.tenant_id = %(tenant_id)s AND b.id = %(after)s))
 ORDER BY created_at, id

-- approve: add a person's yes; the last one that is needed approves. A yes after the expiry or a second one of a person has no effect
WITH voted AS (
  UPDATE agents.human_approval_queue q
     SET approved_by = q.approved_by || %(decided_by)s::text,
         status = CASE WHEN v.last THEN 'approved' ELSE q.status END,
         decided_by = CASE WHEN v.last THEN array_to_string(q.approved_by || %(decided_by)s::text, ', ') END,
         decided_via = CASE WHEN v.last THEN %(via)s END, comment = CASE WHEN v.last THEN %(comment)s END,
         decided_at = CASE WHEN v.last THEN clock_timestamp() END
    FROM (SELECT %(missing)s::integer <= 1 AS last) AS v
   WHERE q.tenant_id = %(tenant_id)s AND q.id = %(id)s AND q.status = 'pending' AND q.expires_at > clock_timestamp()
     AND NOT %(decided_by)s::text = ANY (q.approved_by)
  RETURNING q.*
), kept AS (
  INSERT INTO agents.approval_decisions (tenant_id, approval_id, decision, decided_by, via, comment, binding)
  SELECT tenant_id, id, 'approve', %(decided_by)s, %(via)s, %(comment)s, binding FROM voted
)
SELECT * FROM voted

-- approve_by_policy: approve a request that needs no human, if it has the given binding: another run of the call may have asked
UPDATE agents.human_approval_queue
   SET status = 'approved', decided_by = 'policy', decided_via = 'policy', comment = %(comment)s, decided_at = clock_timestamp()
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND status = 'pending' AND expires_at > clock_timestamp()
   AND binding = %(binding)s AND risk_level = %(risk)s
RETURNING *

-- finish: reject a request, answer in the tool's place, or replace it. The first one wins and writes the log's row, whose unique
-- index keeps the action from ever being executed; arguments that repeat a secret stay out of the log
WITH decided AS (
  UPDATE agents.human_approval_queue
     SET status = %(status)s, decided_by = %(decided_by)s, decided_via = %(via)s, comment = %(comment)s, response = %(response)s,
         decided_at = clock_timestamp()
   WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND status = 'pending' AND expires_at > clock_timestamp()
  RETURNING *
), kept AS (
  INSERT INTO agents.approval_decisions (tenant_id, approval_id, decision, decided_by, via, comment, binding)
  SELECT tenant_id, id, %(decision)s, decided_by, decided_via, comment, binding FROM decided
), logged AS (
  INSERT INTO agents.agent_execution_log (tenant_id, database_id, actor, action, arguments, verdict, risk_level, reasons, status,
    approval_id, approved_by, error, thread_id, turn, round, ordinal, finished_at)
  SELECT tenant_id, database_id, requested_by, action, CASE WHEN 'secret' = ANY (reasons) THEN '{}' ELSE arguments END, 'ask', risk_level, reasons, status,
         id, decided_by, coalesce(nullif(comment, ''), status), thread_id, turn, round, ordinal, now()
    FROM decided
)
SELECT * FROM decided

-- delegate: leave a request, which still waits, to this person
WITH decided AS (
  UPDATE agents.human_approval_queue SET delegated_to = %(delegate)s
   WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND status = 'pending' AND expires_at > clock_timestamp()
  RETURNING *
), kept AS (
  INSERT INTO agents.approval_decisions (tenant_id, approval_id, decision, decided_by, via, comment, detail, binding)
  SELECT tenant_id, id, 'delegate', %(decided_by)s, %(via)s, %(comment)s, delegated_to, binding FROM decided
)
SELECT * FROM decided

-- expire: expire the requests that nobody answered in time; final, and logged like a rejection
WITH decided AS (
  UPDATE agents.human_approval_queue
     SET status = 'expired', decided_at = now()
   WHERE tenant_id = %(tenant_id)s AND status = 'pending' AND id IN (  -- locked in order, because every process expires all of them
     SELECT q.id FROM agents.human_approval_queue q
      WHERE q.tenant_id = %(tenant_id)s AND q.status = 'pending' AND q.expires_at <= now() ORDER BY q.id FOR UPDATE)
  RETURNING *
), logged AS (
  INSERT INTO agents.agent_execution_log (tenant_id, database_id, actor, action, arguments, verdict, risk_level, reasons, status,
    approval_id, error, thread_id, turn, round, ordinal, finished_at)
  SELECT tenant_id, database_id, requested_by, action, CASE WHEN 'secret' = ANY (reasons) THEN '{}' ELSE arguments END, 'ask', risk_level, reasons, 'expired',
         id, 'nobody answered in time', thread_id, turn, round, ordinal, now()
    FROM decided
)
SELECT id FROM decided

-- decisions: each person's decision about a request, in order
SELECT decision, decided_by, via, comment, detail, created_at
  FROM agents.approval_decisions WHERE tenant_id = %(tenant_id)s AND approval_id = %(id)s ORDER BY id

-- history: all requests, the newest first, or those before one
SELECT * FROM agents.human_approval_queue
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s
   AND (%(before)s::bigint IS NULL OR (created_at, id) < (
     SELECT b.created_at, b.id FROM agents.human_approval_queue b WHERE b.tenant_id = %(tenant_id)s AND b.id = %(before)s))
 ORDER BY created_at DESC, id DESC LIMIT %(limit)s

-- last_of_thread: the request of the last turn of a thread that made one, after edits
SELECT q.* FROM agents.human_approval_queue q
 WHERE q.tenant_id = %(tenant_id)s AND q.thread_id = %(thread_id)s AND q.status <> 'edited'
 ORDER BY q.turn DESC, q.id DESC LIMIT 1

-- for_turn: every request of one turn, in the order of its calls; the index of calls leaves out those that an edit replaced
WITH RECURSIVE asked AS (
  SELECT * FROM agents.human_approval_queue
   WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND status <> 'edited'
  UNION ALL
  SELECT o.* FROM asked n JOIN agents.human_approval_queue o ON o.tenant_id = %(tenant_id)s AND o.id = n.replaces
)
SELECT * FROM asked ORDER BY round, ordinal, id

-- claim_notice: store a due notice once, whichever process finds it due; none for a request that is decided
WITH claimed AS (
  UPDATE agents.human_approval_queue q
     SET reminded_at = CASE WHEN %(kind)s = 'reminder' THEN clock_timestamp() ELSE reminded_at END,
         escalated_at = CASE WHEN %(kind)s = 'escalation' THEN clock_timestamp() ELSE escalated_at END
   WHERE q.tenant_id = %(tenant_id)s AND q.id = %(id)s AND q.status = 'pending' AND q.expires_at > clock_timestamp()
     AND CASE %(kind)s WHEN 'reminder' THEN q.reminded_at ELSE q.escalated_at END IS NULL
  RETURNING q.*
)
INSERT INTO agents.approval_notices (tenant_id, approval_id, kind, recipients, text)
SELECT c.tenant_id, c.id, %(kind)s,
       CASE WHEN %(kind)s = 'reminder' AND c.delegated_to IS NOT NULL THEN ARRAY[c.delegated_to]
            ELSE (SELECT coalesce(array_agg(p.name ORDER BY p.name), '{}') FROM agents.people p
                   WHERE p.tenant_id = c.tenant_id AND p.active AND lower(p.name) <> lower(c.requested_by)
                     AND p.roles && CASE %(kind)s WHEN 'reminder' THEN '{approver,admin}'::text[] ELSE '{admin}' END) END,
       %(text)s
  FROM claimed c
RETURNING approval_id, kind, recipients, text

-- keep_notice: store the notice to a delegate
INSERT INTO agents.approval_notices (tenant_id, approval_id, kind, recipients, text)
VALUES (%(tenant_id)s, %(id)s, 'delegated', ARRAY[%(delegate)s::text], %(text)s)
RETURNING approval_id, kind, recipients, text

-- notices: the notices that people were sent, the newest first
SELECT approval_id, kind, recipients, text, created_at FROM agents.approval_notices
 WHERE tenant_id = %(tenant_id)s ORDER BY id DESC LIMIT %(limit)s

-- tell_everybody: store the notice of a break-glass to everybody who is named
INSERT INTO agents.approval_notices (tenant_id, kind, recipients, text)
SELECT %(tenant_id)s, 'break-glass', coalesce(array_agg(p.name ORDER BY p.name), '{}'), %(text)s
  FROM agents.people p WHERE p.tenant_id = %(tenant_id)s AND p.active
RETURNING approval_id, kind, recipients, text
