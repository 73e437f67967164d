-- create: a template that nobody has saved yet; a name that is taken changes nothing
INSERT INTO agents.plan_templates (id, name, draft, created_by, changed_by)
VALUES (%(id)s, %(name)s, %(draft)s::jsonb, %(user)s, %(user)s) ON CONFLICT DO NOTHING RETURNING id

-- count: how many templates there are
SELECT count(*)::int AS n FROM agents.plan_templates WHERE tenant_id = %(tenant_id)s

-- list: the templates, what was changed last first
SELECT t.id, t.name, t.draft ->> 'summary' AS summary, jsonb_array_length(t.draft #> '{plan,steps}') AS steps, t.changed_by, t.changed_at,
       (SELECT max(v.version) FROM agents.plan_template_versions v WHERE v.tenant_id = t.tenant_id AND v.template_id = t.id) AS version
  FROM agents.plan_templates t WHERE t.tenant_id = %(tenant_id)s ORDER BY t.changed_at DESC, t.name LIMIT %(limit)s

-- get: one template with its draft
SELECT id, name, draft, created_by, changed_by, changed_at FROM agents.plan_templates WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- named: the template of a name
SELECT id FROM agents.plan_templates WHERE tenant_id = %(tenant_id)s AND name = %(name)s

-- lock: one template, until its draft is changed
SELECT draft FROM agents.plan_templates WHERE tenant_id = %(tenant_id)s AND id = %(id)s FOR UPDATE

-- change: another draft
UPDATE agents.plan_templates SET draft = %(draft)s::jsonb, changed_by = %(user)s, changed_at = now() WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- save: the next version
INSERT INTO agents.plan_template_versions (template_id, version, definition, note, saved_by)
SELECT %(id)s, coalesce(max(v.version), 0) + 1, %(definition)s::jsonb, %(note)s, %(user)s
  FROM agents.plan_template_versions v WHERE v.tenant_id = %(tenant_id)s AND v.template_id = %(id)s
RETURNING version

-- versions: the versions of a template, the newest first
SELECT version, note, saved_by, saved_at FROM agents.plan_template_versions
 WHERE tenant_id = %(tenant_id)s AND template_id = %(id)s ORDER BY version DESC LIMIT %(limit)s

-- version: one version, or the newest
SELECT version, definition, note, saved_by, saved_at FROM agents.plan_template_versions
 WHERE tenant_id = %(tenant_id)s AND template_id = %(id)s AND (%(version)s::integer IS NULL OR version = %(version)s)
 ORDER BY version DESC LIMIT 1

-- remove: a template with its versions
DELETE FROM agents.plan_templates WHERE tenant_id = %(tenant_id)s AND id = %(id)s
