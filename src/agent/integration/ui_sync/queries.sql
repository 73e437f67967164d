-- component: a component's state
SELECT component_id, state, version, updated_by, updated_at FROM agents.ui_components
 WHERE tenant_id = %(tenant_id)s AND component_id = %(component_id)s

-- lock_component: the same, and nobody else changes it before this transaction ends
SELECT component_id, state, version FROM agents.ui_components
 WHERE tenant_id = %(tenant_id)s AND component_id = %(component_id)s FOR UPDATE

-- components: every component, the newest change first
SELECT component_id, version, updated_by, updated_at FROM agents.ui_components
 WHERE tenant_id = %(tenant_id)s ORDER BY updated_at DESC LIMIT %(limit)s

-- make_component: make a component unless it is there
INSERT INTO agents.ui_components (tenant_id, component_id, state, version, updated_by)
VALUES (%(tenant_id)s, %(component_id)s, 'null', 1, %(by)s) ON CONFLICT DO NOTHING

-- save_component: keep a component's next version
UPDATE agents.ui_components SET state = %(state)s::jsonb, version = %(version)s, updated_by = %(by)s, updated_at = now()
 WHERE tenant_id = %(tenant_id)s AND component_id = %(component_id)s

-- add_change: keep what made a version
INSERT INTO agents.ui_changes (tenant_id, component_id, version, mutation_id, patch, made_by)
VALUES (%(tenant_id)s, %(component_id)s, %(version)s, %(mutation_id)s, %(patch)s::jsonb, %(by)s)

-- change_of: the version that a mutation made
SELECT version, mutation_id, patch FROM agents.ui_changes
 WHERE tenant_id = %(tenant_id)s AND component_id = %(component_id)s AND mutation_id = %(mutation_id)s

-- changes: what was changed after a version, in order
SELECT version, mutation_id, patch FROM agents.ui_changes
 WHERE tenant_id = %(tenant_id)s AND component_id = %(component_id)s AND version > %(after)s ORDER BY version LIMIT %(limit)s

-- forget_changes: of each component the newest changes are kept
DELETE FROM agents.ui_changes c USING agents.ui_components k
 WHERE c.tenant_id = %(tenant_id)s AND k.tenant_id = c.tenant_id AND k.component_id = c.component_id
   AND c.version <= k.version - %(kept)s

-- delete_component: forget a component
DELETE FROM agents.ui_components WHERE tenant_id = %(tenant_id)s AND component_id = %(component_id)s
