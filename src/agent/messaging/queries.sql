-- place: note where requests are to be posted, each once, and when
INSERT INTO agents.messages (tenant_id, approval_id, service, place, first_service, first_place, binding, not_before, ready_at)
VALUES (%(tenant_id)s, %(approval_id)s, %(service)s, %(place)s, %(service)s, %(place)s, %(binding)s, %(not_before)s::timestamptz,
        greatest(now(), %(not_before)s::timestamptz))
ON CONFLICT DO NOTHING

-- take: take one message that is due; whoever dies with it leaves it to others after that time
WITH picked AS (
  SELECT id, sending_at FROM agents.messages m
   WHERE tenant_id = %(tenant_id)s AND service = %(service)s AND ready_at <= now()
   ORDER BY ready_at FOR UPDATE SKIP LOCKED LIMIT 1
)
UPDATE agents.messages m
   SET ready_at = now() + %(hold)s, attempts = m.attempts + 1, token = coalesce(m.token, gen_random_uuid()),
       sending_at = CASE WHEN m.message_id IS NULL THEN coalesce(m.sending_at, now()) END
  FROM picked WHERE m.tenant_id = %(tenant_id)s AND m.id = picked.id
RETURNING m.*, picked.sending_at AS sent_before

-- shown: the message shows the present state, unless that changed meanwhile
UPDATE agents.messages
   SET message_id = %(message_id)s, error = NULL, sending_at = NULL, token = CASE WHEN %(waits)s THEN token END,
       posted_at = coalesce(posted_at, now()), ready_at = CASE WHEN ready_at = %(held_until)s THEN NULL ELSE ready_at END
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- posted: the message is there; it does not show everything yet
UPDATE agents.messages SET message_id = %(message_id)s, sending_at = NULL, posted_at = coalesce(posted_at, now())
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- gone: somebody deleted the message
UPDATE agents.messages SET message_id = NULL, sending_at = NULL, ready_at = CASE WHEN %(again)s THEN now() END
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- failed: say why a message was not delivered, and when to try again
UPDATE agents.messages
   SET error = %(error)s, ready_at = now() + %(wait)s::interval,
       sending_at = CASE WHEN %(unsure)s THEN sending_at END
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- move: ask in another place, unless the request is there already
UPDATE agents.messages m
   SET service = %(service)s, place = %(place)s, tried = %(tried)s, error = %(error)s, attempts = 0, sending_at = NULL,
       ready_at = now() + %(wait)s::interval
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND NOT EXISTS (
   SELECT 1 FROM agents.messages o WHERE o.tenant_id = m.tenant_id AND o.approval_id = m.approval_id
      AND o.service = %(service)s AND o.place = %(place)s AND o.id <> m.id)
RETURNING id

-- park: another message asks the same people
UPDATE agents.messages SET error = %(error)s, sending_at = NULL, ready_at = NULL
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- of_token: the message whose buttons send this
SELECT *, NULL::timestamptz AS sent_before FROM agents.messages WHERE tenant_id = %(tenant_id)s AND token = %(token)s

-- of_posted: the message that was posted under this id
SELECT *, NULL::timestamptz AS sent_before FROM agents.messages
 WHERE tenant_id = %(tenant_id)s AND service = %(service)s AND message_id = %(message_id)s

-- of_marker: the message that carries this marker
SELECT *, NULL::timestamptz AS sent_before FROM agents.messages
 WHERE tenant_id = %(tenant_id)s AND service = %(service)s AND marker = %(marker)s

-- of_request: where a request was posted, the first place first
SELECT *, NULL::timestamptz AS sent_before FROM agents.messages
 WHERE tenant_id = %(tenant_id)s AND approval_id = %(approval_id)s AND message_id <> '' ORDER BY id

-- use_token: use the token of a message up for a decision; if this process dies, another one carries it out
UPDATE agents.messages SET token = NULL, decision = %(decision)s, ready_at = now() + %(hold)s
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND token = %(token)s
RETURNING id

-- carried_out: the decision is no longer open, and the message is to be looked at now
UPDATE agents.messages SET decision = NULL, ready_at = now() WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- pause: seconds until the next message is due
SELECT extract(epoch FROM min(ready_at) - now())::float8 AS seconds FROM agents.messages
 WHERE tenant_id = %(tenant_id)s AND service = %(service)s

-- recent: the newest messages
SELECT m.*, NULL::timestamptz AS sent_before FROM agents.messages m
 WHERE m.tenant_id = %(tenant_id)s ORDER BY m.id DESC LIMIT %(limit)s

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

-- begin_answer: note that a question is answered here, and where the answer belongs
INSERT INTO agents.messaging_texts (tenant_id, service, place, reply_to, thread_id, person, kind, here)
VALUES (%(tenant_id)s, %(service)s, %(place)s, %(reply_to)s, %(thread_id)s, %(person)s, 'answer', true)
RETURNING *

-- leave_answer: the answer comes later, from whichever process the turn ends in
UPDATE agents.messaging_texts
   SET here = false, ready_at = now() + %(wait)s::interval, sending_at = CASE WHEN %(unsure)s THEN created_at END
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND sent_at IS NULL

-- drop_text: there is nothing to send
DELETE FROM agents.messaging_texts WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- take_text: take one text that is due
WITH picked AS (
  SELECT id, sending_at FROM agents.messaging_texts
   WHERE tenant_id = %(tenant_id)s AND ready_at <= now() ORDER BY ready_at FOR UPDATE SKIP LOCKED LIMIT 1
)
UPDATE agents.messaging_texts t
   SET ready_at = now() + %(hold)s, attempts = t.attempts + 1, here = false, sending_at = coalesce(t.sending_at, now())
  FROM picked WHERE t.tenant_id = %(tenant_id)s AND t.id = picked.id
RETURNING t.*, picked.sending_at AS sent_before

-- put_text: say where a notice goes, unless the same notice goes there already
UPDATE agents.messaging_texts t SET service = %(service)s, place = %(place)s, reply_to = %(reply_to)s
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND NOT EXISTS (
   SELECT 1 FROM agents.messaging_texts o WHERE o.tenant_id = t.tenant_id AND o.approval_id = t.approval_id AND o.kind = t.kind
      AND o.service = %(service)s AND o.place = %(place)s AND o.id <> t.id)
RETURNING id

-- wait_text: the text is not there yet
UPDATE agents.messaging_texts SET ready_at = NULL, sending_at = NULL WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- sent_text: the text was sent
UPDATE agents.messaging_texts t
   SET sent_at = now(), ready_at = NULL, sending_at = NULL, error = NULL, message_id = %(message_id)s,
       turn = (SELECT max(u.turn) FROM agents.turns u WHERE u.tenant_id = t.tenant_id AND u.thread_id = t.thread_id)
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- answer_shown: the turn whose answer a message shows
SELECT thread_id, turn FROM agents.messaging_texts
 WHERE tenant_id = %(tenant_id)s AND service = %(service)s AND message_id = %(message_id)s AND kind = 'answer' AND turn IS NOT NULL

-- failed_text: say why a text was not sent, and when to try again; a notice may look for another place
UPDATE agents.messaging_texts
   SET error = %(error)s, ready_at = now() + %(wait)s::interval, sending_at = CASE WHEN %(unsure)s THEN sending_at END,
       tried = CASE WHEN %(elsewhere)s THEN tried || (service || '/' || place) ELSE tried END,
       service = CASE WHEN %(elsewhere)s THEN NULL ELSE service END
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- pause_texts: seconds until the next text is due
SELECT extract(epoch FROM min(ready_at) - now())::float8 AS seconds FROM agents.messaging_texts WHERE tenant_id = %(tenant_id)s

-- routes: the routes in the order in which they were made
SELECT id, service, place, risks, tools, environments, quiet, backup, created_by, created_at FROM agents.messaging_routes
 WHERE tenant_id = %(tenant_id)s AND revoked_at IS NULL ORDER BY id

-- add_route: make a route
INSERT INTO agents.messaging_routes (tenant_id, service, place, risks, tools, environments, quiet, backup, created_by)
VALUES (%(tenant_id)s, %(service)s, %(place)s, %(risks)s, %(tools)s, %(environments)s, %(quiet)s, %(backup)s, %(created_by)s)
RETURNING id, service, place, risks, tools, environments, quiet, backup, created_by, created_at

-- remove_route: end a route
UPDATE agents.messaging_routes SET revoked_at = now(), revoked_by = %(revoked_by)s
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND revoked_at IS NULL
RETURNING id, service, place, risks, tools, environments, quiet, backup, created_by, created_at
