-- guards_now: the database's time, the break-glass that is open (its admin must still be one), and whether people are named
SELECT clock_timestamp() AS now, b.id, b.opened_by, b.reason, b.opened_at, b.expires_at,
       EXISTS (SELECT FROM agents.people w WHERE w.tenant_id = %(tenant_id)s) AS several
  FROM (SELECT) one
  LEFT JOIN LATERAL (
    SELECT g.* FROM agents.break_glass g
     WHERE g.tenant_id = %(tenant_id)s AND g.ended_at IS NULL AND g.expires_at > clock_timestamp()
       AND EXISTS (SELECT FROM agents.people p WHERE p.tenant_id = g.tenant_id AND p.name = g.opened_by AND p.active
                                                 AND 'admin' = ANY (p.roles))
     ORDER BY g.expires_at DESC, g.id DESC LIMIT 1) b ON true

-- open_break_glass: open one for a time
INSERT INTO agents.break_glass (tenant_id, opened_by, reason, expires_at)
VALUES (%(tenant_id)s, %(opened_by)s, %(reason)s, clock_timestamp() + %(life)s)
RETURNING id, opened_by, reason, opened_at, expires_at

-- end_break_glass: end all that are open
UPDATE agents.break_glass SET ended_at = clock_timestamp(), ended_by = %(ended_by)s
 WHERE tenant_id = %(tenant_id)s AND ended_at IS NULL AND expires_at > clock_timestamp()
RETURNING id

-- wait_for_conditions: let a worker look at an approved action again later
INSERT INTO agents.open_work AS w (tenant_id, kind, subject, ready_at)
VALUES (%(tenant_id)s, 'approval', %(approval_id)s::bigint::text, now() + %(wait)s)
ON CONFLICT (tenant_id, kind, subject) DO UPDATE SET ready_at = excluded.ready_at, attempts = 0

-- look_now: let workers look at once at the approved actions that wait
UPDATE agents.open_work SET ready_at = now() WHERE tenant_id = %(tenant_id)s AND kind = 'approval' AND ready_at > now()
