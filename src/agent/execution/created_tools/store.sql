-- active: the versions in use, with their approvals
SELECT t.*, q.status AS approval_status, q.action AS approved_action, q.binding
  FROM agents.created_tools t
  JOIN agents.human_approval_queue q ON q.tenant_id = t.tenant_id AND q.id = t.approval_id
 WHERE t.tenant_id = %(tenant_id)s AND t.database_id = %(database_id)s AND t.status = 'active'
   AND (%(name)s::text IS NULL OR t.name = %(name)s)
 ORDER BY t.name

-- versions: the versions of one tool or of all, the newest first
SELECT t.*, q.status AS approval_status, q.action AS approved_action, q.binding, q.decided_by AS approved_by
  FROM agents.created_tools t
  JOIN agents.human_approval_queue q ON q.tenant_id = t.tenant_id AND q.id = t.approval_id
 WHERE t.tenant_id = %(tenant_id)s AND t.database_id = %(database_id)s AND (%(name)s::text IS NULL OR t.name = %(name)s)
 ORDER BY t.name, t.version DESC

-- by_id: one version, in use or not
SELECT t.*, q.status AS approval_status, q.action AS approved_action, q.binding
  FROM agents.created_tools t
  JOIN agents.human_approval_queue q ON q.tenant_id = t.tenant_id AND q.id = t.approval_id
 WHERE t.tenant_id = %(tenant_id)s AND t.id = %(id)s

-- of_call: the version with which the run of this call began
SELECT tool_id FROM agents.tool_runs
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn = %(turn)s AND round = %(round)s AND ordinal = %(ordinal)s

-- of_approval: the version that was stored for an approval
SELECT name, version FROM agents.created_tools WHERE tenant_id = %(tenant_id)s AND approval_id = %(approval_id)s

-- retire: take the version in use out of use, for another one or for none
UPDATE agents.created_tools SET status = %(status)s, changed_by = %(changed_by)s, changed_at = now()
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND name = %(name)s AND status = 'active'
RETURNING id

-- activate: put an approved version into use
UPDATE agents.created_tools SET status = 'active', changed_by = %(changed_by)s, changed_at = now()
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s
RETURNING id

-- store: store an approved version; of two proposals for the same version number, only the first
INSERT INTO agents.created_tools (tenant_id, database_id, name, version, description, parameters, code, tests, capabilities, hosts,
  content_hash, signature, created_by, approval_id, changed_by)
VALUES (%(tenant_id)s, %(database_id)s, %(name)s, %(version)s, %(description)s, %(parameters)s, %(code)s, %(tests)s,
  %(capabilities)s, %(hosts)s, %(content_hash)s, %(signature)s, %(created_by)s, %(approval_id)s, %(created_by)s)
ON CONFLICT DO NOTHING
RETURNING id
