-- place: note that open alerts are to be told in some places, once
INSERT INTO agents.alert_deliveries (tenant_id, alert_id, service, place)
SELECT a.tenant_id, a.id, %(service)s, p.place FROM agents.alerts a CROSS JOIN unnest(%(places)s::text[]) p (place)
 WHERE a.tenant_id = %(tenant_id)s AND a.database_id = %(database_id)s AND a.status = 'open' AND a.severity = ANY (%(severities)s::text[])
ON CONFLICT (tenant_id, alert_id, service, place) DO NOTHING

-- take: take one delivery that is due; whoever dies with it leaves it to others after that time
WITH taken AS (
  UPDATE agents.alert_deliveries d SET ready_at = now() + %(hold)s, attempts = d.attempts + 1
   WHERE d.tenant_id = %(tenant_id)s AND d.id = (
     SELECT n.id FROM agents.alert_deliveries n WHERE n.tenant_id = %(tenant_id)s AND n.service = %(service)s AND n.ready_at <= now()
      ORDER BY n.ready_at FOR UPDATE SKIP LOCKED LIMIT 1)
  RETURNING d.id, d.alert_id, d.place, d.told, d.attempts, d.ready_at
)
SELECT a.*, t.id AS delivery_id, t.place, t.told, t.attempts, t.ready_at AS held_until
  FROM taken t JOIN agents.alerts a ON a.tenant_id = %(tenant_id)s AND a.id = t.alert_id

-- told: note what a receiver was told, unless the alert changed meanwhile; it is looked at again `later`, or when it changes
UPDATE agents.alert_deliveries
   SET told = %(told)s, error = NULL, attempts = 0, told_at = CASE WHEN %(sent)s THEN now() ELSE told_at END,
       ready_at = CASE WHEN ready_at = %(held_until)s THEN %(later)s::timestamptz ELSE ready_at END
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- failed: note why a receiver was not told, and when to try again, if ever
UPDATE agents.alert_deliveries
   SET error = %(error)s, ready_at = CASE WHEN ready_at = %(held_until)s THEN now() + %(wait)s::interval ELSE ready_at END
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s
