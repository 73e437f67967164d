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
