-- Break-glass: an admin lifts the freeze windows and the recovery condition for a short time, and everybody is told.

create table agents.break_glass (
  id          bigint generated always as identity primary key,
  tenant_id   text not null default agents.tenant(),
  opened_by   text not null check (opened_by <> ''),
  reason      text not null check (btrim(reason) <> ''),
  opened_at   timestamptz not null default clock_timestamp(),
  expires_at  timestamptz not null,
  ended_at    timestamptz,
  ended_by    text,
  check (expires_at > opened_at and expires_at <= opened_at + interval '4 hours 1 minute'),
  check ((ended_at is null) = (ended_by is null))
);
create index break_glass_open on agents.break_glass (tenant_id, expires_at) where ended_at is null;
call agents.isolate_tenants('agents.break_glass');
call agents.audit('agents.break_glass');
grant select, insert, update (ended_at, ended_by) on agents.break_glass to agent_app;

-- A notice that is about no request tells of a break-glass.
alter table agents.approval_notices alter column approval_id drop not null;
alter table agents.approval_notices drop constraint approval_notices_kind_check;
alter table agents.approval_notices add constraint approval_notices_kind_check
  check (kind in ('delegated', 'reminder', 'escalation', 'break-glass'));
alter table agents.approval_notices add constraint approval_notices_subject
  check ((approval_id is null) = (kind = 'break-glass'));
