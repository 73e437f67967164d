-- views: the views of one person, by name
SELECT id, name, path FROM agents.saved_views WHERE tenant_id = %(tenant_id)s AND person = %(person)s ORDER BY lower(name), id

-- save: keep a name for a page, unless the person has too many
INSERT INTO agents.saved_views (tenant_id, person, name, path)
SELECT %(tenant_id)s, %(person)s, %(name)s, %(path)s
 WHERE (SELECT count(*) FROM agents.saved_views WHERE tenant_id = %(tenant_id)s AND person = %(person)s AND name <> %(name)s) < %(most)s
ON CONFLICT (tenant_id, person, name) DO UPDATE SET path = excluded.path
RETURNING id, name, path

-- remove: remove a view
DELETE FROM agents.saved_views WHERE tenant_id = %(tenant_id)s AND person = %(person)s AND id = %(id)s
