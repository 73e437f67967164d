-- place: note that a request is to be posted in a place, once
INSERT INTO agents.messages (tenant_id, approval_id, service, place, binding)
VALUES (%(tenant_id)s, %(approval_id)s, %(service)s, %(place)s, %(binding)s)
ON CONFLICT (tenant_id, approval_id, service, place) DO NOTHING

-- take: take one message that is due; whoever dies with it leaves it to others after that time
UPDATE agents.messages m
   SET ready_at = now() + %(hold)s, attempts = m.attempts + 1, token = coalesce(m.token, gen_random_uuid())
 WHERE m.tenant_id = %(tenant_id)s AND m.id = (
   SELECT id FROM agents.messages WHERE tenant_id = %(tenant_id)s AND service = %(service)s AND ready_at <= now()
    ORDER BY ready_at FOR UPDATE SKIP LOCKED LIMIT 1)
RETURNING m.*

-- shown: the message shows the present state, unless that changed meanwhile
UPDATE agents.messages
   SET message_id = %(message_id)s, error = NULL, token = CASE WHEN %(waits)s THEN token END,
       ready_at = CASE WHEN ready_at = %(held_until)s THEN NULL ELSE ready_at END
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- gone: somebody deleted the message
UPDATE agents.messages SET message_id = NULL, ready_at = CASE WHEN %(again)s THEN now() END
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- failed: say why a message was not delivered, and when to try again, if ever
UPDATE agents.messages SET error = %(error)s, ready_at = now() + %(wait)s::interval
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- of_token: the message whose buttons send this
SELECT * FROM agents.messages WHERE tenant_id = %(tenant_id)s AND token = %(token)s

-- of_posted: the message that was posted under this id
SELECT * FROM agents.messages
 WHERE tenant_id = %(tenant_id)s AND service = %(service)s AND message_id = %(message_id)s

-- use_token: use the token of a message up; the message is due again in a moment, whatever becomes of the decision
UPDATE agents.messages SET token = NULL, ready_at = now() + %(hold)s
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND token = %(token)s
RETURNING id

-- due: the message is to be looked at now
UPDATE agents.messages SET ready_at = now() WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- pause: seconds until the next message is due
SELECT extract(epoch FROM min(ready_at) - now())::float8 AS seconds FROM agents.messages
 WHERE tenant_id = %(tenant_id)s AND service = %(service)s

-- recent: the newest messages
SELECT m.* FROM agents.messages m WHERE m.tenant_id = %(tenant_id)s ORDER BY m.id DESC LIMIT %(limit)s

-- first_time: whether an update comes in for the first time; old ones are forgotten
WITH old AS (
  DELETE FROM agents.messaging_updates WHERE tenant_id = %(tenant_id)s AND seen_at < now() - interval '2 days'
)
INSERT INTO agents.messaging_updates (tenant_id, service, key) VALUES (%(tenant_id)s, %(service)s, %(key)s)
ON CONFLICT DO NOTHING RETURNING key

-- receive: become or stay the process that receives from a service
INSERT INTO agents.messaging_receivers AS r (tenant_id, service, holder, held_until)
VALUES (%(tenant_id)s, %(service)s, %(holder)s, now() + %(hold)s)
ON CONFLICT (tenant_id, service) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
 WHERE r.holder = excluded.holder OR r.held_until < now()
RETURNING holder
