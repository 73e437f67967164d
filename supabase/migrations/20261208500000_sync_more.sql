-- Outlets of channels: where events are passed on to, and up to which event they were.

create table agents.agent_sync_outlets (
  tenant_id     text not null default agents.tenant(),
  outlet_id     uuid not null default gen_random_uuid(),
  channel_id    uuid not null,
  kind          text not null check (kind in ('redis', 'supabase')),
  target        text not null check (length(target) between 1 and 200),
  epoch         text not null,
  sent_through  bigint not null,                     -- every event up to here was taken by the receiver
  ready_at      timestamptz default now(),           -- when to look again; moved ahead by whoever is at work
  holder        uuid,                                -- who is at work until then
  attempts      integer not null default 0,          -- failures since the last success
  error         text,
  created_by    text not null,
  created_at    timestamptz not null default now(),
  primary key (tenant_id, outlet_id),
  unique (tenant_id, channel_id, kind, target),
  foreign key (tenant_id, channel_id) references agents.agent_sync_channels on delete cascade
);
call agents.isolate_tenants('agents.agent_sync_outlets');
-- How far an outlet is decides nothing; where events go does.
call agents.audit('agents.agent_sync_outlets', ignored => '{epoch,sent_through,ready_at,holder,attempts,error}');
grant select, insert, update, delete on agents.agent_sync_outlets to agent_app;
