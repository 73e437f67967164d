-- snapshot: makes the transaction read rows and log as of one moment
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY

-- written_as: sets the formats of times, numbers and names to those that the triggers use
SELECT set_config('search_path', 'pg_catalog', true), set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO, YMD', true),
       set_config('extra_float_digits', '1', true)

-- sealing_lock: takes the sealing lock until the transaction ends, if no other process has it
SELECT pg_try_advisory_xact_lock(hashtextextended(%(tenant_id)s, %(lock)s)) AS mine

-- without_seal: lists entries in order that lost their seal to a migration. Once the log says that it was sealed anew, none is
-- sealed again, because who takes a seal away must not get another
SELECT sequence, id, at::text AS at, login, event, subject, key::text AS key, content::text AS content, sealed::text AS sealed,
       salts::text AS salts, sealed_at::text AS sealed_at, former_key_id, former_mac
  FROM agents.audit_log WHERE tenant_id = %(tenant_id)s AND mac IS NULL AND former_mac IS NOT NULL
   AND NOT EXISTS (SELECT FROM agents.audit_log WHERE tenant_id = %(tenant_id)s AND event = 'resealed')
 ORDER BY sequence LIMIT %(limit)s

-- sealed_before: returns the seal of the entry before one
SELECT mac FROM agents.audit_log WHERE tenant_id = %(tenant_id)s AND sequence = %(sequence)s - 1

-- reseal: stores new seals of entries that have none
SELECT agents.reseal_audit(%(sequences)s::bigint[], %(key_id)s, %(macs)s::bytea[])

-- erased_entries: returns the entries from which erasures took values
SELECT DISTINCT unnest(entries) AS id FROM agents.erasures WHERE tenant_id = %(tenant_id)s

-- audit_head: returns the last entry of the chain
SELECT sequence, mac, key_id, sealed_at::text AS sealed_at FROM agents.audit_log
 WHERE tenant_id = %(tenant_id)s ORDER BY sequence DESC LIMIT 1

-- audit_unsealed: lists the entries that wait to be sealed, in the order in which they were written
SELECT id, at::text AS at, login, event, subject, key::text AS key, content::text AS content, sealed::text AS sealed,
       salts::text AS salts, clock_timestamp()::text AS now
  FROM agents.audit_unsealed WHERE tenant_id = %(tenant_id)s ORDER BY id LIMIT %(limit)s

-- seal: moves these entries into the chain
SELECT agents.seal_audit(%(first)s, %(key_id)s, %(sealed_at)s::timestamptz, %(ids)s::bigint[], %(macs)s::bytea[])

-- audit_chain: lists every entry, in order
SELECT sequence, id, at::text AS at, login, event, subject, key::text AS key, content::text AS content,
       sealed::text AS sealed, salts::text AS salts, sealed_at::text AS sealed_at, key_id, coalesce(mac, ''::bytea) AS mac,
       coalesce(former_key_id, '') AS former_key_id, coalesce(former_mac, ''::bytea) AS former_mac
  FROM agents.audit_log WHERE tenant_id = %(tenant_id)s ORDER BY sequence

-- audit_newest: lists the newest entries, sealed or not, or those after one. `head` is the last entry of the chain as the first
-- page was read: what was sealed since then stays where it was, by its number
SELECT sequence, id, at::text AS at, login, event, subject, key::text AS key, content::text AS content,
       sealed::text AS sealed, coalesce(sealed_at::text, '') AS sealed_at, coalesce(key_id, '') AS key_id, coalesce(mac, ''::bytea) AS mac
  FROM ((SELECT NULL::bigint AS sequence, id, at, login, event, subject, key, content, sealed, NULL::timestamptz AS sealed_at,
                NULL::text AS key_id, NULL::bytea AS mac
           FROM agents.audit_unsealed
          WHERE tenant_id = %(tenant_id)s AND %(after_sequence)s::bigint IS NULL AND (%(after_id)s::bigint IS NULL OR id < %(after_id)s)
          ORDER BY id DESC LIMIT %(limit)s)
        UNION ALL
        (SELECT sequence, id, at, login, event, subject, key, content, sealed, sealed_at, key_id, mac FROM agents.audit_log
          WHERE tenant_id = %(tenant_id)s AND %(after_sequence)s::bigint IS NULL AND (%(after_id)s::bigint IS NULL OR id < %(after_id)s)
            AND sequence > %(head)s::bigint
          ORDER BY id DESC LIMIT %(limit)s)
        UNION ALL
        (SELECT sequence, id, at, login, event, subject, key, content, sealed, sealed_at, key_id, mac FROM agents.audit_log
          WHERE tenant_id = %(tenant_id)s AND sequence <= %(head)s::bigint
            AND (%(after_sequence)s::bigint IS NULL OR sequence < %(after_sequence)s)
          ORDER BY sequence DESC LIMIT %(limit)s)) newest
 ORDER BY CASE WHEN sequence <= %(head)s::bigint THEN sequence END DESC NULLS FIRST, id DESC LIMIT %(limit)s

-- audit_waiting: counts the entries that wait to be sealed, and returns the age of the oldest one that the agent could have sealed
SELECT count(*) AS entries, extract(epoch FROM clock_timestamp() - min(at) FILTER (WHERE event <> 'adopted'))::float8 AS seconds
  FROM agents.audit_unsealed WHERE tenant_id = %(tenant_id)s

-- audit_differences: lists rows of a table that differ from their newest entry; `columns` is null where the row or the entry is missing
WITH newest AS (
  SELECT DISTINCT ON (key) key, sequence, event, content
    FROM (SELECT key, sequence, id, event, content FROM agents.audit_log
           WHERE tenant_id = %(tenant_id)s AND subject = %(subject)s AND key IS NOT NULL
          UNION ALL
          SELECT key, NULL, id, event, content FROM agents.audit_unsealed
           WHERE tenant_id = %(tenant_id)s AND subject = %(subject)s AND key IS NOT NULL) e
   ORDER BY key, sequence DESC NULLS FIRST, id DESC
), present AS (
  SELECT agents.audit_key(document, %(key)s::text[]) AS key,
         agents.audit_content(document - array_append(%(ignored)s::text[], 'tenant_id'), %(shown)s::text[]) AS content
    FROM (SELECT to_jsonb(t) AS document FROM {table} t WHERE t.tenant_id = %(tenant_id)s) documents
), differing AS (
  SELECT coalesce(n.key, p.key) AS key, n.sequence, n.content AS was, p.content AS now
    FROM (SELECT * FROM newest WHERE event <> 'deleted') n FULL JOIN present p ON p.key = n.key
   WHERE n.content IS DISTINCT FROM p.content
)
SELECT key::text AS key, sequence, now IS NOT NULL AS present, columns
  FROM differing d
 CROSS JOIN LATERAL (
   SELECT array_agg(b.key ORDER BY b.key) AS columns
     FROM jsonb_each(CASE jsonb_typeof(d.was) WHEN 'object' THEN d.was END) b JOIN jsonb_each(d.now) a USING (key)
    WHERE b.value <> a.value) changed
 WHERE was IS NULL OR now IS NULL OR columns IS NOT NULL
 ORDER BY 1 LIMIT %(limit)s

-- audit_rows: counts the rows of a table
SELECT count(*) AS rows FROM {table} t WHERE t.tenant_id = %(tenant_id)s

-- audit_functions: returns the source of the functions that write the log
SELECT p.proname AS name, p.prosrc AS source FROM pg_proc p
 WHERE p.pronamespace = to_regnamespace('agents') AND p.proname ~ '(^|_)audit(_|$)' ORDER BY 1

-- audit_triggers: lists the audited tables with their triggers
SELECT c.relname AS subject, pg_get_triggerdef(g.oid) AS definition, g.tgenabled <> 'O' OR c.relkind <> 'r' AS off
  FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
 WHERE c.relnamespace = to_regnamespace('agents') AND g.tgname = 'audit'

-- record_policy: stores the rules of this process where they differ from the stored ones
INSERT INTO agents.policy AS p (tenant_id, settings, changed_by) VALUES (%(tenant_id)s, %(settings)s, %(user)s)
ON CONFLICT (tenant_id) DO UPDATE SET settings = excluded.settings, changed_by = excluded.changed_by, changed_at = now()
 WHERE p.settings <> excluded.settings
