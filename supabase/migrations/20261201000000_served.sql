-- The agent as a service: one set of roles, API keys, and the answers of writes that a client may repeat.

-- viewer reads, operator also asks and proposes, approver decides, admin names people and makes keys; personal is a right beside them.
alter table agents.people drop constraint people_roles_check;
alter table agents.people add constraint people_roles_check
  check (roles <@ array['viewer', 'operator', 'approver', 'admin', 'personal']);
-- Whoever was named could ask: those who only saw personal columns keep that.
do $$
declare guarded text;
begin
  -- The owner of the tables, who need not be a superuser, changes the rows of every tenant.
  foreach guarded in array array['agents.people', 'agents.audit_unsealed'] loop
    execute format('alter table %s no force row level security', guarded);
  end loop;
  update agents.people set roles = roles || array['operator'] where not roles && array['viewer', 'operator', 'approver', 'admin'];
  foreach guarded in array array['agents.people', 'agents.audit_unsealed'] loop
    execute format('alter table %s force row level security', guarded);
  end loop;
end $$;

-- What proves who calls. Of the secret only a hash is kept.
create table agents.api_keys (
  id            bigint generated always as identity primary key,
  tenant_id     text not null default agents.tenant(),
  name          text not null check (name <> ''),          -- what it is for
  hash          bytea not null unique,                     -- SHA-256 of the whole key
  hint          text not null,                             -- its last characters, to tell keys apart
  person        text not null check (person <> ''),        -- who acts with it
  role          text not null check (role in ('viewer', 'operator', 'approver', 'admin')),
  personal      boolean not null default false,
  created_by    text not null,
  created_at    timestamptz not null default now(),
  expires_at    timestamptz,
  last_used_at  timestamptz,
  revoked_at    timestamptz,
  revoked_by    text
);
create index api_keys_of_tenant on agents.api_keys (tenant_id, id);
call agents.isolate_tenants('agents.api_keys');
call agents.audit('agents.api_keys', '{last_used_at}');
grant select, insert, update on agents.api_keys to agent_app;

-- The answer to a write that came with an Idempotency-Key: the same write again gets the same answer.
create table agents.idempotent_requests (
  tenant_id    text not null default agents.tenant(),
  person       text not null,
  key          text not null check (length(key) between 1 and 255),
  fingerprint  bytea not null,                              -- SHA-256 of method, path and body
  status       integer,                                     -- null while the first request runs
  content_type text,
  body         bytea,
  created_at   timestamptz not null default now(),
  primary key (tenant_id, person, key)
);
create index idempotent_requests_old on agents.idempotent_requests (created_at);
call agents.isolate_tenants('agents.idempotent_requests');
grant select, insert, update, delete on agents.idempotent_requests to agent_app;

-- What some process still has to go on with: a turn whose requests are decided or whose process may have died, or an approved
-- action of no thread. Only ids: every process of the agent reads them for all tenants. `ready_at` is when to look; a worker that
-- takes a row moves it, so that another one looks again if the worker dies.
create table agents.open_work (
  tenant_id  text not null,
  kind       text not null check (kind in ('turn', 'approval')),
  subject    text not null,                        -- a thread's id, or an approval's
  attempts   integer not null default 0,
  ready_at   timestamptz not null default now(),
  primary key (tenant_id, kind, subject)
);
create index open_work_ready on agents.open_work (ready_at);
alter table agents.open_work enable row level security;
alter table agents.open_work force row level security;
create policy every_worker on agents.open_work to agent_app using (true) with check (true);
grant select, insert, update, delete on agents.open_work to agent_app;

-- Adds or moves a piece of work, and wakes the workers if it is due.
create function agents.add_work(tenant text, work_kind text, work_subject text, wait interval) returns void
language sql set search_path = pg_catalog, pg_temp
as $$
  insert into agents.open_work as w (tenant_id, kind, subject, ready_at) values (tenant, work_kind, work_subject, now() + wait)
  on conflict (tenant_id, kind, subject) do update set ready_at = excluded.ready_at, attempts = 0;
  select pg_notify('agents_open_work', '') where wait <= '3 seconds';
$$;

-- A turn that runs is looked at after the time of its lease; one that is over or waits for a human is no work.
create function agents.turn_is_work() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if new.status = 'running' then
    perform agents.add_work(new.tenant_id, 'turn', new.thread_id, interval '21 seconds');
  else
    delete from agents.open_work w where w.tenant_id = new.tenant_id and w.kind = 'turn' and w.subject = new.thread_id;
  end if;
  return null;
end $$;
create trigger open_work after insert or update of status on agents.turns
  for each row execute function agents.turn_is_work();

-- A decided request lets its thread go on. A terminal or a graph that decided goes on itself, so a worker waits for it a little.
create function agents.decision_is_work() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  wait interval := case when new.decided_via in ('cli', 'python', 'chat', 'graph', 'policy') then '3 seconds' else '0' end;
begin
  if old.status <> 'pending' or new.status in ('pending', 'edited') then
    return null;
  end if;
  if new.thread_id is not null and exists (
      select from agents.turns r where r.tenant_id = new.tenant_id and r.thread_id = new.thread_id and r.turn = new.turn
         and r.status = 'waiting') then
    perform agents.add_work(new.tenant_id, 'turn', new.thread_id, wait);
  elsif new.status = 'approved' and new.executable then
    perform agents.add_work(new.tenant_id, 'approval', new.id::text, wait);
  end if;
  return null;
end $$;
create trigger open_work after update of status on agents.human_approval_queue
  for each row execute function agents.decision_is_work();

-- What waited for the end of a stop goes on at once.
create function agents.resume_is_work() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if (old.stopped and not new.stopped) or (old.read_only and not new.read_only) then
    update agents.open_work w set ready_at = now(), attempts = 0 where w.tenant_id = new.tenant_id;
    insert into agents.open_work (tenant_id, kind, subject)
    select q.tenant_id, 'approval', q.id::text from agents.human_approval_queue q
     where q.tenant_id = new.tenant_id and q.status = 'approved' and q.executable
       and not exists (select from agents.agent_execution_log e
                        where e.tenant_id = q.tenant_id and e.approval_id = q.id and e.status <> 'running')
       and not exists (select from agents.turns r where r.tenant_id = q.tenant_id and r.thread_id = q.thread_id
                          and r.turn = q.turn and r.status = 'waiting')
    on conflict do nothing;
    perform pg_notify('agents_open_work', '');
  end if;
  return null;
end $$;
create trigger open_work after update on agents.controls for each row execute function agents.resume_is_work();

-- The tenants that use the agent, for work that is done for each of them.
create table agents.tenants (
  tenant_id   text primary key,
  first_seen  timestamptz not null default now()
);
alter table agents.tenants enable row level security;
alter table agents.tenants force row level security;
create policy every_worker on agents.tenants to agent_app using (true) with check (true);
grant select, insert on agents.tenants to agent_app;
create function agents.note_tenant() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  insert into agents.tenants (tenant_id) values (new.tenant_id) on conflict do nothing;
  return null;
end $$;
create trigger note_tenant after insert on agents.threads for each row execute function agents.note_tenant();
create trigger note_tenant after insert on agents.human_approval_queue for each row execute function agents.note_tenant();
create trigger note_tenant after insert on agents.api_keys for each row execute function agents.note_tenant();

-- Durable jobs: DBOS makes its tables in a schema that agent_app owns.
create schema if not exists agents_jobs authorization agent_app;
-- The processes that run jobs. One that was not seen for a while is dead, and its jobs are taken over.
create table agents_jobs.workers (
  executor_id  text primary key,
  host         text not null,
  started_at   timestamptz not null default now(),
  seen_at      timestamptz not null default now()
);
alter table agents_jobs.workers owner to agent_app;

revoke all on function agents.add_work(text, text, text, interval), agents.turn_is_work(), agents.decision_is_work(),
  agents.resume_is_work(), agents.note_tenant() from public;
grant execute on function agents.add_work(text, text, text, interval) to agent_app;
