-- create_code: keep the hash of a one-time code
INSERT INTO agents.messaging_codes (tenant_id, hash, person, created_by, expires_at)
VALUES (%(tenant_id)s, %(hash)s, %(person)s, %(created_by)s, now() + %(lifetime)s::interval)
RETURNING expires_at

-- link: use a code up, and bind the account to its person
WITH used AS (
  UPDATE agents.messaging_codes SET used_at = now()
   WHERE tenant_id = %(tenant_id)s AND hash = %(hash)s AND used_at IS NULL AND expires_at > now()
  RETURNING person
)
INSERT INTO agents.messaging_identities (tenant_id, service, account, person)
SELECT %(tenant_id)s, %(service)s, %(account)s, person FROM used
ON CONFLICT (tenant_id, service, account) DO UPDATE SET person = excluded.person, active = true, linked_at = now()
RETURNING service, account, person, linked_at

-- account: the person of an account
SELECT service, account, person, linked_at FROM agents.messaging_identities
 WHERE tenant_id = %(tenant_id)s AND service = %(service)s AND account = %(account)s AND active

-- accounts: every linked account
SELECT service, account, person, linked_at FROM agents.messaging_identities
 WHERE tenant_id = %(tenant_id)s AND active ORDER BY person, service, account

-- unlink: end the link of every account of a person
UPDATE agents.messaging_identities SET active = false
 WHERE tenant_id = %(tenant_id)s AND lower(person) = lower(%(person)s) AND active
RETURNING service, account, person, linked_at

-- refused: note once that an account that is nobody here tried to decide a request
INSERT INTO agents.messaging_refusals (tenant_id, service, account, approval_id)
VALUES (%(tenant_id)s, %(service)s, %(account)s, %(approval_id)s) ON CONFLICT DO NOTHING
