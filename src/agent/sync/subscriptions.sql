-- subscribe: begin a durable subscription at a place of the channel; one that is there keeps its place
INSERT INTO agents.agent_channel_subscriptions AS s
       (tenant_id, channel_id, agent_id, epoch, start_sequence, delivered_through, include_own, ack_wait, max_deliver, backoff,
        max_ack_pending)
SELECT %(tenant_id)s, c.channel_id, %(agent_id)s, c.epoch, begins.at, begins.at - 1, %(include_own)s, %(ack_wait)s, %(max_deliver)s,
       %(backoff)s::interval[], %(max_ack_pending)s
  FROM agents.agent_channel_counters c
 CROSS JOIN LATERAL (SELECT CASE %(start)s
         WHEN 'new' THEN c.last_sequence + 1
         WHEN 'all' THEN c.first_sequence
         WHEN 'sequence' THEN least(greatest(%(sequence)s::bigint, 1), c.last_sequence + 1)
         ELSE coalesce((SELECT min(e.sequence) FROM agents.agent_sync_events e
                         WHERE e.tenant_id = c.tenant_id AND e.channel_id = c.channel_id AND e.published_at >= %(time)s::timestamptz),
                       c.last_sequence + 1) END AS at) begins
 WHERE c.tenant_id = %(tenant_id)s AND c.channel_id = %(channel_id)s
ON CONFLICT (tenant_id, channel_id, agent_id) DO UPDATE
   SET include_own = excluded.include_own, ack_wait = excluded.ack_wait, max_deliver = excluded.max_deliver,
       backoff = excluded.backoff, max_ack_pending = excluded.max_ack_pending

-- unsubscribe: end a subscription; what it had not acknowledged is forgotten with it
DELETE FROM agents.agent_channel_subscriptions
 WHERE tenant_id = %(tenant_id)s AND channel_id = %(channel_id)s AND agent_id = %(agent_id)s

-- subscriptions: those of one channel or agent, or all, with how far behind they are
SELECT s.*, s.channel_id::text AS channel_id, s.subscription_id::text AS subscription_id,
       extract(epoch FROM s.ack_wait)::float AS ack_wait_seconds,
       ARRAY(SELECT extract(epoch FROM wait)::float FROM unnest(s.backoff) wait) AS backoff_seconds,
       behind.lag, d.pending, d.dead,
       coalesce(greatest(0, extract(epoch FROM now() - least(d.oldest, e.published_at))), 0)::float AS lag_seconds,
       d.pending >= s.max_ack_pending OR coalesce(d.due < now() - s.ack_wait, false) AS stuck
  FROM agents.agent_channel_subscriptions s JOIN agents.agent_channel_counters c USING (tenant_id, channel_id)
 CROSS JOIN LATERAL (SELECT greatest(0, coalesce(c.released, c.last_sequence) - s.delivered_through) AS lag) behind
 CROSS JOIN LATERAL (
   SELECT count(*) FILTER (WHERE dead_at IS NULL) AS pending, count(dead_at) AS dead, min(delivered_at) FILTER (WHERE dead_at IS NULL) AS oldest,
          min(due_at) FILTER (WHERE dead_at IS NULL) AS due
     FROM agents.agent_sync_deliveries d
    WHERE d.tenant_id = s.tenant_id AND d.channel_id = s.channel_id AND d.agent_id = s.agent_id) d
  LEFT JOIN agents.agent_sync_events e ON e.tenant_id = s.tenant_id AND e.channel_id = s.channel_id
        AND e.sequence = greatest(s.delivered_through + 1, c.first_sequence) AND behind.lag > 0
 WHERE s.tenant_id = %(tenant_id)s AND (%(channel_id)s::uuid IS NULL OR s.channel_id = %(channel_id)s::uuid)
   AND (%(agent_id)s::text IS NULL OR s.agent_id = %(agent_id)s::text)
 ORDER BY s.channel_id, s.agent_id

-- lock_subscription: one reader of a subscription at a time
SELECT s.*, c.epoch AS channel_epoch, c.first_sequence, c.last_sequence, coalesce(c.released, c.last_sequence) AS visible
  FROM agents.agent_channel_subscriptions s JOIN agents.agent_channel_counters c USING (tenant_id, channel_id)
 WHERE s.tenant_id = %(tenant_id)s AND s.channel_id = %(channel_id)s AND s.agent_id = %(agent_id)s
   FOR UPDATE OF s

-- move_subscription: go on after a gap, and count what was lost
UPDATE agents.agent_channel_subscriptions SET epoch = %(epoch)s, delivered_through = %(after)s, lost = lost + %(lost)s
 WHERE tenant_id = %(tenant_id)s AND channel_id = %(channel_id)s AND agent_id = %(agent_id)s

-- forget_gone: pending deliveries whose events are no longer kept
DELETE FROM agents.agent_sync_deliveries
 WHERE tenant_id = %(tenant_id)s AND channel_id = %(channel_id)s AND agent_id = %(agent_id)s
   AND dead_at IS NULL AND sequence < %(first)s
RETURNING sequence

-- bury: what was delivered often enough without success, and how much is pending then. Not with the lock: a statement that waited for
-- the lock counts what was there before it waited
WITH buried AS (
  UPDATE agents.agent_sync_deliveries SET dead_at = clock_timestamp()
   WHERE tenant_id = %(tenant_id)s AND channel_id = %(channel_id)s AND agent_id = %(agent_id)s
     AND dead_at IS NULL AND due_at <= clock_timestamp() AND attempts >= %(max_deliver)s
  RETURNING sequence)
SELECT (SELECT count(*) FROM agents.agent_sync_deliveries d
         WHERE d.tenant_id = %(tenant_id)s AND d.channel_id = %(channel_id)s AND d.agent_id = %(agent_id)s AND d.dead_at IS NULL)
       - (SELECT count(*) FROM buried) AS pending

-- redeliver: what was not acknowledged in time
WITH due AS (
  SELECT d.sequence FROM agents.agent_sync_deliveries d
   WHERE d.tenant_id = %(tenant_id)s AND d.channel_id = %(channel_id)s AND d.agent_id = %(agent_id)s
     AND d.dead_at IS NULL AND d.due_at <= clock_timestamp()
   ORDER BY d.sequence LIMIT %(limit)s),
again AS (
  UPDATE agents.agent_sync_deliveries d
     SET attempts = d.attempts + 1,
         due_at = clock_timestamp() + coalesce((%(backoff)s::interval[])[least(d.attempts + 1, cardinality(%(backoff)s::interval[]))], %(ack_wait)s)
    FROM due
   WHERE d.tenant_id = %(tenant_id)s AND d.channel_id = %(channel_id)s AND d.agent_id = %(agent_id)s AND d.sequence = due.sequence
  RETURNING d.sequence, d.attempts)
SELECT e.*, e.channel_id::text AS channel_id, %(epoch)s AS epoch, again.attempts
  FROM again JOIN agents.agent_sync_events e ON e.tenant_id = %(tenant_id)s AND e.channel_id = %(channel_id)s AND e.sequence = again.sequence
 ORDER BY e.sequence

-- deliver: what is new, noted as delivered
WITH chosen AS (
  SELECT e.* FROM agents.agent_sync_events e
   WHERE e.tenant_id = %(tenant_id)s AND e.channel_id = %(channel_id)s AND e.sequence > %(after)s AND e.sequence <= %(visible)s
     AND (e.target_agents IS NULL OR %(agent_id)s = ANY(e.target_agents))
     AND (%(include_own)s OR e.source_agent_id IS DISTINCT FROM %(agent_id)s)
   ORDER BY e.sequence LIMIT %(limit)s),
noted AS (
  INSERT INTO agents.agent_sync_deliveries (tenant_id, channel_id, agent_id, sequence, due_at)
  SELECT %(tenant_id)s, %(channel_id)s, %(agent_id)s, chosen.sequence,
         clock_timestamp() + coalesce((%(backoff)s::interval[])[1], %(ack_wait)s) FROM chosen),
moved AS (
  UPDATE agents.agent_channel_subscriptions
     SET last_read_at = now(),
         delivered_through = CASE WHEN (SELECT count(*) FROM chosen) < %(limit)s THEN greatest(%(visible)s, %(after)s)
                                  ELSE (SELECT max(sequence) FROM chosen) END
   WHERE tenant_id = %(tenant_id)s AND channel_id = %(channel_id)s AND agent_id = %(agent_id)s)
SELECT chosen.*, chosen.channel_id::text AS channel_id, %(epoch)s AS epoch, 1 AS attempts FROM chosen ORDER BY chosen.sequence

-- begin_delivery: the handler gets the event now, so its time counts from now; nothing if it was delivered to another meanwhile
UPDATE agents.agent_sync_deliveries d
   SET due_at = clock_timestamp() + coalesce(s.backoff[least(d.attempts, cardinality(s.backoff))], s.ack_wait)
  FROM agents.agent_channel_subscriptions s
 WHERE d.tenant_id = %(tenant_id)s AND d.channel_id = %(channel_id)s AND d.agent_id = %(agent_id)s AND d.sequence = %(sequence)s
   AND d.attempts = %(attempts)s AND d.dead_at IS NULL
   AND (s.tenant_id, s.channel_id, s.agent_id) = (d.tenant_id, d.channel_id, d.agent_id)

-- acknowledge: what an agent has dealt with
DELETE FROM agents.agent_sync_deliveries
 WHERE tenant_id = %(tenant_id)s AND channel_id = %(channel_id)s AND agent_id = %(agent_id)s AND sequence = ANY(%(sequences)s::bigint[])
RETURNING sequence

-- acknowledge_through: everything up to an event, also what was read without delivery
WITH gone AS (
  DELETE FROM agents.agent_sync_deliveries
   WHERE tenant_id = %(tenant_id)s AND channel_id = %(channel_id)s AND agent_id = %(agent_id)s AND sequence <= %(through)s
     AND dead_at IS NULL)
UPDATE agents.agent_channel_subscriptions SET delivered_through = greatest(delivered_through, %(through)s), last_read_at = now()
 WHERE tenant_id = %(tenant_id)s AND channel_id = %(channel_id)s AND agent_id = %(agent_id)s

-- reject: the handler failed; deliver again after a while, or bury what was delivered often enough
UPDATE agents.agent_sync_deliveries d
   SET reason = %(reason)s,
       dead_at = CASE WHEN d.attempts >= s.max_deliver THEN clock_timestamp() END,
       due_at = clock_timestamp() + coalesce(%(delay)s::interval, s.backoff[least(d.attempts, cardinality(s.backoff))], '0')
  FROM agents.agent_channel_subscriptions s
 WHERE d.tenant_id = %(tenant_id)s AND d.channel_id = %(channel_id)s AND d.agent_id = %(agent_id)s AND d.sequence = %(sequence)s
   AND d.dead_at IS NULL
   AND (s.tenant_id, s.channel_id, s.agent_id) = (d.tenant_id, d.channel_id, d.agent_id)

-- dead_letters: what was delivered without success, of one agent or all
SELECT d.*, d.channel_id::text AS channel_id, e.event_type, e.data
  FROM agents.agent_sync_deliveries d LEFT JOIN agents.agent_sync_events e USING (tenant_id, channel_id, sequence)
 WHERE d.tenant_id = %(tenant_id)s AND d.dead_at IS NOT NULL AND (%(agent_id)s::text IS NULL OR d.agent_id = %(agent_id)s::text)
 ORDER BY d.dead_at DESC, d.sequence LIMIT 1000

-- revive: deliver a dead letter again, from its first attempt
UPDATE agents.agent_sync_deliveries SET dead_at = NULL, attempts = 0, due_at = clock_timestamp()
 WHERE tenant_id = %(tenant_id)s AND channel_id = %(channel_id)s AND agent_id = %(agent_id)s AND sequence = %(sequence)s
   AND dead_at IS NOT NULL
