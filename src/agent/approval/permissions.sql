-- keep: store a permission with the approval that granted it
INSERT INTO agents.permissions (tenant_id, database_id, tool, pattern, sentence, tables, risk_ceiling, most_rows, granted_to,
       granted_by, comment, approval_id, expires_at)
VALUES (%(tenant_id)s, %(database_id)s, %(tool)s, %(pattern)s, %(sentence)s, %(tables)s, %(risk_ceiling)s, %(most_rows)s,
        %(granted_to)s, %(granted_by)s, %(comment)s, %(approval_id)s, clock_timestamp() + %(life)s)
RETURNING *

-- open: the permissions of this person for this tool now; whoever granted one must still have the role to decide
SELECT p.* FROM agents.permissions p
 WHERE p.tenant_id = %(tenant_id)s AND p.database_id = %(database_id)s AND p.tool = %(tool)s AND p.granted_to = %(user)s
   AND p.revoked_at IS NULL AND p.expires_at > clock_timestamp()
   AND (NOT EXISTS (SELECT FROM agents.people w WHERE w.tenant_id = p.tenant_id)
        OR EXISTS (SELECT FROM agents.people w WHERE w.tenant_id = p.tenant_id AND w.name = p.granted_by AND w.active
                                                 AND w.roles && '{approver,admin}'))
 ORDER BY p.id

-- use: approve a request by a permission if it has the given binding; the lock orders it with a revocation
WITH held AS (
  SELECT p.id, p.risk_ceiling FROM agents.permissions p
   WHERE p.tenant_id = %(tenant_id)s AND p.id = %(permission_id)s AND p.revoked_at IS NULL AND p.expires_at > clock_timestamp()
     FOR SHARE
)
UPDATE agents.human_approval_queue q
   SET status = 'approved', decided_by = 'permission ' || held.id, decided_via = 'permission', permission_id = held.id,
       decided_at = clock_timestamp()
  FROM held
 WHERE q.tenant_id = %(tenant_id)s AND q.id = %(id)s AND q.status = 'pending' AND q.expires_at > clock_timestamp()
   AND q.binding = %(binding)s AND q.risk_level <> 'CRITICAL'
   AND array_position('{LOW,MEDIUM,HIGH}'::text[], q.risk_level::text)
       <= array_position('{LOW,MEDIUM,HIGH}'::text[], held.risk_ceiling::text)
   AND (q.votes_needed = 1 OR NOT EXISTS (SELECT FROM agents.people w WHERE w.tenant_id = q.tenant_id))
RETURNING q.*

-- permissions: all permissions with their uses, the newest first
SELECT p.*, u.uses, u.last_used, clock_timestamp() AS read_at
  FROM agents.permissions p
 CROSS JOIN LATERAL (SELECT count(*) AS uses, max(q.decided_at) AS last_used FROM agents.human_approval_queue q
                      WHERE q.tenant_id = p.tenant_id AND q.permission_id = p.id) u
 WHERE p.tenant_id = %(tenant_id)s AND p.database_id = %(database_id)s AND (%(before)s::bigint IS NULL OR p.id < %(before)s)
 ORDER BY p.id DESC LIMIT %(limit)s

-- of_approval: the permission that an approval granted, with its uses
SELECT p.*, u.uses, u.last_used, clock_timestamp() AS read_at
  FROM agents.permissions p
 CROSS JOIN LATERAL (SELECT count(*) AS uses, max(q.decided_at) AS last_used FROM agents.human_approval_queue q
                      WHERE q.tenant_id = p.tenant_id AND q.permission_id = p.id) u
 WHERE p.tenant_id = %(tenant_id)s AND p.approval_id = %(approval_id)s

-- revoke: end a permission; the first revocation stays
UPDATE agents.permissions SET revoked_at = clock_timestamp(), revoked_by = %(revoked_by)s
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND revoked_at IS NULL
RETURNING id

-- permission_exists: who revoked a permission; no row if it never existed
SELECT revoked_by FROM agents.permissions WHERE tenant_id = %(tenant_id)s AND id = %(id)s
