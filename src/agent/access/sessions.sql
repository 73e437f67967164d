-- create_session: keep the hash of a new session, and delete those that are over
WITH over AS (DELETE FROM agents.console_sessions WHERE tenant_id = %(tenant_id)s AND expires_at <= now())
INSERT INTO agents.console_sessions (tenant_id, hash, person, role, personal, key_id, claims, refresh, proven_until, expires_at)
VALUES (%(tenant_id)s, %(hash)s, %(person)s, %(role)s, %(personal)s, %(key_id)s, %(claims)s, %(refresh)s, %(proven_until)s,
        least(now() + %(lifetime)s::interval, %(until)s::timestamptz))
RETURNING id

-- session_of_hash: the session with this hash, if it and its key are valid now
SELECT s.person, s.role, s.personal, s.key_id, s.claims, s.expires_at, s.proven_until <= now() AS unproven,
       s.refresh IS NOT NULL AND s.checked_at <= now() - %(every)s::interval AS due
  FROM agents.console_sessions s
  LEFT JOIN agents.api_keys k ON k.tenant_id = s.tenant_id AND k.id = s.key_id
 WHERE s.tenant_id = %(tenant_id)s AND s.hash = %(hash)s AND s.expires_at > now()
   AND (s.key_id IS NULL OR (k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())))

-- claim_check: take over the check of a session that is due; no row where another request does it
UPDATE agents.console_sessions SET checked_at = now()
 WHERE tenant_id = %(tenant_id)s AND hash = %(hash)s AND checked_at <= now() - %(every)s::interval
RETURNING refresh

-- checked: keep what the project said of an account that still may
UPDATE agents.console_sessions
   SET refresh = %(refresh)s, proven_until = %(proven_until)s, role = %(role)s, personal = %(personal)s, claims = %(claims)s
 WHERE tenant_id = %(tenant_id)s AND hash = %(hash)s

-- check_soon: let a session be checked again after a while, because the project did not answer
UPDATE agents.console_sessions SET checked_at = now() - %(every)s::interval + %(wait)s::interval
 WHERE tenant_id = %(tenant_id)s AND hash = %(hash)s

-- end_session: end a session
DELETE FROM agents.console_sessions WHERE tenant_id = %(tenant_id)s AND hash = %(hash)s
