-- add_pairing: keep the hash of a code, and forget those that are over
WITH over AS (DELETE FROM agents.studio_pairings WHERE tenant_id = %(tenant_id)s AND expires_at < now())
INSERT INTO agents.studio_pairings (tenant_id, code_hash, project, created_by, expires_at)
VALUES (%(tenant_id)s, %(code_hash)s, %(project)s, %(by)s, now() + %(lifetime)s::interval)
RETURNING expires_at

-- use_pairing: use a code, once
UPDATE agents.studio_pairings SET used_at = now()
 WHERE tenant_id = %(tenant_id)s AND code_hash = %(code_hash)s AND used_at IS NULL AND expires_at > now()
RETURNING project, created_by

-- add_session: a plugin is paired
INSERT INTO agents.studio_sessions (tenant_id, token_hash, project, place, paired_by)
VALUES (%(tenant_id)s, %(token_hash)s, %(project)s, %(place)s, %(by)s)
RETURNING *

-- session_of_token: the plugin with this token, which is seen now
UPDATE agents.studio_sessions SET seen_at = now()
 WHERE tenant_id = %(tenant_id)s AND token_hash = %(token_hash)s AND ended_at IS NULL
RETURNING *

-- sessions: the plugins that are paired, the newest first
SELECT * FROM agents.studio_sessions WHERE tenant_id = %(tenant_id)s AND ended_at IS NULL ORDER BY paired_at DESC

-- end_session: a plugin is not paired any more
UPDATE agents.studio_sessions SET ended_at = now()
 WHERE tenant_id = %(tenant_id)s AND session_id = %(session_id)s AND ended_at IS NULL
RETURNING *

-- lock_script: let one transaction at a time change a script, also one that is not there yet
SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 20261213))

-- script: a script
SELECT * FROM agents.studio_scripts WHERE tenant_id = %(tenant_id)s AND project = %(project)s AND path = %(path)s

-- scripts: the scripts of a project, by path
SELECT path, kind, version, length(source) AS characters, source IS NULL AS removed, updated_by, updated_at
  FROM agents.studio_scripts WHERE tenant_id = %(tenant_id)s AND project = %(project)s ORDER BY path LIMIT 10000

-- save_script: keep a script's next version, here and among its versions
WITH saved AS (
  INSERT INTO agents.studio_scripts AS s (tenant_id, project, path, kind, source, version, updated_by)
  VALUES (%(tenant_id)s, %(project)s, %(path)s, %(kind)s, %(source)s, 1, %(by)s)
  ON CONFLICT (tenant_id, project, path)
  DO UPDATE SET kind = excluded.kind, source = excluded.source, version = s.version + 1, updated_by = excluded.updated_by,
                updated_at = now()
  RETURNING *)
INSERT INTO agents.studio_script_versions (tenant_id, project, path, version, source, made_by)
SELECT tenant_id, project, path, version, source, updated_by FROM saved
RETURNING version

-- versions: the versions of a script, the newest first
SELECT version, source, made_by, made_at FROM agents.studio_script_versions
 WHERE tenant_id = %(tenant_id)s AND project = %(project)s AND path = %(path)s
   AND (%(version)s::bigint IS NULL OR version = %(version)s) ORDER BY version DESC LIMIT 100

-- add_deployment: a batch for a plugin
INSERT INTO agents.studio_deployments (tenant_id, deployment_id, project, session_id, scripts, created_by)
VALUES (%(tenant_id)s, %(deployment_id)s, %(project)s, %(session_id)s, %(scripts)s::jsonb, %(by)s)

-- deployment: a batch, and what became of it
SELECT * FROM agents.studio_deployments WHERE tenant_id = %(tenant_id)s AND deployment_id = %(deployment_id)s

-- waiting: batches that a plugin has not spoken of, the oldest first
SELECT deployment_id, scripts FROM agents.studio_deployments
 WHERE tenant_id = %(tenant_id)s AND session_id = %(session_id)s AND status = 'sent' ORDER BY created_at, deployment_id LIMIT %(limit)s

-- sources: the scripts of a batch with their texts
SELECT g.path, s.kind, v.source, v.version
  FROM jsonb_to_recordset(%(scripts)s::jsonb) AS g(path text, version bigint)
  JOIN agents.studio_script_versions v ON v.tenant_id = %(tenant_id)s AND v.project = %(project)s AND v.path = g.path AND v.version = g.version
  JOIN agents.studio_scripts s ON s.tenant_id = v.tenant_id AND s.project = v.project AND s.path = v.path
 ORDER BY g.path

-- end_deployment: a plugin said what became of a batch; the first word counts
UPDATE agents.studio_deployments SET status = %(status)s, results = %(results)s::jsonb, finished_at = now()
 WHERE tenant_id = %(tenant_id)s AND deployment_id = %(deployment_id)s AND session_id = %(session_id)s AND status = 'sent'

-- add_messages: keep messages of a plugin
INSERT INTO agents.studio_messages (tenant_id, session_id, level, text, script, line)
SELECT %(tenant_id)s, %(session_id)s, m.level, m.text, m.script, m.line
  FROM jsonb_to_recordset(%(messages)s::jsonb) AS m(level text, text text, script text, line integer)

-- messages: what plugins sent, the newest first
SELECT id, session_id::text AS session_id, level, text, script, line, at FROM agents.studio_messages
 WHERE tenant_id = %(tenant_id)s ORDER BY id DESC LIMIT %(limit)s

-- forget_messages: forget old messages
DELETE FROM agents.studio_messages WHERE tenant_id = %(tenant_id)s AND at < now() - interval '7 days'

-- begin_asset: a file is handed to Open Cloud, unless it was before
INSERT INTO agents.studio_assets AS a (tenant_id, digest, name, asset_type, created_by)
VALUES (%(tenant_id)s, %(digest)s, %(name)s, %(asset_type)s, %(by)s)
ON CONFLICT (tenant_id, digest, asset_type)
DO UPDATE SET status = CASE WHEN a.status = 'failed' THEN 'sending' ELSE a.status END, error = NULL
RETURNING *, asset_key::text AS asset_key

-- save_asset: what Open Cloud said
UPDATE agents.studio_assets SET status = %(status)s, operation = %(operation)s, asset_id = %(asset_id)s, error = %(error)s
 WHERE tenant_id = %(tenant_id)s AND asset_key = %(asset_key)s::uuid
