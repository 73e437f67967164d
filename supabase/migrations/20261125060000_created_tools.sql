-- Tools that the agent made and a human approved, and their runs that wait.

-- One row a version. Its content never changes: nobody may update it, its hash is in the approval, and both are signed with
-- a key that this database does not hold.
create table agents.created_tools (
  id            bigint generated always as identity primary key,
  tenant_id     text not null default agents.tenant(),
  database_id   text not null,
  name          text not null check (name ~ '^[a-z][a-z0-9_]{2,47}$'),
  version       integer not null check (version > 0),
  description   text not null check (description <> ''),
  parameters    json not null,                 -- JSON schema of the arguments, draft 2020-12
  code          text not null check (code <> ''),
  tests         json not null,                 -- json, not jsonb: what was hashed comes back as it was
  capabilities  text[] not null,               -- the host functions that it may call
  hosts         text[] not null,               -- where http_get may go
  content_hash  text not null,
  signature     text not null,
  status        text not null default 'active' check (status in ('active', 'disabled', 'replaced')),
  created_by    text not null default '',
  approval_id   bigint not null references agents.human_approval_queue,
  created_at    timestamptz not null default now(),
  changed_by    text not null default '',
  changed_at    timestamptz not null default now()
);
create unique index created_tools_version on agents.created_tools (tenant_id, database_id, name, version);
create unique index created_tools_active on agents.created_tools (tenant_id, database_id, name) where status = 'active';
create unique index created_tools_approval on agents.created_tools (tenant_id, approval_id);
call agents.isolate_tenants('agents.created_tools');

-- The runs of such tools that called a host function: what was answered, so that a run that is repeated after a crash gets
-- the same answers; and, while a human decides, the whole state of the interpreter, signed, to be taken once.
create table agents.tool_runs (
  tenant_id    text not null default agents.tenant(),
  database_id  text not null,
  thread_id    text not null,
  turn         integer not null,
  round        integer not null,
  ordinal      integer not null,
  tool_id      bigint not null references agents.created_tools,
  arguments    jsonb not null,
  clock        timestamptz not null,           -- what the code takes for the present time
  answers      jsonb not null default '[]',    -- of its host calls, in order
  asked        jsonb,                          -- the host call that waits
  state        bytea,
  signature    text,
  status       text not null default 'running' check (status in ('running', 'waiting')),
  created_at   timestamptz not null default now(),
  changed_at   timestamptz not null default now(),
  primary key (tenant_id, thread_id, turn, round, ordinal)
);
call agents.isolate_tenants('agents.tool_runs');

grant select, insert on agents.created_tools to agent_app;
grant update (status, changed_by, changed_at) on agents.created_tools to agent_app;
grant select, insert, update, delete on agents.tool_runs to agent_app;
