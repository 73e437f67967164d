-- add_app: make an application
INSERT INTO agents.realtime_apps (tenant_id, app_id, app_key, name, client_events, subscription_counts, webhook_url, created_by)
VALUES (%(tenant_id)s, %(app_id)s, %(app_key)s, %(name)s, %(client_events)s, %(subscription_counts)s, %(webhook_url)s, %(created_by)s)
ON CONFLICT (tenant_id, name) DO NOTHING

-- apps: every application of the tenant that is in use, by name
SELECT * FROM agents.realtime_apps WHERE tenant_id = %(tenant_id)s AND revoked_at IS NULL ORDER BY name

-- app_of_key: the application of a key, if it is in use
SELECT * FROM agents.realtime_apps WHERE tenant_id = %(tenant_id)s AND app_key = %(app_key)s AND revoked_at IS NULL

-- change_app: change what an application allows and where its webhooks go
UPDATE agents.realtime_apps SET client_events = %(client_events)s, subscription_counts = %(subscription_counts)s, webhook_url = %(webhook_url)s
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND revoked_at IS NULL
RETURNING *

-- new_key: take a new key, and with it a new secret
UPDATE agents.realtime_apps SET app_key = %(app_key)s
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND revoked_at IS NULL
RETURNING *

-- revoke_app: end an application; its name is free again
UPDATE agents.realtime_apps SET revoked_at = now(), name = left(name, 150) || ' ended ' || app_id
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND revoked_at IS NULL
RETURNING *

-- tenants: every tenant that uses the agent
SELECT tenant_id FROM agents.tenants ORDER BY tenant_id

-- keep: what a cache channel shows its next subscribers
INSERT INTO agents.realtime_channels (tenant_id, app_id, channel, cached, cached_at)
SELECT %(tenant_id)s, %(app_id)s, c, %(cached)s::jsonb, now() FROM unnest(%(channels)s::text[]) c ORDER BY c
ON CONFLICT (tenant_id, app_id, channel) DO UPDATE SET cached = excluded.cached, cached_at = excluded.cached_at

-- kept: what a cache channel shows now
SELECT cached FROM agents.realtime_channels
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND channel = %(channel)s
   AND cached_at > now() - %(lifetime)s::interval

-- lock_channel: make the channel's row, or lock it, so that two processes do not change who is in it at the same time
INSERT INTO agents.realtime_channels (tenant_id, app_id, channel) VALUES (%(tenant_id)s, %(app_id)s, %(channel)s)
ON CONFLICT (tenant_id, app_id, channel) DO UPDATE SET app_id = excluded.app_id

-- occupancy: how many are connected to a channel through which living process, and which members they are
SELECT server_id, subscriptions, members FROM agents.realtime_occupancy
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND channel = %(channel)s AND subscriptions > 0
   AND seen_at > now() - %(silence)s::interval

-- set_occupancy: say how many are connected to a channel through this process
INSERT INTO agents.realtime_occupancy (tenant_id, app_id, channel, server_id, subscriptions, members, seen_at)
VALUES (%(tenant_id)s, %(app_id)s, %(channel)s, %(server_id)s, %(subscriptions)s, %(members)s::jsonb, now())
ON CONFLICT (tenant_id, app_id, channel, server_id)
DO UPDATE SET subscriptions = excluded.subscriptions, members = excluded.members, seen_at = now()

-- alive: say that this process lives
UPDATE agents.realtime_occupancy SET seen_at = now() WHERE tenant_id = %(tenant_id)s AND server_id = %(server_id)s

-- dead: channels of an application that a process which is not seen any more was connected to
SELECT DISTINCT app_id, channel, server_id FROM agents.realtime_occupancy
 WHERE tenant_id = %(tenant_id)s AND seen_at <= now() - %(silence)s::interval

-- forget_server: remove what a dead process said of a channel, and return who was there through it
DELETE FROM agents.realtime_occupancy
 WHERE tenant_id = %(tenant_id)s AND app_id = %(app_id)s AND channel = %(channel)s AND server_id = %(server_id)s
RETURNING subscriptions, members

-- forget_channels: forget channels that nobody is connected to and that show nothing any more
DELETE FROM agents.realtime_channels c
 WHERE c.tenant_id = %(tenant_id)s AND (c.cached_at IS NULL OR c.cached_at < now() - %(lifetime)s::interval)
   AND NOT EXISTS (SELECT FROM agents.realtime_occupancy o WHERE o.tenant_id = c.tenant_id AND o.app_id = c.app_id
                     AND o.channel = c.channel AND o.subscriptions > 0)

-- occupied: the channels of an application that somebody is connected to, with their counts
SELECT o.channel, sum(o.subscriptions)::int AS subscriptions,
       (SELECT count(DISTINCT m.key) FROM agents.realtime_occupancy p, jsonb_each(p.members) m
         WHERE p.tenant_id = %(tenant_id)s AND p.app_id = %(app_id)s AND p.channel = o.channel
           AND p.seen_at > now() - %(silence)s::interval)::int AS users
  FROM agents.realtime_occupancy o
 WHERE o.tenant_id = %(tenant_id)s AND o.app_id = %(app_id)s AND o.subscriptions > 0
   AND o.seen_at > now() - %(silence)s::interval
   AND starts_with(o.channel, %(prefix)s) AND (%(channel)s::text IS NULL OR o.channel = %(channel)s)
 GROUP BY o.channel ORDER BY o.channel LIMIT %(limit)s
