-- Circuits that processes share; and more of plans: sub-plans, lists, undoing, approvals, pauses, schedules, limits of agents.
set search_path = pg_catalog, pg_temp;

-- What does not answer. The rules are those of agent.breaker; a row is changed by whoever holds its lock.
create table agents.circuits (
  tenant_id   text not null default agents.tenant(),
  name        text not null check (length(name) between 1 and 300),
  phase       text not null default 'closed' check (phase in ('closed', 'open', 'half-open')),
  since       timestamptz not null default clock_timestamp(),
  failures    integer not null default 0,                       -- in a row
  generation  bigint not null default 0,
  probes      integer not null default 0,
  passed      integer not null default 0,
  error       text,                                             -- the kind of the last failure
  primary key (tenant_id, name)
);
call agents.isolate_tenants('agents.circuits');

-- A sub-plan belongs to a step; a replay in bulk is one batch. Who knows only an older format of plans leaves a newer one alone.
alter table agents.plans
  add column parent_run  uuid,
  add column parent_step text,
  add column batch       uuid,
  add column format      integer not null default 1,
  add column paused_at   timestamptz;
create unique index plans_child_once on agents.plans (tenant_id, parent_run, parent_step) where parent_run is not null;
create index plans_batch on agents.plans (tenant_id, batch) where batch is not null;

-- The elements of a list are rows of their own; so is what undoes a step. Both name their step in `part_of`.
alter table agents.plan_steps
  add column role        text not null default 'step' check (role in ('step', 'item', 'compensation')),
  add column part_of     text,
  add column approval_id bigint;

-- Large parts of plans, stored once, however many runs have them.
create table agents.plan_values (
  tenant_id   text not null default agents.tenant(),
  digest      text not null,
  value       jsonb not null,
  created_at  timestamptz not null default now(),
  primary key (tenant_id, digest)
);
call agents.isolate_tenants('agents.plan_values');

create table agents.plan_value_uses (
  tenant_id  text not null default agents.tenant(),
  run_id     uuid not null,
  digest     text not null,
  primary key (tenant_id, run_id, digest),
  foreign key (tenant_id, run_id) references agents.plans on delete cascade,
  foreign key (tenant_id, digest) references agents.plan_values
);
create index plan_value_uses_of_value on agents.plan_value_uses (tenant_id, digest);
call agents.isolate_tenants('agents.plan_value_uses');

-- Plans that begin by themselves.
create table agents.plan_schedules (
  tenant_id     text not null default agents.tenant(),
  name          text not null check (length(name) between 1 and 200),
  definition    jsonb not null,
  cron          text not null,
  enabled       boolean not null default true,
  next_at       timestamptz not null,
  last_run      uuid,
  error         text,
  requested_by  text,
  created_at    timestamptz not null default now(),
  primary key (tenant_id, name)
);
create index plan_schedules_due on agents.plan_schedules (tenant_id, next_at) where enabled;
call agents.isolate_tenants('agents.plan_schedules');

-- How many steps of an agent may run at the same time in all processes, and which do. A place of a process that died is free after `until`.
create table agents.plan_agent_limits (
  tenant_id  text not null default agents.tenant(),
  agent_id   text not null check (length(agent_id) between 1 and 200),
  most       integer not null check (most between 1 and 10000),
  primary key (tenant_id, agent_id)
);
call agents.isolate_tenants('agents.plan_agent_limits');

create table agents.plan_agent_places (
  tenant_id  text not null default agents.tenant(),
  agent_id   text not null,
  place      integer not null,
  run_id     uuid not null,
  step_id    text not null,
  until      timestamptz not null,
  primary key (tenant_id, agent_id, place),
  foreign key (tenant_id, agent_id) references agents.plan_agent_limits on delete cascade
);
call agents.isolate_tenants('agents.plan_agent_places');

revoke all on agents.circuits, agents.plan_values, agents.plan_value_uses, agents.plan_schedules, agents.plan_agent_limits,
  agents.plan_agent_places from public;
grant select, insert, update, delete on agents.circuits, agents.plan_values, agents.plan_value_uses, agents.plan_schedules,
  agents.plan_agent_limits, agents.plan_agent_places to agent_app;
