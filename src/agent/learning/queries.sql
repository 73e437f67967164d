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
