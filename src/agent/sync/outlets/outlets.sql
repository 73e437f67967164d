-- add: begin an outlet at the present end of its channel; one that is there stays as it is
INSERT INTO agents.agent_sync_outlets (tenant_id, channel_id, kind, target, epoch, sent_through, created_by)
SELECT %(tenant_id)s, c.channel_id, %(kind)s, %(target)s, c.epoch,
       CASE WHEN %(all)s THEN c.first_sequence - 1 ELSE coalesce(c.released, c.last_sequence) END, %(by)s
  FROM agents.agent_channel_counters c WHERE c.tenant_id = %(tenant_id)s AND c.channel_id = %(channel_id)s
ON CONFLICT (tenant_id, channel_id, kind, target) DO NOTHING

-- outlets: those of one channel, or all
SELECT o.*, o.outlet_id::text AS outlet_id, o.channel_id::text AS channel_id,
       greatest(0, coalesce(c.released, c.last_sequence) - o.sent_through) AS lag
  FROM agents.agent_sync_outlets o JOIN agents.agent_channel_counters c USING (tenant_id, channel_id)
 WHERE o.tenant_id = %(tenant_id)s AND (%(channel_id)s::uuid IS NULL OR o.channel_id = %(channel_id)s::uuid)
 ORDER BY o.created_at, o.outlet_id

-- remove: end an outlet; what was passed on stays there
DELETE FROM agents.agent_sync_outlets WHERE tenant_id = %(tenant_id)s AND outlet_id = %(outlet_id)s

-- take: take an outlet that is behind and due, for a time; whoever dies with it leaves it to others
UPDATE agents.agent_sync_outlets o SET holder = gen_random_uuid(), ready_at = now() + %(hold)s
  FROM agents.agent_channel_counters c
 WHERE o.tenant_id = %(tenant_id)s AND (c.tenant_id, c.channel_id) = (o.tenant_id, o.channel_id) AND o.outlet_id = (
   SELECT d.outlet_id FROM agents.agent_sync_outlets d JOIN agents.agent_channel_counters e USING (tenant_id, channel_id)
    WHERE d.tenant_id = %(tenant_id)s AND d.kind = ANY(%(kinds)s::text[]) AND d.ready_at <= now()
      AND (d.sent_through < coalesce(e.released, e.last_sequence) OR d.epoch <> e.epoch)
    ORDER BY d.ready_at FOR UPDATE OF d SKIP LOCKED LIMIT 1)
RETURNING o.outlet_id, o.channel_id, o.channel_id::text AS channel, o.kind, o.target, o.epoch, o.sent_through, o.attempts, o.holder,
          c.epoch AS channel_epoch, c.first_sequence, c.last_sequence, coalesce(c.released, c.last_sequence) AS visible

-- to_send: the next events of a channel
SELECT e.*, e.channel_id::text AS channel_id, %(epoch)s AS epoch FROM agents.agent_sync_events e
 WHERE e.tenant_id = %(tenant_id)s AND e.channel_id = %(channel_id)s AND e.sequence > %(after)s AND e.sequence <= %(visible)s
 ORDER BY e.sequence LIMIT %(limit)s

-- sent: the receiver has these; whoever has lost the outlet meanwhile changes nothing
UPDATE agents.agent_sync_outlets SET epoch = %(epoch)s, sent_through = %(through)s, attempts = 0, error = NULL, ready_at = now()
 WHERE tenant_id = %(tenant_id)s AND outlet_id = %(outlet_id)s AND holder = %(holder)s

-- failed: the receiver has not taken them; when to try again
UPDATE agents.agent_sync_outlets SET attempts = attempts + 1, error = %(error)s, ready_at = now() + %(wait)s
 WHERE tenant_id = %(tenant_id)s AND outlet_id = %(outlet_id)s AND holder = %(holder)s

-- tenants: every tenant that uses the agent
SELECT tenant_id FROM agents.tenants ORDER BY tenant_id
