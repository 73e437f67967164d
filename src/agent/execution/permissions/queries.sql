-- relations_of_names: the qualified relations that names mean to this login; an unknown name stays as it is written
SELECT coalesce(n.nspname || '.' || c.relname, nullif(a.schema, '') || '.' || a.name, a.name) AS relation
  FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS a (schema, name)
  LEFT JOIN pg_class c ON c.oid = to_regclass(concat_ws('.', quote_ident(nullif(a.schema, '')), quote_ident(a.name)))
  LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
 ORDER BY 1
