-- fingerprint: a digest of every row of the catalogs that a resolution reads, without those of the server itself. Any change of
-- a row changes it, because the digest covers the number of the transaction that wrote the row. age() counts from the present
-- transaction, so it is compared with `born`, the age of a fixed transaction
SELECT concat_ws(' ',
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | oid::int8, %(seed)s)) FROM pg_proc WHERE oid >= 16384),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | oid::int8, %(seed)s)) FROM pg_class WHERE oid >= 16384),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | attrelid::int8, %(seed)s)) FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | oid::int8, %(seed)s)) FROM pg_type WHERE oid >= 16384),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | oid::int8, %(seed)s)) FROM pg_rewrite WHERE oid >= 16384),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | oid::int8, %(seed)s)) FROM pg_policy),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | oid::int8, %(seed)s)) FROM pg_operator WHERE oid >= 16384),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | oid::int8, %(seed)s)) FROM pg_cast WHERE oid >= 16384),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | oid::int8, %(seed)s)) FROM pg_trigger),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | oid::int8, %(seed)s)) FROM pg_constraint WHERE oid >= 16384),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | oid::int8, %(seed)s)) FROM pg_attrdef),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | aggfnoid::oid::int8, %(seed)s)) FROM pg_aggregate WHERE aggfnoid >= 16384),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | indexrelid::int8, %(seed)s)) FROM pg_index WHERE indexrelid >= 16384),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | inhrelid::int8, %(seed)s)) FROM pg_inherits),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | partrelid::int8, %(seed)s)) FROM pg_partitioned_table),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | oid::int8, %(seed)s)) FROM pg_statistic_ext),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | oid::int8, %(seed)s)) FROM pg_amop WHERE oid >= 16384),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | oid::int8, %(seed)s)) FROM pg_amproc WHERE oid >= 16384),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | rngtypid::int8, %(seed)s)) FROM pg_range WHERE rngtypid >= 16384),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | oid::int8, %(seed)s)) FROM pg_opclass WHERE oid >= 16384),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | oid::int8, %(seed)s)) FROM pg_am WHERE oid >= 16384),
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | objid::int8, %(seed)s)) FROM pg_depend
    WHERE refclassid = 'pg_extension'::regclass),
  -- comments can mark columns as secret
  (SELECT sum(hashint8extended((age(xmin) - born) << 32 | objoid::int8, %(seed)s)) FROM pg_description WHERE objoid >= 16384),
  (SELECT sum(hash_record_extended(ROW (oid, xmin), %(seed)s)) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'),
  -- the roles to which policies apply, and those that bypass them
  (SELECT sum(hash_record_extended(ROW (roleid, member, xmin), %(seed)s)) FROM pg_auth_members),
  (SELECT sum(hashtextextended(concat_ws(' ', r.oid, r.rolsuper, r.rolinherit, r.rolbypassrls), %(seed)s)) FROM pg_roles r),
  -- the schemas in which each login may look up names
  (SELECT string_agg(concat(l.login, n.nspname, has_schema_privilege(l.login, n.oid, 'usage')), ',' ORDER BY l.login, n.nspname)
     FROM unnest(%(logins)s::name[]) AS l (login), pg_namespace n WHERE n.nspname = ANY (%(schemas)s::name[]))) AS fingerprint,
  coalesce((SELECT r.rolbypassrls FROM pg_roles r WHERE r.rolname = %(reader)s), false) AS bypasses_rls,
  -- whether a probe, or creating a temporary table, would run an event trigger; those of Supabase ignore temporary objects
  coalesce(event_triggers.on_function, false) AS probe_fires_trigger, coalesce(event_triggers.on_any, false) AS table_fires_trigger
  FROM (SELECT age('100'::xid)::int8 AS born OFFSET 0) AS past, (
    SELECT bool_or(e.evttags IS NULL OR 'CREATE FUNCTION' = ANY (e.evttags)) AS on_function, bool_or(true) AS on_any
      FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid
     WHERE coalesce(current_setting('event_triggers', true), 'on') = 'on' AND e.evtenabled <> 'D' AND e.evtevent <> 'login'
       AND (e.evttags IS NULL OR e.evttags && ARRAY['CREATE FUNCTION', 'CREATE TABLE', 'DROP TABLE'])
       AND NOT (p.pronamespace = to_regnamespace('extensions') AND p.proname IN ('pgrst_ddl_watch', 'pgrst_drop_watch')
                AND p.proowner = to_regrole('supabase_admin')
                AND EXISTS (SELECT FROM pg_roles r WHERE r.oid = p.proowner AND r.rolsuper))
  ) AS event_triggers

-- system_functions: the numbers of the server's own functions that have these names
SELECT oid::bigint, proname::text AS name FROM pg_proc
 WHERE oid < 16384 AND pronamespace = 'pg_catalog'::regnamespace AND proname = ANY (%(names)s)
   AND prolang IN (SELECT l.oid FROM pg_language l WHERE l.lanname IN ('internal', 'sql'))

-- implicit_code: the users' code that runs without being named in a statement, without that of known extensions. An extension
-- vouches for members that a superuser installed with it, not for those that its owner added or changed
WITH known AS MATERIALIZED (
  SELECT e.oid FROM pg_extension e WHERE concat(e.extname, ' ', split_part(e.extversion, '.', 1)) = ANY (%(extensions)s)
), member AS MATERIALIZED (
  SELECT d.classid, d.objid, d.refobjid AS extension FROM pg_depend d
   WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND d.refobjid IN (SELECT oid FROM known)
), vouched_function AS MATERIALIZED (
  SELECT m.objid AS oid, m.extension FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
    JOIN pg_language l ON l.oid = p.prolang JOIN pg_roles r ON r.oid = p.proowner AND r.rolsuper
   WHERE CASE WHEN l.lanname = 'c' THEN p.probin LIKE '$libdir/%%' ELSE l.lanname IN ('internal', 'sql') END
), unvouched AS MATERIALIZED (
  SELECT m.objid AS oid FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid NOT IN (SELECT oid FROM vouched_function)
  UNION  -- an aggregate is vouched for only if its parts are
  SELECT m.objid FROM member m JOIN pg_aggregate g ON m.classid = 'pg_proc'::regclass AND g.aggfnoid::oid = m.objid
   CROSS JOIN LATERAL unnest(ARRAY[g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn, g.aggmtransfn,
                                   g.aggminvtransfn, g.aggmfinalfn]::oid[]) AS part
   WHERE part >= 16384 AND (part, m.extension) NOT IN (SELECT oid, extension FROM vouched_function)
  UNION
  SELECT o.oid FROM member m JOIN pg_operator o ON m.classid = 'pg_operator'::regclass AND o.oid = m.objid JOIN pg_roles r ON r.oid = o.oprowner
   WHERE NOT r.rolsuper OR (o.oprcode::oid, m.extension) NOT IN (SELECT oid, extension FROM vouched_function)
  UNION
  SELECT t.oid FROM member m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid LEFT JOIN pg_range r ON r.rngtypid = t.oid
   CROSS JOIN LATERAL unnest(ARRAY[t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typsubscript,
                                   r.rngcanonical, r.rngsubdiff]::oid[]) AS part
   WHERE part >= 16384 AND part NOT IN (SELECT oid FROM vouched_function)
), vouched_member AS MATERIALIZED (SELECT m.classid, m.objid FROM member m WHERE m.objid NOT IN (SELECT oid FROM unvouched)
), system_support AS MATERIALIZED (  -- functions that the system's own families call are harmless in other families too
  SELECT s.amproc::oid AS oid FROM pg_amproc s WHERE s.oid < 16384)
SELECT ARRAY(SELECT oid::bigint FROM unvouched) AS unvouched, ARRAY(SELECT oid::bigint FROM known) AS extensions,
       EXISTS (SELECT FROM pg_amproc s WHERE s.oid >= 16384 AND s.amproc::oid NOT IN (SELECT oid FROM system_support)
                AND s.amproc::oid NOT IN (SELECT objid FROM vouched_member WHERE classid = 'pg_proc'::regclass))
         OR EXISTS (SELECT FROM pg_amop a WHERE a.oid >= 16384 AND a.amopopr >= 16384
                     AND a.amopopr NOT IN (SELECT objid FROM vouched_member WHERE classid = 'pg_operator'::regclass)) AS families,
       ARRAY(SELECT r.rngtypid::bigint FROM pg_range r WHERE r.rngcanonical::oid >= 16384 OR r.rngsubopc >= 16384
             UNION SELECT o.opcintype::bigint FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod AND m.amname IN ('btree', 'hash')
                    WHERE o.oid >= 16384 AND o.oid NOT IN (SELECT objid FROM vouched_member WHERE classid = 'pg_opclass'::regclass)) AS compared,
       ARRAY(SELECT t.oid::bigint FROM pg_type t WHERE t.typmodin::oid >= 16384
                AND t.typmodin::oid NOT IN (SELECT objid FROM vouched_member WHERE classid = 'pg_proc'::regclass)) AS modified,
       ARRAY(SELECT jsonb_build_array(contypid::bigint, conbin::text) FROM pg_constraint WHERE contypid <> 0 AND conbin IS NOT NULL) AS checks,
       -- the names by which SQL text may mean users' code
       ARRAY(SELECT p.proname::text FROM pg_proc p
              WHERE p.oid >= 16384 AND p.oid NOT IN (SELECT objid FROM vouched_member WHERE classid = 'pg_proc'::regclass)
             UNION SELECT o.oprname FROM pg_operator o
              WHERE o.oid >= 16384 AND o.oid NOT IN (SELECT objid FROM vouched_member WHERE classid = 'pg_operator'::regclass)
             UNION SELECT t.typname FROM pg_type t
              WHERE t.oid >= 16384 AND t.typtype <> 'e' AND t.oid NOT IN (SELECT objid FROM vouched_member WHERE classid = 'pg_type'::regclass)
             -- a cast has no name, so any text may mean it
             UNION SELECT '=' FROM pg_cast k WHERE k.oid >= 16384 AND k.castsource < 16384 AND k.casttarget < 16384) AS named

-- names_of: the names of types, relations, functions and operators by which a statement can make the server parse a value of
-- these types, or of a type that contains one of them
WITH RECURSIVE parsed AS (
  SELECT unnest(%(types)s::oid[]) AS oid
  UNION SELECT x.oid FROM parsed CROSS JOIN LATERAL (
    SELECT t.oid FROM pg_type t WHERE parsed.oid IN (t.typelem, t.typbasetype)
    UNION ALL SELECT unnest(ARRAY[r.rngtypid, r.rngmultitypid]) FROM pg_range r WHERE parsed.oid IN (r.rngsubtype, r.rngtypid)
    UNION ALL SELECT c.reltype FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
               WHERE a.atttypid = parsed.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.reltype <> 0
  ) x
)
SELECT t.typname::text AS name FROM pg_type t WHERE t.oid IN (SELECT oid FROM parsed)
UNION SELECT p.proname FROM pg_proc p, unnest(p.proargtypes::oid[] || p.prorettype || coalesce(p.proallargtypes, '{}')) AS type
       WHERE type IN (SELECT oid FROM parsed)
UNION SELECT o.oprname FROM pg_operator o, unnest(ARRAY[o.oprleft, o.oprright, o.oprresult]) AS type
       WHERE type IN (SELECT oid FROM parsed)

-- probe_settings: makes the server resolve names as the login will, and read literals as the parser did
SELECT set_config('search_path', %(search_path)s, true), set_config('standard_conforming_strings', 'on', true),
       set_config('statement_timeout', %(statement_ms)s, true), set_config('lock_timeout', '1000', true)

-- probe: the tree that the server made of the statement, and whether the other login may look up names in the same schemas
SELECT p.prosqlbody::text AS tree,
       NOT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = ANY (%(schemas)s::name[]) AND NOT has_schema_privilege(%(login)s, n.oid, 'usage')) AS same_schemas
  FROM pg_proc p WHERE p.oid = 'pg_temp.agent_probe'::regproc

-- function_named: the number of a function by its name, with the types of its arguments if several have that name. Before
-- Postgres 16 to_regprocedure() takes no plain name. Names are qualified, because this runs in the application's search_path
SELECT CASE WHEN %(signature)s::pg_catalog.text OPERATOR(pg_catalog.~) '\)\s*$'
            THEN pg_catalog.to_regprocedure(%(signature)s)::pg_catalog.oid
            ELSE pg_catalog.to_regproc(%(signature)s)::pg_catalog.oid END::pg_catalog.int8 AS oid

-- named: the relations with these names, for statements that cannot be probed
SELECT c.oid::bigint FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS a (schema, name)
  JOIN pg_class c ON c.relname = a.name::name AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE CASE WHEN a.schema <> '' THEN n.nspname = a.schema ELSE n.nspname !~ '^(agents(_|$)|pg_)' AND n.nspname <> 'information_schema' END

-- behind: the code of these objects, and the expressions (trees) that run with them
WITH extension AS NOT MATERIALIZED (  -- a known extension has its name here; any other has its version too, so no list names it
  SELECT d.classid, d.objid, k.known, CASE WHEN k.known THEN e.extname ELSE concat(e.extname, ' ', e.extversion) END AS extname
    FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid CROSS JOIN LATERAL (SELECT e.oid = ANY (%(extensions)s::oid[]) AS known) k
   WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND d.objid <> ALL (%(unvouched)s::oid[])
), applying AS MATERIALIZED (  -- only policies for one of the logins, or for the owner of a view, run
  SELECT p.oid FROM pg_policy p
   WHERE p.polrelid = ANY (%(relations)s::oid[]) AND EXISTS (
     SELECT FROM unnest(p.polroles) AS o (oid), pg_roles r
      WHERE CASE WHEN o.oid = 0 THEN true ELSE pg_has_role(r.oid, o.oid, 'usage') END
        AND (r.rolname = ANY (%(logins)s::name[])
             OR (NOT r.rolsuper AND NOT r.rolbypassrls AND EXISTS (SELECT FROM pg_class v WHERE v.relkind = 'v' AND v.relowner = r.oid))))
), system_support AS MATERIALIZED (SELECT s.amproc::oid AS oid FROM pg_amproc s WHERE s.oid < 16384)
SELECT 'relation' AS kind, c.oid::bigint, n.nspname AS schema, c.relname AS name, NULL AS extension,
       jsonb_build_object(
         'kind', c.relkind, 'secured', c.relrowsecurity,
         'reads_as', CASE WHEN c.relkind = 'v' AND NOT coalesce((SELECT o.option_value::boolean FROM pg_options_to_table(c.reloptions) o
                                                                  WHERE o.option_name = 'security_invoker'), false) THEN c.relowner::bigint END,
         'columns', (SELECT jsonb_agg(jsonb_build_array(a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), format_type(nullif(t.typbasetype, 0), t.typtypmod),
                                                        coalesce(e.typcategory, t.typcategory), coalesce(d.description, '')) ORDER BY a.attnum)
                       FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
                       LEFT JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = a.attnum
                      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
         -- a generated column depends on those that it is computed from
         'derived', (SELECT jsonb_agg(DISTINCT jsonb_build_array(g.attname, b.attname)) FROM pg_attribute g
                       JOIN pg_attrdef e ON e.adrelid = c.oid AND e.adnum = g.attnum
                       JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid NOT IN (0, g.attnum)
                                       AND ((d.classid, d.objid) = ('pg_attrdef'::regclass, e.oid)
                                            OR (d.classid, d.objid, d.objsubid) = ('pg_class'::regclass, c.oid, g.attnum))
                       JOIN pg_attribute b ON b.attrelid = c.oid AND b.attnum = d.refobjsubid
                      WHERE g.attrelid = c.oid AND g.attgenerated <> ''),
         'kin', (WITH RECURSIVE up AS (
                   SELECT i.inhparent AS oid FROM pg_inherits i WHERE i.inhrelid = c.oid
                   UNION SELECT i.inhparent FROM pg_inherits i JOIN up ON i.inhrelid = up.oid
                 ), down AS (
                   SELECT i.inhrelid AS oid FROM pg_inherits i WHERE i.inhparent = c.oid
                   UNION SELECT i.inhrelid FROM pg_inherits i JOIN down ON i.inhparent = down.oid
                 )
                 SELECT jsonb_agg(jsonb_build_array(k.relnamespace::regnamespace::text, k.relname, k.relkind, k.oid::bigint,
                                                    k.oid IN (SELECT oid FROM down),
                                                    (SELECT jsonb_agg(jsonb_build_array(a.attname, d.description)) FROM pg_description d
                                                       JOIN pg_attribute a ON a.attrelid = d.objoid AND a.attnum = d.objsubid AND a.attnum > 0
                                                      WHERE d.objoid = k.oid AND d.classoid = 'pg_class'::regclass)))
                   FROM pg_class k WHERE k.oid IN (SELECT oid FROM up UNION SELECT oid FROM down)),
         'types', (SELECT jsonb_agg(DISTINCT a.atttypid::bigint) FROM pg_attribute a
                    WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.atttypid >= 16384 AND %(writes)s),
         -- access methods that users created: their code reads the table
         'methods', (SELECT jsonb_agg(m.amname) FROM pg_am m LEFT JOIN extension e ON e.classid = 'pg_am'::regclass AND e.objid = m.oid
                      WHERE m.oid >= 16384 AND e.known IS NOT TRUE
                        AND m.oid IN (SELECT c.relam UNION SELECT x.relam FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid)),
         'triggers', (SELECT jsonb_agg(jsonb_build_array(g.tgname, g.tgfoid::bigint, g.tgtype) ORDER BY g.tgname) FROM pg_trigger g
                       WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D' AND %(writes)s),
         'written', (SELECT jsonb_agg(DISTINCT jsonb_build_array(f.conrelid::bigint, f.confdeltype, f.confupdtype)) FROM pg_constraint f
                      WHERE f.confrelid = c.oid AND (f.confdeltype IN ('c', 'n', 'd') OR f.confupdtype IN ('c', 'n', 'd')) AND %(writes)s)
       ) AS detail, t.kinds, t.trees
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
    SELECT array_agg(x.kind) AS kinds, array_agg(x.tree) AS trees FROM (
      SELECT CASE c.relkind WHEN 'v' THEN 'view' ELSE 'source' END AS kind, r.ev_action::text AS tree
        FROM pg_rewrite r WHERE r.ev_class = c.oid AND c.relkind IN ('v', 'm') AND r.ev_type = '1'
      UNION ALL SELECT 'rule', concat(r.ev_qual::text, ' ', r.ev_action::text) FROM pg_rewrite r
                 WHERE r.ev_class = c.oid AND r.ev_type <> '1' AND r.ev_enabled <> 'D' AND %(writes)s
      UNION ALL SELECT 'policy', p.polqual::text FROM pg_policy p
                 WHERE p.polrelid = c.oid AND c.relrowsecurity AND p.polqual IS NOT NULL AND (p.polcmd IN ('r', '*') OR %(writes)s)
                   AND p.oid IN (SELECT oid FROM applying)
      UNION ALL SELECT 'policy', p.polwithcheck::text FROM pg_policy p
                 WHERE p.polrelid = c.oid AND c.relrowsecurity AND p.polwithcheck IS NOT NULL AND %(writes)s
                   AND p.oid IN (SELECT oid FROM applying)
      -- planning folds the constants in these
      UNION ALL SELECT 'index', i.indexprs::text FROM pg_index i WHERE i.indrelid = c.oid AND i.indexprs IS NOT NULL
      UNION ALL SELECT 'index condition', i.indpred::text FROM pg_index i WHERE i.indrelid = c.oid AND i.indpred IS NOT NULL
      UNION ALL SELECT 'check', k.conbin::text FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'
      UNION ALL SELECT 'statistics', s.stxexprs::text FROM pg_statistic_ext s WHERE s.stxrelid = c.oid AND s.stxexprs IS NOT NULL
      UNION ALL SELECT 'partition', p.partexprs::text FROM pg_partitioned_table p WHERE p.partrelid = c.oid AND p.partexprs IS NOT NULL
      UNION ALL SELECT 'partition', c.relpartbound::text WHERE c.relpartbound IS NOT NULL
      UNION ALL SELECT CASE a.attgenerated WHEN '' THEN 'default' ELSE 'column' END, d.adbin::text FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
                 WHERE d.adrelid = c.oid AND (a.attgenerated = 'v' OR %(writes)s)
    ) x
  ) t ON c.oid >= 16384
 WHERE c.oid = ANY (%(relations)s::oid[])
UNION ALL
SELECT 'function', p.oid::bigint, n.nspname, p.proname, e.extname,
       jsonb_build_object(
         'kind', p.prokind, 'language', l.lanname, 'definer', p.prosecdef, 'owner', (SELECT r.rolname FROM pg_roles r WHERE r.oid = p.proowner),
         'signature', p.oid::regprocedure::text,
         'parts', (SELECT jsonb_agg(part::bigint) FROM pg_aggregate g, unnest(ARRAY[g.aggtransfn, g.aggfinalfn, g.aggcombinefn,
                     g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn]::oid[]) AS part
                    WHERE g.aggfnoid = p.oid AND part <> 0),
         'digest', encode(sha256(convert_to(ROW (n.nspname, p.proname, p.proargtypes, p.prorettype, p.proretset, p.prokind, p.prolang,
                     p.prosrc, p.probin, p.prosqlbody::text, p.proargdefaults::text, p.proconfig, p.provolatile, p.prosecdef,
                     p.proowner, p.proleakproof, p.prosupport, p.protrftypes, p.provariadic)::text, 'UTF8')), 'hex'),
         'source', CASE WHEN p.oid >= 16384 AND e.extname IS NULL THEN coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) END,
         -- a body that is text is resolved only when it runs, so every function counts whose name it may call
         'calls', (SELECT jsonb_agg(DISTINCT o.oid::bigint) FROM regexp_matches(p.prosrc, '([[:alpha:]_][[:alnum:]_$]*)"?\s*\(', 'g') AS m
                     JOIN pg_proc o ON o.proname IN (m[1], lower(m[1])) AND o.oid >= 16384 AND o.oid <> p.oid
                    WHERE p.prosqlbody IS NULL AND l.lanname IN ('sql', 'plpgsql') AND e.extname IS NULL),
         -- for functions that run as their caller, on values of the server's own types only
         'plain', (SELECT jsonb_build_object('text', CASE WHEN p.prosqlbody IS NULL THEN p.prosrc END, 'own_path', p.proconfig IS NOT NULL,
                     'arguments', (SELECT string_agg(concat_ws(' ', quote_ident(nullif(p.proargnames[a.place], '')), 'pg_catalog.' || quote_ident(t.typname)), ', ' ORDER BY a.place)
                                     FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, place) JOIN pg_type t ON t.oid = a.type),
                     'returns', 'pg_catalog.' || quote_ident(r.typname))
                     FROM pg_type r
                    WHERE r.oid = p.prorettype AND l.lanname IN ('sql', 'plpgsql') AND e.extname IS NULL AND p.prokind = 'f' AND NOT p.prosecdef
                      AND NOT p.proretset AND p.provariadic = 0 AND p.proargmodes IS NULL AND p.proargdefaults IS NULL
                      AND p.prosupport::oid = 0 AND p.protrftypes IS NULL AND (p.proconfig IS NULL OR p.proconfig = ARRAY['search_path=""'])
                      AND NOT EXISTS (SELECT FROM pg_type t WHERE t.oid = ANY (p.proargtypes::oid[] || p.prorettype)
                                         AND (t.oid >= 16384 OR t.typnamespace <> 'pg_catalog'::regnamespace OR t.typtype = 'p'))
                      AND NOT EXISTS (SELECT FROM pg_cast k WHERE k.oid >= 16384 AND k.casttarget = p.prorettype)),
         'text', CASE WHEN l.lanname = 'sql' AND p.prosqlbody IS NULL THEN p.prosrc END,
         -- planning may replace the call by the function's body
         'inlined', l.lanname = 'sql' AND p.prokind = 'f' AND NOT p.prosecdef AND p.proconfig IS NULL AND NOT p.proretset,
         'planned', p.prosupport::oid <> 0,
         -- users' code may parse a value of these types from a text in the body
         'parses_values', l.lanname = 'sql' AND EXISTS (
           SELECT FROM pg_type t WHERE t.oid = ANY (p.proargtypes::oid[] || p.prorettype) AND (t.typtype = 'p' OR t.oid >= 16384 AND t.typtype <> 'e'
              AND NOT EXISTS (SELECT FROM extension x WHERE x.classid = 'pg_type'::regclass AND x.objid = t.oid AND x.known)))),
       ARRAY['body', 'default'], ARRAY[p.prosqlbody::text, p.proargdefaults::text]
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
  LEFT JOIN extension e ON e.classid = 'pg_proc'::regclass AND e.objid = p.oid
 WHERE p.oid = ANY (%(functions)s::oid[])
UNION ALL
SELECT 'operator', o.oid::bigint, n.nspname, o.oprname, e.extname,
       jsonb_build_object('functions', ARRAY[o.oprcode::oid::bigint], 'operators', ARRAY[o.oprcom::bigint, o.oprnegate::bigint]), NULL, NULL
  FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
  LEFT JOIN extension e ON e.classid = 'pg_operator'::regclass AND e.objid = o.oid
 WHERE o.oid = ANY (%(operators)s::oid[])
UNION ALL
-- the planner may replace an operator by its commutator or negator
SELECT 'operator', u.oid::bigint, u.oprnamespace::regnamespace::text, u.oprname, e.extname,
       jsonb_build_object('functions', ARRAY[u.oprcode::oid::bigint]), NULL, NULL
  FROM (SELECT u.* FROM pg_operator u JOIN pg_operator s ON s.oid IN (u.oprcom, u.oprnegate) AND u.oid IN (s.oprcom, s.oprnegate)
         WHERE u.oid >= 16384 AND s.oid = ANY (%(system_operators)s::oid[]) AND s.oid < 16384 OFFSET 0) AS u
  LEFT JOIN extension e ON e.classid = 'pg_operator'::regclass AND e.objid = u.oid
UNION ALL
SELECT 'type', t.oid::bigint, n.nspname, t.typname, e.extname,
       jsonb_build_object(
         'kind', t.typtype,
         'types', (SELECT jsonb_agg(DISTINCT x.type::bigint) FROM (
                     SELECT unnest(ARRAY[t.typelem, t.typbasetype]) AS type
                     UNION ALL SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
                     UNION ALL SELECT unnest(ARRAY[r.rngsubtype, r.rngmultitypid]) FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
                   ) x WHERE x.type <> 0),
         'functions', (SELECT jsonb_agg(DISTINCT x.function::bigint) FROM (
                     SELECT unnest(ARRAY[t.typinput, t.typoutput, t.typreceive, t.typsend, t.typsubscript]::oid[]) AS function
                     UNION ALL SELECT unnest(ARRAY[r.rngcanonical, r.rngsubdiff]::oid[]) FROM pg_range r WHERE r.rngtypid = t.oid
                   ) x WHERE x.function >= 16384)),
       ARRAY(SELECT 'domain' FROM pg_constraint k WHERE k.contypid = t.oid ORDER BY k.oid),
       ARRAY(SELECT k.conbin::text FROM pg_constraint k WHERE k.contypid = t.oid ORDER BY k.oid)
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN extension e ON e.classid = 'pg_type'::regclass AND e.objid = t.oid
 WHERE t.oid = ANY (%(types)s::oid[]) AND t.oid >= 16384
UNION ALL
-- to_json and similar functions look up a cast themselves
SELECT 'cast', k.oid::bigint, '', k.castsource::regtype::text || ' to ' || k.casttarget::regtype::text, e.extname,
       jsonb_build_object('functions', ARRAY[k.castfunc::bigint]), NULL, NULL
  FROM pg_cast k LEFT JOIN extension e ON e.classid = 'pg_cast'::regclass AND e.objid = k.oid
 WHERE k.oid >= 16384 AND k.castfunc <> 0 AND k.casttarget IN ('json'::regtype, 'jsonb'::regtype) AND k.castsource = ANY (%(types)s::oid[])
UNION ALL
-- sorting, grouping and comparing values of a type call its support functions
SELECT 'support', s.amproc::oid::bigint, '', s.amproc::oid::regprocedure::text, e.extname,
       jsonb_build_object('functions', ARRAY[s.amproc::oid::bigint]), NULL, NULL
  FROM pg_amproc s LEFT JOIN extension e ON e.classid = 'pg_proc'::regclass AND e.objid = s.amproc::oid
 WHERE s.oid >= 16384 AND s.amproc::oid NOT IN (SELECT oid FROM system_support)
   -- the functions of other access methods run only for their own indexes
   AND s.amprocfamily IN (SELECT f.oid FROM pg_opfamily f JOIN pg_am m ON m.oid = f.opfmethod AND m.amname IN ('btree', 'hash'))
   AND ((s.amproclefttype = ANY (%(types)s::oid[]) OR s.amprocrighttype = ANY (%(types)s::oid[]))
                             AND s.amprocfamily IN (SELECT o.opcfamily FROM pg_opclass o WHERE o.opcdefault)
                           -- a range compares by the operator class that it names, which may be for another type
                           OR s.amprocfamily IN (SELECT o.opcfamily FROM pg_range r JOIN pg_opclass o ON o.oid = r.rngsubopc
                                                  WHERE r.rngtypid = ANY (%(types)s::oid[]) OR r.rngmultitypid = ANY (%(types)s::oid[])))

-- compared_by: the users' functions and operators by which the planner may compare values of these types, or replace one operator
-- by another. Members of unknown extensions are left to `behind`
WITH extension AS NOT MATERIALIZED (
  SELECT d.classid, d.objid FROM pg_depend d
   WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND d.objid <> ALL (%(unvouched)s::oid[])
), kinds AS MATERIALIZED (
  SELECT unnest(%(types)s::oid[]) AS oid
  UNION SELECT t.typelem FROM pg_type t WHERE t.oid = ANY (%(types)s::oid[]) AND t.typelem <> 0
  UNION SELECT k.casttarget FROM pg_cast k WHERE k.castsource = ANY (%(types)s::oid[]) AND k.castmethod = 'b'
), families AS MATERIALIZED (
  SELECT a.amopfamily AS oid FROM pg_amop a WHERE a.amopopr = ANY (%(replaced)s::oid[])
  UNION SELECT o.opcfamily FROM pg_opclass o WHERE o.oid IN (
    SELECT unnest(i.indclass::oid[]) FROM pg_index i WHERE i.indrelid = ANY (%(relations)s::oid[])
    UNION SELECT unnest(p.partclass::oid[]) FROM pg_partitioned_table p WHERE p.partrelid = ANY (%(relations)s::oid[]))
  UNION SELECT o.opcfamily FROM pg_opclass o WHERE o.opcdefault AND o.opcintype IN (SELECT oid FROM kinds)
)
SELECT 'support' AS kind, s.amproc::oid::bigint AS oid, '' AS schema, s.amproc::oid::regprocedure::text AS name, NULL AS extension,
       jsonb_build_object('functions', ARRAY[s.amproc::oid::bigint]) AS detail, NULL AS kinds, NULL AS trees
  FROM pg_amproc s
 WHERE s.oid >= 16384 AND NOT EXISTS (SELECT FROM extension e WHERE e.classid = 'pg_proc'::regclass AND e.objid = s.amproc::oid)
   AND s.amproc::oid NOT IN (SELECT own.amproc::oid FROM pg_amproc own WHERE own.oid < 16384)
   AND s.amprocfamily IN (SELECT oid FROM families)
UNION ALL
SELECT 'operator', o.oid::bigint, o.oprnamespace::regnamespace::text, o.oprname, NULL,
       jsonb_build_object('functions', ARRAY[o.oprcode::oid::bigint]), NULL, NULL
  FROM pg_amop a JOIN pg_operator o ON o.oid = a.amopopr
 WHERE a.oid >= 16384 AND o.oid >= 16384 AND NOT EXISTS (SELECT FROM extension e WHERE e.classid = 'pg_operator'::regclass AND e.objid = o.oid)
   AND a.amopfamily IN (SELECT oid FROM families)

-- read_by_code: what these functions read, as far as their code shows it: a tree, or the words of a text and the relations with
-- such a name
SELECT p.oid::bigint, p.prosqlbody::text AS tree, w.words,
       ARRAY(SELECT c.oid::bigint FROM pg_class c
              WHERE p.prosqlbody IS NULL AND c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                AND CASE WHEN c.relname ~ '^\w+$' THEN c.relname = ANY (w.words) ELSE strpos(p.prosrc, replace(c.relname, '"', '""')) > 0 END) AS named,
       p.prosqlbody IS NULL AND p.prosrc ~* '\mexecute\M|u&\s*"' AS is_dynamic
  FROM pg_proc p CROSS JOIN LATERAL (
    SELECT ARRAY(SELECT DISTINCT v FROM regexp_matches(p.prosrc, '[[:alpha:]_][[:alnum:]_$]*', 'g') AS m, unnest(ARRAY[m[1], lower(m[1])]) AS v
                  WHERE p.prosqlbody IS NULL) AS words
  ) AS w
 WHERE p.oid = ANY (%(functions)s::oid[])

-- registered_functions: the numbers and hashes of those of these functions that a human registered
SELECT function_id, body_hash FROM agents.trusted_functions
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND function_id = ANY (%(numbers)s)

-- trusted_functions: every registered function, sorted by its signature
SELECT * FROM agents.trusted_functions
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s ORDER BY signature, function_id

-- trust_function: registers a function as it is now, also if it was registered before
INSERT INTO agents.trusted_functions (tenant_id, database_id, function_id, signature, body_hash, reason, trusted_by)
VALUES (%(tenant_id)s, %(database_id)s, %(function_id)s, %(signature)s, %(body_hash)s, %(reason)s, %(user)s)
ON CONFLICT (tenant_id, database_id, function_id) DO UPDATE
   SET signature = excluded.signature, body_hash = excluded.body_hash, reason = excluded.reason,
       trusted_by = excluded.trusted_by, trusted_at = now()
RETURNING *

-- revoke_function: removes a registered function, so that a human is asked about it again
DELETE FROM agents.trusted_functions
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND function_id = %(function_id)s
RETURNING signature
