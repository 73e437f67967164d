-- begin_turn: takes the thread and begins its next turn (see the function in the migration), with the rights of who asks
WITH begun AS MATERIALIZED (
  SELECT * FROM agents.begin_turn(%(thread_id)s, %(database_id)s, %(user)s, %(message_id)s, %(question)s, %(owner)s, %(lease)s,
                                   %(parameters)s::jsonb, %(arm)s, %(optimization_id)s::uuid, %(propensity)s)
), noted AS (
  INSERT INTO agents.turn_rights (tenant_id, thread_id, turn, masked, claims)
  SELECT %(tenant_id)s, %(thread_id)s, turn, %(masked)s, %(claims)s::jsonb FROM begun WHERE status = 'running'
  ON CONFLICT DO NOTHING
)
SELECT turn, status, database_id, transcript, parameters,
       EXISTS (SELECT FROM agents.created_tools WHERE status = 'active') AS has_created_tools
  FROM begun

-- unfinished_rights: who asked what is not over on a thread, and with which rights; these are null where they are not known
SELECT r.asked_by, g.masked, g.claims
  FROM agents.turns r LEFT JOIN agents.turn_rights g USING (tenant_id, thread_id, turn)
 WHERE r.tenant_id = %(tenant_id)s AND r.thread_id = %(thread_id)s AND r.status IN ('running', 'waiting')
 ORDER BY turn DESC LIMIT 1

-- forget_rights: delete the rights of turns that are over
DELETE FROM agents.turn_rights g USING agents.turns r
 WHERE g.tenant_id = %(tenant_id)s AND (r.tenant_id, r.thread_id, r.turn) = (g.tenant_id, g.thread_id, g.turn)
   AND r.status NOT IN ('running', 'waiting')

-- continue_turn: takes the lease, marks the turn as running and returns its transcript; `lease` is null when another run holds it
WITH held AS (  -- a lease with more than half of its time left need not be renewed
  SELECT thread_id FROM agents.threads
   WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND lease_owner = %(owner)s
     AND lease_until > now() + %(lease)s / 2
), taken AS (
  UPDATE agents.threads SET lease_owner = %(owner)s, lease_until = now() + %(lease)s
   WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND NOT EXISTS (SELECT FROM held)
     AND (lease_owner IS NULL OR lease_until < now() OR lease_owner = %(owner)s)
  RETURNING thread_id
), lease AS (SELECT thread_id FROM held UNION ALL SELECT thread_id FROM taken), woken AS (
  UPDATE agents.turns r SET status = 'running' FROM lease
   WHERE r.tenant_id = %(tenant_id)s AND r.thread_id = %(thread_id)s AND turn = %(turn)s AND status = 'waiting'
)
SELECT (SELECT thread_id FROM lease) AS lease,
       (SELECT turn FROM agents.turns WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s
           AND status IN ('running', 'waiting')) AS turn,
       (SELECT parameters FROM agents.turns
         WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s) AS parameters,
  agents.transcript(%(thread_id)s, %(turn)s) AS transcript, EXISTS (SELECT FROM agents.created_tools WHERE status = 'active') AS has_created_tools

-- keep_lease: renews the lease of a run
UPDATE agents.threads SET lease_owner = %(owner)s, lease_until = now() + %(lease)s
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s
   AND lease_owner = %(owner)s

-- release_lease: releases the lease, because the turn is over or waits for a human
UPDATE agents.threads SET lease_owner = NULL, lease_until = NULL, updated_at = now()
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND lease_owner = %(owner)s

-- abandon_run: releases the lease of a run that did not end, and marks its turn as failed unless it waits for a human
WITH freed AS (
  UPDATE agents.threads SET lease_owner = NULL, lease_until = NULL
   WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND lease_owner = %(owner)s
  RETURNING turn_count
)
UPDATE agents.turns SET status = 'failed', error = %(reason)s, finished_at = now()
  FROM freed
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = turn_count AND status = 'running'

-- hand_over: releases the lease of a run whose process ends, and makes its turn due for a worker
WITH freed AS (
  UPDATE agents.threads SET lease_owner = NULL, lease_until = NULL
   WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND lease_owner = %(owner)s
  RETURNING turn_count
)
SELECT agents.add_work(r.tenant_id, 'turn', r.thread_id, '0')
  FROM agents.turns r JOIN freed ON r.turn = freed.turn_count
 WHERE r.tenant_id = %(tenant_id)s AND r.thread_id = %(thread_id)s AND r.status = 'running'

-- unfinished_turn: returns the turn that is not over, for a thread that continues without a new question
SELECT max(turn) AS turn FROM agents.turns
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND status IN ('running', 'waiting')

-- wait: marks the turn as waiting for a human and releases the lease
WITH waiting AS (
  UPDATE agents.turns SET status = 'waiting'
   WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND status IN ('running', 'waiting')
)
UPDATE agents.threads SET lease_owner = NULL, lease_until = NULL, updated_at = now()
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND lease_owner = %(owner)s

-- finish_turn: stores the answer and how the turn ended, writes its row in the execution log once, and releases the lease
WITH freed AS (
  UPDATE agents.threads SET lease_owner = NULL, lease_until = NULL, updated_at = now()
   WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND lease_owner = %(owner)s
), finished AS (
  UPDATE agents.turns
     SET status = %(status)s, answer = %(answer)s, error = %(error)s, sources = %(sources)s, finished_at = now(),
         model = coalesce(%(model)s, model), input_tokens = input_tokens + %(input_tokens)s,
         output_tokens = output_tokens + %(output_tokens)s,
         cost_usd = CASE WHEN %(cost_usd)s::float8 IS NULL THEN cost_usd ELSE coalesce(cost_usd, 0) + %(cost_usd)s END
   WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND status IN ('running', 'waiting')
  RETURNING *
)
INSERT INTO agents.agent_execution_log (tenant_id, database_id, actor, action, arguments, verdict, risk_level, status, result,
       error, duration_ms, input_tokens, output_tokens, cost_usd, thread_id, turn, created_at, finished_at)
SELECT tenant_id, %(database_id)s, asked_by, 'answer', jsonb_build_object('question', question, 'model', model), 'run', 'LOW',
       CASE WHEN error IS NULL THEN 'succeeded' ELSE 'failed' END, jsonb_build_object('answer', %(logged)s::text), error,
       extract(epoch FROM finished_at - started_at) * 1000, input_tokens, output_tokens, cost_usd, thread_id, turn,
       started_at, finished_at
  FROM finished
RETURNING input_tokens, output_tokens, cost_usd

-- spent: returns tokens and cost of one turn, and of the tenant's day (UTC)
SELECT coalesce(sum(input_tokens + output_tokens) FILTER (WHERE thread_id = %(thread_id)s AND turn = %(turn)s), 0)::bigint AS turn_tokens,
       coalesce(sum(cost_usd) FILTER (WHERE thread_id = %(thread_id)s AND turn = %(turn)s), 0) AS turn_cost,
       coalesce(sum(input_tokens + output_tokens), 0)::bigint AS day_tokens,
       coalesce(sum(cost_usd), 0) AS day_cost
  FROM agents.turns
 WHERE tenant_id = %(tenant_id)s AND started_at >= date_trunc('day', now() AT TIME ZONE 'utc') AT TIME ZONE 'utc'

-- store_round: stores the calls that the model requested, before any is executed, and their cost; a repeated round changes nothing
WITH usage AS (
  UPDATE agents.turns
     SET model = %(model)s, input_tokens = input_tokens + %(input_tokens)s, output_tokens = output_tokens + %(output_tokens)s,
         cost_usd = CASE WHEN %(cost_usd)s::float8 IS NULL THEN cost_usd ELSE coalesce(cost_usd, 0) + %(cost_usd)s END
   WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s
)
INSERT INTO agents.tool_calls (tenant_id, thread_id, turn, round, ordinal, call_id, tool, arguments, said, status, result, finished_at,
       provider_message)
SELECT %(tenant_id)s, %(thread_id)s, %(turn)s, %(round)s, c.ordinal, c.call_id, c.tool, c.arguments, c.said, c.status, c.result,
       CASE WHEN c.status = 'done' THEN now() END, CASE WHEN c.ordinal = 1 THEN %(provider_message)s::jsonb END
  FROM jsonb_to_recordset(%(calls)s)
       AS c (ordinal int, call_id text, tool text, arguments jsonb, said text, status text, result jsonb)
ON CONFLICT DO NOTHING
RETURNING turn, round, ordinal, call_id, tool, arguments, said, status, approval_id, result

-- calls_of_turn: lists every call of a turn in order, with the statement as everybody may see it where there was a preview
SELECT c.turn, c.round, c.ordinal, c.call_id, c.tool, c.arguments, c.said, c.status, c.approval_id, c.result,
       (SELECT q.preview ->> 'shown_sql' FROM agents.human_approval_queue q
         WHERE q.tenant_id = c.tenant_id AND q.thread_id = c.thread_id AND q.turn = c.turn AND q.round = c.round
           AND q.ordinal = c.ordinal AND q.preview ->> 'sql' = c.arguments ->> 'sql' LIMIT 1) AS shown_sql
  FROM agents.tool_calls c
 WHERE c.tenant_id = %(tenant_id)s AND c.thread_id = %(thread_id)s AND c.turn = %(turn)s
 ORDER BY c.round, c.ordinal

-- one_call: returns a call by its key
SELECT turn, round, ordinal, call_id, tool, arguments, said, status, approval_id, result
  FROM agents.tool_calls
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND round = %(round)s AND ordinal = %(ordinal)s

-- call_waits: marks a call as waiting for a human
UPDATE agents.tool_calls SET status = 'waiting', approval_id = %(approval_id)s
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND round = %(round)s AND ordinal = %(ordinal)s
   AND status <> 'done'

-- call_done: stores the result of a call unless it has one
UPDATE agents.tool_calls SET status = 'done', result = %(result)s, finished_at = now()
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND round = %(round)s AND ordinal = %(ordinal)s
   AND status <> 'done'

-- call_done_after_all: replaces the result of a call that was refused while the agent was stopped and executed later
UPDATE agents.tool_calls SET result = %(result)s, finished_at = now()
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND round = %(round)s AND ordinal = %(ordinal)s
   AND status = 'done' AND result->>'status' = 'refused'

-- transcript: returns the part of a thread that the model gets (see the function in the migration)
SELECT agents.transcript(%(thread_id)s, %(turn)s) AS transcript,
       (SELECT parameters FROM agents.turns
         WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s) AS parameters,
       EXISTS (SELECT FROM agents.created_tools WHERE status = 'active') AS has_created_tools

-- old_turns: lists finished turns that are not summarised yet, without the newest
SELECT t.summary, t.summarised, r.turn, r.question, r.answer
  FROM agents.threads t JOIN agents.turns r USING (tenant_id, thread_id)
 WHERE t.tenant_id = %(tenant_id)s AND t.thread_id = %(thread_id)s AND r.turn > t.summarised AND r.turn <= t.turn_count - %(keep)s
   AND t.turn_count - t.summarised >= %(enough)s
 ORDER BY r.turn

-- save_summary: stores the summary of the turns up to `summarised`, unless another writer was faster
UPDATE agents.threads SET summary = %(summary)s, summarised = %(summarised)s
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND summarised = %(before)s

-- recent_threads: lists the newest threads first, or those after one as it stood in the list before
SELECT thread_id, title, created_by, turn_count, created_at, updated_at,
       EXISTS (SELECT FROM agents.turns r WHERE r.tenant_id = t.tenant_id AND r.thread_id = t.thread_id AND r.status = 'waiting') AS waiting
  FROM agents.threads t
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s
   AND (%(updated_at)s::timestamptz IS NULL OR (updated_at, thread_id) < (%(updated_at)s, %(thread_id)s::text))
 ORDER BY updated_at DESC, thread_id DESC LIMIT %(limit)s

-- turns_of_thread: lists the whole conversation, oldest turn first
SELECT turn, status, asked_by, question, answer, error, sources, model, input_tokens, output_tokens, cost_usd, started_at, finished_at
  FROM agents.turns
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s
 ORDER BY turn

-- delete_thread: deletes a thread with its turns and calls; approvals and the execution log stay as the audit trail
DELETE FROM agents.threads
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s
   AND (lease_owner IS NULL OR lease_until < now())
   AND NOT EXISTS (SELECT FROM agents.human_approval_queue q
                    WHERE q.tenant_id = %(tenant_id)s AND q.thread_id = %(thread_id)s AND q.status = 'pending' AND q.expires_at > now())
RETURNING thread_id

-- thread_exists: tells a missing thread from a busy one
SELECT 1 AS one FROM agents.threads WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s
