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

-- images: the images of one execution and its outcome; it is undone if the newest undo of it is not undone itself, and so on
WITH RECURSIVE undoing AS (
  SELECT %(execution_id)s::bigint AS id, 0 AS depth
  UNION ALL
  SELECT u.id, o.depth + 1 FROM undoing o CROSS JOIN LATERAL (
    SELECT e.id FROM agents.agent_execution_log e
     WHERE e.tenant_id = %(tenant_id)s AND e.id > o.id AND e.action = 'undo_change' AND e.status = 'succeeded'
       AND e.approval_id IS NOT NULL AND e.arguments ->> 'execution_id' = o.id::text
     ORDER BY e.id DESC LIMIT 1) u
)
SELECT e.status, e.approval_id, e.database_id, e.created_at, e.row_count, now() - e.created_at AS age,
       (SELECT min(o.id) FILTER (WHERE o.depth = 1) FROM undoing o HAVING max(o.depth) %% 2 = 1) AS undone_by,
       i.execution_id AS kept, i.table_schema, i.table_name, i.columns, i.key, i.before, i.after, i.others, i.why_not
  FROM agents.agent_execution_log e
  LEFT JOIN agents.before_images i ON i.tenant_id = e.tenant_id AND i.execution_id = e.id AND i.created_at > now() - %(keep)s
 WHERE e.tenant_id = %(tenant_id)s AND e.id = %(execution_id)s

-- any_kept: one row if the rows of a change are kept that can be undone
SELECT 1 AS kept FROM agents.before_images
 WHERE tenant_id = %(tenant_id)s AND why_not IS NULL AND created_at > now() - %(keep)s::interval LIMIT 1

-- forget_images: delete the images of one execution, of all (null), or those that are older than `keep`
DELETE FROM agents.before_images
 WHERE tenant_id = %(tenant_id)s AND (%(execution_id)s::bigint IS NULL OR execution_id = %(execution_id)s)
   AND (%(keep)s::interval IS NULL OR created_at < now() - %(keep)s::interval)
