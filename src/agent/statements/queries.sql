-- is_plain: whether a write that equates these columns with constants, or inserts one row, changes one row at most, of a table on
-- which nothing acts by itself
WITH target AS (
  SELECT c.* FROM pg_class c WHERE c.oid = %(relation)s
), columns AS (
  SELECT a.attnum, a.attname::text AS name, a.attcollation, a.attgenerated, t.typname::text AS type,
         t.oid < 16384 OR t.typtype = 'e' AS systems  -- only the system's code compares and stores it
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
   -- a table of the application in the usual storage: not a catalog, not an extension's queue
   AND t.oid >= 16384 AND t.relam = (SELECT oid FROM pg_am WHERE amname = 'heap')
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e')
   AND NOT EXISTS (SELECT FROM pg_inherits i WHERE t.oid IN (i.inhparent, i.inhrelid))
   AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.oid AND NOT g.tgisinternal)
   -- the expressions of a new row's generated columns are checked with the statement
   AND (%(inserts)s::boolean OR NOT EXISTS (SELECT FROM columns WHERE attgenerated <> ''))
   AND NOT EXISTS (SELECT FROM columns c WHERE (%(inserts)s::boolean OR c.name = ANY (%(pinned)s::text[] || %(changed)s::text[])) AND NOT c.systems)
   -- a new row takes numbers only from the sequences of its own columns
   AND NOT (%(inserts)s::boolean AND EXISTS (
         SELECT FROM columns c JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = c.attnum
          WHERE c.name <> ALL (%(changed)s::text[]) AND strpos(pg_get_expr(d.adbin, d.adrelid), 'nextval(') > 0
            AND NOT (pg_get_expr(d.adbin, d.adrelid) ~ '^nextval\(''[^'']*''::regclass\)$' AND EXISTS (
                  SELECT FROM pg_depend u JOIN pg_depend o ON o.classid = 'pg_class'::regclass AND o.objid = u.refobjid AND o.deptype = 'a'
                     AND o.refclassid = 'pg_class'::regclass AND o.refobjid = t.oid AND o.refobjsubid = c.attnum
                   WHERE u.classid = 'pg_attrdef'::regclass AND u.objid = d.oid AND u.refclassid = 'pg_class'::regclass AND u.deptype = 'n'))))
   AND NOT EXISTS (SELECT FROM casts JOIN columns c USING (name) WHERE c.type <> casts.type)
   AND (SELECT count(*) FROM columns c WHERE c.name = ANY (%(changed)s::text[])) = cardinality(%(changed)s::text[])
   -- one row: constants for all columns of a unique index over every row, which compares values as the columns do
   AND (%(inserts)s::boolean OR EXISTS (
         SELECT FROM indexes i LEFT JOIN columns c ON c.attnum = i.number AND c.name = ANY (%(pinned)s::text[])
          WHERE i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
          GROUP BY i.indexrelid
         HAVING bool_and(c.attnum IS NOT NULL AND c.attcollation = i.collation_id AND i.opcdefault)))
   -- a changed row gets a new entry in each index, so none of them may run users' code
   AND NOT EXISTS (SELECT FROM indexes i LEFT JOIN columns c ON c.attnum = i.number WHERE NOT i.systems OR NOT c.systems)
   AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_index i ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                    LEFT JOIN pg_type y ON d.refclassid = 'pg_type'::regclass AND y.oid = d.refobjid AND y.typtype <> 'e'
                    WHERE i.indrelid = t.oid AND (d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass) OR y.oid IS NOT NULL))
   -- no constraint runs users' code
   AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_constraint n ON d.classid = 'pg_constraint'::regclass AND d.objid = n.oid
                    LEFT JOIN pg_type y ON d.refclassid = 'pg_type'::regclass AND y.oid = d.refobjid AND y.typtype <> 'e'
                    WHERE t.oid IN (n.conrelid, n.confrelid)
                      AND (d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass) OR y.oid IS NOT NULL))
   -- no key is changed, and no foreign key changes rows that refer to a deleted one
   AND (%(inserts)s::boolean OR NOT EXISTS (SELECT FROM pg_index i JOIN columns c ON c.attnum = ANY (i.indkey)
                    WHERE i.indrelid = t.oid AND i.indisunique AND c.name = ANY (%(changed)s::text[])))
   AND (%(inserts)s::boolean OR NOT EXISTS (SELECT FROM pg_constraint n JOIN columns c ON c.attnum = ANY (n.conkey)
                    WHERE n.conrelid = t.oid AND n.contype IN ('p', 'u', 'f', 'x') AND c.name = ANY (%(changed)s::text[])))
   AND (%(inserts)s::boolean OR NOT EXISTS (SELECT FROM pg_constraint n WHERE n.confrelid = t.oid AND (%(deletes)s::boolean AND n.confdeltype IN ('c', 'n', 'd')
                       OR EXISTS (SELECT FROM columns c WHERE c.attnum = ANY (n.confkey) AND c.name = ANY (%(changed)s::text[]))))) AS plain
  FROM target t
