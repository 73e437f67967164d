-- hidden_rows: those of these relations that hide rows from the role that reads or changes them (0: the login), and whether they hide
-- every row. A policy whose expression is the constant true hides none. Expressions are compared as they are stored, because to
-- write one out the server would wait for a table that is being altered
WITH access AS (
  SELECT DISTINCT a.relation, coalesce(nullif(a.reader, 0), l.oid) AS reader, a.command
    FROM unnest(%(relations)s::oid[], %(readers)s::oid[], %(commands)s::"char"[]) AS a (relation, reader, command)
    LEFT JOIN pg_roles l ON l.rolname = %(login)s
), hidden AS (
  SELECT n.nspname::text AS schema, c.relname::text AS name, p.shows
    FROM access a JOIN pg_class c ON c.oid = a.relation JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_roles r ON r.oid = a.reader
   CROSS JOIN LATERAL (
     SELECT CASE WHEN coalesce(bool_or(e.is_true AND p.polpermissive), false) AND coalesce(bool_and(e.is_true OR p.polpermissive), true) THEN 'all'
                 WHEN coalesce(bool_or(p.polpermissive AND NOT e.is_false), false) AND coalesce(bool_and(p.polpermissive OR NOT e.is_false), true) THEN 'some'
                 ELSE 'none' END AS shows
       FROM pg_policy p CROSS JOIN LATERAL (
         SELECT p.polqual::text ~ '^\{CONST :consttype 16 .*:constisnull false .*\[ (0 )*1 (0 )*\]\}$' AS is_true,
                p.polqual::text ~ '^\{CONST :consttype 16 .*:constisnull false .*\[ (0 )*\]\}$' AS is_false
       ) e
      WHERE p.polrelid = c.oid AND p.polcmd IN ('*', a.command) AND p.polqual IS NOT NULL
        AND EXISTS (SELECT FROM unnest(p.polroles) AS o (oid) WHERE CASE WHEN o.oid = 0 THEN true ELSE pg_has_role(r.oid, o.oid, 'usage') END)
   ) p
   WHERE c.relrowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls
     AND (c.relforcerowsecurity OR NOT pg_has_role(r.oid, c.relowner, 'usage')) AND p.shows <> 'all'
)
SELECT schema, name, bool_or(shows = 'none') AS hides_all FROM hidden GROUP BY schema, name ORDER BY schema, name

-- estimates: the number of rows that the server's statistics count in these relations, with their partitions
WITH RECURSIVE named AS (
  SELECT c.oid, a.schema, a.name FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS a (schema, name)
    JOIN pg_namespace n ON n.nspname = a.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = a.name
), family AS (
  SELECT n.oid AS root, n.oid FROM named n
  UNION SELECT f.root, i.inhrelid FROM family f JOIN pg_inherits i ON i.inhparent = f.oid
)
SELECT n.schema, n.name,
       sum(CASE WHEN c.relkind <> 'p' THEN CASE WHEN c.reltuples > 0 THEN c.reltuples ELSE coalesce(s.n_live_tup, 0) END ELSE 0 END)::bigint AS rows
  FROM named n JOIN family f ON f.root = n.oid JOIN pg_class c ON c.oid = f.oid LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
 GROUP BY n.schema, n.name ORDER BY n.schema, n.name
