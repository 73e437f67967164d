-- run: of this call, as far as it came
SELECT * FROM agents.tool_runs
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND round = %(round)s AND ordinal = %(ordinal)s

-- begin: at its first host call
INSERT INTO agents.tool_runs (tenant_id, database_id, thread_id, turn, round, ordinal, tool_id, arguments, clock)
VALUES (%(tenant_id)s, %(database_id)s, %(thread_id)s, %(turn)s, %(round)s, %(ordinal)s, %(tool_id)s, %(arguments)s, %(clock)s)
ON CONFLICT DO NOTHING

-- answered: one more host call has its answer; nothing when another process was quicker
UPDATE agents.tool_runs SET answers = answers || %(answer)s, asked = NULL, changed_at = now()
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND round = %(round)s AND ordinal = %(ordinal)s
   AND jsonb_array_length(answers) = %(before)s AND status = 'running'
RETURNING ordinal

-- take_state: whoever gets it goes on; it is here no more. Who comes from an earlier step does not get the next one's
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

-- forget: what was kept of a run whose outcome is recorded
DELETE FROM agents.tool_runs
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND round = %(round)s AND ordinal = %(ordinal)s
