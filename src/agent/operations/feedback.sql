-- give: keep what a person says of an answer; a later word takes the place of the earlier one
INSERT INTO agents.answer_feedback AS f (tenant_id, thread_id, turn, person, correct, reason, via)
VALUES (%(tenant_id)s, %(thread_id)s, %(turn)s, %(person)s, %(correct)s, %(reason)s, %(via)s)
ON CONFLICT (tenant_id, thread_id, turn, person) DO UPDATE
   SET correct = excluded.correct, reason = excluded.reason, via = excluded.via, given_at = now()

-- own: what one person said of the answers of a conversation
SELECT thread_id, turn, person, correct, reason, via, given_at FROM agents.answer_feedback
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND person = %(person)s

-- newest: what was said last, with what was asked
SELECT f.thread_id, f.turn, f.person, f.correct, f.reason, f.via, f.given_at, t.question, t.asked_by
  FROM agents.answer_feedback f
  JOIN agents.turns t ON t.tenant_id = f.tenant_id AND t.thread_id = f.thread_id AND t.turn = f.turn
 WHERE f.tenant_id = %(tenant_id)s AND (%(before)s::timestamptz IS NULL OR f.given_at < %(before)s)
 ORDER BY f.given_at DESC LIMIT %(limit)s

-- counts: how many answers were called right and wrong
SELECT count(*) FILTER (WHERE correct) AS correct, count(*) FILTER (WHERE NOT correct) AS wrong
  FROM agents.answer_feedback WHERE tenant_id = %(tenant_id)s
