-- Approval as people need it: edits that replace a request, votes, who may decide, permissions that last, and reminders.
-- Every change of state is a change of a row, so that a trigger sees it.

-- Who may use what a request asks for. No row at all: one user, who decides everything.
create table agents.people (
  tenant_id   text not null default agents.tenant(),
  name        text not null check (name <> ''),
  roles       text[] not null check (roles <@ array['approver', 'admin', 'personal']),
  active      boolean not null default true,
  changed_by  text not null default '',
  created_at  timestamptz not null default now(),
  changed_at  timestamptz not null default now(),
  primary key (tenant_id, name)
);
-- "Ann" and "ann" are not two voters.
create unique index people_one_name on agents.people (tenant_id, lower(name));
call agents.isolate_tenants('agents.people');

-- "Always allow this": what a human allowed in advance, to whom, how far, and until when.
create table agents.permissions (
  id            bigint generated always as identity primary key,
  tenant_id     text not null default agents.tenant(),
  database_id   text not null,
  tool          text not null,
  pattern       jsonb not null,               -- what an action must be; see agent.execution.patterns
  sentence      text not null default '',     -- the pattern for people
  tables        text[] not null default '{}', -- what it may change, as the preview found it
  risk_ceiling  text not null check (risk_ceiling in ('LOW', 'MEDIUM', 'HIGH')),
  most_rows     bigint not null check (most_rows >= 0),
  granted_to    text not null,
  granted_by    text not null,
  comment       text,
  approval_id   bigint not null references agents.human_approval_queue,
  created_at    timestamptz not null default now(),
  expires_at    timestamptz not null,
  revoked_at    timestamptz,
  revoked_by    text
);
create index permissions_open on agents.permissions (tenant_id, database_id, tool) where revoked_at is null;
call agents.isolate_tenants('agents.permissions');

alter table agents.human_approval_queue
  drop constraint human_approval_queue_status_check,
  add constraint human_approval_queue_status_check
    check (status in ('pending', 'approved', 'rejected', 'expired', 'edited', 'answered')),
  add column replaces       bigint references agents.human_approval_queue, -- the request that was edited or reopened
  add column response       text,                                          -- what a human answered in the tool's place
  add column delegated_to   text,                                          -- who is to decide; an admin may too
  add column votes_needed   integer not null default 1 check (votes_needed between 1 and 100),
  add column approved_by    text[] not null default '{}',                  -- who has said yes so far
  add column permission_id  bigint references agents.permissions,          -- what decided in a human's place
  add column reminded_at    timestamptz,
  add column escalated_at   timestamptz;

-- One request a call, apart from those that an edit replaced; one successor a request.
drop index agents.human_approval_queue_call;
create unique index human_approval_queue_call on agents.human_approval_queue (tenant_id, thread_id, turn, round, ordinal)
  where thread_id is not null and status <> 'edited';
create unique index human_approval_queue_replaces on agents.human_approval_queue (tenant_id, replaces) where replaces is not null;
create index human_approval_queue_permission on agents.human_approval_queue (tenant_id, permission_id) where permission_id is not null;

alter table agents.agent_execution_log
  drop constraint agent_execution_log_status_check,
  add constraint agent_execution_log_status_check
    check (status in ('running', 'succeeded', 'failed', 'refused', 'rejected', 'expired', 'unknown', 'edited', 'answered'));

-- What each person said to a request, in order.
create table agents.approval_decisions (
  id           bigint generated always as identity primary key,
  tenant_id    text not null default agents.tenant(),
  approval_id  bigint not null references agents.human_approval_queue,
  decision     text not null check (decision in ('approve', 'reject', 'edit', 'respond', 'delegate')),
  decided_by   text not null,
  via          text not null default '',
  comment      text,
  detail       text,                          -- to whom it was delegated, or by which request it was replaced
  binding      text not null,                 -- of the request that was decided
  created_at   timestamptz not null default now()
);
create unique index approval_decisions_one_vote on agents.approval_decisions (tenant_id, approval_id, decided_by)
  where decision = 'approve';
create index approval_decisions_request on agents.approval_decisions (tenant_id, approval_id);
call agents.isolate_tenants('agents.approval_decisions');

-- Who was told what about a waiting request: each kind once.
create table agents.approval_notices (
  id           bigint generated always as identity primary key,
  tenant_id    text not null default agents.tenant(),
  approval_id  bigint not null references agents.human_approval_queue,
  kind         text not null check (kind in ('delegated', 'reminder', 'escalation')),
  recipients   text[] not null default '{}',  -- empty: whoever uses the agent
  text         text not null,
  created_at   timestamptz not null default now()
);
create unique index approval_notices_once on agents.approval_notices (tenant_id, approval_id, kind) where kind <> 'delegated';
call agents.isolate_tenants('agents.approval_notices');

grant select, insert, update, delete on agents.people to agent_app;
grant select, insert, update on agents.permissions to agent_app;
grant select, insert on agents.approval_decisions, agents.approval_notices to agent_app;
