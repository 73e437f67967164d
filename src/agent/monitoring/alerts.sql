-- apply: bring the alerts of one check in line with its findings, and return those that opened or were resolved
WITH found AS (
  SELECT f.* FROM jsonb_to_recordset(%(findings)s::jsonb)
    AS f (key text, severity text, message text, action text, evidence jsonb)
), seen AS (
  INSERT INTO agents.alerts AS a (tenant_id, database_id, key, check_name, status, severity, message, action, evidence)
  SELECT %(tenant_id)s, %(database_id)s, f.key, %(check_name)s, CASE WHEN %(opens_after)s <= 1 THEN 'open' ELSE 'noticed' END,
         f.severity, f.message, f.action, f.evidence
    FROM found f ORDER BY f.key
  ON CONFLICT (tenant_id, database_id, key) DO UPDATE SET
    severity = excluded.severity, message = excluded.message, action = excluded.action, evidence = excluded.evidence,
    seen_at = now(), missed = 0,
    seen = CASE WHEN a.status = 'resolved' THEN 1 ELSE a.seen + 1 END,
    status = CASE WHEN a.status = 'resolved' THEN excluded.status
                  WHEN a.status = 'noticed' AND a.seen + 1 >= %(opens_after)s THEN 'open' ELSE a.status END,
    episode = CASE WHEN a.status = 'resolved' AND a.resolved_at IS NOT NULL THEN a.episode + 1 ELSE a.episode END,
    opened_at = CASE WHEN a.status = 'resolved' THEN now() ELSE a.opened_at END,
    resolved_at = NULL,
    acknowledged_by = CASE WHEN a.status = 'resolved' THEN NULL ELSE a.acknowledged_by END,
    acknowledged_at = CASE WHEN a.status = 'resolved' THEN NULL ELSE a.acknowledged_at END
  RETURNING a.*
), before AS (
  SELECT b.key, b.status FROM agents.alerts b
   WHERE b.tenant_id = %(tenant_id)s AND b.database_id = %(database_id)s AND b.check_name = %(check_name)s
), gone AS (
  UPDATE agents.alerts g SET missed = g.missed + 1,
    status = CASE WHEN g.status = 'noticed' OR g.missed + 1 >= %(resolves_after)s THEN 'resolved' ELSE g.status END,
    resolved_at = CASE WHEN g.status = 'open' AND g.missed + 1 >= %(resolves_after)s THEN now() END
   WHERE g.tenant_id = %(tenant_id)s AND g.database_id = %(database_id)s AND g.check_name = %(check_name)s
     AND g.status <> 'resolved' AND NOT EXISTS (SELECT FROM found f WHERE f.key = g.key)
  RETURNING g.*
)
SELECT s.*, 'opened' AS change FROM seen s LEFT JOIN before b USING (key)
 WHERE s.status = 'open' AND b.status IS DISTINCT FROM 'open'
UNION ALL
SELECT g.*, 'resolved' FROM gone g WHERE g.resolved_at IS NOT NULL

-- list: the alerts, the open and worst ones first
SELECT a.* FROM agents.alerts a
 WHERE a.tenant_id = %(tenant_id)s AND a.database_id = %(database_id)s
   AND (a.status = 'open' OR (%(every)s AND a.resolved_at IS NOT NULL))
 ORDER BY a.status, array_position(ARRAY['CRITICAL', 'HIGH', 'MEDIUM', 'LOW'], a.severity), a.opened_at DESC, a.id DESC LIMIT %(limit)s

-- newest: the alerts, or those before one, the newest first
SELECT a.* FROM agents.alerts a
 WHERE a.tenant_id = %(tenant_id)s AND a.database_id = %(database_id)s AND (%(before)s::bigint IS NULL OR a.id < %(before)s)
   AND (a.status = 'open' OR (%(every)s AND a.resolved_at IS NOT NULL))
 ORDER BY a.id DESC LIMIT %(limit)s

-- alert: one alert
SELECT a.* FROM agents.alerts a WHERE a.tenant_id = %(tenant_id)s AND a.id = %(id)s AND (a.status = 'open' OR a.resolved_at IS NOT NULL)

-- decisions: what people did about an alert
SELECT d.decision, d.until, d.comment, d.decided_by, d.decided_at FROM agents.alert_decisions d
 WHERE d.tenant_id = %(tenant_id)s AND d.alert_id = %(alert_id)s ORDER BY d.id

-- acknowledge: note who takes care of an alert
WITH noted AS (
  INSERT INTO agents.alert_decisions (tenant_id, alert_id, decision, comment, decided_by)
  VALUES (%(tenant_id)s, %(id)s, 'acknowledge', %(comment)s, %(user)s)
)
UPDATE agents.alerts SET acknowledged_by = %(user)s, acknowledged_at = now() WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- mute: send nothing about an alert for some time
WITH noted AS (
  INSERT INTO agents.alert_decisions (tenant_id, alert_id, decision, until, comment, decided_by)
  VALUES (%(tenant_id)s, %(id)s, CASE WHEN %(wait)s > interval '0' THEN 'mute' ELSE 'unmute' END, now() + %(wait)s, %(comment)s, %(user)s)
)
UPDATE agents.alerts SET muted_until = CASE WHEN %(wait)s > interval '0' THEN now() + %(wait)s END
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s
