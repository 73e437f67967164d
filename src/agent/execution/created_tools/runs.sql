-- run: the run of this call, as far as it has come
SELECT * FROM agents.tool_runs
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND round = %(round)s AND ordinal = %(ordinal)s

-- begin: store a run at its first host call
INSERT INTO agents.tool_runs (tenant_id, database_id, thread_id, turn, round, ordinal, tool_id, arguments, clock)
VALUES (%(tenant_id)s, %(database_id)s, %(thread_id)s, %(turn)s, %(round)s, %(ordinal)s, %(tool_id)s, %(arguments)s, %(clock)s)
ON CONFLICT DO NOTHING

-- answered: add the answer of the next host call; no row when another process was quicker
UPDATE agents.tool_runs SET answers = answers || %(answer)s, asked = NULL, changed_at = now()
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND round = %(round)s AND ordinal = %(ordinal)s
   AND jsonb_array_length(answers) = %(before)s AND status = 'running'
RETURNING ordinal

-- wait: store the interpreter's state while a human decides about a host call; no row when another process was quicker
UPDATE agents.tool_runs
   SET status = 'waiting', asked = %(asked)s, state = %(state)s, signature = %(signature)s, changed_at = now()
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND round = %(round)s AND ordinal = %(ordinal)s
   AND jsonb_array_length(answers) = %(before)s AND status = 'running'
RETURNING ordinal

-- take_state: take the state of this step away; the process that gets it goes on
WITH taken AS (
  SELECT * FROM agents.tool_runs
   WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND round = %(round)s AND ordinal = %(ordinal)s
     AND status = 'waiting' AND jsonb_array_length(answers) = %(before)s
     FOR UPDATE
)
UPDATE agents.tool_runs r SET status = 'running', state = NULL, signature = NULL, changed_at = now()
  FROM taken
 WHERE r.tenant_id = taken.tenant_id AND r.thread_id = taken.thread_id AND r.turn = taken.turn AND r.round = taken.round
   AND r.ordinal = taken.ordinal
RETURNING taken.state, taken.signature

-- forget: delete a run whose outcome is recorded
DELETE FROM agents.tool_runs
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND round = %(round)s AND ordinal = %(ordinal)s
