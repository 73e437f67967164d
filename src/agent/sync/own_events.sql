-- news: what our own agent did and learned and the channel does not hold yet, the oldest first; no text and no value of anybody's
WITH found AS (
  (SELECT coalesce(t.finished_at, t.started_at) AS at, 'status_update' AS event_type,
          'turn:' || t.status || ':' || md5(t.thread_id || '/' || t.turn) AS key,
          jsonb_build_object('thread_id', t.thread_id, 'turn', t.turn, 'status', t.status) AS data
     FROM agents.turns t WHERE t.tenant_id = %(tenant_id)s AND t.started_at > now() - %(window)s
    ORDER BY t.started_at DESC LIMIT 500)
  UNION ALL
  (SELECT coalesce(e.finished_at, e.created_at), 'result', 'execution:' || e.status || ':' || e.id,
          jsonb_build_object('execution_id', e.id, 'action', e.action, 'status', e.status, 'risk', e.risk_level,
                             'approval_id', e.approval_id, 'row_count', e.row_count)
     FROM agents.agent_execution_log e
    WHERE e.tenant_id = %(tenant_id)s AND e.created_at > now() - %(window)s AND e.status <> 'running'
    ORDER BY e.created_at DESC LIMIT 500)
  UNION ALL
  (SELECT m.created_at, 'knowledge_update', 'memory:' || m.id,
          jsonb_build_object('memory_id', m.id, 'kind', m.kind, 'trust', m.trust)
     FROM agents.agent_memory m
    WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.created_at > now() - %(window)s
    ORDER BY m.id DESC LIMIT 500)
  UNION ALL
  (SELECT d.discovered_at, 'knowledge_update', 'structure:' || md5(d.database_id || '/' || d.fingerprint),
          jsonb_build_object('database_id', d.database_id, 'structure', true)
     FROM agents.discovered_databases d WHERE d.tenant_id = %(tenant_id)s AND d.discovered_at > now() - %(window)s)
)
SELECT event_type, key AS dedupe_key, data FROM found
 WHERE NOT EXISTS (SELECT FROM agents.agent_sync_events e
                    WHERE e.tenant_id = %(tenant_id)s AND e.channel_id = %(channel_id)s AND e.dedupe_key = found.key)
 ORDER BY at, key LIMIT 500

-- working: how many turns run, and how many requests wait
SELECT (SELECT count(*) FROM agents.turns t WHERE t.tenant_id = %(tenant_id)s AND t.status = 'running' AND t.started_at > now() - %(window)s) AS running,
       (SELECT count(*) FROM agents.human_approval_queue q
         WHERE q.tenant_id = %(tenant_id)s AND q.status = 'pending' AND q.expires_at > now()) AS waiting

-- tenants: every tenant that uses the agent
SELECT tenant_id FROM agents.tenants ORDER BY tenant_id
