-- put_checkpoint: stores a checkpoint
INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
VALUES (%(thread_id)s, %(checkpoint_ns)s, %(checkpoint_id)s, %(parent_id)s, %(checkpoint)s, %(metadata)s)
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
DO UPDATE SET checkpoint = excluded.checkpoint, metadata = excluded.metadata

-- put_blobs: stores the channel values that are new in a checkpoint; the caller appends the rows
INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob) VALUES

-- put_writes: stores errors, interrupts and resume values; a later one replaces an earlier one
INSERT INTO checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::int[], %s::text[], %s::text[], %s::bytea[])
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
DO UPDATE SET channel = excluded.channel, type = excluded.type, blob = excluded.blob

-- tables_ready: says whether LangGraph's tables exist and have forced row-level security
SELECT count(*) = 3 AND bool_and(relforcerowsecurity) AS ready FROM pg_class
 WHERE relnamespace = 'agents_checkpoints'::regnamespace AND relname = ANY (%s)

-- in_force: what optimizations have put in the place of the settings, the first one first
SELECT o.optimization_id::text AS optimization_id, o.parameters, o.status, coalesce(o.share, 1) AS share, o.registration ->> 'seed' AS seed,
       coalesce(o.applied_at, o.stage_began_at) AS since
  FROM agents.optimizations o
 WHERE o.tenant_id = %(tenant_id)s AND o.workflow_type = %(workflow_type)s AND o.status IN ('applied', 'canary')
 ORDER BY o.status, o.applied_at NULLS LAST

-- prompt_variant: the text of a variant of the instructions
SELECT template FROM agents.prompt_variants WHERE tenant_id = %(tenant_id)s AND name = %(name)s
