-- The agent's schema: memory, threads and turns, approvals, the execution log, discovery and search.
--
-- Everything is in schema `agents`. Every table has tenant_id and forced row-level security through
-- agents.tenant(). Four logins (made here without LOGIN, given passwords by `agent setup`):
--   agent_app       reads and writes these tables
--   agent_assessor  resolves statements; reads no data
--   agent_reader    reads the application, nothing of ours
--   agent_actor     carries out approved changes of the application; records them by agents.begin_effect/finish_effect

------------------------------------------------------------------------------------------------------------
-- Foundations
------------------------------------------------------------------------------------------------------------

create schema if not exists agents;

do $$
begin
  if not exists (select from pg_extension where extname = 'vector') then
    if exists (select from pg_namespace where nspname = 'extensions') then
      create extension vector with schema extensions;
    else
      create extension vector with schema public;
    end if;
  end if;
end $$;

do $$
declare
  login text;
begin
  foreach login in array array['agent_app', 'agent_assessor', 'agent_reader', 'agent_actor'] loop
    if not exists (select from pg_roles where rolname = login) then
      execute format('create role %I nologin noinherit nosuperuser nocreatedb nocreaterole', login);
    end if;
  end loop;
end $$;

-- The tenant of the current transaction. Our own logins name it by a setting; PostgREST's roles by a signed claim,
-- either `tenant_id` or `app_metadata.tenant_id` (user_metadata is writable by the user, so it does not count).
-- Fails closed: no tenant is an error, not an empty result.
create function agents.tenant() returns text
language plpgsql stable set search_path = pg_catalog
as $$
declare
  tenant text;
  claims jsonb;
begin
  if session_user in ('agent_app', 'agent_actor') then
    tenant := current_setting('agents.tenant_id', true);
  else
    claims := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
    tenant := coalesce(claims ->> 'tenant_id', claims -> 'app_metadata' ->> 'tenant_id');
  end if;
  if tenant is null or tenant = '' then
    raise exception 'no tenant: set agents.tenant_id in this transaction, or send a JWT with a tenant_id claim'
      using errcode = 'insufficient_privilege';
  end if;
  return tenant;
end $$;

-- Forces row-level security by tenant on one of our tables.
create procedure agents.isolate_tenants(target regclass)
language plpgsql set search_path = pg_catalog
as $$
begin
  execute format('alter table %s enable row level security', target);
  execute format('alter table %s force row level security', target);
  execute format(
    'create policy tenant_isolation on %s using (tenant_id = (select agents.tenant()))'
    ' with check (tenant_id = (select agents.tenant()))', target);
end $$;
revoke execute on procedure agents.isolate_tenants(regclass) from public;

-- The stop switch and the read-only mode: one row a tenant, read before anything is done.
create table agents.controls (
  tenant_id   text primary key default agents.tenant(),
  stopped     boolean not null default false,
  read_only   boolean not null default false,
  reason      text not null default '',
  changed_by  text not null default '',
  changed_at  timestamptz not null default now()
);
call agents.isolate_tenants('agents.controls');

------------------------------------------------------------------------------------------------------------
-- Memory
------------------------------------------------------------------------------------------------------------

create table agents.agent_memory (
  id              bigint generated always as identity primary key,
  tenant_id       text not null default agents.tenant(),
  database_id     text not null,
  kind            text not null check (kind in ('schema', 'interaction', 'fact', 'pattern', 'skill', 'feedback')),
  subject         text,                       -- what it is about: a qualified object name, or null
  content         text not null check (content <> ''),
  content_hash    bytea not null,             -- sha256 of the normalised content: exact duplicates collapse on it
  metadata        jsonb not null default '{}',
  embedding       vector,
  embedding_model text,                       -- the vector space; null while the embedding is still to be made
  trust           text not null check (trust in ('human', 'agent', 'database', 'external')),
  source_thread   text,
  source_turn     integer,
  source_quote    text,
  evidence_count  integer not null default 1 check (evidence_count > 0),
  use_count       integer not null default 0,
  last_used_at    timestamptz,
  valid_from      timestamptz not null default now(),
  valid_until     timestamptz,                -- null: still true
  created_at      timestamptz not null default now(),
  updated_at      timestamptz not null default now(),
  check ((embedding is null) = (embedding_model is null))
);
create unique index agent_memory_content on agents.agent_memory (tenant_id, database_id, kind, content_hash)
  where valid_until is null;
create unique index agent_memory_schema_subject on agents.agent_memory (tenant_id, database_id, subject)
  where kind = 'schema' and valid_until is null;
call agents.isolate_tenants('agents.agent_memory');

------------------------------------------------------------------------------------------------------------
-- Discovery
------------------------------------------------------------------------------------------------------------

-- The structure of each application database, as last discovered.
create table agents.discovered_databases (
  tenant_id      text not null default agents.tenant(),
  database_id    text not null,
  name           text not null,
  fingerprint    text not null,               -- of the catalogs: equal means that nothing changed
  structure      jsonb not null,
  discovered_at  timestamptz not null default now(),
  checked_at     timestamptz not null default now(),
  primary key (tenant_id, database_id)
);
call agents.isolate_tenants('agents.discovered_databases');

------------------------------------------------------------------------------------------------------------
-- Threads, turns and tool calls: the truth about what was asked, decided and done
------------------------------------------------------------------------------------------------------------

create table agents.threads (
  tenant_id    text not null default agents.tenant(),
  thread_id    text not null check (thread_id <> '' and length(thread_id) <= 200),
  database_id  text not null,
  title        text not null default '',
  created_by   text not null default '',
  turn_count   integer not null default 0,
  summary      text not null default '',      -- of the turns that no longer fit the model's context
  summarised   integer not null default 0,    -- turns 1..summarised are in the summary
  lease_owner  uuid,                          -- the run that works on this thread now
  lease_until  timestamptz,
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now(),
  primary key (tenant_id, thread_id)
);
create index threads_recent on agents.threads (tenant_id, updated_at desc);
call agents.isolate_tenants('agents.threads');

create table agents.turns (
  tenant_id      text not null default agents.tenant(),
  thread_id      text not null,
  turn           integer not null check (turn > 0),
  status         text not null default 'running' check (status in ('running', 'waiting', 'done', 'failed')),
  asked_by       text not null default '',
  message_id     text,                        -- the client's id of the question: the same one twice is the same turn
  question       text not null,
  answer         text,
  error          text,
  knowledge      jsonb not null default '{}', -- what was loaded: memory ids, linked tables
  model          text,
  input_tokens   integer not null default 0,
  output_tokens  integer not null default 0,
  cost_usd       double precision,
  started_at     timestamptz not null default now(),
  finished_at    timestamptz,
  primary key (tenant_id, thread_id, turn),
  foreign key (tenant_id, thread_id) references agents.threads on delete cascade
);
create index turns_started on agents.turns (tenant_id, started_at);
create unique index turns_message on agents.turns (tenant_id, thread_id, message_id) where message_id is not null;
call agents.isolate_tenants('agents.turns');

-- One row a tool call, stored before it has any effect. `call_id` is the model's name for it, kept only to answer the model.
create table agents.tool_calls (
  tenant_id    text not null default agents.tenant(),
  thread_id    text not null,
  turn         integer not null,
  round        integer not null check (round > 0),
  ordinal      integer not null check (ordinal > 0),
  call_id      text not null default '',
  tool         text not null,
  arguments    jsonb not null default '{}',
  said         text not null default '',      -- what the model said beside the calls of this round (ordinal 1)
  status       text not null default 'stored' check (status in ('stored', 'waiting', 'done')),
  approval_id  bigint,
  result       jsonb,
  created_at   timestamptz not null default now(),
  finished_at  timestamptz,
  primary key (tenant_id, thread_id, turn, round, ordinal),
  foreign key (tenant_id, thread_id, turn) references agents.turns on delete cascade
);
call agents.isolate_tenants('agents.tool_calls');

------------------------------------------------------------------------------------------------------------
-- Approvals and the execution log
------------------------------------------------------------------------------------------------------------

-- One row a question to a human. The row decides: whoever moves it out of 'pending' wins, and the action is
-- executed from the row, once, by whoever claims it.
create table agents.human_approval_queue (
  id              bigint generated always as identity primary key,
  tenant_id       text not null default agents.tenant(),
  database_id     text not null,
  action          text not null,
  arguments       jsonb not null,
  risk_level      text not null check (risk_level in ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')),
  reasons         text[] not null default '{}',
  summary         text not null default '',   -- one sentence for the approver
  preview         jsonb,
  policy_version  text not null default '1',
  binding         text not null,              -- sha256 of action, arguments, policy version and preview fingerprint
  executable      boolean not null default true, -- false: the asker only wants the decision
  status          text not null default 'pending' check (status in ('pending', 'approved', 'rejected', 'expired')),
  requested_by    text not null default '',
  decided_by      text,
  decided_via     text,                       -- cli, studio, api, python ...
  comment         text,
  thread_id       text,
  turn            integer,
  round           integer,
  ordinal         integer,
  claim           uuid,                       -- who may execute it, and until when
  claimed_until   timestamptz,
  created_at      timestamptz not null default now(),
  expires_at      timestamptz not null,
  decided_at      timestamptz
);
create index human_approval_queue_pending on agents.human_approval_queue (tenant_id, created_at) where status = 'pending';
create unique index human_approval_queue_call on agents.human_approval_queue (tenant_id, thread_id, turn, round, ordinal)
  where thread_id is not null;
call agents.isolate_tenants('agents.human_approval_queue');

-- Every action: who, what, with which arguments, at what risk, by whose approval, and what came of it.
create table agents.agent_execution_log (
  id             bigint generated always as identity primary key,
  tenant_id      text not null default agents.tenant(),
  database_id    text not null,
  actor          text not null default '',
  action         text not null,
  arguments      jsonb not null default '{}',
  verdict        text not null check (verdict in ('run', 'ask', 'refuse')),
  risk_level     text not null check (risk_level in ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')),
  reasons        text[] not null default '{}',
  status         text not null check (status in
                   ('running', 'succeeded', 'failed', 'refused', 'rejected', 'expired', 'unknown')),
  approval_id    bigint references agents.human_approval_queue,
  approved_by    text,
  result         jsonb,
  row_count      bigint,
  error          text,
  duration_ms    double precision,
  input_tokens   integer,
  output_tokens  integer,
  cost_usd       double precision,
  thread_id      text,
  turn           integer,
  round          integer,
  ordinal        integer,
  created_at     timestamptz not null default now(),
  finished_at    timestamptz
);
create index agent_execution_log_recent on agents.agent_execution_log (tenant_id, created_at desc);
create index agent_execution_log_thread on agents.agent_execution_log (tenant_id, thread_id, turn);
-- One execution an approval: a second one violates this and takes its effect back with it.
create unique index agent_execution_log_approval on agents.agent_execution_log (tenant_id, approval_id)
  where approval_id is not null;
call agents.isolate_tenants('agents.agent_execution_log');

-- Called by agent_actor at the start of the transaction that carries out an approved action. Only who holds the
-- row's claim can call it, so the approved statement itself cannot. It commits or vanishes with the effect.
create function agents.begin_effect(approval bigint, claim_token uuid) returns bigint
language plpgsql security definer set search_path = pg_catalog
as $$
declare
  request agents.human_approval_queue;
  execution bigint;
begin
  select * into request from agents.human_approval_queue q
   where q.tenant_id = agents.tenant() and q.id = approval and q.claim = claim_token and q.status = 'approved'
   for update;
  if not found then
    raise exception 'approval % is not approved, or claimed by another process', approval using errcode = 'insufficient_privilege';
  end if;
  if exists (select from agents.controls c where c.tenant_id = request.tenant_id and (c.stopped or c.read_only)) then
    raise exception 'the agent is stopped or read-only' using errcode = 'insufficient_privilege';
  end if;
  insert into agents.agent_execution_log (tenant_id, database_id, actor, action, arguments, verdict, risk_level, reasons,
    status, approval_id, approved_by, thread_id, turn, round, ordinal)
  values (request.tenant_id, request.database_id, request.requested_by, request.action, request.arguments, 'ask',
    request.risk_level, request.reasons, 'running', request.id, request.decided_by,
    request.thread_id, request.turn, request.round, request.ordinal)
  returning id into execution;
  return execution;
end $$;

-- Called by agent_actor just before it commits: what came of the effect.
create function agents.finish_effect(approval bigint, claim_token uuid, outcome jsonb, affected bigint, elapsed_ms double precision)
returns void
language plpgsql security definer set search_path = pg_catalog
as $$
begin
  update agents.agent_execution_log e
     set status = 'succeeded', result = outcome, row_count = affected, duration_ms = elapsed_ms, finished_at = clock_timestamp()
    from agents.human_approval_queue q
   where q.tenant_id = agents.tenant() and q.id = approval and q.claim = claim_token
     and e.tenant_id = q.tenant_id and e.approval_id = q.id and e.status = 'running';
  if not found then
    raise exception 'no running execution of approval %', approval using errcode = 'insufficient_privilege';
  end if;
end $$;

------------------------------------------------------------------------------------------------------------
-- Grants
------------------------------------------------------------------------------------------------------------

revoke all on all functions in schema agents from public;
revoke all on all tables in schema agents from public;
grant usage on schema agents to agent_app, agent_actor;
grant execute on function agents.tenant() to agent_app, agent_actor;
grant select, insert, update, delete on all tables in schema agents to agent_app;
revoke delete on agents.agent_execution_log, agents.human_approval_queue from agent_app;
grant execute on function agents.begin_effect(bigint, uuid),
  agents.finish_effect(bigint, uuid, jsonb, bigint, double precision) to agent_actor;

-- LangGraph's checkpoint tables: disposable working memory, made by LangGraph itself in a schema that agent_app owns.
do $$
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant agent_app to %I', current_user);  -- to be allowed to give it a schema
  end if;
end $$;
create schema if not exists agents_checkpoints authorization agent_app;

-- PostgREST's signed-in role reads through row-level security, where it exists (on Supabase it does).
do $$
begin
  if exists (select from pg_roles where rolname = 'authenticated') then
    grant usage on schema agents to authenticated;
    grant execute on function agents.tenant() to authenticated;
    grant select on agents.agent_memory, agents.human_approval_queue, agents.agent_execution_log,
      agents.threads, agents.turns, agents.tool_calls, agents.discovered_databases to authenticated;
  end if;
end $$;
