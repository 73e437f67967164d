-- relation_names: every relation of the application, to name near ones
SELECT n.nspname AS schema, c.relname AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
   AND n.nspname !~ '^(agents(_|$)|pg_|information_schema$)'
 ORDER BY 1, 2 LIMIT 5000
