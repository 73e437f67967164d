-- lock_agent: one change of an agent's state at a time
SELECT agent_id FROM agents.agents WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s FOR UPDATE

-- latest: the newest version of an agent's state
SELECT *, snapshot_id::text AS snapshot_id FROM agents.agent_state_snapshots
 WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s ORDER BY version DESC LIMIT 1

-- version: one version of an agent's state
SELECT *, snapshot_id::text AS snapshot_id FROM agents.agent_state_snapshots
 WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s AND version = %(version)s

-- versions: the newest versions of an agent's state
SELECT *, snapshot_id::text AS snapshot_id FROM agents.agent_state_snapshots
 WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s ORDER BY version DESC LIMIT %(limit)s

-- save_version: keep a version, and forget those that are too old
WITH old AS (
  DELETE FROM agents.agent_state_snapshots
   WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s AND version <= %(version)s - %(kept)s)
INSERT INTO agents.agent_state_snapshots (tenant_id, agent_id, version, state, clocks, source, created_by)
VALUES (%(tenant_id)s, %(agent_id)s, %(version)s, %(state)s::jsonb, %(clocks)s::jsonb, %(source)s, %(by)s)
RETURNING *, snapshot_id::text AS snapshot_id

-- save_conflict: keep both sides of a path, unless they are kept already
INSERT INTO agents.agent_state_conflicts (tenant_id, agent_id, path, sides, strategy, version)
SELECT %(tenant_id)s, %(agent_id)s, %(path)s, %(sides)s::jsonb, %(strategy)s, %(version)s
 WHERE NOT EXISTS (SELECT FROM agents.agent_state_conflicts
                    WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s AND resolved_at IS NULL AND path = %(path)s
                      AND sides = %(sides)s::jsonb)

-- conflicts: what waits for a decision, the oldest first
SELECT * FROM agents.agent_state_conflicts
 WHERE tenant_id = %(tenant_id)s AND resolved_at IS NULL AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s::text)
 ORDER BY conflict_id LIMIT 1000

-- conflict: one conflict
SELECT * FROM agents.agent_state_conflicts WHERE tenant_id = %(tenant_id)s AND conflict_id = %(conflict_id)s

-- close_conflict: somebody has decided
UPDATE agents.agent_state_conflicts SET resolution = %(resolution)s, resolved_by = %(by)s, resolved_at = now()
 WHERE tenant_id = %(tenant_id)s AND conflict_id = %(conflict_id)s AND resolved_at IS NULL
