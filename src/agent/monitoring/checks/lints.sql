-- lints: what is wrong with tables, views, policies, functions and indexes by their definitions: a lint's name and an object
WITH spaces AS MATERIALIZED (
  SELECT n.oid, n.nspname FROM pg_namespace n
   WHERE n.nspname !~ '^(pg_|agents($|_))' AND n.nspname <> 'information_schema'
     AND CASE WHEN %(schemas)s::text[] IS NULL THEN n.nspname <> ALL (%(platform)s::text[]) ELSE n.nspname = ANY (%(schemas)s::text[]) END
), api AS MATERIALIZED (
  SELECT s.* FROM spaces s
   WHERE s.nspname = ANY (string_to_array(replace(coalesce(nullif(current_setting('pgrst.db_schemas', true), ''), 'public'), ' ', ''), ','))
), roles AS MATERIALIZED (
  SELECT r.oid, r.rolname FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated')
), ours AS MATERIALIZED (
  SELECT d.classid, d.objid FROM pg_depend d WHERE d.deptype = 'e'
), rel AS MATERIALIZED (
  SELECT c.oid, c.relname, c.relkind, c.relrowsecurity, c.relowner, c.reloptions, c.relpages, c.relispartition, s.nspname,
         format('%%I.%%I', s.nspname, c.relname) AS name, c.relnamespace IN (SELECT oid FROM api) AS in_api
    FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
     AND NOT EXISTS (SELECT FROM ours o WHERE o.classid = 'pg_class'::regclass AND o.objid = c.oid)
), shown AS MATERIALIZED (
  SELECT r.oid, array_agg(o.rolname::text ORDER BY o.rolname) AS roles FROM rel r, roles o
   WHERE r.in_api AND has_schema_privilege(o.oid, r.nspname, 'usage') AND has_any_column_privilege(o.oid, r.oid, 'select')
   GROUP BY r.oid
), con AS MATERIALIZED (
  SELECT k.oid, k.conrelid, k.confrelid, k.conkey, k.contype, k.conname, r.name, r.in_api FROM pg_constraint k JOIN rel r ON r.oid = k.conrelid
   WHERE k.contype IN ('f', 'p') AND k.conparentid = 0
), ind AS MATERIALIZED (
  SELECT i.indexrelid, i.indrelid, i.indkey, i.indisunique, i.indisprimary, i.indisvalid, i.indpred IS NULL AS whole, i.indexprs IS NULL AS plain,
         i.indclass, i.indcollation, i.indoption, coalesce(i.indpred::text, '') AS pred, coalesce(i.indexprs::text, '') AS exprs,
         c.relname AS index_name, c.relam, r.name, r.relpages
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN rel r ON r.oid = i.indrelid
), pol AS MATERIALIZED (
  SELECT p.polname, p.polpermissive, p.polcmd, p.polroles, r.oid, r.name, r.relrowsecurity, r.in_api,
         concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) AS said,
         lower(coalesce(pg_get_expr(p.polqual, p.polrelid), '')) AS qual, lower(coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '')) AS checked
    FROM pg_policy p JOIN rel r ON r.oid = p.polrelid
), behind AS MATERIALIZED (
  SELECT DISTINCT v.oid, d.refobjid AS reads FROM rel v JOIN pg_rewrite w ON w.ev_class = v.oid
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid
   WHERE v.relkind IN ('v', 'm') AND v.in_api
), fn AS MATERIALIZED (
  SELECT p.oid, p.prosecdef, p.proconfig, s.nspname, format('%%I.%%I', s.nspname, p.proname) AS name, p.prolang, p.prorettype,
         p.pronamespace IN (SELECT oid FROM api) AS in_api
    FROM pg_proc p JOIN spaces s ON s.oid = p.pronamespace
   WHERE p.prokind IN ('f', 'p') AND NOT EXISTS (SELECT FROM ours o WHERE o.classid = 'pg_proc'::regclass AND o.objid = p.oid)
), platform AS MATERIALIZED (
  -- not to_regclass, which wants the right to use the schema
  SELECT c.oid, n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE (n.nspname, c.relname) IN (('auth', 'users'), ('storage', 'objects'))
)
SELECT 'unindexed_foreign_keys' AS lint, c.name || '.' || c.conname AS object FROM con c
 WHERE c.contype = 'f'
   AND NOT EXISTS (SELECT FROM ind i WHERE i.indrelid = c.conrelid AND i.whole AND i.indisvalid
                      AND (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] @> c.conkey)
UNION ALL
SELECT 'auth_users_exposed', r.name FROM rel r JOIN behind b ON b.oid = r.oid JOIN shown s ON s.oid = r.oid
 WHERE b.reads = (SELECT p.oid FROM platform p WHERE p.name = 'auth.users')
UNION ALL
SELECT 'auth_rls_initplan', p.name || '.' || p.polname FROM pol p
 WHERE regexp_replace(lower(p.said), '\(\s*select\s+(auth\.\w+\(\)|current_setting\([^)]*\))', '', 'g') ~ '(auth\.(uid|jwt|role|email)\(\)|current_setting\()'
UNION ALL
SELECT 'no_primary_key', r.name FROM rel r
 WHERE r.relkind IN ('r', 'p') AND NOT r.relispartition AND NOT EXISTS (SELECT FROM con c WHERE c.conrelid = r.oid AND c.contype = 'p')
UNION ALL
SELECT 'unused_index', i.name || '.' || i.index_name FROM ind i JOIN pg_stat_all_indexes u ON u.indexrelid = i.indexrelid
 WHERE u.idx_scan = 0 AND NOT i.indisunique AND i.relpages >= 1000
   AND (SELECT d.stats_reset IS NULL OR d.stats_reset < now() - interval '14 days' FROM pg_stat_database d WHERE d.datname = current_database())
   AND pg_postmaster_start_time() < now() - interval '14 days'
UNION ALL
SELECT 'multiple_permissive_policies', concat(p.name, ' for ', coalesce(o.rolname, 'public'), ' on ', a.command)
  FROM pol p CROSS JOIN LATERAL unnest(p.polroles) r (role) LEFT JOIN pg_roles o ON o.oid = r.role
  CROSS JOIN LATERAL unnest(CASE p.polcmd WHEN '*' THEN ARRAY['select', 'insert', 'update', 'delete'] WHEN 'r' THEN ARRAY['select']
                                          WHEN 'a' THEN ARRAY['insert'] WHEN 'w' THEN ARRAY['update'] ELSE ARRAY['delete'] END) a (command)
 WHERE p.polpermissive GROUP BY p.name, o.rolname, a.command HAVING count(*) > 1
UNION ALL
SELECT DISTINCT 'policy_exists_rls_disabled', p.name FROM pol p WHERE NOT p.relrowsecurity
UNION ALL
SELECT 'rls_enabled_no_policy', r.name FROM rel r
 WHERE r.relrowsecurity AND r.in_api AND NOT EXISTS (SELECT FROM pol p WHERE p.oid = r.oid)
UNION ALL
SELECT 'duplicate_index', concat(min(i.name), ': ', string_agg(i.index_name, ', ' ORDER BY i.index_name)) FROM ind i
 GROUP BY i.indrelid, i.relam, i.indkey::text, i.indclass::text, i.indcollation::text, i.indoption::text, i.pred, i.exprs HAVING count(*) > 1
UNION ALL
SELECT 'security_definer_view', r.name FROM rel r JOIN shown s ON s.oid = r.oid
 WHERE r.relkind = 'v'
   AND NOT coalesce((SELECT o.option_value::boolean FROM pg_options_to_table(r.reloptions) o WHERE o.option_name = 'security_invoker'), false)
UNION ALL
SELECT 'function_search_path_mutable', f.name FROM fn f
 WHERE NOT EXISTS (SELECT FROM unnest(f.proconfig) c (setting) WHERE c.setting LIKE 'search_path=%%')
UNION ALL
SELECT 'auth_allow_anonymous_sign_ins', p.name || '.' || p.polname FROM pol p
 WHERE p.in_api AND p.polpermissive AND p.polroles && (SELECT array_agg(o.oid) FROM roles o WHERE o.rolname = 'authenticated')
   AND p.said !~ 'is_anonymous' AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = (SELECT f.oid FROM platform f WHERE f.name = 'auth.users') AND a.attname = 'is_anonymous')
UNION ALL
SELECT 'rls_disabled_in_public', r.name FROM rel r JOIN shown s ON s.oid = r.oid
 WHERE r.relkind IN ('r', 'p') AND NOT r.relrowsecurity AND NOT r.relispartition
UNION ALL
SELECT 'extension_in_public', e.extname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
 WHERE n.nspname = 'public' AND EXISTS (SELECT FROM roles)
UNION ALL
SELECT 'rls_references_user_metadata', p.name || '.' || p.polname FROM pol p WHERE p.said ~* '(user_metadata|raw_user_meta_data)'
UNION ALL
SELECT CASE r.relkind WHEN 'm' THEN 'materialized_view_in_api' ELSE 'foreign_table_in_api' END, r.name FROM rel r JOIN shown s ON s.oid = r.oid
 WHERE r.relkind IN ('m', 'f')
UNION ALL
SELECT 'unsupported_reg_types', concat(r.name, '.', a.attname) FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE r.relkind IN ('r', 'p') AND a.atttypid IN ('regcollation'::regtype, 'regconfig'::regtype, 'regdictionary'::regtype, 'regnamespace'::regtype,
                                                 'regoper'::regtype, 'regoperator'::regtype, 'regproc'::regtype, 'regprocedure'::regtype)
UNION ALL
SELECT 'insecure_queue_exposed_in_api', format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = 'pgmq' AND c.relname LIKE 'q\_%%' AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity AND to_regnamespace('pgmq_public') IS NOT NULL
UNION ALL
SELECT 'table_bloat', r.name FROM rel r JOIN pg_stat_all_tables t ON t.relid = r.oid
 WHERE t.n_dead_tup > 10000 AND t.n_dead_tup > t.n_live_tup
UNION ALL
SELECT 'fkey_to_auth_unique', c.name || '.' || c.conname FROM con c
 WHERE c.contype = 'f'
   AND c.confrelid = ANY (ARRAY(SELECT x.oid FROM pg_class x JOIN pg_namespace n ON n.oid = x.relnamespace WHERE n.nspname = 'auth'))
   AND NOT EXISTS (SELECT FROM pg_constraint k JOIN pg_constraint f ON f.oid = c.oid
                    WHERE k.conrelid = f.confrelid AND k.contype = 'p' AND k.conkey @> f.confkey AND f.confkey @> k.conkey)
UNION ALL
SELECT 'extension_versions_outdated', concat(a.name, ' ', a.installed_version, ' -> ', a.default_version) FROM pg_available_extensions a
 WHERE a.installed_version IS NOT NULL AND a.installed_version <> a.default_version
UNION ALL
SELECT 'rls_policy_always_true', p.name || '.' || p.polname FROM pol p
 WHERE p.polpermissive AND p.polcmd <> 'r' AND (p.qual IN ('true', '(true)', '(1 = 1)') OR p.checked IN ('true', '(true)', '(1 = 1)'))
   AND (p.polroles && ARRAY[0::oid] OR p.polroles && (SELECT array_agg(o.oid) FROM roles o))
UNION ALL
SELECT 'public_bucket_allows_listing', p.polname::text FROM pg_policy p
 WHERE p.polrelid = (SELECT f.oid FROM platform f WHERE f.name = 'storage.objects') AND p.polcmd IN ('r', '*') AND p.polpermissive
   AND coalesce(pg_get_expr(p.polqual, p.polrelid), '') !~* '(auth\.uid|owner|name|foldername)'
UNION ALL
SELECT concat('graphql_', o.rolname, '_table_exposed'), r.name FROM rel r JOIN shown s ON s.oid = r.oid CROSS JOIN LATERAL unnest(s.roles) o (rolname)
 WHERE EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_graphql') AND r.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT r.relispartition
UNION ALL
SELECT concat(o.rolname, '_security_definer_function_executable'), f.name FROM fn f, roles o
 WHERE f.in_api AND f.prosecdef AND f.prorettype <> 'trigger'::regtype AND has_schema_privilege(o.oid, f.nspname, 'usage')
   AND has_function_privilege(o.oid, f.oid, 'execute')

-- exposed_columns: the columns of tables that the API's users may read without any row-level security
SELECT format('%%I.%%I', n.nspname, c.relname) AS name, n.nspname AS schema, c.relname AS table_name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE n.nspname = ANY (string_to_array(replace(coalesce(nullif(current_setting('pgrst.db_schemas', true), ''), 'public'), ' ', ''), ','))
   AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
   AND EXISTS (SELECT FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated') AND has_schema_privilege(r.oid, n.oid, 'usage')
                  AND has_column_privilege(r.oid, c.oid, a.attnum, 'select'))
 GROUP BY n.nspname, c.relname
