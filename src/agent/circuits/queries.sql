-- make: store a circuit that is not known yet
INSERT INTO agents.circuits (name) VALUES (%(name)s) ON CONFLICT DO NOTHING

-- look: a circuit as it is, and the server's time
SELECT phase, extract(epoch FROM since)::float8 AS since, failures, generation, probes, passed,
       extract(epoch FROM clock_timestamp())::float8 AS now
  FROM agents.circuits WHERE tenant_id = %(tenant_id)s AND name = %(name)s

-- lock: a circuit that nobody else changes until this transaction ends
SELECT phase, extract(epoch FROM since)::float8 AS since, failures, generation, probes, passed
  FROM agents.circuits WHERE tenant_id = %(tenant_id)s AND name = %(name)s FOR UPDATE

-- clock: the server's time, which all processes share; read once the lock is held
SELECT extract(epoch FROM clock_timestamp())::float8 AS now

-- keep: store the state of a locked circuit
UPDATE agents.circuits SET phase = %(phase)s, since = to_timestamp(%(since)s), failures = %(failures)s, generation = %(generation)s,
       probes = %(probes)s, passed = %(passed)s, error = coalesce(%(error)s, error)
 WHERE tenant_id = %(tenant_id)s AND name = %(name)s

-- list: every circuit, those that do not let calls through first
SELECT name, phase, since, failures, probes, passed, error FROM agents.circuits
 WHERE tenant_id = %(tenant_id)s ORDER BY phase = 'closed', name LIMIT %(limit)s

-- close: let calls through again; calls from before decide nothing
UPDATE agents.circuits SET phase = 'closed', since = clock_timestamp(), failures = 0, generation = generation + 1, probes = 0, passed = 0
 WHERE tenant_id = %(tenant_id)s AND name = %(name)s

-- forget_old: circuits that have been in order for long, or that nobody has tried for long
DELETE FROM agents.circuits WHERE tenant_id = %(tenant_id)s AND since < now() - make_interval(days => %(days)s)
