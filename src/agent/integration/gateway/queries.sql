-- change: how often the endpoints of the tenant were changed
SELECT change FROM agents.integration_endpoint_changes WHERE tenant_id = %(tenant_id)s

-- changed: counts a change up
INSERT INTO agents.integration_endpoint_changes (change) VALUES (1)
    ON CONFLICT (tenant_id) DO UPDATE SET change = agents.integration_endpoint_changes.change + 1

-- list: every endpoint, also those that were removed
SELECT version, path, method, agent, task, options, role, deprecated_at, sunset_at, successor, removed_at, created_by, created_at
  FROM agents.integration_endpoints WHERE tenant_id = %(tenant_id)s ORDER BY version, path, method

-- count: how many endpoints answer
SELECT count(*) AS n FROM agents.integration_endpoints WHERE tenant_id = %(tenant_id)s AND removed_at IS NULL

-- create: an endpoint, in the place of one that was removed; nothing if one answers there
INSERT INTO agents.integration_endpoints AS e (version, path, method, agent, task, options, role, created_by)
VALUES (%(version)s, %(path)s, %(method)s, %(agent)s, %(task)s, %(options)s::jsonb, %(role)s, %(user)s)
    ON CONFLICT (tenant_id, version, path, method) DO UPDATE
   SET agent = excluded.agent, task = excluded.task, options = excluded.options, role = excluded.role, created_by = excluded.created_by,
       created_at = now(), deprecated_at = NULL, sunset_at = NULL, successor = NULL, removed_at = NULL
 WHERE e.removed_at IS NOT NULL
RETURNING version

-- deprecate: from when an endpoint should not be used any more, when it ends, and what takes its place
UPDATE agents.integration_endpoints SET deprecated_at = coalesce(%(deprecated_at)s, now()), sunset_at = %(sunset_at)s, successor = %(successor)s
 WHERE tenant_id = %(tenant_id)s AND version = %(version)s AND path = %(path)s AND method = %(method)s AND removed_at IS NULL

-- remove: an endpoint; its row says that it was there
UPDATE agents.integration_endpoints SET removed_at = now()
 WHERE tenant_id = %(tenant_id)s AND version = %(version)s AND path = %(path)s AND method = %(method)s AND removed_at IS NULL

-- forget: endpoints that were removed long ago
DELETE FROM agents.integration_endpoints WHERE tenant_id = %(tenant_id)s AND removed_at < now() - make_interval(days => %(days)s)

-- take_rate: requests of a rate for this process, for a twentieth of its period
SELECT granted, part, seconds_left, retry_after
  FROM agents.take_rate(%(name)s, %(most)s, %(period)s, %(wanted)s, %(unused)s, %(unused_of)s)
 WHERE %(tenant_id)s = agents.tenant()

-- forget_rates: what counts for no rate any more
DELETE FROM agents.integration_rates WHERE tenant_id = %(tenant_id)s AND ends_at < now()
