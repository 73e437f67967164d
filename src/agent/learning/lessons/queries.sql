-- past_turns: returns the newest turns with SQL that is fit to be learned, also those that a human corrected
SELECT m.id, m.source_thread, m.metadata -> 'examples' AS examples, m.metadata ->> 'digest' AS digest, coalesce(m.metadata ->> 'asked', m.metadata ->> 'question') AS question,
       coalesce(m.metadata -> 'confirmed' = 'true', false) AS confirmed,
       m.valid_until IS NOT NULL AS corrected,
       ARRAY(SELECT e.metadata ->> 'sql' FROM agents.memory_links l JOIN agents.agent_memory e ON e.id = l.earlier_id AND e.tenant_id = l.tenant_id
              WHERE l.tenant_id = m.tenant_id AND l.memory_id = m.id AND l.relation = 'derived' AND e.kind = 'skill' AND e.metadata ? 'learned') AS shown
  FROM agents.agent_memory m
 WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.kind = 'interaction' AND m.metadata ? 'examples'
   AND m.trust <> 'database' AND jsonb_typeof(m.metadata -> 'examples') = 'array'
   AND (m.valid_until IS NULL OR NOT EXISTS (SELECT FROM agents.memory_links l
         WHERE l.tenant_id = m.tenant_id AND l.earlier_id = m.id AND l.relation = 'replaces'))
 ORDER BY m.id DESC LIMIT %(limit)s

-- repairs: returns statements that the database refused and the one that ran after them in the same turn
SELECT m.id, failed.arguments ->> 'sql' AS failed, left(failed.result ->> 'error', 500) AS error, worked.arguments ->> 'sql' AS worked
  FROM agents.agent_memory m
  JOIN agents.tool_calls failed ON failed.tenant_id = m.tenant_id AND failed.thread_id = m.source_thread AND failed.turn = m.source_turn
  JOIN LATERAL (SELECT w.arguments FROM agents.tool_calls w
                 WHERE w.tenant_id = failed.tenant_id AND w.thread_id = failed.thread_id AND w.turn = failed.turn
                   AND w.round = failed.round + 1 AND w.tool = 'execute_sql' AND w.result ->> 'status' = 'succeeded'
                   AND length(w.arguments ->> 'sql') <= 4000
                 ORDER BY w.ordinal LIMIT 1) worked ON true
 WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.kind = 'interaction' AND m.metadata ? 'examples'
   AND m.valid_until IS NULL AND failed.tool = 'execute_sql' AND failed.result ->> 'status' = 'failed'
   AND length(failed.arguments ->> 'sql') <= 4000
 ORDER BY m.id DESC LIMIT %(limit)s

-- failures: returns the newest turns that ended without an answer, and why
SELECT r.question, left(r.error, 300) AS error, r.thread_id
  FROM agents.turns r JOIN agents.threads t ON t.tenant_id = r.tenant_id AND t.thread_id = r.thread_id
 WHERE r.tenant_id = %(tenant_id)s AND t.database_id = %(database_id)s AND r.status = 'failed' AND length(r.question) <= 1000
 ORDER BY r.started_at DESC LIMIT %(limit)s

-- sayings: returns what people wrote in the newest turns of which nothing was noted at once
SELECT r.question, r.asked_by, r.thread_id, r.turn
  FROM agents.turns r JOIN agents.threads t ON t.tenant_id = r.tenant_id AND t.thread_id = r.thread_id
 WHERE r.tenant_id = %(tenant_id)s AND t.database_id = %(database_id)s AND length(r.question) <= 1800
   AND NOT EXISTS (SELECT FROM agents.agent_memory m
                    WHERE m.tenant_id = r.tenant_id AND m.database_id = t.database_id AND m.source_thread = r.thread_id AND m.source_turn = r.turn
                      AND m.kind <> 'interaction' AND NOT m.metadata ? 'learned')
 ORDER BY r.started_at DESC LIMIT %(limit)s

-- newest: returns the number of the newest memory that is no lesson, and how many came after a given one
SELECT coalesce(max(id), 0)::bigint AS newest, (count(*) FILTER (WHERE id > %(after)s))::int AS fresh
  FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND kind <> 'schema' AND NOT metadata ? 'learned'

-- learned: returns what one lesson has learned
SELECT id, content, metadata, evidence_count, valid_until IS NULL AS valid
  FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND metadata ? 'learned' AND metadata ->> 'learned' = %(lesson)s
 ORDER BY id

-- forgotten: returns what a human has forgotten of it
SELECT key FROM agents.forgotten_lessons WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND lesson = %(lesson)s

-- settle: notes that something need not be learned, now or later
INSERT INTO agents.forgotten_lessons (tenant_id, database_id, lesson, key)
VALUES (%(tenant_id)s, %(database_id)s, %(lesson)s, %(key)s) ON CONFLICT DO NOTHING

-- note: stores what is known of a lesson by now, and makes it valid again or ends it
UPDATE agents.agent_memory
   SET metadata = %(metadata)s, evidence_count = %(evidence)s, updated_at = now(),
       valid_until = CASE WHEN %(valid)s THEN NULL ELSE coalesce(valid_until, clock_timestamp()) END
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND id = %(id)s

-- derive: notes what a lesson was concluded from
INSERT INTO agents.memory_links (tenant_id, memory_id, earlier_id, relation)
SELECT %(tenant_id)s, %(id)s, e.id, 'derived' FROM agents.agent_memory e
 WHERE e.tenant_id = %(tenant_id)s AND e.database_id = %(database_id)s AND e.id = ANY (%(sources)s)
ON CONFLICT DO NOTHING

-- end_concluded: ends what was learned from turns that a human calls wrong, and what led to them with the same SQL
UPDATE agents.agent_memory m
   SET valid_until = clock_timestamp(), updated_at = now(),
       metadata = m.metadata || jsonb_build_object('ended', %(reason)s::text)
 WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s AND m.metadata ? 'learned' AND m.valid_until IS NULL
   AND EXISTS (SELECT FROM agents.memory_links l
                WHERE l.tenant_id = m.tenant_id AND l.relation = 'derived'
                  AND ((l.memory_id = m.id AND l.earlier_id = ANY (%(ids)s)) OR (l.earlier_id = m.id AND l.memory_id = ANY (%(ids)s))))
