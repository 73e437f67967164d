-- code_named: the users' functions and relations with one of these names, the functions of users' operators with one of these
-- names, and those of event triggers. Words in strings count as names too, because code may build SQL
SELECT ARRAY(SELECT p.oid::bigint FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
              WHERE p.oid >= 16384 AND p.proname = ANY (%(words)s::name[]) AND n.nspname !~ '^(agents(_|$)|pg_)'
             UNION SELECT o.oprcode::oid::bigint FROM pg_operator o WHERE o.oid >= 16384 AND o.oprcode::oid >= 16384 AND o.oprname = ANY (%(operators)s::name[])
             UNION SELECT e.evtfoid::bigint FROM pg_event_trigger e WHERE e.evtenabled <> 'D') AS functions,
       ARRAY(SELECT c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname = ANY (%(words)s::name[])
                AND n.nspname !~ '^(agents(_|$)|pg_)') AS relations

-- texts_of: every word in the code of these functions, and in the code that runs with these relations
SELECT ARRAY(
  SELECT DISTINCT v FROM (
    SELECT concat(pg_get_functiondef(p.oid), ' ', p.prosrc) AS text FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
     WHERE p.oid = ANY (%(functions)s::oid[]) AND p.oid >= 16384 AND p.prokind <> 'a' AND l.lanname NOT IN ('c', 'internal')
    UNION ALL SELECT pg_get_ruledef(r.oid) FROM pg_rewrite r WHERE r.ev_class = ANY (%(relations)s::oid[]) AND r.ev_class >= 16384
    UNION ALL SELECT pg_get_triggerdef(g.oid) FROM pg_trigger g WHERE g.tgrelid = ANY (%(relations)s::oid[]) AND NOT g.tgisinternal
    UNION ALL SELECT concat(pg_get_expr(y.polqual, y.polrelid), ' ', pg_get_expr(y.polwithcheck, y.polrelid)) FROM pg_policy y
               WHERE y.polrelid = ANY (%(relations)s::oid[])
    UNION ALL SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.conrelid = ANY (%(relations)s::oid[]) AND k.contype = 'c'
    UNION ALL SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = ANY (%(relations)s::oid[])
  ) AS texts, regexp_matches(texts.text, '[[:alpha:]_][[:alnum:]_$]*', 'g') AS m, unnest(ARRAY[m[1], lower(m[1])]) AS v
) AS words

-- code_rows: the definitions of these functions, types and relations. The transaction that wrote a function is included, so that
-- a function that was replaced and restored counts as changed. Of a relation only what runs with it is included
SELECT concat_ws(' ', 'function', p.oid, p.xmin, encode(sha256(convert_to(ROW (p.proname, p.pronamespace, p.prosrc, p.probin, p.prosqlbody::text,
         p.proargdefaults::text, p.proconfig, p.prosecdef, p.proowner, p.prolang, p.proargtypes, p.prorettype)::text, 'UTF8')), 'hex')) AS text
  FROM pg_proc p WHERE p.oid = ANY (%(functions)s::oid[]) AND p.oid >= 16384
UNION ALL SELECT concat_ws(' ', 'aggregate', a.aggfnoid::oid, a.xmin) FROM pg_aggregate a WHERE a.aggfnoid = ANY (%(functions)s::oid[]) AND a.aggfnoid >= 16384
UNION ALL SELECT concat_ws(' ', 'relation', c.oid, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relowner) FROM pg_class c
           WHERE c.oid = ANY (%(relations)s::oid[]) AND c.oid >= 16384
UNION ALL SELECT concat_ws(' ', 'rule', r.ev_class, r.rulename, r.ev_enabled, r.is_instead, r.ev_qual::text, r.ev_action::text) FROM pg_rewrite r
           WHERE r.ev_class = ANY (%(relations)s::oid[]) AND r.ev_class >= 16384
UNION ALL SELECT concat_ws(' ', 'trigger', g.tgrelid, g.tgname, g.tgfoid, g.tgtype, g.tgenabled, g.tgargs, g.tgattr, g.tgqual::text) FROM pg_trigger g
           WHERE g.tgrelid = ANY (%(relations)s::oid[]) AND NOT g.tgisinternal
UNION ALL SELECT concat_ws(' ', 'policy', y.polrelid, y.polname, y.polcmd, y.polpermissive, y.polroles, y.polqual::text, y.polwithcheck::text)
            FROM pg_policy y WHERE y.polrelid = ANY (%(relations)s::oid[])
UNION ALL SELECT concat_ws(' ', 'constraint', k.conrelid, k.contypid, k.conname, k.contype, k.confrelid, k.confdeltype, k.confupdtype, k.conbin::text)
            FROM pg_constraint k WHERE k.conrelid = ANY (%(relations)s::oid[]) AND k.conrelid >= 16384 OR k.contypid = ANY (%(types)s::oid[]) AND k.contypid <> 0
UNION ALL SELECT concat_ws(' ', 'column', a.attrelid, a.attname, a.atttypid, a.attgenerated, d.adbin::text)
            FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
           WHERE a.attrelid = ANY (%(relations)s::oid[]) AND a.attrelid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT concat_ws(' ', 'index', i.indrelid, i.indexrelid, i.indexprs::text, i.indpred::text) FROM pg_index i
           WHERE i.indrelid = ANY (%(relations)s::oid[]) AND i.indrelid >= 16384 AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)
UNION ALL SELECT concat_ws(' ', 'cast', k.castsource, k.casttarget, k.castfunc, k.castcontext) FROM pg_cast k WHERE k.oid >= 16384
UNION ALL SELECT concat_ws(' ', 'operator', o.oid, o.oprcode::oid, o.oprcom, o.oprnegate) FROM pg_operator o
           WHERE o.oid >= 16384 AND (o.oid = ANY (%(operator_numbers)s::oid[]) OR o.oprname = ANY (%(operators)s::name[]))
UNION ALL SELECT concat_ws(' ', 'event', e.oid, e.evtevent, e.evtfoid, e.evtenabled, e.evttags) FROM pg_event_trigger e
 ORDER BY 1
