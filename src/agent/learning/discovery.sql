-- close_removed: objects that are gone are no longer true; their memories stay readable as history
UPDATE agents.agent_memory SET valid_until = now(), updated_at = now()
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND kind = 'schema' AND valid_until IS NULL
   AND subject IS NOT NULL AND subject <> ALL (%(subjects)s::text[])

-- known: what was discovered last, without the structure
SELECT fingerprint, discovered_at FROM agents.discovered_databases
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s

-- store: what was discovered now
INSERT INTO agents.discovered_databases (tenant_id, database_id, name, fingerprint, structure, discovered_at)
VALUES (%(tenant_id)s, %(database_id)s, %(name)s, %(fingerprint)s, %(structure)s, %(discovered_at)s)
ON CONFLICT (tenant_id, database_id) DO UPDATE
   SET name = excluded.name, fingerprint = excluded.fingerprint, structure = excluded.structure,
       discovered_at = excluded.discovered_at, checked_at = now()

-- structure: what was discovered last
SELECT structure, fingerprint FROM agents.discovered_databases WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s
