-- actor_limits: set the limits of one write; rows are compared as text, so all digits count; begin_effect needs the tenant
SELECT set_config('statement_timeout', %(statement_ms)s, true), set_config('lock_timeout', %(lock_ms)s, true),
       set_config('idle_in_transaction_session_timeout', %(idle_ms)s, true),
       set_config('standard_conforming_strings', 'on', true), set_config('datestyle', 'ISO, YMD', true),
       set_config('intervalstyle', 'postgres', true), set_config('extra_float_digits', '1', true),
       set_config('client_min_messages', 'notice', true), set_config('agents.tenant_id', %(tenant_id)s, true)

-- limit_statement: limit the next statements of the transaction
SELECT set_config('statement_timeout', %(statement_ms)s, true)

-- key_of: the columns of a table's primary key
SELECT (SELECT array_agg(a.attname::text ORDER BY k.place)
          FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number) AS columns
  FROM pg_index i
 WHERE i.indisprimary AND i.indrelid = to_regclass(concat_ws('.', quote_ident(%(schema)s), quote_ident(%(name)s)))

-- shape: the columns and the primary key of a table that holds all its rows itself or in partitions
SELECT n.nspname AS schema, c.relname AS name,
       (SELECT jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
                 'generated', a.attgenerated <> '', 'identity', a.attidentity <> '') ORDER BY a.attnum)
          FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT array_agg(a.attname::text ORDER BY k.place)
          FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey[0:i.indnkeyatts - 1]::int[]) WITH ORDINALITY AS k (number, place)
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
         WHERE i.indrelid = c.oid AND i.indisprimary) AS key
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = to_regclass(concat_ws('.', quote_ident(%(schema)s), quote_ident(%(name)s))) AND c.relkind IN ('r', 'p')
   AND (c.relkind = 'p' OR NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid))

-- keep_images: store row images; see the function in the migration
SELECT agents.keep_images(%(approval_id)s, %(claim)s, %(images)s, %(keep)s)
