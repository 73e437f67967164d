-- record: a record, and the newest write of it that is not applied yet
SELECT r.version, r.value, w.id AS write_id, w.value AS written
  FROM (SELECT 1) one
  LEFT JOIN agents.cached_records r ON r.tenant_id = %(tenant_id)s AND r.kind = %(kind)s AND r.key = %(key)s
  LEFT JOIN LATERAL (SELECT id, value FROM agents.cached_record_writes w
                      WHERE w.tenant_id = %(tenant_id)s AND w.kind = %(kind)s AND w.key = %(key)s AND w.status = 'waiting'
                      ORDER BY id DESC LIMIT 1) w ON true

-- lock_record: let one transaction at a time change a record, also one that is not there yet
SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 20261211))

-- save_record: keep a record's next version
INSERT INTO agents.cached_records AS r (tenant_id, kind, key, value, version, updated_by)
VALUES (%(tenant_id)s, %(kind)s, %(key)s, %(value)s::jsonb, 1, %(by)s)
ON CONFLICT (tenant_id, kind, key)
DO UPDATE SET value = excluded.value, version = r.version + 1, updated_by = excluded.updated_by, updated_at = now()
RETURNING version

-- invalidate: note in the same transaction that the cache must be told
INSERT INTO agents.cache_invalidations AS i (tenant_id, kind, key, version)
VALUES (%(tenant_id)s, %(kind)s, %(key)s, %(version)s)
ON CONFLICT (tenant_id, kind, key) DO UPDATE SET version = greatest(i.version, excluded.version), changed_at = now()

-- told: the cache knows of a version
DELETE FROM agents.cache_invalidations
 WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND key = %(key)s AND version <= %(version)s

-- untold: what the cache does not know yet, the oldest first
SELECT kind, key, version FROM agents.cache_invalidations WHERE tenant_id = %(tenant_id)s ORDER BY changed_at LIMIT %(limit)s

-- queue_write: keep a write that is applied later; the same write_id again keeps no second one
INSERT INTO agents.cached_record_writes (tenant_id, kind, key, value, base, base_version, resolution, write_id, written_by)
VALUES (%(tenant_id)s, %(kind)s, %(key)s, %(value)s::jsonb, %(base)s::jsonb, %(base_version)s, %(resolution)s, %(write_id)s, %(by)s)
ON CONFLICT (tenant_id, write_id) DO NOTHING
RETURNING id

-- waiting_records: records whose writes are not applied yet
SELECT kind, key FROM agents.cached_record_writes WHERE tenant_id = %(tenant_id)s AND status = 'waiting'
 GROUP BY kind, key ORDER BY min(id) LIMIT %(limit)s

-- waiting_writes: writes of a record that are not applied yet, in their order
SELECT * FROM agents.cached_record_writes
 WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND key = %(key)s AND status = 'waiting' ORDER BY id

-- end_write: a write was applied, or refused
UPDATE agents.cached_record_writes SET status = %(status)s, version = %(version)s, detail = %(detail)s, applied_at = now()
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s

-- forget_writes: forget writes that were applied or refused long ago
DELETE FROM agents.cached_record_writes
 WHERE tenant_id = %(tenant_id)s AND status <> 'waiting' AND applied_at < now() - interval '7 days'

-- queues: how much is not applied, not told, and was refused
SELECT (SELECT count(*) FROM agents.cached_record_writes WHERE tenant_id = %(tenant_id)s AND status = 'waiting')::int AS waiting,
       (SELECT count(*) FROM agents.cached_record_writes WHERE tenant_id = %(tenant_id)s AND status = 'refused')::int AS refused,
       (SELECT count(*) FROM agents.cache_invalidations WHERE tenant_id = %(tenant_id)s)::int AS untold

-- tenants: every tenant that uses the agent
SELECT tenant_id FROM agents.tenants ORDER BY tenant_id
