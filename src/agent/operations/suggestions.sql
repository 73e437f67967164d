-- decided: what was decided about the statements that the answers of a conversation suggest
SELECT turn, place, decision, decided_by, decided_at, reason, result FROM agents.suggested_statements
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s

-- claim: take the one decision about a statement; no row if somebody was first
INSERT INTO agents.suggested_statements (tenant_id, thread_id, turn, place, decision, reason, decided_by)
VALUES (%(tenant_id)s, %(thread_id)s, %(turn)s, %(place)s, %(decision)s, %(reason)s, %(person)s)
ON CONFLICT DO NOTHING

-- keep: keep what came of an accepted statement
UPDATE agents.suggested_statements SET result = %(result)s
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND place = %(place)s
