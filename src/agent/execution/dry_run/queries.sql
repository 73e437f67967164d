-- application_relations: which of these relations belong to the application and are visible to other transactions
SELECT c.oid::bigint AS relation
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = ANY (%(relations)s::oid[]) AND n.nspname !~ '^(agents(_|$)|pg_|information_schema$)'

-- changed_tables: how many rows this transaction has changed in each table so far, by triggers and cascades too
SELECT schemaname || '.' || relname AS "table", n_tup_ins AS inserted, n_tup_upd AS updated, n_tup_del AS deleted
  FROM pg_stat_xact_user_tables
 WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 AND schemaname !~ '^(agents(_|$)|pg_)'
 ORDER BY 1

-- family: the names of a table and of its partitions and children, its own first
WITH RECURSIVE below AS (
  SELECT to_regclass(concat_ws('.', quote_ident(%(schema)s::text), quote_ident(%(name)s::text)))::oid AS oid
  UNION SELECT i.inhrelid FROM pg_inherits i JOIN below ON i.inhparent = below.oid
)
SELECT n.nspname || '.' || c.relname AS name
  FROM below JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
 ORDER BY c.oid <> to_regclass(concat_ws('.', quote_ident(%(schema)s::text), quote_ident(%(name)s::text))), 1

-- foreign_owners: relations of these names whose owner is a role that agent_actor is not a member of
SELECT c.oid::regclass::text AS name, o.rolname::text AS owner
  FROM unnest(%(names)s::text[]) AS a (name)
  JOIN pg_class c ON c.oid = to_regclass(a.name)
  JOIN pg_roles o ON o.oid = c.relowner
 WHERE o.rolname <> 'agent_actor' AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'agent_actor' AND pg_has_role(r.oid, o.oid, 'usage'))
 ORDER BY 1

-- locks_held: which relations this transaction has locked, and in which mode; a SIReadLock blocks nobody
SELECT l.relation::bigint AS relation, l.mode
  FROM pg_locks l
 WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode <> 'SIReadLock' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- own_number: the transaction's number; what it writes from now on has this number or a later one
SELECT pg_current_xact_id()::xid::text AS number

-- sources: where a table's values may come from beside the statement: its defaults and the bodies of its triggers
SELECT (SELECT json_object_agg(a.attname, pg_get_expr(d.adbin, d.adrelid))
          FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
         WHERE d.adrelid = c.oid AND a.attgenerated = '') AS defaults,
       (SELECT array_agg(p.prosrc) FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
         WHERE g.tgrelid = c.oid AND NOT g.tgisinternal) AS triggers
  FROM pg_class c WHERE c.oid = to_regclass(concat_ws('.', quote_ident(%(schema)s::text), quote_ident(%(name)s::text)))

-- takes_numbers: whether new rows of one of these tables take numbers from a sequence, or may, because it is no plain table
SELECT EXISTS (
  SELECT FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS t (schema, name)
    JOIN pg_class c ON c.oid = to_regclass(concat_ws('.', quote_ident(nullif(t.schema, '')), quote_ident(t.name)))
   WHERE c.relkind NOT IN ('r', 'p')
      OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attidentity <> '')
      OR EXISTS (SELECT FROM pg_attrdef d WHERE d.adrelid = c.oid AND strpos(pg_get_expr(d.adbin, d.adrelid), 'nextval(') > 0)
) AS takes

-- watchable: tables of these names, with their size and the columns of their primary keys
SELECT n.nspname || '.' || c.relname AS name, n.nspname AS schema, c.relname AS relation, pg_table_size(c.oid) AS bytes,
       (SELECT array_agg(a.attname::text ORDER BY k.place)
          FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (number, place)
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
         WHERE i.indrelid = c.oid AND i.indisprimary) AS key
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname || '.' || c.relname = ANY (%(names)s::text[]) AND c.relkind = 'r'
 ORDER BY 1

-- rights_on_tables: whether this login may create a table somewhere or owns one, itself or through a role
SELECT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND has_schema_privilege(n.oid, 'create'))
    OR EXISTS (SELECT FROM pg_class c WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND pg_has_role(c.relowner, 'usage')
                  AND c.relpersistence <> 't') AS has_some
