-- The continuous monitor: its runs, what it measured, what it remembers between runs, and alerts as episodes.

-- One row for each run. A run that is not finished after some minutes is lost: its process died, and another one may begin.
create table agents.monitor_runs (
  id            bigint generated always as identity primary key,
  tenant_id     text not null default agents.tenant(),
  database_id   text not null,
  status        text not null default 'running' check (status in ('running', 'done', 'lost')),
  every         interval,                             -- how often it runs; null: somebody asked for this run
  started_at    timestamptz not null default now(),
  finished_at   timestamptz,
  checks        jsonb not null default '[]',          -- for each check: its name, milliseconds, findings, error
  opened        integer not null default 0,
  resolved      integer not null default 0,
  statement_ms  double precision                      -- of the statements on the application's database
);
create unique index monitor_runs_one on agents.monitor_runs (tenant_id, database_id) where status = 'running';
create index monitor_runs_newest on agents.monitor_runs (tenant_id, database_id, id desc);
call agents.isolate_tenants('agents.monitor_runs');
grant select, insert, update, delete on agents.monitor_runs to agent_app;

create table agents.measurements (
  tenant_id    text not null default agents.tenant(),
  database_id  text not null,
  metric       text not null,
  subject      text not null default '',              -- a table, a tool, ...
  at           timestamptz not null default now(),
  value        double precision not null,
  primary key (tenant_id, database_id, metric, subject, at)
);
call agents.isolate_tenants('agents.measurements');
grant select, insert, update, delete on agents.measurements to agent_app;

create table agents.monitor_state (
  tenant_id    text not null default agents.tenant(),
  database_id  text not null,
  check_name   text not null,
  state        jsonb not null,
  updated_at   timestamptz not null default now(),
  primary key (tenant_id, database_id, check_name)
);
call agents.isolate_tenants('agents.monitor_state');
grant select, insert, update, delete on agents.monitor_state to agent_app;

-- One row for each thing that can be wrong. It opens once, is updated while it lasts, and is resolved when it was not seen for
-- some runs; when it comes back, the same row is opened again as its next episode.
create table agents.alerts (
  id               bigint generated always as identity primary key,
  tenant_id        text not null default agents.tenant(),
  database_id      text not null,
  key              text not null check (key <> ''),
  check_name       text not null,
  status           text not null check (status in ('noticed', 'open', 'resolved')),
  severity         text not null check (severity in ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')),
  message          text not null check (message <> ''),
  action           text not null,                     -- what somebody should do
  evidence         jsonb not null default '{}',
  episode          integer not null default 1,
  seen             integer not null default 1,        -- runs of this episode that saw it
  missed           integer not null default 0,        -- the last runs in a row that did not
  opened_at        timestamptz not null default now(),
  seen_at          timestamptz not null default now(),
  resolved_at      timestamptz,
  acknowledged_by  text,
  acknowledged_at  timestamptz,
  muted_until      timestamptz,
  unique (tenant_id, database_id, key)
);
create index alerts_open on agents.alerts (tenant_id, database_id, status, id desc);
call agents.isolate_tenants('agents.alerts');
grant select, insert, update, delete on agents.alerts to agent_app;

-- What people did about alerts.
create table agents.alert_decisions (
  id          bigint generated always as identity primary key,
  tenant_id   text not null default agents.tenant(),
  alert_id    bigint not null,
  decision    text not null check (decision in ('acknowledge', 'mute', 'unmute')),
  until       timestamptz,
  comment     text not null default '',
  decided_by  text not null check (decided_by <> ''),
  decided_at  timestamptz not null default now()
);
create index alert_decisions_of_alert on agents.alert_decisions (tenant_id, alert_id);
call agents.isolate_tenants('agents.alert_decisions');
call agents.audit('agents.alert_decisions');
grant select, insert on agents.alert_decisions to agent_app;

-- One row for each alert and receiver: what it was told last, and when to look again. Null: nothing is to be told.
create table agents.alert_deliveries (
  id          bigint generated always as identity primary key,
  tenant_id   text not null default agents.tenant(),
  alert_id    bigint not null references agents.alerts on delete cascade,
  service     text not null,
  place       text not null,
  told        text not null default '',
  ready_at    timestamptz default now(),
  attempts    integer not null default 0,
  error       text,
  told_at     timestamptz,
  unique (tenant_id, alert_id, service, place)
);
create index alert_deliveries_ready on agents.alert_deliveries (tenant_id, service, ready_at) where ready_at is not null;
call agents.isolate_tenants('agents.alert_deliveries');
grant select, insert, update, delete on agents.alert_deliveries to agent_app;

-- Every change of an alert that somebody may want to hear of makes its deliveries due.
create function agents.alert_is_news() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and (old.status, old.severity, old.episode, old.acknowledged_at, old.muted_until)
      is not distinct from (new.status, new.severity, new.episode, new.acknowledged_at, new.muted_until) then
    return null;
  end if;
  update agents.alert_deliveries d set ready_at = now(), attempts = 0 where d.tenant_id = new.tenant_id and d.alert_id = new.id;
  perform pg_notify('agents_alerts', '');
  return null;
end $$;
create trigger news after insert or update of status, severity, episode, acknowledged_at, muted_until on agents.alerts
  for each row execute function agents.alert_is_news();
revoke all on function agents.alert_is_news() from public;
create trigger note_tenant after insert on agents.monitor_runs for each row execute function agents.note_tenant();
