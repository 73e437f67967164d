-- The background learner: the record of its runs, and what a human has forgotten of what it learned.
set search_path = pg_catalog, pg_temp;

-- One row a run. A run holds its row until `held_until`; another process goes on with a run whose holder died.
create table agents.learning_runs (
  tenant_id    text not null default agents.tenant(),
  id           bigint generated always as identity,
  database_id  text not null,
  woken_by     text not null check (woken_by in ('schedule', 'call', 'drift', 'correction')),
  status       text not null default 'running' check (status in ('running', 'done', 'failed', 'out_of_budget')),
  steps        text[] not null default '{}',          -- those that are finished
  looked_at    jsonb not null default '{}',           -- how many of what
  learned      jsonb not null default '[]',           -- one entry for each lesson: its memory, and why
  dropped      jsonb not null default '[]',
  seconds      double precision not null default 0,
  model_calls  integer not null default 0,
  cost_usd     double precision not null default 0,
  newest       bigint not null default 0,             -- the newest memory that the run has looked at
  fingerprint  text not null default '',              -- of the structure that it has seen
  error        text,
  holder       uuid,
  held_until   timestamptz,
  started_at   timestamptz not null default clock_timestamp(),
  finished_at  timestamptz,
  primary key (tenant_id, id)
);
create unique index learning_runs_one on agents.learning_runs (tenant_id, database_id) where status = 'running';
create index learning_runs_recent on agents.learning_runs (tenant_id, database_id, id desc);
call agents.isolate_tenants('agents.learning_runs');
revoke all on agents.learning_runs from public;
grant select, insert, update on agents.learning_runs to agent_app;

-- What was learned and then forgotten by a human is not learned again. No words are kept, only a digest.
create table agents.forgotten_lessons (
  tenant_id    text not null default agents.tenant(),
  database_id  text not null,
  lesson       text not null,
  key          text not null,
  forgotten_at timestamptz not null default now(),
  primary key (tenant_id, database_id, lesson, key)
);
call agents.isolate_tenants('agents.forgotten_lessons');
revoke all on agents.forgotten_lessons from public;
grant select, insert on agents.forgotten_lessons to agent_app;

create function agents.note_forgotten_lesson() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  insert into agents.forgotten_lessons (tenant_id, database_id, lesson, key)
  values (old.tenant_id, old.database_id, old.metadata ->> 'learned', old.metadata ->> 'key') on conflict do nothing;
  return null;
end $$;
create trigger note_forgotten_lesson after delete on agents.agent_memory for each row
  when (old.metadata ? 'learned' and old.metadata ? 'key') execute function agents.note_forgotten_lesson();
revoke all on function agents.note_forgotten_lesson() from public;

-- What the learner reads: turns with SQL, the newest first, and what it has learned.
create index agent_memory_examples on agents.agent_memory (tenant_id, database_id, id desc) where metadata ? 'examples';
create index agent_memory_learned on agents.agent_memory (tenant_id, database_id, id) where metadata ? 'learned';
