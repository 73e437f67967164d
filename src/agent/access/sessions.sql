-- create_session: keep the hash of a new session, and delete those that are over
WITH over AS (DELETE FROM agents.console_sessions WHERE tenant_id = %(tenant_id)s AND expires_at <= now())
INSERT INTO agents.console_sessions (tenant_id, hash, person, role, personal, key_id, claims, expires_at)
VALUES (%(tenant_id)s, %(hash)s, %(person)s, %(role)s, %(personal)s, %(key_id)s, %(claims)s,
        least(now() + %(lifetime)s::interval, %(until)s::timestamptz))
RETURNING id

-- session_of_hash: the session with this hash, if it and its key are valid now
SELECT s.person, s.role, s.personal, s.key_id, s.claims, s.expires_at
  FROM agents.console_sessions s
  LEFT JOIN agents.api_keys k ON k.tenant_id = s.tenant_id AND k.id = s.key_id
 WHERE s.tenant_id = %(tenant_id)s AND s.hash = %(hash)s AND s.expires_at > now()
   AND (s.key_id IS NULL OR (k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())))

-- end_session: end a session
DELETE FROM agents.console_sessions WHERE tenant_id = %(tenant_id)s AND hash = %(hash)s
