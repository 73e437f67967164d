-- skills: what is known of a learner in a subject
SELECT skill AS name, known, answers, correct, wrong_run FROM agents.learner_skills
 WHERE tenant_id = %(tenant_id)s AND learner_id = %(learner_id)s AND subject = %(subject)s ORDER BY skill

-- lock_skill: one answer after the other
SELECT pg_advisory_xact_lock(hashtextextended(jsonb_build_array(%(tenant_id)s::text, %(learner_id)s::text, %(subject)s::text, %(skill)s::text)::text, 0))

-- skill: one skill of a learner
SELECT skill AS name, known, answers, correct, wrong_run FROM agents.learner_skills
 WHERE tenant_id = %(tenant_id)s AND learner_id = %(learner_id)s AND subject = %(subject)s AND skill = %(skill)s

-- keep_skill: what is known after an answer
INSERT INTO agents.learner_skills (learner_id, subject, skill, known, answers, correct, wrong_run)
VALUES (%(learner_id)s, %(subject)s, %(skill)s, %(known)s, %(answers)s, %(correct)s, %(wrong_run)s)
ON CONFLICT (tenant_id, learner_id, subject, skill) DO UPDATE
   SET known = excluded.known, answers = excluded.answers, correct = excluded.correct, wrong_run = excluded.wrong_run, updated_at = now()
