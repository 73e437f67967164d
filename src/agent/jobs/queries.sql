-- seen: note that this process is alive
INSERT INTO agents_jobs.workers AS w (executor_id, host) VALUES (%(executor_id)s, %(host)s)
ON CONFLICT (executor_id) DO UPDATE SET seen_at = now()

-- left: a process that ends by itself is no longer listed
DELETE FROM agents_jobs.workers WHERE executor_id = %(executor_id)s

-- alive: the processes that were seen a short time ago
SELECT executor_id, host, started_at, seen_at FROM agents_jobs.workers
 WHERE seen_at > now() - %(silence)s ORDER BY started_at

-- forget_dead: processes that died long ago
DELETE FROM agents_jobs.workers WHERE seen_at < now() - interval '1 day'

-- be_supervisor: only one process at a time takes over
SELECT pg_try_advisory_xact_lock(hashtextextended('agents_jobs supervisor', 0)) AS one

-- tenants: every tenant that uses the agent
SELECT tenant_id FROM agents.tenants ORDER BY tenant_id

-- no_pickle: remove and refuse rows that DBOS would unpickle, whatever its serializer is: they would run their writer's code here
DO $$
DECLARE place record;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('agents_jobs no_pickle', 0));
  FOR place IN
    SELECT c.oid::regclass AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE c.relnamespace = 'agents_jobs'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'serialization'
       AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.conname = 'no_pickle')
  LOOP
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', place.name);
    EXECUTE format('DELETE FROM %s WHERE serialization <> ''portable_json''', place.name);
    EXECUTE format('ALTER TABLE %s ADD CONSTRAINT no_pickle CHECK (serialization IS NULL OR serialization = ''portable_json'')', place.name);
  END LOOP;
END $$

-- forget_old_requests: answers to writes that nobody repeats any more
DELETE FROM agents.idempotent_requests WHERE tenant_id = %(tenant_id)s AND created_at < now() - interval '1 day'
