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
