-- begin_request: note a write under its key; no row if there is one. One whose process died may be tried again after a while
INSERT INTO agents.idempotent_requests AS r (tenant_id, person, key, fingerprint)
VALUES (%(tenant_id)s, %(person)s, %(key)s, %(fingerprint)s)
ON CONFLICT (tenant_id, person, key) DO UPDATE SET created_at = now()
 WHERE r.status IS NULL AND r.fingerprint = excluded.fingerprint AND r.created_at < now() - interval '15 minutes'
RETURNING key

-- earlier_request: the write that was made under a key, and its answer
SELECT fingerprint, status, content_type, body FROM agents.idempotent_requests
 WHERE tenant_id = %(tenant_id)s AND person = %(person)s AND key = %(key)s

-- finish_request: keep the answer
UPDATE agents.idempotent_requests SET status = %(status)s, content_type = %(content_type)s, body = %(body)s
 WHERE tenant_id = %(tenant_id)s AND person = %(person)s AND key = %(key)s

-- forget_request: a write that failed may be tried again
DELETE FROM agents.idempotent_requests WHERE tenant_id = %(tenant_id)s AND person = %(person)s AND key = %(key)s
