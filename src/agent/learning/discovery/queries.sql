-- fingerprint: returns a hash of the catalogs that is equal as long as no object of the application changed. ANALYZE and
-- VACUUM write reltuples in place, which must not count, so pg_class is hashed by content and the other catalogs by xmin.
WITH spaces AS MATERIALIZED (
  SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
   WHERE nspname !~ '^(pg_|agents($|_))' AND nspname <> 'information_schema'
     AND CASE WHEN %(schemas)s::text[] IS NULL THEN nspname <> ALL (%(platform)s::text[]) ELSE nspname = ANY (%(schemas)s::text[]) END
), relations AS MATERIALIZED (
  SELECT c.oid, md5(concat_ws(':', c.oid, c.relname, c.relnamespace, c.relkind, c.relowner, c.relrowsecurity, c.relforcerowsecurity,
                              c.relacl, c.relpersistence, c.relreplident, c.reloptions, md5(c.relpartbound::text))) AS hash
    FROM pg_class c LEFT JOIN spaces s ON s.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND (s.oid IS NOT NULL OR c.relispartition)
), rows AS (
  SELECT hashint8extended(a.attrelid::bigint * 2048 + a.attnum, a.xmin::text::bigint) AS hash
    FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid WHERE a.attnum > 0
  UNION ALL
  SELECT hashint8extended(k.oid::bigint, k.xmin::text::bigint) FROM relations r JOIN pg_constraint k ON k.conrelid = r.oid
  UNION ALL
  SELECT hashint8extended(i.indexrelid::bigint, i.xmin::text::bigint) FROM relations r JOIN pg_index i ON i.indrelid = r.oid
  UNION ALL
  SELECT hashint8extended(d.oid::bigint, d.xmin::text::bigint) FROM relations r JOIN pg_attrdef d ON d.adrelid = r.oid
  UNION ALL
  SELECT hashint8extended(t.oid::bigint, t.xmin::text::bigint) FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid
  UNION ALL
  SELECT hashint8extended(p.oid::bigint, p.xmin::text::bigint) FROM relations r JOIN pg_policy p ON p.polrelid = r.oid
  UNION ALL
  SELECT hashint8extended(i.inhparent::bigint, i.xmin::text::bigint) FROM relations r JOIN pg_inherits i ON i.inhrelid = r.oid
  UNION ALL
  SELECT hashint8extended(w.oid::bigint, w.xmin::text::bigint) FROM relations r JOIN pg_rewrite w ON w.ev_class = r.oid
  UNION ALL
  SELECT hashint8extended(q.seqrelid::bigint, q.xmin::text::bigint) FROM relations r JOIN pg_sequence q ON q.seqrelid = r.oid
  UNION ALL
  SELECT hashint8extended(d.objid::bigint, d.xmin::text::bigint) FROM pg_sequence q JOIN pg_depend d ON d.objid = q.seqrelid
   WHERE d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  UNION ALL
  SELECT hashint8extended(x.oid::bigint, x.xmin::text::bigint) FROM relations r JOIN pg_statistic_ext x ON x.stxrelid = r.oid
  UNION ALL
  SELECT hashint8extended(f.ftrelid::bigint, f.xmin::text::bigint) FROM relations r JOIN pg_foreign_table f ON f.ftrelid = r.oid
  UNION ALL
  SELECT hashint8extended(p.oid::bigint, p.xmin::text::bigint) FROM pg_publication p
  UNION ALL
  SELECT hashint8extended(p.oid::bigint, p.xmin::text::bigint) FROM pg_publication_rel p
  UNION ALL
  SELECT hashint8extended(p.oid::bigint, p.xmin::text::bigint) FROM pg_publication_namespace p
  UNION ALL
  SELECT hashint8extended(t.oid::bigint, t.xmin::text::bigint) FROM pg_event_trigger t
  UNION ALL
  SELECT hashint8extended(p.oid::bigint, p.xmin::text::bigint) FROM spaces s JOIN pg_proc p ON p.pronamespace = s.oid
  UNION ALL
  SELECT hashint8extended(t.oid::bigint, t.xmin::text::bigint) FROM spaces s JOIN pg_type t ON t.typnamespace = s.oid
   WHERE t.typtype IN ('e', 'd', 'r')
  UNION ALL
  SELECT hashint8extended(a.attrelid::bigint * 2048 + a.attnum, a.xmin::text::bigint)
    FROM spaces s JOIN pg_class c ON c.relnamespace = s.oid AND c.relkind = 'c' JOIN pg_attribute a ON a.attrelid = c.oid
  UNION ALL
  SELECT hashint8extended(e.oid::bigint, e.xmin::text::bigint) FROM pg_enum e
  UNION ALL
  SELECT hashint8extended(k.oid::bigint, k.xmin::text::bigint) FROM pg_constraint k WHERE k.contypid <> 0
  UNION ALL
  SELECT hashint8extended(d.objoid::bigint * 2048 + d.objsubid, d.xmin::text::bigint) FROM pg_description d
   WHERE d.objoid >= 16384  -- smaller OIDs are initdb's own
  UNION ALL
  SELECT hashint8extended(e.oid::bigint, e.xmin::text::bigint) FROM pg_extension e
  UNION ALL
  SELECT hashint8extended(m.roleid::bigint, m.xmin::text::bigint) FROM pg_auth_members m
)
SELECT current_setting('server_version_num')::integer AS server_version, current_database()::text AS database,
       md5(concat_ws('/', current_user, (SELECT rolbypassrls FROM pg_roles WHERE rolname = current_user),
         (SELECT string_agg(concat_ws(':', oid, nspname, nspowner, nspacl), ',' ORDER BY oid) FROM spaces),
         (SELECT string_agg(hash, '' ORDER BY oid) FROM relations),
         (SELECT concat(count(*), ':', bit_xor(hash), ':', sum(hash)) FROM rows))) AS fingerprint

-- relations: lists tables of every kind and views, with the login's rights and the server's counters, without partitions. The
-- server would lock a `busy` relation for its definitions and wait for the change in progress, so these are not read.
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind, d.description AS comment,
       c.reltuples::float8 AS estimate, c.relpages::bigint AS pages, c.relhassubclass AS has_children,
       (SELECT coalesce(sum(i.relpages), 0)::bigint FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
         WHERE x.indrelid IN (c.oid, c.reltoastrelid))
         + coalesce((SELECT t.relpages FROM pg_class t WHERE t.oid = c.reltoastrelid), 0) AS more_pages,
       coalesce(has_schema_privilege(n.oid, 'usage') AND has_any_column_privilege(c.oid, 'select'), false) AS readable,
       coalesce(has_schema_privilege(n.oid, 'usage') AND has_table_privilege(c.oid, 'select'), false) AS wholly_readable,
       c.relrowsecurity AND row_security_active(c.oid) AS secured,
       c.oid IN (SELECT l.relation FROM pg_locks l WHERE l.mode = 'AccessExclusiveLock' AND l.relation IS NOT NULL
                    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS busy,
       (SELECT array_agg(i.inhparent::bigint ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid) AS parents,
       CASE WHEN c.relkind IN ('v', 'm') THEN (SELECT array_agg(DISTINCT d.refobjid::bigint) FROM pg_rewrite w
              JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
             WHERE w.ev_class = c.oid AND d.refobjid <> c.oid) END AS sources,
       s.n_live_tup AS live, s.n_tup_ins AS inserted, s.n_tup_upd AS updated, s.n_tup_del AS deleted,
       greatest(s.last_analyze, s.last_autoanalyze)::text AS analyzed_at
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
  LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
   AND n.nspname !~ '^(pg_|agents($|_))' AND n.nspname <> 'information_schema'
   AND CASE WHEN %(schemas)s::text[] IS NULL THEN n.nspname <> ALL (%(platform)s::text[]) ELSE n.nspname = ANY (%(schemas)s::text[]) END
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.objsubid = 0 AND e.deptype = 'e')
 ORDER BY n.nspname, c.relname

-- partitions: returns leaves and counters of each partitioned table; the statistics of `leaf`, the fullest one, stand for the
-- parent's. pg_partition_tree() would wait for locks.
WITH RECURSIVE tree (root, oid) AS (
  SELECT r.oid, r.oid FROM unnest(%(partitioned)s::bigint[]) r (oid)
   UNION ALL
  SELECT t.root, i.inhrelid::bigint FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid::oid
), leaves AS (
  SELECT t.root, c.oid::bigint AS oid, c.reltuples, s.n_live_tup, s.n_tup_ins, s.n_tup_upd, s.n_tup_del,
         greatest(s.last_analyze, s.last_autoanalyze) AS analyzed_at,
         c.relpages + coalesce((SELECT sum(i.relpages) FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
                                 WHERE x.indrelid = c.oid), 0) AS pages
    FROM tree t JOIN pg_class c ON c.oid = t.oid::oid AND c.relkind <> 'p'
    LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
)
SELECT r.oid AS root, count(p.oid) AS partitions, coalesce(sum(greatest(p.reltuples, 0)), 0)::float8 AS estimate,
       coalesce(sum(p.pages), 0)::bigint AS pages, sum(p.n_live_tup)::bigint AS live, sum(p.n_tup_ins)::bigint AS inserted,
       sum(p.n_tup_upd)::bigint AS updated, sum(p.n_tup_del)::bigint AS deleted, max(p.analyzed_at)::text AS analyzed_at,
       (array_agg(p.oid ORDER BY p.reltuples DESC, p.oid))[1] AS leaf,
       CASE WHEN r.oid = ANY (%(open)s::bigint[]) THEN pg_get_partkeydef(r.oid::oid) END AS partition_key
  FROM unnest(%(partitioned)s::bigint[]) r (oid) LEFT JOIN leaves p ON p.root = r.oid
 GROUP BY r.oid

-- members: lists every partition on every level with the table into which it is merged
WITH RECURSIVE tree (root, parent, oid) AS (
  SELECT r.oid, NULL::bigint, r.oid FROM unnest(%(partitioned)s::bigint[]) r (oid)
   UNION ALL
  SELECT t.root, t.oid, i.inhrelid::bigint FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid::oid
)
SELECT t.root, t.parent, t.oid, n.nspname::text AS schema, c.relname::text AS name,
       c.oid IN (SELECT l.relation FROM pg_locks l WHERE l.mode = 'AccessExclusiveLock' AND l.relation IS NOT NULL
                    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS busy
  FROM tree t JOIN pg_class c ON c.oid = t.oid::oid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE t.parent IS NOT NULL
 ORDER BY t.root, n.nspname, c.relname

-- columns: lists the columns of the relations in order; `labels_of` is the enum behind the type, also through a domain
SELECT a.attrelid::bigint AS relation, a.attnum AS position, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
       CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END AS base,
       t.typcategory::text AS category, coalesce(nullif(t.typbasetype, 0), t.oid)::bigint AS labels_of, t.oid::bigint AS type_oid,
       a.attnotnull AS not_null, a.attidentity <> '' AS identity, a.attidentity = 'a' AS always, a.attgenerated <> '' AS generated,
       CASE WHEN a.attrelid = ANY (%(open)s::bigint[]::oid[]) THEN pg_get_expr(f.adbin, f.adrelid) END AS "default", d.description AS comment,
       coalesce(has_column_privilege(a.attrelid, a.attnum, 'select'), false) AS readable
  FROM unnest(%(relations)s::bigint[]) r (oid)
  JOIN pg_attribute a ON a.attrelid = r.oid::oid
  JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
  LEFT JOIN pg_description d ON d.objoid = a.attrelid AND d.classoid = 'pg_class'::regclass AND d.objsubid = a.attnum
 WHERE a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attrelid, a.attnum

-- constraints: lists constraints by conkey and confkey, never by ordinal over information_schema, without those that a partition
-- inherits from its parent
SELECT k.conname::text AS name, k.contype::text AS type, k.conrelid::bigint AS relation, k.contypid::bigint AS domain,
       k.confrelid::bigint AS target_oid, n.nspname::text AS target_schema, c.relname::text AS target_name,
       (SELECT array_agg(a.attname::text ORDER BY o.place) FROM unnest(k.conkey) WITH ORDINALITY o (number, place)
          JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.number) AS columns,
       (SELECT array_agg(a.attname::text ORDER BY o.place) FROM unnest(k.confkey) WITH ORDINALITY o (number, place)
          JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = o.number) AS target_columns,
       k.confdeltype::text AS on_delete, k.confupdtype::text AS on_update,
       CASE WHEN (k.contype IN ('c', 'x') OR k.conrelid = ANY (%(members)s::bigint[]::oid[]))
                 AND (k.contypid <> 0 OR k.conrelid = ANY (%(open)s::bigint[]::oid[]))
            THEN pg_get_constraintdef(k.oid) END AS definition
  FROM pg_constraint k
  LEFT JOIN pg_class c ON c.oid = k.confrelid
  LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE k.contype IN ('p', 'u', 'f', 'c', 'x') AND k.conparentid = 0
   AND (k.contypid <> 0 OR k.conrelid = ANY (%(relations)s::bigint[]::oid[]))
   AND NOT (k.contype = 'c' AND k.coninhcount > 0 AND k.conrelid = ANY (%(members)s::bigint[]::oid[]))
 ORDER BY k.conrelid, k.contype, k.conname

-- indexes: lists indexes with their leading columns; of partitions only those that neither the parent nor a constraint has
SELECT x.indrelid::bigint AS relation, i.relname::text AS name, m.amname::text AS method, x.indisunique AS unique,
       x.indpred IS NOT NULL AS partial, x.indisvalid AS valid,
       CASE WHEN x.indrelid = ANY (%(open)s::bigint[]::oid[]) THEN pg_get_indexdef(x.indexrelid) END AS definition,
       x.indexprs IS NOT NULL AS has_expressions,
       (SELECT array_agg(coalesce(a.attname::text, '') ORDER BY o.place)
          FROM unnest(x.indkey::smallint[]) WITH ORDINALITY o (number, place)
          LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = o.number AND o.number <> 0
         WHERE o.place <= x.indnkeyatts) AS columns
  FROM pg_index x
  JOIN pg_class i ON i.oid = x.indexrelid
  JOIN pg_am m ON m.oid = i.relam
 WHERE x.indrelid = ANY (%(relations)s::bigint[]::oid[])
   AND NOT (x.indrelid = ANY (%(members)s::bigint[]::oid[])
            AND (EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = x.indexrelid) OR EXISTS (SELECT FROM pg_constraint k
                  WHERE k.conindid = x.indexrelid AND k.conrelid = x.indrelid AND k.contype IN ('p', 'u', 'x'))))
 ORDER BY x.indrelid, i.relname

-- types: lists the application's enums, domains, composites and ranges, without the row types of its relations
SELECT t.oid::bigint AS oid, n.nspname::text AS schema, t.typname::text AS name, t.typtype::text AS kind, d.description AS comment,
       CASE WHEN t.typtype = 'e' THEN (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid) END AS labels,
       CASE t.typtype WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod)
                      WHEN 'r' THEN (SELECT format_type(g.rngsubtype, NULL) FROM pg_range g WHERE g.rngtypid = t.oid) END AS base,
       CASE WHEN t.typtype = 'c' THEN (SELECT array_agg(concat(quote_ident(a.attname), ' ', format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum)
          FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) END AS attributes
  FROM pg_type t
  JOIN pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_class c ON c.oid = t.typrelid
  LEFT JOIN pg_description d ON d.objoid = t.oid AND d.classoid = 'pg_type'::regclass AND d.objsubid = 0
 WHERE (t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND c.relkind = 'c'))
   AND n.nspname !~ '^(pg_|agents($|_))' AND n.nspname <> 'information_schema'
   AND CASE WHEN %(schemas)s::text[] IS NULL THEN n.nspname <> ALL (%(platform)s::text[]) ELSE n.nspname = ANY (%(schemas)s::text[]) END
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid AND e.deptype = 'e')
 ORDER BY n.nspname, t.typname

-- functions: lists functions of every kind that people created, without a range type's own; `row_types` are the relations whose
-- rows they take or return
SELECT p.oid::bigint AS oid, n.nspname::text AS schema, p.proname::text AS name, p.prokind::text AS kind, pg_get_function_arguments(p.oid) AS arguments,
       pg_get_function_identity_arguments(p.oid) AS identity, pg_get_function_result(p.oid) AS returns, p.provolatile::text AS volatility,
       p.prosecdef AS security_definer, l.lanname::text AS language, d.description AS comment,
       coalesce(has_schema_privilege(n.oid, 'usage') AND has_function_privilege(p.oid, 'execute'), false) AS executable,
       (SELECT array_agg(t.typrelid::bigint) FROM unnest(p.prorettype || coalesce(p.proallargtypes, p.proargtypes::oid[])) u (oid)
          JOIN pg_type e ON e.oid = u.oid
          JOIN pg_type t ON t.oid = coalesce(nullif(e.typelem, 0), e.oid) AND t.typrelid <> 0) AS row_types
  FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_language l ON l.oid = p.prolang
  LEFT JOIN pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_proc'::regclass AND d.objsubid = 0
 WHERE n.nspname !~ '^(pg_|agents($|_))' AND n.nspname <> 'information_schema'
   AND CASE WHEN %(schemas)s::text[] IS NULL THEN n.nspname <> ALL (%(platform)s::text[]) ELSE n.nspname = ANY (%(schemas)s::text[]) END
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype IN ('e', 'i'))
 ORDER BY n.nspname, p.proname, 5

-- triggers: lists triggers that people created, on the relations and on partitions that have their own
SELECT t.tgrelid::bigint AS relation, t.tgname::text AS name, t.tgtype::integer AS bits, t.tgenabled <> 'D' AS enabled,
       n.nspname::text AS function_schema, p.proname::text AS function_name
  FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE t.tgrelid = ANY (%(relations)s::bigint[]::oid[]) AND NOT t.tgisinternal AND t.tgparentid = 0
 ORDER BY t.tgrelid, t.tgname

-- policies: lists policies, with whether each applies to this login and whether its expression is the constant true
SELECT p.polrelid::bigint AS relation, p.polname::text AS name, p.polcmd::text AS command, p.polpermissive AS permissive,
       (SELECT coalesce(array_agg(r.rolname::text ORDER BY r.rolname), '{}') FROM pg_roles r WHERE r.oid = ANY (p.polroles)) AS roles,
       EXISTS (SELECT FROM unnest(p.polroles) r (oid) WHERE r.oid = 0 OR pg_has_role(r.oid, 'usage')) AS applies,
       coalesce(p.polqual::text ~ '^\{CONST :consttype 16 .*:constisnull false .*\[ (0 )*1 (0 )*\]\}$', false) AS shows_all
  FROM pg_policy p WHERE p.polrelid = ANY (%(relations)s::bigint[]::oid[])
 ORDER BY p.polrelid, p.polname

-- extensions: lists the installed extensions
SELECT extname::text AS name, extversion AS version FROM pg_extension ORDER BY extname

-- statistics: returns what ANALYZE stored on columns that this login may read; common values only of low-cardinality words and
-- numbers, the first and last day only of times
SELECT c.oid::bigint AS relation, s.attname::text AS name, s.null_frac::float8 AS null_share, s.n_distinct::float8 AS distinct,
       CASE WHEN s.n_distinct BETWEEN 1 AND CASE t.typcategory WHEN 'S' THEN 100 ELSE 20 END AND t.typcategory IN ('S', 'N')
             AND t.typdelim = ',' THEN s.most_common_vals::text::text[] END AS common,
       CASE WHEN s.n_distinct BETWEEN 1 AND 100 THEN (SELECT sum(f) FROM unnest(s.most_common_freqs) f)::float8 END AS covered,
       CASE WHEN t.typname IN ('date', 'timestamp', 'timestamptz') THEN (SELECT ARRAY[min(v), max(v)]
              FROM unnest(s.most_common_vals::text::text[] || s.histogram_bounds::text::text[]) v WHERE v ~ '^[0-9]{4}-[0-9]') END AS times
  FROM unnest(%(analyzed)s::bigint[]) r (oid)
  JOIN pg_class c ON c.oid = r.oid::oid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.inherited = (c.relkind = 'p')
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = s.attname
  JOIN pg_type t ON t.oid = a.atttypid

-- hiding_tables: lists readable tables of which row-level security hides rows from this login, and whether it hides every row
SELECT n.nspname::text AS schema, c.relname::text AS name, coalesce(p.hides_all, true) AS hides_all
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (
   SELECT NOT bool_or(p.polpermissive) AS hides_all,
          coalesce(bool_or(p.polpermissive AND e.is_true) AND bool_and(p.polpermissive OR e.is_true), false) AS shows_all
     FROM pg_policy p CROSS JOIN LATERAL (
       SELECT p.polqual::text ~ '^\{CONST :consttype 16 .*:constisnull false .*\[ (0 )*1 (0 )*\]\}$' AS is_true) e
    WHERE p.polrelid = c.oid AND p.polcmd IN ('r', '*')
      AND EXISTS (SELECT FROM unnest(p.polroles) r (oid) WHERE CASE WHEN r.oid = 0 THEN true ELSE pg_has_role(r.oid, 'usage') END)
 ) p
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relrowsecurity
   AND n.nspname !~ '^(pg_|agents($|_))' AND n.nspname <> 'information_schema'
   AND CASE WHEN %(schemas)s::text[] IS NULL THEN n.nspname <> ALL (%(platform)s::text[]) ELSE n.nspname = ANY (%(schemas)s::text[]) END
   AND has_schema_privilege(n.oid, 'usage') AND has_any_column_privilege(c.oid, 'select') AND row_security_active(c.oid)
   AND NOT p.shows_all
 ORDER BY n.nspname, c.relname

-- names: lists every relation that a name in AGENT_DENY may match, with its columns, and whether it belongs to the application
SELECT n.nspname::text AS schema, c.relname::text AS name,
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
       AND CASE WHEN %(schemas)s::text[] IS NULL THEN n.nspname <> ALL (%(platform)s::text[]) ELSE n.nspname = ANY (%(schemas)s::text[]) END AS ours
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^(pg_toast|pg_temp|agents($|_))'
