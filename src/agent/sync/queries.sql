-- notify: wake the readers of every process; sent apart from what it tells of
SELECT pg_notify(%(channel)s, '')

-- register_agents: name agents that are not known yet
INSERT INTO agents.agents (tenant_id, agent_id, name, registered_by)
SELECT %(tenant_id)s, given.id, given.id, %(by)s FROM unnest(%(agent_ids)s::text[]) AS given(id)
ON CONFLICT DO NOTHING

-- known_agents: which of these agents are in the registry
SELECT agent_id FROM agents.agents WHERE tenant_id = %(tenant_id)s AND agent_id = ANY(%(agent_ids)s::text[])

-- save_agent: name an agent, or say more of it; what is null stays as it is
INSERT INTO agents.agents AS a (tenant_id, agent_id, name, agent_type, capabilities, status, registered_by)
VALUES (%(tenant_id)s, %(agent_id)s, coalesce(%(name)s::text, %(agent_id)s), coalesce(%(agent_type)s::text, 'agent'),
        coalesce(%(capabilities)s::jsonb, '[]'), coalesce(%(status)s::text, 'unknown'), %(by)s)
ON CONFLICT (tenant_id, agent_id) DO UPDATE
   SET name = coalesce(%(name)s::text, a.name), agent_type = coalesce(%(agent_type)s::text, a.agent_type),
       capabilities = coalesce(%(capabilities)s::jsonb, a.capabilities), status = coalesce(%(status)s::text, a.status)
RETURNING a.*, coalesce(heartbeat_at > now() - %(silence)s, false) AS online

-- heartbeat: an agent is alive; its status changes where one is given
UPDATE agents.agents SET heartbeat_at = now(), status = coalesce(%(status)s::text, status)
 WHERE tenant_id = %(tenant_id)s AND agent_id = %(agent_id)s
RETURNING *, true AS online

-- alive: these agents are connected
UPDATE agents.agents SET heartbeat_at = now() WHERE tenant_id = %(tenant_id)s AND agent_id = ANY(%(agent_ids)s::text[])

-- agents: the registry, by name
SELECT *, coalesce(heartbeat_at > now() - %(silence)s, false) AS online FROM agents.agents
 WHERE tenant_id = %(tenant_id)s AND (%(agent_id)s::text IS NULL OR agent_id = %(agent_id)s::text)
 ORDER BY name, agent_id

-- create_channel: make a channel unless one of that name is there
WITH made AS (
  INSERT INTO agents.agent_sync_channels (tenant_id, name, channel_type, sync_strategy, batch_size, batch_ms, created_by)
  VALUES (%(tenant_id)s, %(name)s, %(channel_type)s, %(sync_strategy)s, %(batch_size)s, %(batch_ms)s, %(by)s)
  ON CONFLICT (tenant_id, name) DO NOTHING
  RETURNING channel_id, sync_strategy)
INSERT INTO agents.agent_channel_counters (tenant_id, channel_id, released)
SELECT %(tenant_id)s, made.channel_id, CASE WHEN made.sync_strategy = 'manual' THEN 0 END FROM made

-- channels: one channel by its id or name, or all, by name
SELECT h.*, h.channel_id::text AS channel_id, c.epoch, c.last_sequence, c.first_sequence,
       coalesce(c.released, c.last_sequence) AS released_sequence,
       (SELECT count(*) FROM agents.agent_channel_subscriptions s
         WHERE s.tenant_id = h.tenant_id AND s.channel_id = h.channel_id) AS subscriber_count
  FROM agents.agent_sync_channels h JOIN agents.agent_channel_counters c USING (tenant_id, channel_id)
 WHERE h.tenant_id = %(tenant_id)s AND (%(channel_id)s::uuid IS NULL OR h.channel_id = %(channel_id)s::uuid)
   AND (%(name)s::text IS NULL OR h.name = %(name)s::text)
 ORDER BY h.name

-- release: let a manual channel deliver what was published so far
UPDATE agents.agent_channel_counters SET released = last_sequence
 WHERE tenant_id = %(tenant_id)s AND channel_id = %(channel_id)s AND released IS NOT NULL

-- begin_epoch: say that the channel's history before now is no longer what readers have seen
UPDATE agents.agent_channel_counters SET epoch = replace(gen_random_uuid()::text, '-', '')
 WHERE tenant_id = %(tenant_id)s AND channel_id = %(channel_id)s

-- publish: count on and append, in one statement; the counter's row stays locked until the commit
WITH counter AS (
  UPDATE agents.agent_channel_counters c SET last_sequence = c.last_sequence + %(count)s
   WHERE c.tenant_id = %(tenant_id)s AND c.channel_id = %(channel_id)s
  RETURNING c.epoch, c.last_sequence - %(count)s AS before),
     stored AS (
INSERT INTO agents.agent_sync_events
       (tenant_id, channel_id, sequence, event_type, source_agent_id, target_agents, dedupe_key, data)
SELECT %(tenant_id)s, %(channel_id)s, counter.before + g.place, g.event_type, g.source,
       CASE WHEN g.targets IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(g.targets::jsonb)) END, g.dedupe_key, g.data::jsonb
  FROM counter, unnest(%(types)s::text[], %(sources)s::text[], %(targets)s::text[], %(keys)s::text[], %(data)s::text[])
       WITH ORDINALITY AS g(event_type, source, targets, dedupe_key, data, place)
RETURNING 1)
SELECT epoch, before, now() AS published_at, (SELECT count(*) FROM stored) AS stored FROM counter

-- publish_one: the same for one event, which needs no list; where nobody was woken just now, it wakes the readers itself
WITH counter AS (
  UPDATE agents.agent_channel_counters c SET last_sequence = c.last_sequence + 1
   WHERE c.tenant_id = %(tenant_id)s AND c.channel_id = %(channel_id)s
  RETURNING c.epoch, c.last_sequence)
INSERT INTO agents.agent_sync_events
       (tenant_id, channel_id, sequence, event_type, source_agent_id, target_agents, dedupe_key, data)
SELECT %(tenant_id)s, %(channel_id)s, counter.last_sequence, %(event_type)s, %(source)s, %(targets)s::text[], %(dedupe_key)s,
       %(data)s::jsonb
  FROM counter
RETURNING sequence, published_at, (SELECT epoch FROM counter) AS epoch, CASE WHEN %(wakes)s THEN pg_notify('agents_sync', '') END AS woken

-- published_before: events that were published with these keys
SELECT e.*, e.channel_id::text AS channel_id, c.epoch FROM agents.agent_sync_events e
  JOIN agents.agent_channel_counters c USING (tenant_id, channel_id)
 WHERE e.tenant_id = %(tenant_id)s AND e.channel_id = %(channel_id)s AND e.dedupe_key = ANY(%(keys)s::text[])

-- channels_of_agent: what an agent is subscribed to, and from where it has not acknowledged
SELECT s.channel_id::text AS channel_id, s.start_sequence, s.epoch AS read_epoch, s.include_own, c.epoch, c.first_sequence,
       c.last_sequence, coalesce(c.released, c.last_sequence) AS visible,
       coalesce((SELECT min(d.sequence) - 1 FROM agents.agent_sync_deliveries d
                  WHERE d.tenant_id = s.tenant_id AND d.channel_id = s.channel_id AND d.agent_id = s.agent_id), s.delivered_through)
         AS unacknowledged_after
  FROM agents.agent_channel_subscriptions s JOIN agents.agent_channel_counters c USING (tenant_id, channel_id)
 WHERE s.tenant_id = %(tenant_id)s AND s.agent_id = %(agent_id)s
   AND (%(channel_id)s::uuid IS NULL OR s.channel_id = %(channel_id)s::uuid)
 ORDER BY s.channel_id

-- read_on: what is new after known places, in one look; a subscription that is not among them, or has a gap, is counted and not read
SELECT s.channel_id::text AS channel_id, c.epoch, coalesce(c.released, c.last_sequence) AS visible,
       e.sequence, e.event_type, e.source_agent_id, e.target_agents, e.data, e.published_at,
       (SELECT count(*) FROM agents.agent_channel_subscriptions o
         WHERE o.tenant_id = %(tenant_id)s AND o.agent_id = %(agent_id)s
           AND (%(channel_id)s::uuid IS NULL OR o.channel_id = %(channel_id)s::uuid)) AS subscribed
  FROM unnest(%(channel_ids)s::uuid[], %(epochs)s::text[], %(after)s::bigint[]) AS place(channel_id, epoch, after)
  JOIN agents.agent_channel_subscriptions s
    ON s.tenant_id = %(tenant_id)s AND s.agent_id = %(agent_id)s AND s.channel_id = place.channel_id
   AND (%(channel_id)s::uuid IS NULL OR s.channel_id = %(channel_id)s::uuid)
  JOIN agents.agent_channel_counters c ON c.tenant_id = s.tenant_id AND c.channel_id = s.channel_id AND c.epoch = place.epoch
   AND place.after BETWEEN c.first_sequence - 1 AND c.last_sequence
  LEFT JOIN LATERAL (
   SELECT * FROM agents.agent_sync_events e
    WHERE e.tenant_id = %(tenant_id)s AND e.channel_id = place.channel_id
      AND e.sequence > place.after AND e.sequence <= coalesce(c.released, c.last_sequence)
      AND (e.target_agents IS NULL OR %(agent_id)s = ANY(e.target_agents))
      AND (s.include_own OR e.source_agent_id IS DISTINCT FROM %(agent_id)s)
    ORDER BY e.sequence LIMIT %(limit)s) e ON true
 ORDER BY s.channel_id, e.sequence

-- read_events: the events after a place of each channel that are for an agent
SELECT e.*, e.channel_id::text AS channel_id, place.epoch
  FROM unnest(%(channel_ids)s::uuid[], %(epochs)s::text[], %(after)s::bigint[], %(through)s::bigint[], %(own)s::boolean[])
       AS place(channel_id, epoch, after, through, own)
 CROSS JOIN LATERAL (
   SELECT * FROM agents.agent_sync_events e
    WHERE e.tenant_id = %(tenant_id)s AND e.channel_id = place.channel_id
      AND e.sequence > place.after AND e.sequence <= place.through
      AND (e.target_agents IS NULL OR %(agent_id)s = ANY(e.target_agents))
      AND (place.own OR e.source_agent_id IS DISTINCT FROM %(agent_id)s)
    ORDER BY e.sequence LIMIT %(limit)s) e
 ORDER BY e.channel_id, e.sequence

-- followed: where some agents are subscribed, with those of each channel
SELECT s.channel_id::text AS channel_id, s.include_own, array_agg(s.agent_id) AS agent_ids
  FROM agents.agent_channel_subscriptions s
 WHERE s.tenant_id = %(tenant_id)s AND s.agent_id = ANY(%(agent_ids)s::text[])
 GROUP BY s.channel_id, s.include_own

-- feed: what came to some channels since they were read, once for all who follow them, and a digest of where these are subscribed
SELECT known.digest, c.channel_id::text AS channel_id, c.epoch, coalesce(c.released, c.last_sequence) AS visible,
       e.sequence, e.event_type, e.source_agent_id, e.target_agents, e.data, e.published_at, octet_length(e.data::text) AS size
  FROM (SELECT concat(count(*), ' ', bit_xor(hashtextextended(concat_ws(' ', s.channel_id, s.include_own, s.agent_id), 0))) AS digest
          FROM agents.agent_channel_subscriptions s
         WHERE s.tenant_id = %(tenant_id)s AND s.agent_id = ANY(%(agent_ids)s::text[])) known
  LEFT JOIN (unnest(%(channel_ids)s::uuid[], %(epochs)s::text[], %(after)s::bigint[]) AS place(channel_id, epoch, after)
       JOIN agents.agent_channel_counters c ON c.tenant_id = %(tenant_id)s AND c.channel_id = place.channel_id) ON true
  LEFT JOIN LATERAL (
   SELECT * FROM agents.agent_sync_events e
    WHERE e.tenant_id = %(tenant_id)s AND e.channel_id = place.channel_id AND c.epoch = place.epoch
      AND e.sequence > place.after AND e.sequence <= coalesce(c.released, c.last_sequence)
    ORDER BY e.sequence LIMIT %(limit)s) e ON true
 ORDER BY c.channel_id, e.sequence

-- save_simulation: keep the results of a simulation
INSERT INTO agents.agent_simulations AS m (tenant_id, simulation_id, subject, results, created_by)
VALUES (%(tenant_id)s, %(simulation_id)s, %(subject)s, %(results)s::jsonb, %(by)s)
ON CONFLICT (tenant_id, simulation_id) DO UPDATE SET results = excluded.results, updated_at = now()

-- statistics: figures of one channel, or of all
SELECT (SELECT count(*) FROM agents.agent_sync_channels h
         WHERE h.tenant_id = %(tenant_id)s AND (%(channel_id)s::uuid IS NULL OR h.channel_id = %(channel_id)s::uuid)) AS channels,
       (SELECT coalesce(sum(c.last_sequence - c.first_sequence + 1), 0) FROM agents.agent_channel_counters c
         WHERE c.tenant_id = %(tenant_id)s AND (%(channel_id)s::uuid IS NULL OR c.channel_id = %(channel_id)s::uuid))::bigint AS event_count,
       (SELECT coalesce(max(c.last_sequence), 0) FROM agents.agent_channel_counters c
         WHERE c.tenant_id = %(tenant_id)s AND (%(channel_id)s::uuid IS NULL OR c.channel_id = %(channel_id)s::uuid)) AS last_sequence,
       (SELECT count(*) FROM agents.agents a WHERE a.tenant_id = %(tenant_id)s) AS agents,
       (SELECT count(*) FROM agents.agents a
         WHERE a.tenant_id = %(tenant_id)s AND a.heartbeat_at > now() - %(silence)s) AS agents_online,
       (SELECT count(*) FROM agents.agent_state_snapshots n WHERE n.tenant_id = %(tenant_id)s) AS snapshots,
       (SELECT count(*) FROM agents.agent_state_conflicts n
         WHERE n.tenant_id = %(tenant_id)s AND n.resolved_at IS NULL) AS open_conflicts

-- expired_events: forget events that are older than they are kept; the channel says from where it still has them
WITH old AS (
  SELECT c.channel_id, coalesce((SELECT min(e.sequence) FROM agents.agent_sync_events e
           WHERE e.tenant_id = c.tenant_id AND e.channel_id = c.channel_id AND e.published_at >= now() - %(kept)s), c.last_sequence + 1) AS first
    FROM agents.agent_channel_counters c WHERE c.tenant_id = %(tenant_id)s FOR UPDATE OF c),
moved AS (
  UPDATE agents.agent_channel_counters c SET first_sequence = greatest(c.first_sequence, old.first) FROM old
   WHERE c.tenant_id = %(tenant_id)s AND c.channel_id = old.channel_id AND old.first > c.first_sequence)
DELETE FROM agents.agent_sync_events e USING old
 WHERE e.tenant_id = %(tenant_id)s AND e.channel_id = old.channel_id AND e.sequence < old.first
