-- Agent synchronisation: the registry of agents, channels with gapless sequences, durable subscriptions, versioned states.

-- Every agent of the tenant, for the whole product.
create table agents.agents (
  tenant_id      text not null default agents.tenant(),
  agent_id       text not null check (length(agent_id) between 1 and 200),
  name           text not null,
  agent_type     text not null default 'agent',
  capabilities   jsonb not null default '[]',
  status         text not null default 'unknown' check (length(status) between 1 and 100),
  heartbeat_at   timestamptz,                        -- null: it was never heard of, only named
  registered_by  text not null,
  created_at     timestamptz not null default now(),
  primary key (tenant_id, agent_id)
);
call agents.isolate_tenants('agents.agents');
create trigger note_tenant after insert on agents.agents for each row execute function agents.note_tenant();

create table agents.agent_sync_channels (
  tenant_id      text not null default agents.tenant(),
  channel_id     uuid not null default gen_random_uuid(),
  name           text not null check (length(name) between 1 and 200),
  channel_type   text not null check (channel_type in ('bidirectional', 'inbound', 'outbound')),
  sync_strategy  text not null check (sync_strategy in ('immediate', 'batched', 'manual')),
  batch_size     integer not null check (batch_size between 1 and 10000),
  batch_ms       integer not null check (batch_ms between 1 and 60000),
  created_by     text not null,
  created_at     timestamptz not null default now(),
  primary key (tenant_id, channel_id),
  unique (tenant_id, name)
);
call agents.isolate_tenants('agents.agent_sync_channels');
create trigger note_tenant after insert on agents.agent_sync_channels for each row execute function agents.note_tenant();

-- The number of each channel's last event. The transaction that publishes locks this row until it commits, so that numbers
-- become visible in their order and without gaps. It is apart and narrow because it changes with each event.
create table agents.agent_channel_counters (
  tenant_id        text not null default agents.tenant(),
  channel_id       uuid not null,
  epoch            text not null default replace(gen_random_uuid()::text, '-', ''),
  last_sequence    bigint not null default 0,
  first_sequence   bigint not null default 1,        -- the oldest event that is kept
  released         bigint,                           -- manual channels: up to where events may be delivered; null: all
  primary key (tenant_id, channel_id),
  foreign key (tenant_id, channel_id) references agents.agent_sync_channels on delete cascade
) with (fillfactor = 20);
call agents.isolate_tenants('agents.agent_channel_counters');

-- Without a foreign key: the counter's row, which each insert locks, proves the channel.
create table agents.agent_sync_events (
  tenant_id        text not null default agents.tenant(),
  channel_id       uuid not null,
  sequence         bigint not null,
  event_type       text not null,
  source_agent_id  text,                             -- null: the system
  target_agents    text[],                           -- null: every subscriber
  dedupe_key       text,                             -- a publisher that repeats itself after a lost answer gives the same one
  data             jsonb not null,
  published_at     timestamptz not null default now(),
  primary key (tenant_id, channel_id, sequence)
);
create unique index agent_sync_events_once on agents.agent_sync_events (tenant_id, channel_id, dedupe_key) where dedupe_key is not null;
call agents.isolate_tenants('agents.agent_sync_events');

create table agents.agent_channel_subscriptions (
  tenant_id          text not null default agents.tenant(),
  channel_id         uuid not null,
  agent_id           text not null,
  subscription_id    uuid not null default gen_random_uuid(),
  epoch              text not null,
  start_sequence     bigint not null,
  delivered_through  bigint not null,                -- every event up to here was delivered, or was not for this agent
  include_own        boolean not null,
  ack_wait           interval not null,
  max_deliver        integer not null check (max_deliver between 1 and 1000),
  backoff            interval[] not null default '{}',
  max_ack_pending    integer not null check (max_ack_pending between 1 and 100000),
  lost               bigint not null default 0,      -- events that were gone before they were delivered
  created_at         timestamptz not null default now(),
  last_read_at       timestamptz,
  primary key (tenant_id, channel_id, agent_id),
  foreign key (tenant_id, channel_id) references agents.agent_sync_channels on delete cascade,
  foreign key (tenant_id, agent_id) references agents.agents on delete cascade
);
create index agent_channel_subscriptions_of_agent on agents.agent_channel_subscriptions (tenant_id, agent_id);
call agents.isolate_tenants('agents.agent_channel_subscriptions');

-- What was delivered and is not acknowledged; an acknowledged event leaves it.
create table agents.agent_sync_deliveries (
  tenant_id     text not null default agents.tenant(),
  channel_id    uuid not null,
  agent_id      text not null,
  sequence      bigint not null,
  attempts      integer not null default 1,
  due_at        timestamptz not null,                -- delivered again from then on
  dead_at       timestamptz,                         -- delivered max_deliver times without success
  reason        text,
  delivered_at  timestamptz not null default now(),
  primary key (tenant_id, channel_id, agent_id, sequence),
  foreign key (tenant_id, channel_id, agent_id) references agents.agent_channel_subscriptions on delete cascade
);
call agents.isolate_tenants('agents.agent_sync_deliveries');

create table agents.agent_state_snapshots (
  tenant_id    text not null default agents.tenant(),
  snapshot_id  uuid not null default gen_random_uuid(),
  agent_id     text not null,
  version      bigint not null,
  state        jsonb not null,
  clocks       jsonb not null,                       -- for each path, the hybrid logical clock of its last change
  source       text not null check (source in ('snapshot', 'merge', 'latest_wins', 'resolved')),
  created_by   text not null,
  created_at   timestamptz not null default now(),
  primary key (tenant_id, agent_id, version),
  foreign key (tenant_id, agent_id) references agents.agents on delete cascade
);
call agents.isolate_tenants('agents.agent_state_snapshots');

-- What nobody has decided: both sides of a change stay here until somebody does.
create table agents.agent_state_conflicts (
  tenant_id     text not null default agents.tenant(),
  conflict_id   bigint generated always as identity,
  agent_id      text not null,
  path          text not null,                       -- a JSON pointer
  sides         jsonb not null,                      -- base, ours and theirs; a side that lacks the path is missing
  strategy      text not null check (strategy in ('merge', 'manual')),
  version       bigint not null,                     -- of the state when they met
  resolution    text check (resolution in ('ours', 'theirs', 'value')),
  resolved_by   text,
  resolved_at   timestamptz,
  created_at    timestamptz not null default now(),
  primary key (tenant_id, conflict_id),
  foreign key (tenant_id, agent_id) references agents.agents on delete cascade
);
create index agent_state_conflicts_open on agents.agent_state_conflicts (tenant_id, agent_id) where resolved_at is null;
call agents.isolate_tenants('agents.agent_state_conflicts');

create table agents.agent_simulations (
  tenant_id      text not null default agents.tenant(),
  simulation_id  text not null check (length(simulation_id) between 1 and 200),
  subject        text not null default '',           -- what was simulated
  results        jsonb not null,
  created_by     text not null,
  created_at     timestamptz not null default now(),
  updated_at     timestamptz not null default now(),
  primary key (tenant_id, simulation_id)
);
call agents.isolate_tenants('agents.agent_simulations');

grant select, insert, update, delete on agents.agents, agents.agent_sync_channels, agents.agent_channel_counters, agents.agent_sync_events,
  agents.agent_channel_subscriptions, agents.agent_sync_deliveries, agents.agent_state_snapshots, agents.agent_state_conflicts,
  agents.agent_simulations to agent_app;
