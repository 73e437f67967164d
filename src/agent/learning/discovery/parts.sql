-- parts: returns every part of every object as text: its object (`class` and `oid`, or `object`), its `element` (a constraint, a
-- column) and its `attribute`. `named_relations` and `named_columns` are what it names. A text with `is_expression` may name any
-- column; of one with `hidden` only the digest is kept; `unread` ones could not be read without waiting for a lock.
WITH logins (name) AS (
  SELECT rolname FROM pg_roles WHERE rolname IN ('agent_reader', 'agent_actor')
), spaces AS MATERIALIZED (
  SELECT n.oid, n.nspname, n.nspowner FROM pg_namespace n
   WHERE n.nspname !~ '^(pg_|agents($|_))' AND n.nspname <> 'information_schema'
     AND CASE WHEN %(schemas)s::text[] IS NULL THEN n.nspname <> ALL (%(platform)s::text[]) ELSE n.nspname = ANY (%(schemas)s::text[]) END
), rel AS MATERIALIZED (
  SELECT c.*, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS qualified
    FROM unnest(%(open)s::bigint[]) r (oid) JOIN pg_class c ON c.oid = r.oid::oid JOIN pg_namespace n ON n.oid = c.relnamespace
), leaf AS MATERIALIZED (
  SELECT c.oid, r.root, c.relpartbound, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS qualified,
         concat('partition ', quote_ident(n.nspname), '.', quote_ident(c.relname)) AS label
    FROM unnest(%(members)s::bigint[], %(roots)s::bigint[]) r (oid, root) JOIN pg_class c ON c.oid = r.oid::oid
    JOIN pg_namespace n ON n.oid = c.relnamespace
), place AS MATERIALIZED (
  SELECT rel.oid, rel.oid::bigint AS root, '' AS label FROM rel UNION ALL SELECT leaf.oid, leaf.root, leaf.label || ': ' FROM leaf
), seq AS MATERIALIZED (
  SELECT c.oid, c.relowner, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS qualified, s.*, d.refobjid AS owner_table,
         d.deptype, a.attname AS owner_column,
         concat_ws(', ', format_type(s.seqtypid, NULL), concat('start ', s.seqstart), concat('increment ', s.seqincrement),
                   concat('from ', s.seqmin, ' to ', s.seqmax), concat('cache ', s.seqcache), CASE WHEN s.seqcycle THEN 'cycle' END) AS settings
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN spaces n ON n.oid = c.relnamespace
    LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
                         AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
    LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
), fn AS MATERIALIZED (
  SELECT p.* FROM pg_proc p WHERE p.oid = ANY (%(functions)s::bigint[]::oid[])
), typ AS MATERIALIZED (
  SELECT t.* FROM pg_type t WHERE t.oid = ANY (%(types)s::bigint[]::oid[])
), parts (class, oid, object, element, attribute, value, named_relations, named_columns, is_expression, hidden, unread) AS MATERIALIZED (
  -- Each OFFSET 0 keeps the planner from computing the texts of other relations first, for which the server would lock them.
  -- relations
  SELECT 'relation', rel.oid::bigint, NULL::text, ''::text, v.attribute, v.value, NULL::bigint[], NULL::text[], v.is_expression, v.hidden, false
    FROM rel CROSS JOIN LATERAL (VALUES
      ('kind', CASE rel.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'f' THEN 'foreign table'
                                WHEN 'v' THEN 'view' ELSE 'materialized view' END, false, false),
      ('comment', obj_description(rel.oid, 'pg_class'), false, false),
      ('owner', pg_get_userbyid(rel.relowner)::text, false, false),
      ('logged', CASE WHEN rel.relpersistence = 'u' THEN 'no' END, false, false),
      ('row-level security', CASE WHEN rel.relrowsecurity AND rel.relforcerowsecurity THEN 'on, also for the owner' WHEN rel.relrowsecurity THEN 'on' END, false, false),
      ('options', array_to_string(rel.reloptions, ', '), false, false),
      ('replica identity', CASE rel.relreplident WHEN 'f' THEN 'full' WHEN 'n' THEN 'nothing' WHEN 'i' THEN 'an index' END, false, false),
      ('partitioned by', CASE WHEN rel.relkind = 'p' THEN pg_get_partkeydef(rel.oid) END, true, false),
      ('foreign server', (SELECT concat_ws(' ', s.srvname, f.ftoptions::text) FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver
                           WHERE f.ftrelid = rel.oid), false, true)
    ) v (attribute, value, is_expression, hidden)
   UNION ALL
  SELECT 'relation', rel.oid::bigint, NULL, concat('inheritance from ', i.inhparent::regclass::text), '', '', ARRAY[i.inhparent::bigint], NULL, false, false, false
    FROM rel JOIN pg_inherits i ON i.inhrelid = rel.oid
   UNION ALL
  SELECT 'relation', rel.oid::bigint, NULL, '', concat('rights of ', l.name), string_agg(x.said, ', ' ORDER BY x.place), NULL, NULL, true, false, false
    FROM rel CROSS JOIN logins l CROSS JOIN LATERAL (
      SELECT r.place, CASE WHEN has_table_privilege(l.name, rel.oid, r.name) THEN r.name
             WHEN r.place < 4 AND has_any_column_privilege(l.name, rel.oid, r.name) THEN
               (SELECT format('%%s of %%s', r.name, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname)) FROM pg_attribute a
                 WHERE a.attrelid = rel.oid AND a.attnum > 0 AND NOT a.attisdropped AND has_column_privilege(l.name, rel.oid, a.attnum, r.name)) END AS said
        FROM (VALUES (1, 'select'), (2, 'insert'), (3, 'update'), (4, 'delete'), (5, 'truncate')) r (place, name)) x
   WHERE x.said IS NOT NULL GROUP BY rel.oid, l.name
   UNION ALL
  SELECT 'relation', rel.oid::bigint, NULL, '', 'definition',
         CASE WHEN rel.unread THEN NULL ELSE pg_get_viewdef(rel.oid, true) END, NULL, NULL, true, true, rel.unread
    FROM (SELECT rel.oid, EXISTS (SELECT FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                 WHERE w.ev_class = rel.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%(busy)s::bigint[]::oid[])) AS unread
            FROM rel WHERE rel.relkind IN ('v', 'm')) rel
   UNION ALL
  -- columns
  SELECT 'relation', a.relation::bigint, NULL, concat('column ', quote_ident(a.attname)), v.attribute, v.value, NULL, ARRAY[a.attname::text], v.is_expression, false, false
    FROM (SELECT rel.oid AS relation, a.*, f.adbin, f.adrelid FROM rel JOIN pg_attribute a ON a.attrelid = rel.oid AND a.attnum > 0 AND NOT a.attisdropped
            LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum OFFSET 0) a
    CROSS JOIN LATERAL (VALUES
      ('type', format_type(a.atttypid, a.atttypmod), false),
      ('not null', CASE WHEN a.attnotnull THEN 'yes' END, false),
      ('default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(a.adbin, a.adrelid, true) END, false),
      ('generated as', CASE WHEN a.attgenerated <> '' THEN pg_get_expr(a.adbin, a.adrelid, true) END, true),
      ('identity', CASE a.attidentity WHEN '' THEN NULL ELSE concat_ws(', ', CASE a.attidentity WHEN 'a' THEN 'always' ELSE 'by default' END,
         (SELECT s.settings FROM seq s WHERE s.owner_table = a.attrelid AND s.owner_column = a.attname AND s.deptype = 'i')) END, false),
      ('collation', (SELECT quote_ident(c.collname) FROM pg_collation c WHERE c.oid = a.attcollation
                      AND a.attcollation <> (SELECT t.typcollation FROM pg_type t WHERE t.oid = a.atttypid)), false),
      ('comment', col_description(a.attrelid, a.attnum), false)
    ) v (attribute, value, is_expression)
   UNION ALL
  -- constraints, also those that only a partition has, without NOT NULL constraints
  SELECT 'relation', k.root, NULL,
         concat(k.label, CASE k.contype WHEN 'p' THEN 'PRIMARY KEY' WHEN 'u' THEN 'UNIQUE' WHEN 'f' THEN 'FOREIGN KEY' WHEN 'x' THEN 'EXCLUDE' ELSE 'CHECK' END,
                ' ', quote_ident(k.conname)), v.attribute, v.value,
         CASE WHEN k.confrelid <> 0 THEN ARRAY[k.confrelid::bigint, (SELECT leaf.root FROM leaf WHERE leaf.oid = k.confrelid)] END,
         (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)), k.contype IN ('c', 'x', 'f'), false, false
    FROM (SELECT p.root, p.label, k.* FROM place p JOIN pg_constraint k ON k.conrelid = p.oid AND k.contype IN ('p', 'u', 'f', 'c', 'x')
             AND k.conparentid = 0 AND NOT (p.label <> '' AND k.contype = 'c' AND k.coninhcount > 0) OFFSET 0) k
    CROSS JOIN LATERAL (VALUES ('', pg_get_constraintdef(k.oid, true)), ('comment', obj_description(k.oid, 'pg_constraint'))) v (attribute, value)
   UNION ALL
  -- indexes that belong to no constraint and to no index of the parent
  SELECT 'relation', x.root, NULL, concat(x.label, 'index ', quote_ident(x.relname)), v.attribute, v.value, NULL,
         (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = x.indrelid AND a.attnum = ANY (x.indkey)),
         x.indpred IS NOT NULL OR x.indexprs IS NOT NULL, false, false
    FROM (SELECT p.root, p.label, i.relname, x.* FROM place p JOIN pg_index x ON x.indrelid = p.oid JOIN pg_class i ON i.oid = x.indexrelid
           WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.conrelid = x.indrelid AND k.contype IN ('p', 'u', 'x'))
             AND NOT (p.label <> '' AND EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = x.indexrelid)) OFFSET 0) x
    CROSS JOIN LATERAL (VALUES
      ('', regexp_replace(pg_get_indexdef(x.indexrelid, 0, true), '^CREATE (UNIQUE )?INDEX .*? USING ', '\1')),
      ('valid', CASE WHEN NOT x.indisvalid THEN 'no' END), ('comment', obj_description(x.indexrelid, 'pg_class'))) v (attribute, value)
   UNION ALL
  SELECT 'relation', t.root, NULL, concat(t.label, 'trigger ', quote_ident(t.tgname)), v.attribute, v.value, NULL, NULL, v.is_expression, false, false
    FROM (SELECT p.root, p.label, t.* FROM place p JOIN pg_trigger t ON t.tgrelid = p.oid AND NOT t.tgisinternal AND t.tgparentid = 0 OFFSET 0) t
    CROSS JOIN LATERAL (VALUES
      ('', substring(pg_get_triggerdef(t.oid, true) FROM length(concat('CREATE TRIGGER ', quote_ident(t.tgname), ' ')) + 1), true),
      ('enabled', CASE t.tgenabled WHEN 'D' THEN 'no' WHEN 'R' THEN 'on a replica' WHEN 'A' THEN 'always' END, false),
      ('comment', obj_description(t.oid, 'pg_trigger'), false)) v (attribute, value, is_expression)
   UNION ALL
  SELECT 'relation', y.root, NULL, concat(y.label, 'policy ', quote_ident(y.polname)), v.attribute, v.value, NULL, NULL, v.is_expression, false, v.unread
    FROM (SELECT p.root, p.label, y.*, EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_policy'::regclass AND d.objid = y.oid
                   AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%(busy)s::bigint[]::oid[])) AS unread
            FROM place p JOIN pg_policy y ON y.polrelid = p.oid OFFSET 0) y
    CROSS JOIN LATERAL (VALUES
      ('for', CASE y.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update' WHEN 'd' THEN 'delete' ELSE 'all' END, false, false),
      ('kind', CASE WHEN NOT y.polpermissive THEN 'restrictive' END, false, false),
      ('to', (SELECT string_agg(CASE o.oid WHEN 0 THEN 'public' ELSE pg_get_userbyid(o.oid)::text END, ', ' ORDER BY CASE o.oid WHEN 0 THEN 'public' ELSE pg_get_userbyid(o.oid)::text END)
                FROM unnest(y.polroles) o (oid)), false, false),
      ('using', CASE WHEN NOT y.unread THEN pg_get_expr(y.polqual, y.polrelid, true) END, true, y.unread),
      ('with check', CASE WHEN NOT y.unread THEN pg_get_expr(y.polwithcheck, y.polrelid, true) END, true, y.unread),
      ('comment', obj_description(y.oid, 'pg_policy'), false, false)) v (attribute, value, is_expression, unread)
   UNION ALL
  SELECT 'relation', w.root, NULL, concat(w.label, 'rule ', quote_ident(w.rulename)), v.attribute, v.value, NULL, NULL, true, v.attribute = '', w.unread AND v.attribute = ''
    FROM (SELECT p.root, p.label, w.*, EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                   AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%(busy)s::bigint[]::oid[])) AS unread
            FROM place p JOIN pg_rewrite w ON w.ev_class = p.oid AND w.rulename <> '_RETURN' OFFSET 0) w
    CROSS JOIN LATERAL (VALUES ('', CASE WHEN NOT w.unread THEN pg_get_ruledef(w.oid, true) END),
      ('enabled', CASE w.ev_enabled WHEN 'D' THEN 'no' WHEN 'R' THEN 'on a replica' WHEN 'A' THEN 'always' END)) v (attribute, value)
   UNION ALL
  SELECT 'relation', p.root, NULL, concat(p.label, 'statistics ', quote_ident(s.stxname)), '', pg_get_statisticsobjdef_columns(s.oid) || ' ' || s.stxkind::text, NULL,
         (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys)), s.stxexprs IS NOT NULL, false, false
    FROM place p JOIN pg_statistic_ext s ON s.stxrelid = p.oid
   UNION ALL
  SELECT 'relation', leaf.root, NULL, leaf.label, '', pg_get_expr(leaf.relpartbound, leaf.oid, true), NULL, NULL, true, false, false FROM leaf
   UNION ALL
  -- functions
  SELECT 'function', fn.oid::bigint, NULL, '', v.attribute, v.value, NULL, NULL, false, v.hidden, v.unread
    FROM fn LEFT JOIN pg_aggregate g ON g.aggfnoid = fn.oid
    CROSS JOIN LATERAL (SELECT fn.prosqlbody IS NOT NULL AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = fn.oid
       AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%(busy)s::bigint[]::oid[])) AS unread) h
    CROSS JOIN LATERAL (VALUES
      ('kind', CASE fn.prokind WHEN 'f' THEN 'function' WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'window function' END, false, false),
      ('arguments', pg_get_function_arguments(fn.oid), false, false),
      ('returns', pg_get_function_result(fn.oid), false, false),
      ('language', (SELECT lanname::text FROM pg_language l WHERE l.oid = fn.prolang), false, false),
      ('volatility', CASE fn.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END, false, false),
      ('security', CASE WHEN fn.prosecdef THEN 'definer' END, false, false),
      ('strict', CASE WHEN fn.proisstrict THEN 'yes' END, false, false),
      ('leakproof', CASE WHEN fn.proleakproof THEN 'yes' END, false, false),
      ('parallel', CASE fn.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' END, false, false),
      ('settings', array_to_string(fn.proconfig, ', '), false, false),
      ('cost', concat_ws(' ', fn.procost, nullif(fn.prorows, 0)), false, true),
      ('body', CASE WHEN h.unread THEN NULL ELSE concat_ws(' ', fn.prosrc, fn.probin, CASE WHEN fn.prosqlbody IS NOT NULL THEN pg_get_function_sqlbody(fn.oid) END) END, true, h.unread),
      ('made of', CASE WHEN g.aggfnoid IS NOT NULL THEN concat_ws(' ', g.aggtransfn::regprocedure, g.aggtranstype::regtype, g.aggfinalfn, g.aggcombinefn, g.agginitval) END, true, false),
      ('owner', pg_get_userbyid(fn.proowner)::text, false, false),
      ('may be called by', (SELECT string_agg(l.name, ', ' ORDER BY l.name) FROM logins l WHERE has_function_privilege(l.name, fn.oid, 'execute')), false, false),
      ('comment', obj_description(fn.oid, 'pg_proc'), false, false)
    ) v (attribute, value, hidden, unread)
   UNION ALL
  -- types
  SELECT 'type', typ.oid::bigint, NULL, '', v.attribute, v.value, NULL, NULL, false, false, false
    FROM typ CROSS JOIN LATERAL (VALUES
      ('kind', CASE typ.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'c' THEN 'composite type' ELSE 'range type' END),
      ('values', (SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = typ.oid)),
      ('base type', CASE typ.typtype WHEN 'd' THEN format_type(typ.typbasetype, typ.typtypmod)
                          WHEN 'r' THEN (SELECT format_type(g.rngsubtype, NULL) FROM pg_range g WHERE g.rngtypid = typ.oid) END),
      ('not null', CASE WHEN typ.typtype = 'd' AND typ.typnotnull THEN 'yes' END),
      ('default', CASE WHEN typ.typtype = 'd' THEN coalesce(pg_get_expr(typ.typdefaultbin, 0, true), typ.typdefault) END),
      ('collation', (SELECT quote_ident(c.collname) FROM pg_collation c WHERE c.oid = typ.typcollation AND typ.typtype = 'd'
                      AND typ.typcollation <> (SELECT b.typcollation FROM pg_type b WHERE b.oid = typ.typbasetype))),
      ('owner', pg_get_userbyid(typ.typowner)::text), ('comment', obj_description(typ.oid, 'pg_type'))
    ) v (attribute, value)
   UNION ALL
  SELECT 'type', typ.oid::bigint, NULL, concat('CHECK ', quote_ident(k.conname)), '', pg_get_constraintdef(k.oid, true), NULL, NULL, false, false, false
    FROM typ JOIN pg_constraint k ON k.contypid = typ.oid AND k.contype = 'c'
   UNION ALL
  SELECT 'type', typ.oid::bigint, NULL, concat('attribute ', quote_ident(a.attname)), 'type', format_type(a.atttypid, a.atttypmod), NULL, NULL, false, false, false
    FROM typ JOIN pg_attribute a ON a.attrelid = typ.typrelid AND a.attnum > 0 AND NOT a.attisdropped WHERE typ.typtype = 'c'
   UNION ALL
  -- independent sequences, and those of serial columns
  SELECT 'sequence', seq.oid::bigint, seq.qualified, '', v.attribute, v.value, ARRAY[seq.owner_table::bigint], ARRAY[seq.owner_column::text], false, false, false
    FROM seq CROSS JOIN LATERAL (VALUES
      ('kind', 'sequence'), ('settings', seq.settings), ('owner', pg_get_userbyid(seq.relowner)::text), ('comment', obj_description(seq.oid, 'pg_class')),
      ('belongs to', CASE WHEN seq.owner_table IS NOT NULL THEN concat(seq.owner_table::regclass, '.', quote_ident(seq.owner_column)) END),
      ('may be used by', (SELECT string_agg(l.name, ', ' ORDER BY l.name) FROM logins l WHERE has_sequence_privilege(l.name, seq.oid, 'usage')))
    ) v (attribute, value) WHERE seq.deptype IS DISTINCT FROM 'i'
     AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = seq.oid AND e.deptype = 'e')
   UNION ALL
  -- the database
  SELECT 'schema', s.oid::bigint, concat('schema ', quote_ident(s.nspname)), '', v.attribute, v.value, NULL, NULL, false, false, false
    FROM spaces s CROSS JOIN LATERAL (VALUES ('kind', 'schema'), ('owner', pg_get_userbyid(s.nspowner)::text),
      ('may be used by', (SELECT string_agg(l.name, ', ' ORDER BY l.name) FROM logins l WHERE has_schema_privilege(l.name, s.oid, 'usage')))) v (attribute, value)
   UNION ALL
  SELECT 'extension', e.oid::bigint, concat('extension ', quote_ident(e.extname)), '', v.attribute, v.value, NULL, NULL, false, false, false
    FROM pg_extension e CROSS JOIN LATERAL (VALUES ('kind', 'extension'), ('version', e.extversion),
      ('schema', (SELECT n.nspname::text FROM pg_namespace n WHERE n.oid = e.extnamespace))) v (attribute, value)
   UNION ALL
  SELECT 'event trigger', t.oid::bigint, concat('event trigger ', quote_ident(t.evtname)), '', v.attribute, v.value, NULL, NULL, false, false, false
    FROM pg_event_trigger t CROSS JOIN LATERAL (VALUES ('kind', 'event trigger'),
      ('definition', concat_ws(' ', t.evtevent, array_to_string(t.evttags, ', '), t.evtfoid::regprocedure)),
      ('enabled', CASE t.evtenabled WHEN 'D' THEN 'no' WHEN 'R' THEN 'on a replica' WHEN 'A' THEN 'always' END)) v (attribute, value)
   UNION ALL
  SELECT 'publication', p.oid::bigint, concat('publication ', quote_ident(p.pubname)), '', v.attribute, v.value, NULL, NULL, false, false, false
    FROM pg_publication p CROSS JOIN LATERAL (VALUES ('kind', 'publication'), ('all tables', CASE WHEN p.puballtables THEN 'yes' END),
      ('operations', concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
                               CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END)),
      ('as of the parent', CASE WHEN p.pubviaroot THEN 'yes' END), ('owner', pg_get_userbyid(p.pubowner)::text)) v (attribute, value)
   UNION ALL
  SELECT 'publication', p.oid::bigint, concat('publication ', quote_ident(p.pubname)), concat('table ', m.prrelid::regclass), '',
         CASE WHEN m.prrelid <> ALL (%(busy)s::bigint[]::oid[]) THEN concat_ws(' ', (SELECT '(' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) || ')' FROM pg_attribute a
                          WHERE a.attrelid = m.prrelid AND a.attnum = ANY (m.prattrs)), pg_get_expr(m.prqual, m.prrelid, true)) END,
         ARRAY[m.prrelid::bigint], NULL, true, false, m.prrelid = ANY (%(busy)s::bigint[]::oid[])
    FROM pg_publication p JOIN pg_publication_rel m ON m.prpubid = p.oid
   UNION ALL
  SELECT 'publication', p.oid::bigint, concat('publication ', quote_ident(p.pubname)), concat('schema ', m.pnnspid::regnamespace), '', '', NULL, NULL, false, false, false
    FROM pg_publication p JOIN pg_publication_namespace m ON m.pnpubid = p.oid
)
SELECT * FROM parts WHERE value IS NOT NULL OR unread
