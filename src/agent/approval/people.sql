-- membership: whether anybody is named, who this person is, and which of the earlier voters may still vote
SELECT EXISTS (SELECT FROM agents.people WHERE tenant_id = %(tenant_id)s) AS several, p.name, p.roles, p.active,
       (SELECT coalesce(array_agg(v.name), '{}') FROM agents.people v
         WHERE v.tenant_id = %(tenant_id)s AND v.name = ANY (%(voters)s::text[]) AND v.active
           AND v.roles && '{approver,admin}') AS voters
  FROM (SELECT) AS one
  LEFT JOIN agents.people p ON p.tenant_id = %(tenant_id)s AND lower(p.name) = lower(%(name)s)

-- people: everybody, by name
SELECT name, roles, active, changed_by, changed_at FROM agents.people WHERE tenant_id = %(tenant_id)s ORDER BY lower(name)

-- lock_people: lock everybody, so that two changes cannot both remove one of the last two admins
SELECT name, roles, active FROM agents.people WHERE tenant_id = %(tenant_id)s ORDER BY name FOR UPDATE

-- save_person: add a person, or give them other roles, or restore them
INSERT INTO agents.people AS p (tenant_id, name, roles, active, changed_by)
VALUES (%(tenant_id)s, %(name)s, %(roles)s, true, %(changed_by)s)
ON CONFLICT (tenant_id, lower(name)) DO UPDATE
   SET roles = EXCLUDED.roles, active = true, changed_by = EXCLUDED.changed_by, changed_at = now()
RETURNING name, roles, active

-- remove_person: take a person's rights away; they stay on the list
UPDATE agents.people SET active = false, changed_by = %(changed_by)s, changed_at = now()
 WHERE tenant_id = %(tenant_id)s AND lower(name) = lower(%(name)s) AND active
RETURNING name, roles, active

-- remove_everybody: remove all people; one user decides everything again
DELETE FROM agents.people WHERE tenant_id = %(tenant_id)s
