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

-- add: a version
INSERT INTO agents.integration_schema_versions (name, platform, number, version, definition, digest, options, created_by)
VALUES (%(name)s, %(platform)s, %(number)s, %(version)s, %(definition)s, %(digest)s, %(options)s::jsonb, %(user)s)
RETURNING created_at

-- list: the schemas, each with its newest version
SELECT s.name, s.platform, s.kind, s.compatibility, count(*)::int AS versions, (array_agg(v.version ORDER BY v.number DESC))[1] AS newest,
       max(v.created_at) AS changed_at
  FROM agents.integration_schemas s JOIN agents.integration_schema_versions v USING (tenant_id, name, platform)
 WHERE s.tenant_id = %(tenant_id)s GROUP BY s.name, s.platform, s.kind, s.compatibility ORDER BY s.name, s.platform LIMIT %(limit)s

-- set_compatibility: which versions must fit together from now on
UPDATE agents.integration_schemas SET compatibility = %(compatibility)s
 WHERE tenant_id = %(tenant_id)s AND name = %(name)s AND platform = %(platform)s
