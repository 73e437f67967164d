-- create_key: keep the hash of a new key
INSERT INTO agents.api_keys (tenant_id, name, hash, hint, person, role, personal, created_by, expires_at)
VALUES (%(tenant_id)s, %(name)s, %(hash)s, %(hint)s, %(person)s, %(role)s, %(personal)s, %(created_by)s,
        now() + %(lifetime)s::interval)
RETURNING *

-- keys: every key of the tenant, the newest first
SELECT * FROM agents.api_keys WHERE tenant_id = %(tenant_id)s ORDER BY id DESC

-- revoke_key: end a key
UPDATE agents.api_keys SET revoked_at = now(), revoked_by = %(revoked_by)s
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND revoked_at IS NULL
RETURNING *

-- key_of_hash: the key with this hash, if it is valid now
SELECT * FROM agents.api_keys
 WHERE tenant_id = %(tenant_id)s AND hash = %(hash)s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())

-- key_is_valid: whether a key still is valid, for a stream that has been open for a while
SELECT true AS valid FROM agents.api_keys
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())

-- key_used: note the use of a key, at most once a minute
UPDATE agents.api_keys SET last_used_at = now()
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')

-- any_key: whether the tenant has a key that is valid now
SELECT EXISTS (SELECT FROM agents.api_keys WHERE tenant_id = %(tenant_id)s AND revoked_at IS NULL
                 AND (expires_at IS NULL OR expires_at > now())) AS any
