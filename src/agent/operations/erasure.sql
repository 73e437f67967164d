-- erase: erases a person or conversations from the agent's tables, and returns how much went and from which conversations
SELECT agents.erase(%(person)s, %(threads)s::text[], %(pattern)s, %(replacement)s, %(user)s) AS erased

-- checkpoints: says whether there are checkpoints
SELECT to_regclass('agents_checkpoints.checkpoints') IS NOT NULL AS there

-- mentioned: returns the conversations whose checkpoints hold a text that fits
SELECT DISTINCT thread_id FROM agents_checkpoints.checkpoints
 WHERE thread_id LIKE %(prefix)s AND concat_ws(' ', checkpoint::text, metadata::text) ~* %(pattern)s
 UNION
SELECT DISTINCT thread_id FROM agents_checkpoints.checkpoint_blobs WHERE thread_id LIKE %(prefix)s AND encode(blob, 'escape') ~* %(pattern)s
 UNION
SELECT DISTINCT thread_id FROM agents_checkpoints.checkpoint_writes WHERE thread_id LIKE %(prefix)s AND encode(blob, 'escape') ~* %(pattern)s

-- erase_checkpoints: deletes the checkpoints of conversations
DELETE FROM agents_checkpoints.checkpoints WHERE thread_id = ANY (%(threads)s)

-- erase_blobs: deletes the values of the checkpoints of conversations
DELETE FROM agents_checkpoints.checkpoint_blobs WHERE thread_id = ANY (%(threads)s)

-- erase_writes: deletes what was written between the checkpoints of conversations
DELETE FROM agents_checkpoints.checkpoint_writes WHERE thread_id = ANY (%(threads)s)

-- erase_work: deletes the work that waits in conversations
DELETE FROM agents.open_work WHERE tenant_id = %(tenant_id)s AND kind = 'turn' AND subject = ANY (%(threads)s)

-- job_texts: returns the columns in which jobs keep what they were given, what they returned and how they failed
SELECT c.relname AS table_name, a.attname AS column_name, format_type(a.atttypid, a.atttypmod) AS type
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE c.relnamespace = to_regnamespace('agents_jobs') AND c.relkind IN ('r', 'p') AND NOT a.attisdropped
   AND a.attname = ANY (ARRAY['inputs', 'output', 'error', 'value', 'message', 'attributes', 'context'])

-- erase_sessions: ends the sessions of a person in a browser
DELETE FROM agents.console_sessions
 WHERE tenant_id = %(tenant_id)s AND (lower(person) = lower(%(person)s::text) OR person ~* %(pattern)s::text)
