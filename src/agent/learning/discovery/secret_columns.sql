-- secret_fingerprint: returns a digest of the catalogs of columns, types, views and comments
SELECT concat_ws(' ',
  (SELECT sum(hashint8extended(age(xmin)::bigint - born << 32 | oid::bigint, 7)) FROM pg_class WHERE oid >= 16384),
  (SELECT sum(hashint8extended(age(xmin)::bigint - born << 32 | attrelid::bigint, 7)) FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0),
  (SELECT sum(hashint8extended(age(xmin)::bigint - born << 32 | oid::bigint, 7)) FROM pg_type WHERE oid >= 16384),
  (SELECT sum(hashint8extended(age(xmin)::bigint - born << 32 | inhrelid::bigint, 7)) FROM pg_inherits),
  (SELECT sum(hashint8extended(age(xmin)::bigint - born << 32 | oid::bigint, 7)) FROM pg_rewrite WHERE oid >= 16384),
  (SELECT sum(hashint8extended(age(xmin)::bigint - born << 32 | objoid::bigint, 7)) FROM pg_description WHERE objoid >= 16384),
  (SELECT sum(hashint8extended(age(xmin)::bigint - born << 32 | oid::bigint, 7)) FROM pg_namespace)) AS fingerprint
  FROM (SELECT age('100'::xid)::bigint AS born OFFSET 0) AS past

-- columns_of_relations: lists every relation with its columns' types and comments, its parents, and the columns that a view reads
SELECT c.oid::bigint, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind, c.relispartition AS partition,
       ARRAY(SELECT i.inhparent::bigint FROM pg_inherits i WHERE i.inhrelid = c.oid) AS parents,
       (SELECT jsonb_agg(jsonb_build_array(a.attname, format_type(a.atttypid, a.atttypmod), format_type(nullif(t.typbasetype, 0), t.typtypmod),
                                           coalesce(e.typcategory, t.typcategory), coalesce(d.description, '')) ORDER BY a.attnum)
          FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
          LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
          LEFT JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = a.attnum
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT jsonb_agg(DISTINCT jsonb_build_array(s.attrelid::bigint, s.attname)) FROM pg_rewrite r
          JOIN pg_depend x ON x.classid = 'pg_rewrite'::regclass AND x.objid = r.oid AND x.refclassid = 'pg_class'::regclass AND x.refobjid <> c.oid
          JOIN pg_attribute s ON s.attrelid = x.refobjid AND s.attnum > 0 AND x.refobjsubid IN (0, s.attnum)
         WHERE r.ev_class = c.oid AND r.ev_type = '1' AND c.relkind IN ('v', 'm')) AS reads
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^(pg_|agents($|_))' AND n.nspname <> 'information_schema'
