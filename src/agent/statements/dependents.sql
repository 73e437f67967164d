-- truncated_with: the tables that are emptied too, because they refer to a table that is emptied
WITH RECURSIVE named AS (SELECT to_regclass(a.name)::oid AS oid FROM unnest(%(names)s::text[]) AS a (name)),
removed AS (
  SELECT oid FROM named
  UNION
  SELECT n.oid FROM removed g CROSS JOIN LATERAL (
    SELECT c.conrelid AS oid FROM pg_constraint c WHERE c.confrelid = g.oid AND c.contype = 'f'
    UNION ALL SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = g.oid) AS n
)
SELECT g.oid::regclass::text AS name FROM removed g WHERE g.oid NOT IN (SELECT oid FROM named WHERE oid IS NOT NULL) ORDER BY 1 LIMIT 500

-- dropped_with: the objects that depend on these and are dropped with them, without their own parts (indexes, defaults, row types)
WITH RECURSIVE removed (classid, objid, objsubid, part) AS (
  SELECT CASE %(found_by)s::text WHEN 'relation' THEN 'pg_class'::regclass WHEN 'schema' THEN 'pg_namespace'::regclass
           WHEN 'type' THEN 'pg_type'::regclass WHEN 'function' THEN 'pg_proc'::regclass ELSE 'pg_extension'::regclass END::oid,
         CASE %(found_by)s::text WHEN 'relation' THEN to_regclass(a.name)::oid WHEN 'schema' THEN to_regnamespace(a.name)::oid
           WHEN 'type' THEN to_regtype(a.name)::oid WHEN 'function' THEN to_regproc(a.name)::oid
           ELSE (SELECT e.oid FROM pg_extension e WHERE quote_ident(e.extname) = a.name OR e.extname = trim('"' from a.name)) END,
         0, true
    FROM unnest(%(names)s::text[]) AS a (name)
  UNION
  SELECT n.classid, n.objid, n.objsubid, n.part
    FROM removed g
    CROSS JOIN LATERAL (
      SELECT d.classid, d.objid, d.objsubid, g.part AND d.deptype IN ('a', 'i', 'P', 'S') AS part
        FROM pg_depend d
       WHERE d.refclassid = g.classid AND d.refobjid = g.objid AND (g.objsubid = 0 OR d.refobjsubid = g.objsubid)
         AND d.deptype IN ('n', 'a', 'i', 'P', 'S', 'e')
      UNION ALL  -- dropping a part of an object drops the object: a rule takes its view along
      SELECT d.refclassid, d.refobjid, d.refobjsubid, false
        FROM pg_depend d WHERE d.classid = g.classid AND d.objid = g.objid AND d.deptype = 'i' AND NOT g.part) AS n
), whole AS (SELECT DISTINCT objid FROM removed WHERE classid = 'pg_class'::regclass AND objsubid = 0)
SELECT DISTINCT pg_describe_object(g.classid, g.objid, g.objsubid) AS name
  FROM removed g
 WHERE g.objid IS NOT NULL
   AND NOT EXISTS (SELECT FROM removed p WHERE p.classid = g.classid AND p.objid = g.objid AND p.part)
   AND CASE g.classid::regclass::text
         WHEN 'pg_class' THEN (g.objsubid > 0 AND g.objid NOT IN (SELECT objid FROM whole))
           OR (g.objsubid = 0 AND (SELECT c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') FROM pg_class c WHERE c.oid = g.objid)
               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = g.classid AND d.objid = g.objid AND d.deptype IN ('a', 'i')
                                AND d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT objid FROM whole)))
         WHEN 'pg_constraint' THEN (SELECT c.conrelid NOT IN (SELECT objid FROM whole) FROM pg_constraint c WHERE c.oid = g.objid)
         WHEN 'pg_trigger' THEN (SELECT NOT t.tgisinternal AND t.tgrelid NOT IN (SELECT objid FROM whole) FROM pg_trigger t WHERE t.oid = g.objid)
         WHEN 'pg_policy' THEN (SELECT p.polrelid NOT IN (SELECT objid FROM whole) FROM pg_policy p WHERE p.oid = g.objid)
         WHEN 'pg_type' THEN (SELECT t.typrelid = 0 AND t.typelem = 0 FROM pg_type t WHERE t.oid = g.objid)
         ELSE g.classid::regclass::text IN ('pg_proc', 'pg_namespace', 'pg_extension') END
 ORDER BY 1 LIMIT 500

-- tables_lost: the tables that lose all rows, with partitions and children, and for a TRUNCATE ... CASCADE those that refer to them
WITH RECURSIVE removed AS (
  SELECT to_regclass(a.name)::oid AS oid FROM unnest(%(names)s::text[]) AS a (name)
  UNION
  SELECT n.oid FROM removed g CROSS JOIN LATERAL (
    SELECT c.conrelid AS oid FROM pg_constraint c
     WHERE c.confrelid = g.oid AND c.contype = 'f' AND %(cascades)s::boolean AND NOT %(drops)s::boolean
    UNION ALL
    SELECT i.inhrelid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = g.oid AND (c.relispartition OR %(cascades)s::boolean OR NOT %(drops)s::boolean)) AS n
)
SELECT s.nspname AS schema, c.relname AS relation, has_table_privilege(c.oid, 'select') AS readable
  FROM removed JOIN pg_class c USING (oid) JOIN pg_namespace s ON s.oid = c.relnamespace
 WHERE c.relkind = 'r' ORDER BY 1, 2
