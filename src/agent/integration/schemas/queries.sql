-- begin: a schema's first registration, or nothing if it is known
INSERT INTO agents.integration_schemas (name, platform, kind, compatibility, created_by)
VALUES (%(name)s, %(platform)s, %(kind)s, %(compatibility)s, %(user)s)
    ON CONFLICT DO NOTHING

-- lock: a schema, held until the transaction ends so that its versions are numbered one after the other
SELECT name, platform, kind, compatibility FROM agents.integration_schemas
 WHERE tenant_id = %(tenant_id)s AND name = %(name)s AND platform = %(platform)s FOR UPDATE

-- versions: every version of a schema, the oldest first
SELECT v.name, v.platform, s.kind, s.compatibility, v.number, v.version, v.definition, v.digest, v.options, v.created_by, v.created_at
  FROM agents.integration_schema_versions v JOIN agents.integration_schemas s USING (tenant_id, name, platform)
 WHERE v.tenant_id = %(tenant_id)s AND v.name = %(name)s AND v.platform = %(platform)s ORDER BY v.number

-- version: one version of a schema, or the newest
SELECT v.name, v.platform, s.kind, s.compatibility, v.number, v.version, v.definition, v.digest, v.options, v.created_by, v.created_at
  FROM agents.integration_schema_versions v JOIN agents.integration_schemas s USING (tenant_id, name, platform)
 WHERE v.tenant_id = %(tenant_id)s AND v.name = %(name)s AND v.platform = %(platform)s AND (%(version)s::text IS NULL OR v.version = %(version)s)
 ORDER BY v.number DESC LIMIT 1

-- names: the newest versions of a schema, by their names
SELECT version FROM agents.integration_schema_versions
 WHERE tenant_id = %(tenant_id)s AND name = %(name)s AND platform = %(platform)s ORDER BY number DESC LIMIT 10

-- add: a version
INSERT INTO agents.integration_schema_versions (name, platform, number, version, definition, digest, options, created_by)
VALUES (%(name)s, %(platform)s, %(number)s, %(version)s, %(definition)s, %(digest)s, %(options)s::jsonb, %(user)s)
RETURNING created_at

-- refer: a version that a version refers to
INSERT INTO agents.integration_schema_references (name, platform, number, used_as, to_name, to_platform, to_version)
VALUES (%(name)s, %(platform)s, %(number)s, %(used_as)s, %(to_name)s, %(to_platform)s, %(to_version)s)

-- users: what uses a version, or would have no version left without it; the first few
SELECT 'the schema ' || r.name || ' of ' || r.platform AS what FROM agents.integration_schema_references r
 WHERE r.tenant_id = %(tenant_id)s AND r.to_name = %(name)s AND r.to_platform = %(platform)s AND r.to_version = %(version)s
UNION
SELECT 'the ' || b.boundary || ' ' || b.subject FROM agents.integration_schema_bindings b
 WHERE b.tenant_id = %(tenant_id)s AND b.name = %(name)s AND b.platform = %(platform)s AND (b.version = %(version)s OR (b.version IS NULL AND NOT EXISTS (
       SELECT FROM agents.integration_schema_versions v
        WHERE v.tenant_id = b.tenant_id AND v.name = b.name AND v.platform = b.platform AND v.version <> %(version)s)))
 ORDER BY what LIMIT 5

-- removed: the versions that were removed, by number
SELECT number, version FROM agents.integration_schema_removals
 WHERE tenant_id = %(tenant_id)s AND name = %(name)s AND platform = %(platform)s ORDER BY number

-- remove: a version, and remember that it was there
WITH gone AS (
     DELETE FROM agents.integration_schema_versions
      WHERE tenant_id = %(tenant_id)s AND name = %(name)s AND platform = %(platform)s AND version = %(version)s
  RETURNING name, platform, number, version)
INSERT INTO agents.integration_schema_removals (name, platform, number, version, removed_by)
SELECT name, platform, number, version, %(user)s FROM gone

-- list: the schemas, each with its newest version
SELECT s.name, s.platform, s.kind, s.compatibility, count(*)::int AS versions, (array_agg(v.version ORDER BY v.number DESC))[1] AS newest,
       max(v.created_at) AS changed_at
  FROM agents.integration_schemas s JOIN agents.integration_schema_versions v USING (tenant_id, name, platform)
 WHERE s.tenant_id = %(tenant_id)s GROUP BY s.name, s.platform, s.kind, s.compatibility ORDER BY s.name, s.platform LIMIT %(limit)s

-- set_compatibility: which versions must fit together from now on
UPDATE agents.integration_schemas SET compatibility = %(compatibility)s
 WHERE tenant_id = %(tenant_id)s AND name = %(name)s AND platform = %(platform)s

-- bind: what must fit a schema from now on
INSERT INTO agents.integration_schema_bindings (boundary, subject, name, platform, version, created_by)
VALUES (%(boundary)s, %(subject)s, %(name)s, %(platform)s, %(version)s, %(user)s)
    ON CONFLICT (tenant_id, boundary, subject)
    DO UPDATE SET name = excluded.name, platform = excluded.platform, version = excluded.version, created_by = excluded.created_by, created_at = now()

-- unbind: what need not fit a schema any more
DELETE FROM agents.integration_schema_bindings WHERE tenant_id = %(tenant_id)s AND boundary = %(boundary)s AND subject = %(subject)s

-- bindings: what must fit a schema, with the version that it must fit now
SELECT b.boundary, b.subject, b.name, b.platform, b.version, v.version AS current, v.number, b.created_by, b.created_at
  FROM agents.integration_schema_bindings b
  LEFT JOIN LATERAL (
       SELECT v.version, v.number FROM agents.integration_schema_versions v
        WHERE v.tenant_id = b.tenant_id AND v.name = b.name AND v.platform = b.platform AND (b.version IS NULL OR v.version = b.version)
        ORDER BY v.number DESC LIMIT 1) v ON true
 WHERE b.tenant_id = %(tenant_id)s ORDER BY b.boundary, b.subject LIMIT %(limit)s
