-- relation_columns: returns one relation with its columns, primary key and check constraints
SELECT n.nspname AS schema, c.relname AS name,
       (SELECT jsonb_agg(jsonb_build_object(
                 'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'category', t.typcategory,
                 'base', (WITH RECURSIVE below AS (SELECT t.oid, t.typbasetype UNION ALL
                            SELECT b.oid, b.typbasetype FROM below JOIN pg_type b ON b.oid = below.typbasetype)
                          SELECT format_type(oid, NULL) FROM below WHERE typbasetype = 0),
                 'labels', (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = a.atttypid),
                 'generated', a.attgenerated <> '')
               ORDER BY a.attnum)
          FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT jsonb_agg(a.attname ORDER BY k.place)
          FROM pg_constraint p CROSS JOIN LATERAL unnest(p.conkey) WITH ORDINALITY AS k (number, place)
          JOIN pg_attribute a ON a.attrelid = p.conrelid AND a.attnum = k.number
         WHERE p.conrelid = c.oid AND p.contype = 'p') AS key,
       (SELECT jsonb_agg(pg_get_constraintdef(p.oid)) FROM pg_constraint p
         WHERE p.conrelid = c.oid AND p.contype = 'c') AS checks
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname = %(name)s AND n.nspname = %(schema)s

-- relation_names: lists the relations of the application, to suggest similar names
SELECT n.nspname AS schema, c.relname AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
   AND n.nspname !~ '^(agents(_|$)|pg_|information_schema$)'
 ORDER BY 1, 2 LIMIT 5000

-- relations_named: finds the relations of a name in any case; relations of the system only where their schema is given
SELECT n.nspname::text AS schema, c.relname::text AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND lower(c.relname) = lower(%(name)s)
   AND (%(schema)s = '' OR lower(n.nspname) = lower(%(schema)s))
   AND n.nspname !~ '^(agents(_|$)|pg_toast|pg_temp)'
   AND (%(schema)s <> '' OR n.nspname NOT IN ('pg_catalog', 'information_schema'))
   AND (%(schema)s <> '' OR %(schemas)s::text[] IS NULL OR n.nspname = ANY (%(schemas)s::text[]))
 ORDER BY 1, 2

-- close_removed: ends the validity of memories of removed objects; they stay readable as history
UPDATE agents.agent_memory SET valid_until = now(), updated_at = now()
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND kind = 'schema' AND valid_until IS NULL
   AND subject IS NOT NULL AND subject <> ALL (%(subjects)s::text[])

-- structure_head: returns the fingerprint and the time of the last discovery, without the structure
SELECT fingerprint, discovered_at FROM agents.discovered_databases
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s

-- store: stores the structure that was just discovered
INSERT INTO agents.discovered_databases (tenant_id, database_id, name, fingerprint, structure, discovered_at)
VALUES (%(tenant_id)s, %(database_id)s, %(name)s, %(fingerprint)s, %(structure)s, %(discovered_at)s)
ON CONFLICT (tenant_id, database_id) DO UPDATE
   SET name = excluded.name, fingerprint = excluded.fingerprint, structure = excluded.structure,
       discovered_at = excluded.discovered_at, checked_at = now()

-- structure: returns the structure of the last discovery
SELECT structure, fingerprint FROM agents.discovered_databases WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s

-- search: finds memories; the function runs as the tables' owner and filters by the tenant of this connection
SELECT * FROM agents.search_memories(%(query)s, %(database_id)s, %(embedding)s::real[], %(model)s, %(limit)s, %(kinds)s)

-- begin_run: begins a run, or takes over the one whose holder is silent; no row while a run goes on or the agent is stopped
INSERT INTO agents.learning_runs AS r (tenant_id, database_id, woken_by, holder, held_until)
SELECT %(tenant_id)s, %(database_id)s, %(woken_by)s, %(holder)s, clock_timestamp() + %(hold)s
 WHERE NOT EXISTS (SELECT FROM agents.controls c WHERE c.tenant_id = %(tenant_id)s AND c.stopped)
ON CONFLICT (tenant_id, database_id) WHERE status = 'running'
DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
 WHERE r.held_until < clock_timestamp() OR r.held_until > clock_timestamp() + 2 * %(hold)s
RETURNING *

-- is_stopped: says whether the agent is stopped
SELECT coalesce(bool_or(stopped), false) AS stopped FROM agents.controls WHERE tenant_id = %(tenant_id)s

-- note_run: stores how far a run is, if this process still holds it
UPDATE agents.learning_runs
   SET status = %(status)s, steps = %(steps)s, looked_at = %(looked_at)s, learned = %(learned)s, dropped = %(dropped)s, seconds = %(seconds)s,
       model_calls = %(model_calls)s, cost_usd = %(cost_usd)s, newest = %(newest)s, fingerprint = %(fingerprint)s, error = %(error)s,
       held_until = clock_timestamp() + %(hold)s, finished_at = CASE WHEN %(status)s <> 'running' THEN clock_timestamp() END
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND holder = %(holder)s AND status = 'running'

-- leave_run: lets another process go on with a run
UPDATE agents.learning_runs SET held_until = 'epoch'
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND holder = %(holder)s AND status = 'running'

-- run: returns one run
SELECT * FROM agents.learning_runs WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- recent_runs: returns the newest runs, or those before one
SELECT * FROM agents.learning_runs
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND (%(before)s::bigint IS NULL OR id < %(before)s)
 ORDER BY id DESC LIMIT %(limit)s

-- due_run: says why a run is due. A clock that was set back makes the last run look as if it were to come: then one is due, too
WITH last AS (
  SELECT * FROM agents.learning_runs WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s ORDER BY id DESC LIMIT 1
)
SELECT CASE
         WHEN NOT EXISTS (SELECT FROM last) THEN 'schedule'
         WHEN (SELECT status = 'running' FROM last) THEN
           CASE WHEN (SELECT held_until < clock_timestamp() OR held_until > clock_timestamp() + 2 * %(hold)s FROM last) THEN 'schedule' END
         WHEN (SELECT started_at <= clock_timestamp() - %(every)s OR started_at > clock_timestamp() FROM last) THEN 'schedule'
         WHEN (SELECT status = 'failed' FROM last) THEN NULL
         WHEN EXISTS (SELECT FROM agents.discovered_databases d, last
                       WHERE d.tenant_id = %(tenant_id)s AND d.database_id = %(database_id)s AND d.fingerprint <> last.fingerprint) THEN 'drift'
         WHEN EXISTS (SELECT FROM agents.memory_links l, last
                       WHERE l.tenant_id = %(tenant_id)s AND l.relation = 'corrects' AND l.memory_id > last.newest) THEN 'correction'
       END AS why

-- known_lessons: counts what is known of each kind of lesson
SELECT metadata ->> 'learned' AS lesson, count(*)::int AS known
  FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND metadata ? 'learned' AND valid_until IS NULL
 GROUP BY 1 ORDER BY 1
