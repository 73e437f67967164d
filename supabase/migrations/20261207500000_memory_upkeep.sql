-- Upkeep of what is remembered: erasure of a person or a conversation, memories that are merged, quarantined and kept for a time.
set search_path = pg_catalog, pg_temp;

------------------------------------------------------------------------------------------------------------
-- The audit log covers salted digests, so that personal content can be erased and the chain still be verified
------------------------------------------------------------------------------------------------------------

-- `sealed` is what the chain covers: of each column the value, or the digest of a salt and the value. `salts` are the salts.
-- Who erases removes values and their salts; nobody can find a value again from its digest without the salt.
alter table agents.audit_unsealed add column sealed jsonb, add column salts jsonb, alter column key drop not null,
  drop constraint audit_unsealed_event_check,
  add constraint audit_unsealed_event_check check (event in ('adopted', 'inserted', 'updated', 'deleted', 'resealed'));
-- The former seal and its key: entries from before this migration were sealed over their content itself.
alter table agents.audit_log add column sealed jsonb, add column salts jsonb, add column former_mac bytea, add column former_key_id text,
  alter column key drop not null, alter column mac drop not null;

-- Whether a value says nothing about a person: no text, a time, or one word of a list.
create function agents.is_plain_in_audit(name text, value jsonb) returns boolean
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
  select jsonb_typeof(value) in ('number', 'boolean', 'null') or value in ('{}', '[]', '""')
    or name in ('status', 'verdict', 'risk_level', 'risk_ceiling', 'decision', 'kind', 'decided_via', 'via', 'service', 'role', 'database_id',
                'policy_version')
    or name like '%\_at' and value #>> '{}' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.+-]+$'
    or name = '' and jsonb_typeof(value) = 'array' and not jsonb_path_exists(value, '$[*] ? (@.type() == "string")')
$$;

-- What the chain covers of an entry, and the salts; the name of the key is ''.
create function agents.salt_audit(key jsonb, content jsonb, out sealed jsonb, out salts jsonb)
language sql volatile set search_path = pg_catalog, pg_temp
as $$
  with cells as materialized (
    select name, value, case when not agents.is_plain_in_audit(name, value) then replace(gen_random_uuid()::text, '-', '') end as salt
      from (select '' as name, key as value union all select * from jsonb_each(content)) as both_parts
  )
  select jsonb_object_agg(name, case when salt is null then value
           else jsonb_build_object('salted', encode(sha256(convert_to(salt || value::text, 'UTF8')), 'hex')) end),
         coalesce(jsonb_object_agg(name, salt) filter (where salt is not null), '{}')
    from cells
$$;

create function agents.complete_audit() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  select s.sealed, s.salts into new.sealed, new.salts from agents.salt_audit(new.key, new.content) s;
  return new;
end $$;
create trigger complete before insert on agents.audit_unsealed for each row execute function agents.complete_audit();

-- Entries of before get salts, lose their seal and keep it as the former one; the next process that has the key seals them
-- anew, and checks each by its former seal too. An entry of the chain says so.
do $$
declare
  guarded text;
begin
  foreach guarded in array array['agents.audit_unsealed', 'agents.audit_log'] loop
    execute format('alter table %s no force row level security', guarded);
  end loop;
  update agents.audit_unsealed u set (sealed, salts) = (select s.sealed, s.salts from agents.salt_audit(u.key, u.content) s);
  insert into agents.audit_unsealed (tenant_id, event, subject, key, content)
  select tenant_id, 'resealed', 'audit_log', '[]', jsonb_build_object('entries', count(*), 'former_end', encode((array_agg(mac order by sequence desc))[1], 'hex'))
    from agents.audit_log group by tenant_id;
  update agents.audit_log l set (sealed, salts) = (select s.sealed, s.salts from agents.salt_audit(l.key, l.content) s),
    former_mac = mac, former_key_id = key_id, mac = null;
  foreach guarded in array array['agents.audit_unsealed', 'agents.audit_log'] loop
    execute format('alter table %s force row level security', guarded);
    execute format('alter table %s alter column sealed set not null, alter column salts set not null', guarded);
  end loop;
end $$;
create index audit_log_without_seal on agents.audit_log (tenant_id, sequence) where mac is null;

create or replace function agents.seal_audit(first bigint, with_key text, sealing_time timestamptz, ids bigint[], macs bytea[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  tenant text := agents.tenant();
  moved bigint;
begin
  if first is distinct from coalesce((select max(l.sequence) from agents.audit_log l where l.tenant_id = tenant), 0) + 1 then
    raise exception 'the next number of the audit log is not %', first using errcode = 'serialization_failure';
  end if;
  with taken as (
    delete from agents.audit_unsealed u using unnest(ids, macs) with ordinality as given (id, mac, place)
     where u.tenant_id = tenant and u.id = given.id
    returning u.*, given.mac, given.place
  )
  insert into agents.audit_log (tenant_id, sequence, id, at, login, event, subject, key, content, sealed, salts, sealed_at, key_id, mac)
  select t.tenant_id, first + t.place - 1, t.id, t.at, t.login, t.event, t.subject, t.key, t.content, t.sealed, t.salts, sealing_time,
         with_key, t.mac
    from taken t;
  get diagnostics moved = row_count;
  if moved is distinct from cardinality(ids) then
    raise exception 'entries of the audit log were sealed by another process' using errcode = 'serialization_failure';
  end if;
end $$;

-- Gives entries of the tenant that lost their seal a new one.
create function agents.reseal_audit(sequences bigint[], with_key text, macs bytea[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  update agents.audit_log l set mac = given.mac, key_id = with_key
    from unnest(sequences, macs) as given (sequence, mac)
   where l.tenant_id = agents.tenant() and l.sequence = given.sequence and l.mac is null
$$;

-- Removes values from entries: what fits the pattern, and what entries newer than `since` took out of their rows. Returns the
-- entries that lost something.
create function agents.erase_from_audit(since bigint, pattern text) returns bigint[]
language sql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
as $$
  with touched as materialized (
    select distinct on (u.subject, u.key) u.subject, u.key, u.event, u.content from agents.audit_unsealed u
     where u.tenant_id = agents.tenant() and u.id > since order by u.subject, u.key, u.id desc
  ), entries as (
    select l.id, l.subject, l.key, l.content, l.salts from agents.audit_log l where l.tenant_id = agents.tenant()
     union all
    select u.id, u.subject, u.key, u.content, u.salts from agents.audit_unsealed u where u.tenant_id = agents.tenant()
  ), cells as (
    select e.id, e.subject, e.key, s.name, case s.name when '' then e.key else e.content -> s.name end as value
      from entries e cross join lateral jsonb_object_keys(e.salts) as s (name)
  ), found as materialized (
    select c.id, array_agg(c.name) as names
      from cells c left join touched t on t.subject = c.subject and t.key = c.key
     where c.value::text ~* pattern or t.event = 'deleted'
        or (c.name <> '' and t.subject is not null and c.value is distinct from t.content -> c.name)
     group by c.id
  ), sealed as (
    update agents.audit_log l set content = l.content - f.names, salts = l.salts - f.names, key = case when '' <> all (f.names) then l.key end
      from found f where l.tenant_id = agents.tenant() and l.id = f.id
  ), unsealed as (
    update agents.audit_unsealed u set content = u.content - f.names, salts = u.salts - f.names, key = case when '' <> all (f.names) then u.key end
      from found f where u.tenant_id = agents.tenant() and u.id = f.id
  )
  select coalesce(array_agg(id order by id), '{}') from found
$$;

revoke all on function agents.is_plain_in_audit(text, jsonb), agents.salt_audit(jsonb, jsonb), agents.complete_audit(),
  agents.seal_audit(bigint, text, timestamptz, bigint[], bytea[]), agents.reseal_audit(bigint[], text, bytea[]),
  agents.erase_from_audit(bigint, text) from public;
grant execute on function agents.reseal_audit(bigint[], text, bytea[]) to agent_app;

------------------------------------------------------------------------------------------------------------
-- Memories that were merged, and erasure
------------------------------------------------------------------------------------------------------------

-- What was merged into a memory, each as it was said, with where it comes from. What was said goes with its own source only:
-- when the memory is erased for another source, these become memories again.
create table agents.memory_wordings (
  tenant_id      text not null default agents.tenant(),
  former_id      bigint not null,                -- the number that it had as a memory
  memory_id      bigint not null references agents.agent_memory on delete cascade,
  database_id    text not null,
  kind           text not null,
  subject        text,
  content        text not null,
  content_hash   bytea not null,
  metadata       jsonb not null,
  trust          text not null,
  speaker        text,
  source_thread  text,
  source_turn    integer,
  source_quote   text,
  evidence_count integer not null,
  derived_from   bigint[] not null default '{}', -- what it was concluded from
  valid_from     timestamptz not null,
  created_at     timestamptz not null,
  merged_at      timestamptz not null default now(),
  primary key (tenant_id, former_id)
);
create index memory_wordings_derived on agents.memory_wordings using gin (derived_from);
create index memory_wordings_of on agents.memory_wordings (memory_id);
call agents.isolate_tenants('agents.memory_wordings');
revoke all on agents.memory_wordings from public;
grant select, insert, update, delete on agents.memory_wordings to agent_app;

-- What a statement says, whatever its words; empty where no other wording is recognised. Apart from the memory, whose row is in many
-- indexes. A statement without a row was not compared with the others yet.
create table agents.memory_signatures (
  memory_id   bigint primary key references agents.agent_memory on delete cascade,
  tenant_id   text not null default agents.tenant(),
  database_id text not null,
  signature   bytea not null
);
create index memory_signatures_same on agents.memory_signatures (tenant_id, database_id, signature) where signature <> '';
call agents.isolate_tenants('agents.memory_signatures');
revoke all on agents.memory_signatures from public;
grant select, insert, update, delete on agents.memory_signatures to agent_app;

-- Who erased whom or what: never a name, but what stands in its place everywhere. `entries` are the entries of the audit log that
-- lost values; these, and no others, may lack some.
create table agents.erasures (
  id          bigint generated always as identity primary key,
  tenant_id   text not null default agents.tenant(),
  kind        text not null check (kind in ('person', 'thread')),
  pseudonym   text not null,
  asked_by    text not null,
  counts      jsonb not null,
  entries     bigint[] not null,
  created_at  timestamptz not null default now()
);
call agents.isolate_tenants('agents.erasures');
call agents.audit('agents.erasures');
revoke all on agents.erasures from public;
grant select on agents.erasures to agent_app;

-- A JSON value in which every text that fits is replaced, in names of members too.
create function agents.redacted(value jsonb, pattern text, replacement text) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
  case jsonb_typeof(value)
    when 'string' then
      return to_jsonb(regexp_replace(value #>> '{}', pattern, replacement, 'gi'));
    when 'number' then
      return case when value::text ~* pattern then to_jsonb(replacement) else value end;
    when 'array' then
      return coalesce((select jsonb_agg(agents.redacted(element, pattern, replacement) order by place)
                         from jsonb_array_elements(value) with ordinality as e (element, place)), '[]');
    when 'object' then
      return coalesce((select jsonb_object_agg(regexp_replace(name, pattern, replacement, 'gi'), agents.redacted(member, pattern, replacement))
                         from jsonb_each(value) as e (name, member)), '{}');
    else
      return value;
  end case;
end $$;

-- Replaces what fits in every text of every table of the tenant, also of tables that come later. A row that cannot stay with
-- the replacement, because something else has it as its key, goes.
create function agents.redact_all_tables(pattern text, replacement text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  tenant text := agents.tenant();
  target record;
  found_row tid;
  changed bigint := 0;
  part bigint;
begin
  for target in
    select c.oid::regclass as name,
           string_agg(format(case a.atttypid
               when 'jsonb'::regtype then '%1$I = case when %1$I::text ~* $1 then agents.redacted(%1$I, $1, $2) else %1$I end'
               when 'json'::regtype then '%1$I = case when %1$I::text ~* $1 then agents.redacted(%1$I::jsonb, $1, $2)::json else %1$I end'
               when 'text[]'::regtype then '%1$I = case when %1$I::text ~* $1 then array(select regexp_replace(u.element, $1, $2, ''gi'')'
                 ' from unnest(%1$I) with ordinality as u (element, place) order by u.place) else %1$I end'
               else '%1$I = regexp_replace(%1$I, $1, $2, ''gi'')' end, a.attname), ', ') as changes,
           string_agg(format('%I::text ~* $1', a.attname), ' or ') as fitting
      from pg_class c join pg_attribute a on a.attrelid = c.oid
     where c.relnamespace = 'agents'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
       and c.relname not in ('audit_log', 'audit_unsealed', 'agent_memory', 'tenants', 'open_work')
       and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attname <> 'tenant_id'
       and a.atttypid in ('text'::regtype, 'varchar'::regtype, 'text[]'::regtype, 'jsonb'::regtype, 'json'::regtype)
       and exists (select from pg_attribute t where t.attrelid = c.oid and t.attname = 'tenant_id' and not t.attisdropped)
     -- In the order in which they came about, which the audit log is checked by: votes, decisions, effects.
     group by c.oid, c.relname order by array_position(array['human_approval_queue', 'agent_execution_log'], c.relname::text) nulls first, c.oid
  loop
    begin
      execute format('update %s set %s where tenant_id = $3 and (%s)', target.name, target.changes, target.fitting)
        using pattern, replacement, tenant;
      get diagnostics part = row_count;
      changed := changed + part;
    exception when unique_violation or foreign_key_violation or check_violation then
      for found_row in execute format('select ctid from %s where tenant_id = $2 and (%s)', target.name, target.fitting) using pattern, tenant loop
        begin
          execute format('update %s set %s where ctid = $4 and tenant_id = $3', target.name, target.changes)
            using pattern, replacement, tenant, found_row;
        exception when unique_violation or foreign_key_violation or check_violation then
          execute format('delete from %s where ctid = $1 and tenant_id = $2', target.name) using found_row, tenant;
        end;
        changed := changed + 1;
      end loop;
    end;
  end loop;
  return changed;
end $$;

-- Deletes memories with what was concluded from them. What was merged into them from another source is remembered again.
create function agents.erase_memories(person text, threads text[], pattern text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  tenant text := agents.tenant();
  gone bigint[];
begin
  with said as (
    delete from agents.memory_wordings w
     where w.tenant_id = tenant and (lower(w.speaker) = lower(person) or w.source_thread = any (threads)
       or concat_ws(' ', w.content, w.subject, w.source_quote, w.source_thread, w.speaker, w.metadata::text) ~* pattern)
    returning w.memory_id, w.evidence_count
  )
  update agents.agent_memory m set evidence_count = greatest(m.evidence_count - s.evidence, 1)
    from (select memory_id, sum(evidence_count) as evidence from said group by 1) s
   where m.id = s.memory_id and m.tenant_id = tenant;
  with recursive erased (id) as (
    select m.id from agents.agent_memory m
     where m.tenant_id = tenant and (lower(m.speaker) = lower(person) or m.source_thread = any (threads)
       or concat_ws(' ', m.content, m.subject, m.source_quote, m.source_thread, m.speaker, m.metadata::text) ~* pattern)
     union
    select l.memory_id from erased e
      join agents.memory_links l on l.tenant_id = tenant and l.earlier_id = e.id and l.relation = 'derived'
      join agents.agent_memory m on m.id = l.memory_id and m.tenant_id = tenant and m.trust <> 'human' and m.kind <> 'schema'
  )
  select coalesce(array_agg(id), '{}') into gone from erased;
  delete from agents.memory_wordings w where w.tenant_id = tenant and w.derived_from && gone;
  insert into agents.agent_memory (tenant_id, database_id, kind, subject, content, content_hash, metadata, trust, speaker, source_thread,
    source_turn, source_quote, evidence_count, valid_from, valid_until, created_at)
  select w.tenant_id, w.database_id, w.kind, w.subject, w.content, w.content_hash, w.metadata, w.trust, w.speaker, w.source_thread,
         w.source_turn, w.source_quote, w.evidence_count, w.valid_from, m.valid_until, w.created_at
    from agents.memory_wordings w join agents.agent_memory m on m.id = w.memory_id
   where w.tenant_id = tenant and w.memory_id = any (gone)
  on conflict do nothing;
  delete from agents.agent_memory m where m.tenant_id = tenant and m.id = any (gone);
  -- The statistics of words keep no word that no memory has.
  perform agents.fold_memory_changes(d.database_id)
     from (select distinct c.database_id from agents.memory_changes c where c.tenant_id = tenant) d;
  delete from agents.memory_terms t where t.tenant_id = tenant and t.documents <= 0;
  return cardinality(gone);
end $$;

-- Erases a person, whose name and other words the pattern fits, or conversations (`threads`, then without person and pattern), from
-- everything that the agent keeps. What must stay, because it was decided or done, stays without its texts, and names the
-- replacement. Checkpoints are not in this schema: who calls this deletes them, by the threads that it returns.
create function agents.erase(person text, threads text[], pattern text, replacement text, asked_by text) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
as $$
declare
  tenant text := agents.tenant();
  since bigint;
  all_threads text[];
  turns_gone text[];
  approvals bigint[];
  executions bigint[];
  accounts text[];
  stripped bigint[];
  counts jsonb := '{}';
  part bigint;
  kept record;
begin
  lock table agents.audit_unsealed in share row exclusive mode;
  select coalesce(max(u.id), 0) into since from agents.audit_unsealed u;
  select greatest(since, coalesce(max(l.id), 0)) into since from agents.audit_log l where l.tenant_id = tenant;
  select coalesce(array_agg(t.thread_id), '{}') into all_threads from agents.threads t
   where t.tenant_id = tenant and (t.thread_id = any (threads) or lower(t.created_by) = lower(erase.person) or t.thread_id ~* erase.pattern);
  if exists (select from agents.threads t where t.tenant_id = tenant and t.thread_id = any (all_threads) and t.lease_until > now()) then
    raise exception 'a turn is running' using errcode = 'object_in_use';
  end if;
  select coalesce(array_agg(m.account), '{}') into accounts from agents.messaging_identities m
   where m.tenant_id = tenant and lower(m.person) = lower(erase.person);
  part := agents.erase_memories(person, all_threads || threads, pattern);
  counts := counts || jsonb_build_object('memories', part);

  -- Turns that the person asked in conversations of others.
  select coalesce(array_agg(t.thread_id || ' ' || t.turn), '{}') into turns_gone from agents.turns t
   where t.tenant_id = tenant and t.thread_id <> all (all_threads) and lower(t.asked_by) = lower(erase.person);
  update agents.turns t set question = replacement, answer = replacement, error = null, sources = '{}', message_id = null
   where t.tenant_id = tenant and t.thread_id || ' ' || t.turn = any (turns_gone);
  update agents.tool_calls c set arguments = '{}', said = '', result = case when c.result is not null then '{}'::jsonb end, provider_message = null
   where c.tenant_id = tenant and c.thread_id || ' ' || c.turn = any (turns_gone);
  update agents.threads t set summary = '' where t.tenant_id = tenant
     and exists (select from agents.turns u where u.tenant_id = tenant and u.thread_id = t.thread_id and u.thread_id || ' ' || u.turn = any (turns_gone));

  -- Requests and executions stay, without what they were about.
  select coalesce(array_agg(q.id), '{}') into approvals from agents.human_approval_queue q
   where q.tenant_id = tenant and (q.thread_id = any (all_threads || threads) or q.thread_id || ' ' || q.turn = any (turns_gone)
     or lower(q.requested_by) = lower(erase.person));
  if exists (select from agents.human_approval_queue q where q.id = any (approvals) and q.claimed_until > now()
              and not exists (select from agents.agent_execution_log e where e.approval_id = q.id and e.status <> 'running')) then
    raise exception 'an action is running' using errcode = 'object_in_use';
  end if;
  select coalesce(array_agg(e.id), '{}') into executions from agents.agent_execution_log e
   where e.tenant_id = tenant and (e.thread_id = any (all_threads || threads) or e.thread_id || ' ' || e.turn = any (turns_gone)
     or lower(e.actor) = lower(erase.person) or e.approval_id = any (approvals));
  delete from agents.before_images i where i.tenant_id = tenant
     and (i.execution_id = any (executions) or concat_ws(' ', i.before::text, i.after::text, i.others::text) ~* erase.pattern);
  delete from agents.tool_runs r where r.tenant_id = tenant and (r.thread_id = any (all_threads)
     or concat_ws(' ', r.arguments::text, r.answers::text, r.asked::text, encode(r.state, 'escape')) ~* erase.pattern);
  delete from agents.idempotent_requests r where r.tenant_id = tenant
     and (lower(r.person) = lower(erase.person) or encode(r.body, 'escape') ~* erase.pattern or r.key ~* erase.pattern
       or exists (select from unnest(all_threads || erase.threads) as gone where position(convert_to(gone, 'UTF8') in r.body) > 0));
  -- What else was kept of these conversations, also in tables that come later.
  for kept in
    select c.oid::regclass as name, a.attname as place from pg_class c join pg_attribute a on a.attrelid = c.oid
     where c.relnamespace = 'agents'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition and not a.attisdropped
       and a.attname in ('thread_id', 'source_thread') and a.atttypid = 'text'::regtype
       and c.relname not in ('threads', 'turns', 'tool_calls', 'human_approval_queue', 'agent_execution_log', 'agent_memory', 'memory_wordings')
       and exists (select from pg_attribute t where t.attrelid = c.oid and t.attname = 'tenant_id' and not t.attisdropped)
  loop
    execute format('delete from %s where tenant_id = $1 and %I = any ($2)', kept.name, kept.place) using tenant, all_threads || erase.threads;
  end loop;
  delete from agents.threads t where t.tenant_id = tenant and t.thread_id = any (all_threads);
  counts := counts || jsonb_build_object('conversations', cardinality(all_threads), 'turns', cardinality(turns_gone),
    'requests', cardinality(approvals), 'executions', cardinality(executions));
  update agents.human_approval_queue q set arguments = '{}', preview = case when q.preview is not null then '{}'::jsonb end, summary = replacement,
     comment = null, response = null, thread_id = null, turn = null, round = null, ordinal = null,
     status = case when q.status = 'pending' or q.status = 'approved' and q.executable
       and not exists (select from agents.agent_execution_log e where e.approval_id = q.id) then 'expired' else q.status end
   where q.tenant_id = tenant and q.id = any (approvals);
  update agents.approval_decisions d set comment = null, detail = null
   where d.tenant_id = tenant and d.approval_id = any (approvals) and (d.comment is not null or d.detail is not null);
  update agents.approval_notices n set text = replacement where n.tenant_id = tenant and n.approval_id = any (approvals);
  -- What was posted about them is posted anew, without it.
  update agents.messages m set ready_at = now(), attempts = 0, error = null where m.tenant_id = tenant and m.approval_id = any (approvals);
  update agents.permissions p set pattern = '{}', sentence = replacement, comment = null, revoked_at = coalesce(p.revoked_at, now()),
     revoked_by = coalesce(p.revoked_by, erase.asked_by)
   where p.tenant_id = tenant and (p.approval_id = any (approvals) or lower(p.granted_to) = lower(erase.person)
     or concat_ws(' ', p.pattern::text, p.sentence) ~* erase.pattern);
  update agents.agent_execution_log e set arguments = '{}', result = case when e.result is not null then '{}'::jsonb end,
     error = case when e.error is not null then replacement end, settled_comment = null, thread_id = null, turn = null, round = null, ordinal = null
   where e.tenant_id = tenant and e.id = any (executions);
  update agents.agent_sync_events v set data = jsonb_build_object('erased', replacement)
   where v.tenant_id = tenant and exists (select from unnest(all_threads || erase.threads) as gone
     where jsonb_path_exists(v.data, '$.** ? (@ == $gone)', jsonb_build_object('gone', gone)));

  delete from agents.messages m where m.tenant_id = tenant and m.place = any (accounts);
  delete from agents.messaging_refusals r where r.tenant_id = tenant and r.account = any (accounts);
  delete from agents.messaging_identities m where m.tenant_id = tenant and lower(m.person) = lower(erase.person);
  delete from agents.messaging_codes c where c.tenant_id = tenant and lower(c.person) = lower(erase.person);
  update agents.api_keys k set revoked_at = coalesce(k.revoked_at, now()), revoked_by = coalesce(k.revoked_by, erase.asked_by)
   where k.tenant_id = tenant and lower(k.person) = lower(erase.person);
  delete from agents.people p where p.tenant_id = tenant and lower(p.name) = lower(erase.person);
  if pattern is not null then
    counts := counts || jsonb_build_object('rows', agents.redact_all_tables(pattern, replacement));
  end if;
  stripped := agents.erase_from_audit(since, pattern);
  insert into agents.erasures (tenant_id, kind, pseudonym, asked_by, counts, entries)
  values (tenant, case when person is null then 'thread' else 'person' end, replacement,
          coalesce(regexp_replace(asked_by, pattern, replacement, 'gi'), asked_by), counts || jsonb_build_object('entries', cardinality(stripped)), stripped);
  return counts || jsonb_build_object('entries', cardinality(stripped), 'threads', to_jsonb(all_threads || threads));
end $$;

revoke all on function agents.redacted(jsonb, text, text), agents.redact_all_tables(text, text), agents.erase_memories(text, text[], text),
  agents.erase(text, text[], text, text, text) from public;
grant execute on function agents.erase(text, text[], text, text, text) to agent_app;
