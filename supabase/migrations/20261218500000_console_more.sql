-- The console: what people say of answers and of statements that answers suggest, their views, and sessions that are checked again.

-- What a person says of an answer; a later word takes the place of the earlier one.
create table agents.answer_feedback (
  tenant_id   text not null default agents.tenant(),
  thread_id   text not null,
  turn        integer not null,
  person      text not null check (person <> ''),
  correct     boolean not null,
  reason      text not null default '',
  via         text not null check (via <> ''),              -- console, slack, telegram ...
  given_at    timestamptz not null default now(),
  primary key (tenant_id, thread_id, turn, person),
  foreign key (tenant_id, thread_id, turn) references agents.turns on delete cascade
);
create index answer_feedback_newest on agents.answer_feedback (tenant_id, given_at desc);
call agents.isolate_tenants('agents.answer_feedback');
grant select, insert, update, delete on agents.answer_feedback to agent_app;

-- What a person did with a statement that an answer suggests and that nothing has run: one decision each, and what came of it.
create table agents.suggested_statements (
  tenant_id    text not null default agents.tenant(),
  thread_id    text not null,
  turn         integer not null,
  place        integer not null check (place >= 0),         -- the first statement of an answer is 0
  decision     text not null check (decision in ('accepted', 'rejected')),
  decided_by   text not null,
  reason       text not null default '',
  result       jsonb,                                       -- what came of it, as a tool call keeps it; null while it runs
  decided_at   timestamptz not null default now(),
  primary key (tenant_id, thread_id, turn, place),
  foreign key (tenant_id, thread_id, turn) references agents.turns on delete cascade
);
call agents.isolate_tenants('agents.suggested_statements');
grant select, insert, update, delete on agents.suggested_statements to agent_app;

-- A name for a page of the console with its filters. Each person has their own.
create table agents.saved_views (
  id          bigint generated always as identity primary key,
  tenant_id   text not null default agents.tenant(),
  person      text not null check (person <> ''),
  name        text not null check (name <> ''),
  path        text not null check (path like '/console%'),
  created_at  timestamptz not null default now(),
  unique (tenant_id, person, name)
);
call agents.isolate_tenants('agents.saved_views');
grant select, insert, update, delete on agents.saved_views to agent_app;

-- A session of a Supabase user is checked with the project again and again.
alter table agents.console_sessions
  add column refresh      bytea,                            -- the refresh token, encrypted with a key that only the cookie gives
  add column checked_at   timestamptz not null default now(),
  add column proven_until timestamptz;                      -- the end of the access token that the project gave last
grant update on agents.console_sessions to agent_app;

-- The list of conversations says which ones wait; without this it reads every turn.
create index turns_unfinished on agents.turns (tenant_id, thread_id) where status in ('running', 'waiting');
-- Activity shows what failed or was refused, however rare it is.
create index agent_execution_log_not_succeeded on agents.agent_execution_log (tenant_id, status, id) where status <> 'succeeded';
