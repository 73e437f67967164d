-- actor_limits: of one approved statement or preview; rows are compared as text, so all digits count; the tenant is for begin_effect
SELECT set_config('statement_timeout', %(statement_ms)s, true), set_config('lock_timeout', %(lock_ms)s, true),
       set_config('idle_in_transaction_session_timeout', %(idle_ms)s, true),
       set_config('standard_conforming_strings', 'on', true), set_config('datestyle', 'ISO, YMD', true),
       set_config('intervalstyle', 'postgres', true), set_config('extra_float_digits', '1', true),
       set_config('client_min_messages', 'notice', true), set_config('agents.tenant_id', %(tenant_id)s, true)

-- patience: how long a statement may take while each of its rows is looked at
SELECT set_config('statement_timeout', %(statement_ms)s, true)

-- changed_tables: what this transaction changed so far, triggers and cascades included
SELECT schemaname || '.' || relname AS "table", n_tup_ins AS inserted, n_tup_upd AS updated, n_tup_del AS deleted
  FROM pg_stat_xact_user_tables
 WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 AND schemaname !~ '^(agents(_|$)|pg_)'
 ORDER BY 1

-- key_of: the columns of a table's primary key, by which its rows are known
SELECT (SELECT array_agg(a.attname::text ORDER BY k.place)
          FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number) AS columns
  FROM pg_index i
 WHERE i.indisprimary AND i.indrelid = to_regclass(concat_ws('.', quote_ident(%(schema)s), quote_ident(%(name)s)))

-- own_number: the transaction's number; whatever it writes from now on has this one or a later one
SELECT pg_current_xact_id()::xid::text AS number

-- watchable: tables by their names, with the columns of their keys
SELECT n.nspname || '.' || c.relname AS name, n.nspname AS schema, c.relname AS relation, pg_table_size(c.oid) AS bytes,
       (SELECT array_agg(a.attname::text ORDER BY k.place)
          FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (number, place)
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
         WHERE i.indrelid = c.oid AND i.indisprimary) AS key
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname || '.' || c.relname = ANY (%(names)s::text[]) AND c.relkind = 'r'
 ORDER BY 1

-- family: a table's own name, and those of its partitions and children
WITH RECURSIVE below AS (
  SELECT to_regclass(concat_ws('.', quote_ident(%(schema)s::text), quote_ident(%(name)s::text)))::oid AS oid
  UNION SELECT i.inhrelid FROM pg_inherits i JOIN below ON i.inhparent = below.oid
)
SELECT n.nspname || '.' || c.relname AS name
  FROM below JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace

-- sources: where a table's values may come from beside the statement: defaults, and the bodies of its triggers
SELECT (SELECT json_object_agg(a.attname, pg_get_expr(d.adbin, d.adrelid))
          FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
         WHERE d.adrelid = c.oid AND a.attgenerated = '') AS defaults,
       (SELECT array_agg(p.prosrc) FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
         WHERE g.tgrelid = c.oid AND NOT g.tgisinternal) AS triggers
  FROM pg_class c WHERE c.oid = to_regclass(concat_ws('.', quote_ident(%(schema)s::text), quote_ident(%(name)s::text)))

-- takes_numbers: whether new rows of one of these tables take numbers from a sequence, or may, as it is no plain table
SELECT EXISTS (
  SELECT FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS t (schema, name)
    JOIN pg_class c ON c.oid = to_regclass(concat_ws('.', quote_ident(nullif(t.schema, '')), quote_ident(t.name)))
   WHERE c.relkind NOT IN ('r', 'p')
      OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attidentity <> '')
      OR EXISTS (SELECT FROM pg_attrdef d WHERE d.adrelid = c.oid AND strpos(pg_get_expr(d.adbin, d.adrelid), 'nextval(') > 0)
) AS takes

-- is_plain: whether a write that pins these columns to constants, or one new row, is of a table on which nothing acts by itself
WITH target AS (
  SELECT c.* FROM pg_class c WHERE c.oid = %(relation)s
), columns AS (
  SELECT a.attnum, a.attname::text AS name, a.attcollation, a.attgenerated, t.typname::text AS type,
         t.oid < 16384 OR t.typtype = 'e' AS systems  -- comparing and storing it runs the system's code only
    FROM target JOIN pg_attribute a ON a.attrelid = target.oid JOIN pg_type t ON t.oid = a.atttypid
   WHERE a.attnum > 0 AND NOT a.attisdropped
), indexes AS (
  SELECT i.*, k.number, k.collation_id, o.opcdefault, o.oid < 16384 AS systems
    FROM target JOIN pg_index i ON i.indrelid = target.oid
    CROSS JOIN LATERAL unnest(i.indkey[0:i.indnkeyatts - 1]::int[], i.indcollation::oid[], i.indclass::oid[]) AS k (number, collation_id, class)
    JOIN pg_opclass o ON o.oid = k.class
), casts AS (SELECT * FROM unnest(%(cast_columns)s::text[], %(cast_types)s::text[]) AS c (name, type)
)
SELECT t.relkind = 'r' AND NOT t.relispartition AND NOT t.relrowsecurity AND NOT t.relhasrules
   -- the application's own, stored as tables are: not a catalog, not the queue of an extension
   AND t.oid >= 16384 AND t.relam = (SELECT oid FROM pg_am WHERE amname = 'heap')
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e')
   AND NOT EXISTS (SELECT FROM pg_inherits i WHERE t.oid IN (i.inhparent, i.inhrelid))
   AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.oid AND NOT g.tgisinternal)
   -- what computes columns of a new row was looked at with the statement
   AND (%(inserts)s::boolean OR NOT EXISTS (SELECT FROM columns WHERE attgenerated <> ''))
   AND NOT EXISTS (SELECT FROM columns c WHERE (%(inserts)s::boolean OR c.name = ANY (%(pinned)s::text[] || %(changed)s::text[])) AND NOT c.systems)
   -- of sequences, a new row takes a number of its own columns' only
   AND NOT (%(inserts)s::boolean AND EXISTS (
         SELECT FROM columns c JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = c.attnum
          WHERE c.name <> ALL (%(changed)s::text[]) AND strpos(pg_get_expr(d.adbin, d.adrelid), 'nextval(') > 0
            AND NOT (pg_get_expr(d.adbin, d.adrelid) ~ '^nextval\(''[^'']*''::regclass\)$' AND EXISTS (
                  SELECT FROM pg_depend u JOIN pg_depend o ON o.classid = 'pg_class'::regclass AND o.objid = u.refobjid AND o.deptype = 'a'
                     AND o.refclassid = 'pg_class'::regclass AND o.refobjid = t.oid AND o.refobjsubid = c.attnum
                   WHERE u.classid = 'pg_attrdef'::regclass AND u.objid = d.oid AND u.refclassid = 'pg_class'::regclass AND u.deptype = 'n'))))
   AND NOT EXISTS (SELECT FROM casts JOIN columns c USING (name) WHERE c.type <> casts.type)
   AND (SELECT count(*) FROM columns c WHERE c.name = ANY (%(changed)s::text[])) = cardinality(%(changed)s::text[])
   -- one row: the columns of a unique index that holds for every row and compares as the columns do
   AND (%(inserts)s::boolean OR EXISTS (
         SELECT FROM indexes i LEFT JOIN columns c ON c.attnum = i.number AND c.name = ANY (%(pinned)s::text[])
          WHERE i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
          GROUP BY i.indexrelid
         HAVING bool_and(c.attnum IS NOT NULL AND c.attcollation = i.collation_id AND i.opcdefault)))
   -- a changed row is entered into each index anew: none of them runs a user's code
   AND NOT EXISTS (SELECT FROM indexes i LEFT JOIN columns c ON c.attnum = i.number WHERE NOT i.systems OR NOT c.systems)
   AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_index i ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                    LEFT JOIN pg_type y ON d.refclassid = 'pg_type'::regclass AND y.oid = d.refobjid AND y.typtype <> 'e'
                    WHERE i.indrelid = t.oid AND (d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass) OR y.oid IS NOT NULL))
   -- nor does a constraint
   AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_constraint n ON d.classid = 'pg_constraint'::regclass AND d.objid = n.oid
                    LEFT JOIN pg_type y ON d.refclassid = 'pg_type'::regclass AND y.oid = d.refobjid AND y.typtype <> 'e'
                    WHERE t.oid IN (n.conrelid, n.confrelid)
                      AND (d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass) OR y.oid IS NOT NULL))
   -- no key is changed, and no other row hangs on a deleted one
   AND (%(inserts)s::boolean OR NOT EXISTS (SELECT FROM pg_index i JOIN columns c ON c.attnum = ANY (i.indkey)
                    WHERE i.indrelid = t.oid AND i.indisunique AND c.name = ANY (%(changed)s::text[])))
   AND (%(inserts)s::boolean OR NOT EXISTS (SELECT FROM pg_constraint n JOIN columns c ON c.attnum = ANY (n.conkey)
                    WHERE n.conrelid = t.oid AND n.contype IN ('p', 'u', 'f', 'x') AND c.name = ANY (%(changed)s::text[])))
   AND (%(inserts)s::boolean OR NOT EXISTS (SELECT FROM pg_constraint n WHERE n.confrelid = t.oid AND (%(deletes)s::boolean AND n.confdeltype IN ('c', 'n', 'd')
                       OR EXISTS (SELECT FROM columns c WHERE c.attnum = ANY (n.confkey) AND c.name = ANY (%(changed)s::text[]))))) AS plain
  FROM target t

-- locks_held: which relations this transaction has locked, and how; SIReadLock stops nobody
SELECT l.relation::bigint AS relation, l.mode
  FROM pg_locks l
 WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode <> 'SIReadLock' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- application_relations: those of these numbers that are the application's and there for everybody
SELECT c.oid::bigint AS relation
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = ANY (%(relations)s::oid[]) AND n.nspname !~ '^(agents(_|$)|pg_|information_schema$)'

-- foreign_owners: relations of these names that belong to a role of which agent_actor is no member
SELECT c.oid::regclass::text AS name, o.rolname::text AS owner
  FROM unnest(%(names)s::text[]) AS a (name)
  JOIN pg_class c ON c.oid = to_regclass(a.name)
  JOIN pg_roles o ON o.oid = c.relowner
 WHERE o.rolname <> 'agent_actor' AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'agent_actor' AND pg_has_role(r.oid, o.oid, 'usage'))
 ORDER BY 1
