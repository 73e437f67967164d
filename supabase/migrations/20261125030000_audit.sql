-- The audit log: who asked, decided, executed and changed the rules, as a chain in which nothing can be changed unseen.
--
-- A trigger writes what a row has become into audit_unsealed, in the transaction of the change. Afterwards whoever has the
-- key, which no database has, moves it to audit_log: with the next number of its tenant, and a code (HMAC-SHA256) over the
-- entry and the code of the one before. Nobody may update or delete either; `agent audit verify` finds who did all the same.

-- The settings by which processes decide what runs, who is asked and what may leave; changed when a process has others.
create table agents.policy (
  tenant_id   text primary key default agents.tenant(),
  settings    jsonb not null,
  changed_by  text not null,
  changed_at  timestamptz not null default now()
);
call agents.isolate_tenants('agents.policy');
grant select, insert, update on agents.policy to agent_app;

create table agents.audit_unsealed (
  id         bigint generated always as identity primary key,
  tenant_id  text not null default agents.tenant(),
  at         timestamptz not null default clock_timestamp(),
  login      text not null default session_user,
  event      text not null check (event in ('adopted', 'inserted', 'updated', 'deleted')), -- adopted: there before the log
  subject    text not null,                   -- the table
  key        jsonb not null,                  -- the row's primary key, without the tenant
  content    jsonb not null                   -- the row, large values as their digests
);
create index audit_unsealed_order on agents.audit_unsealed (tenant_id, id);
call agents.isolate_tenants('agents.audit_unsealed');

create table agents.audit_log (
  tenant_id  text not null default agents.tenant(),
  sequence   bigint not null check (sequence > 0), -- without gaps
  id         bigint not null,                 -- its number in audit_unsealed: later ones may have been committed earlier
  at         timestamptz not null,
  login      text not null,
  event      text not null,
  subject    text not null,
  key        jsonb not null,
  content    jsonb not null,
  sealed_at  timestamptz not null,
  key_id     text not null,                   -- which key it was sealed with
  mac        bytea not null,
  primary key (tenant_id, sequence)
);
call agents.isolate_tenants('agents.audit_log');

-- What an entry keeps of a row: objects (arguments, previews, results) and long texts only as digests, so that no data of
-- the application is copied into a log that nobody can delete from. `shown` names columns whose objects are kept.
create function agents.audit_content(document jsonb, shown text[]) returns jsonb
language plpgsql immutable set search_path = pg_catalog
as $$
begin
  return document || coalesce((
    select jsonb_object_agg(key, jsonb_build_object('sha256', encode(sha256(convert_to(value::text, 'UTF8')), 'hex')))
      from jsonb_each(document)
     where jsonb_typeof(value) = 'object' and key <> all (shown)
        or jsonb_typeof(value) in ('object', 'array', 'string') and octet_length(value::text) > 1000), '{}');
end $$;

create function agents.audit_key(document jsonb, columns text[]) returns jsonb
language plpgsql immutable set search_path = pg_catalog
as $$
declare
  key jsonb := '[]';
  name text;
begin
  foreach name in array columns loop
    key := key || jsonb_build_array(document -> name);
  end loop;
  return key;
end $$;

-- Arguments: the columns of the key, those that are ignored, those whose objects are shown.
create function agents.audit_change() returns trigger
language plpgsql security definer set search_path = pg_catalog set timezone = 'UTC' set extra_float_digits = 1
as $$
declare
  ignored text[] := tg_argv[1];
  document jsonb;
begin
  if tg_op = 'DELETE' then
    document := to_jsonb(old) - ignored;
  else
    document := to_jsonb(new) - ignored;
  end if;
  if tg_op = 'UPDATE' and document = to_jsonb(old) - ignored then
    return null;
  end if;
  insert into agents.audit_unsealed (tenant_id, event, subject, key, content)
  values (document ->> 'tenant_id', lower(tg_op) || case tg_op when 'INSERT' then 'ed' else 'd' end, tg_table_name,
          agents.audit_key(document, tg_argv[0]::text[]), agents.audit_content(document - 'tenant_id', tg_argv[2]::text[]));
  return null;
end $$;

-- Puts a table under the audit log, for good; its rows of today are adopted. `ignored` names columns that may change
-- unrecorded. The list in approval/audit.py names the table too, and a test compares the two.
create procedure agents.audit(target regclass, ignored text[] default '{}', shown text[] default '{}')
language plpgsql set search_path = pg_catalog set timezone = 'UTC' set extra_float_digits = 1
as $$
declare
  columns text[];
  guarded text;
begin
  select coalesce(array_agg(a.attname::text order by k.place) filter (where a.attname <> 'tenant_id'), '{}') into columns
    from pg_index i cross join unnest(i.indkey) with ordinality k (number, place)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
   where i.indrelid = target and i.indisprimary;
  execute format('create trigger audit after insert or update or delete on %s for each row'
    ' execute function agents.audit_change(%L, %L, %L)', target, columns, ignored, shown);
  -- The owner of the tables, who need not be a superuser, adopts the rows of every tenant.
  foreach guarded in array array[target::text, 'agents.audit_unsealed'] loop
    execute format('alter table %s no force row level security', guarded);
  end loop;
  execute format('insert into agents.audit_unsealed (tenant_id, event, subject, key, content)'
    ' select d ->> ''tenant_id'', ''adopted'', %L, agents.audit_key(d, %L), agents.audit_content(d - ''tenant_id'', %L)'
    ' from (select to_jsonb(t) - %L::text[] as d from %s t) rows order by agents.audit_key(d, %2$L)',
    (select relname from pg_class where oid = target), columns, shown, ignored, target);
  foreach guarded in array array[target::text, 'agents.audit_unsealed'] loop
    execute format('alter table %s force row level security', guarded);
  end loop;
end $$;

-- Moves entries of the tenant into the chain: the numbers from `first` on, each with its code. One process at a time does
-- so (an advisory lock); a second one is refused by the number.
create function agents.seal_audit(first bigint, with_key text, sealing_time timestamptz, ids bigint[], macs bytea[]) returns void
language plpgsql security definer set search_path = pg_catalog
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
  insert into agents.audit_log (tenant_id, sequence, id, at, login, event, subject, key, content, sealed_at, key_id, mac)
  select t.tenant_id, first + t.place - 1, t.id, t.at, t.login, t.event, t.subject, t.key, t.content, sealing_time, with_key, t.mac
    from taken t;
  get diagnostics moved = row_count;
  if moved is distinct from cardinality(ids) then
    raise exception 'entries of the audit log were sealed by another process' using errcode = 'serialization_failure';
  end if;
end $$;

revoke all on function agents.audit_content(jsonb, text[]), agents.audit_key(jsonb, text[]), agents.audit_change(),
  agents.seal_audit(bigint, text, timestamptz, bigint[], bytea[]) from public;
revoke all on procedure agents.audit(regclass, text[], text[]) from public;
grant execute on function agents.audit_content(jsonb, text[]), agents.audit_key(jsonb, text[]),
  agents.seal_audit(bigint, text, timestamptz, bigint[], bytea[]) to agent_app;
grant select on agents.audit_unsealed, agents.audit_log to agent_app;

-- Who holds the right to execute an approved row and how often that was taken, and who was reminded, decides nothing.
call agents.audit('agents.human_approval_queue', ignored => '{claim,claimed_until,reminded_at,escalated_at,attempts}');
call agents.audit('agents.agent_execution_log');
call agents.audit('agents.controls');
call agents.audit('agents.policy', shown => '{settings}');
call agents.audit('agents.people');
call agents.audit('agents.permissions', shown => '{pattern}');
call agents.audit('agents.approval_decisions');
