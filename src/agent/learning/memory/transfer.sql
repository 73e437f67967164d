-- exported: lists memories with what was merged into them, in the order of their numbers; the structure is learned anew elsewhere
SELECT id, kind, subject, content, metadata, trust, speaker, source_thread, source_turn, source_quote, evidence_count, valid_from, valid_until,
       created_at,
       ARRAY(SELECT jsonb_build_object('earlier', l.earlier_id, 'relation', l.relation) FROM agents.memory_links l
              WHERE l.tenant_id = m.tenant_id AND l.memory_id = m.id ORDER BY l.earlier_id, l.relation) AS links
  FROM agents.agent_memory m
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND kind <> 'schema'
UNION ALL
SELECT former_id, kind, subject, content, metadata, trust, speaker, source_thread, source_turn, source_quote, evidence_count, valid_from, NULL,
       created_at, ARRAY(SELECT jsonb_build_object('earlier', source, 'relation', 'derived') FROM unnest(derived_from) AS source)
  FROM agents.memory_wordings WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s
 ORDER BY id

-- import: inserts memories that are not there yet; one that is no longer valid is there if one of the same text ended then
INSERT INTO agents.agent_memory (tenant_id, database_id, kind, subject, content, content_hash, metadata, trust, speaker, source_thread,
       source_turn, source_quote, evidence_count, valid_from, valid_until, created_at)
SELECT %(tenant_id)s, %(database_id)s, r.kind, r.subject, r.content, decode(r.content_hash, 'hex'), r.metadata, r.trust, r.speaker,
       r.source_thread, r.source_turn, r.source_quote, r.evidence_count, least(r.valid_from, now()), CASE WHEN r.valid_until IS NOT NULL THEN least(r.valid_until, now()) END,
       least(r.created_at, now())
  FROM json_to_recordset(%(rows)s) AS r (kind text, subject text, content text, content_hash text, metadata jsonb, trust text, speaker text,
       source_thread text, source_turn int, source_quote text, evidence_count int, valid_from timestamptz, valid_until timestamptz,
       created_at timestamptz)
 WHERE r.valid_until IS NULL OR NOT EXISTS (
       SELECT FROM agents.agent_memory m WHERE m.tenant_id = %(tenant_id)s AND m.database_id = %(database_id)s
          AND m.content_hash = decode(r.content_hash, 'hex') AND m.valid_until = r.valid_until)
 ORDER BY r.content_hash
ON CONFLICT (tenant_id, database_id, content_hash) WHERE valid_until IS NULL DO NOTHING
RETURNING id, encode(content_hash, 'hex') AS content_hash, valid_until IS NULL AS valid

-- known: returns the valid memories with these texts
SELECT id, encode(content_hash, 'hex') AS content_hash FROM agents.agent_memory
 WHERE tenant_id = %(tenant_id)s AND database_id = %(database_id)s AND valid_until IS NULL
   AND content_hash = ANY (SELECT decode(h, 'hex') FROM unnest(%(hashes)s::text[]) h)

-- import_links: notes what imported memories have to do with each other
INSERT INTO agents.memory_links (tenant_id, memory_id, earlier_id, relation)
SELECT %(tenant_id)s, r.later, r.earlier, r.relation FROM json_to_recordset(%(rows)s) AS r (later bigint, earlier bigint, relation text)
 WHERE r.later <> r.earlier
ON CONFLICT DO NOTHING
