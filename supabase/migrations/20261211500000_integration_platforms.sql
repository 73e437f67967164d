-- The platforms that are joined: a realtime service, records that are cached, state of user interfaces, and Roblox Studio.
set search_path = pg_catalog, pg_temp;

------------------------------------------------------------------------------------------------------------
-- Realtime
------------------------------------------------------------------------------------------------------------

-- An application of the realtime service. Its secret is derived from the installation's, so that it stands nowhere.
create table agents.realtime_apps (
  tenant_id      text not null default agents.tenant(),
  app_id         bigint not null,
  app_key        text not null check (length(app_key) between 1 and 600),
  name           text not null check (length(name) between 1 and 200),
  client_events  boolean not null default true,
  webhook_url    text check (length(webhook_url) between 1 and 2000),
  created_by     text not null,
  created_at     timestamptz not null default now(),
  revoked_at     timestamptz,
  primary key (tenant_id, app_id),
  unique (tenant_id, app_key),
  unique (tenant_id, name)
);
call agents.isolate_tenants('agents.realtime_apps');
call agents.audit('agents.realtime_apps');
create trigger note_tenant after insert on agents.realtime_apps for each row execute function agents.note_tenant();
grant select, insert, update on agents.realtime_apps to agent_app;

-- A channel: what it remembers for new subscribers. Whoever changes who is in it locks this row first.
create table agents.realtime_channels (
  tenant_id  text not null default agents.tenant(),
  app_id     bigint not null,
  channel    text not null check (length(channel) between 1 and 200),
  cached     jsonb,
  cached_at  timestamptz,
  primary key (tenant_id, app_id, channel),
  foreign key (tenant_id, app_id) references agents.realtime_apps on delete cascade
);
call agents.isolate_tenants('agents.realtime_channels');
grant select, insert, update, delete on agents.realtime_channels to agent_app;

-- Who is connected to a channel through which process. A process that is not seen any more is dead, and its rows do not count.
create table agents.realtime_occupancy (
  tenant_id      text not null default agents.tenant(),
  app_id         bigint not null,
  channel        text not null,
  server_id      uuid not null,
  subscriptions  integer not null check (subscriptions >= 0),
  members        jsonb not null default '{}',          -- presence channels: user_id -> user_info
  seen_at        timestamptz not null default now(),
  primary key (tenant_id, app_id, channel, server_id),
  foreign key (tenant_id, app_id, channel) references agents.realtime_channels on delete cascade
);
create index realtime_occupancy_of_server on agents.realtime_occupancy (tenant_id, server_id);
call agents.isolate_tenants('agents.realtime_occupancy');
grant select, insert, update, delete on agents.realtime_occupancy to agent_app;

------------------------------------------------------------------------------------------------------------
-- Records that are kept here and cached in Redis
------------------------------------------------------------------------------------------------------------

-- A record. A deleted one stays with its version, so that no older value of it can come back.
create table agents.cached_records (
  tenant_id   text not null default agents.tenant(),
  kind        text not null check (length(kind) between 1 and 100),
  key         text not null check (length(key) between 1 and 300),
  value       jsonb,                                    -- null: deleted
  version     bigint not null check (version > 0),
  updated_by  text not null,
  updated_at  timestamptz not null default now(),
  primary key (tenant_id, kind, key)
);
call agents.isolate_tenants('agents.cached_records');
create trigger note_tenant after insert on agents.cached_records for each row execute function agents.note_tenant();
grant select, insert, update on agents.cached_records to agent_app;

-- Writes that readers of the cache see already, and that are still to be applied to their records.
create table agents.cached_record_writes (
  tenant_id    text not null default agents.tenant(),
  id           bigint generated always as identity,
  kind         text not null,
  key          text not null,
  value        jsonb,                                   -- null: delete
  base         jsonb,                                   -- what the writer saw, for a merge
  base_version bigint,                                  -- the version that the writer saw; null: it did not look
  resolution   text not null check (resolution in ('latest_wins', 'merge', 'refuse')),
  write_id     text check (length(write_id) between 1 and 200),
  status       text not null default 'waiting' check (status in ('waiting', 'applied', 'refused')),
  version      bigint,                                  -- of the record after it was applied
  detail       text,
  written_by   text not null,
  written_at   timestamptz not null default now(),
  applied_at   timestamptz,
  primary key (tenant_id, id)
);
create index cached_record_writes_waiting on agents.cached_record_writes (tenant_id, id) where status = 'waiting';
create unique index cached_record_writes_once on agents.cached_record_writes (tenant_id, write_id);
call agents.isolate_tenants('agents.cached_record_writes');
create trigger note_tenant after insert on agents.cached_record_writes for each row execute function agents.note_tenant();
grant select, insert, update, delete on agents.cached_record_writes to agent_app;

-- What the cache must still be told: written in the transaction of a change, removed when the cache knows.
create table agents.cache_invalidations (
  tenant_id   text not null default agents.tenant(),
  kind        text not null,
  key         text not null,
  version     bigint not null,
  changed_at  timestamptz not null default now(),
  primary key (tenant_id, kind, key)
);
call agents.isolate_tenants('agents.cache_invalidations');
grant select, insert, update, delete on agents.cache_invalidations to agent_app;

------------------------------------------------------------------------------------------------------------
-- State of user interfaces
------------------------------------------------------------------------------------------------------------

create table agents.ui_components (
  tenant_id     text not null default agents.tenant(),
  component_id  text not null check (length(component_id) between 1 and 200),
  state         jsonb not null,
  version       bigint not null check (version > 0),
  updated_by    text not null,
  updated_at    timestamptz not null default now(),
  primary key (tenant_id, component_id)
);
call agents.isolate_tenants('agents.ui_components');
create trigger note_tenant after insert on agents.ui_components for each row execute function agents.note_tenant();
grant select, insert, update, delete on agents.ui_components to agent_app;

-- What made each version out of the one before, for clients that come back, and to know a mutation that comes twice.
create table agents.ui_changes (
  tenant_id     text not null default agents.tenant(),
  component_id  text not null,
  version       bigint not null,
  mutation_id   text not null check (length(mutation_id) between 1 and 200),
  patch         jsonb not null,
  made_by       text not null,
  made_at       timestamptz not null default now(),
  primary key (tenant_id, component_id, version),
  unique (tenant_id, component_id, mutation_id),
  foreign key (tenant_id, component_id) references agents.ui_components on delete cascade
);
call agents.isolate_tenants('agents.ui_changes');
grant select, insert, update, delete on agents.ui_changes to agent_app;

------------------------------------------------------------------------------------------------------------
-- Roblox Studio
------------------------------------------------------------------------------------------------------------

-- A code that pairs one plugin, once. Only its hash is kept.
create table agents.studio_pairings (
  tenant_id   text not null default agents.tenant(),
  code_hash   bytea not null,
  project     text not null check (length(project) between 1 and 100),
  created_by  text not null,
  created_at  timestamptz not null default now(),
  expires_at  timestamptz not null,
  used_at     timestamptz,
  primary key (tenant_id, code_hash)
);
call agents.isolate_tenants('agents.studio_pairings');
grant select, insert, update, delete on agents.studio_pairings to agent_app;

-- A plugin that was paired. It proves itself by a token, of which only the hash is kept.
create table agents.studio_sessions (
  tenant_id   text not null default agents.tenant(),
  session_id  uuid not null default gen_random_uuid(),
  token_hash  bytea not null,
  project     text not null,
  place       text not null default '',
  paired_by   text not null,
  paired_at   timestamptz not null default now(),
  seen_at     timestamptz not null default now(),
  ended_at    timestamptz,
  primary key (tenant_id, session_id),
  unique (tenant_id, token_hash)
);
call agents.isolate_tenants('agents.studio_sessions');
call agents.audit('agents.studio_sessions', '{seen_at}');
create trigger note_tenant after insert on agents.studio_sessions for each row execute function agents.note_tenant();
grant select, insert, update on agents.studio_sessions to agent_app;

-- A script of a project, and each version that it had.
create table agents.studio_scripts (
  tenant_id   text not null default agents.tenant(),
  project     text not null,
  path        text not null check (length(path) between 1 and 500),
  kind        text not null check (kind in ('Script', 'LocalScript', 'ModuleScript')),
  source      text,                                     -- null: removed
  version     bigint not null check (version > 0),
  updated_by  text not null,
  updated_at  timestamptz not null default now(),
  primary key (tenant_id, project, path)
);
call agents.isolate_tenants('agents.studio_scripts');
grant select, insert, update on agents.studio_scripts to agent_app;

create table agents.studio_script_versions (
  tenant_id   text not null default agents.tenant(),
  project     text not null,
  path        text not null,
  version     bigint not null,
  source      text,
  made_by     text not null,
  made_at     timestamptz not null default now(),
  primary key (tenant_id, project, path, version),
  foreign key (tenant_id, project, path) references agents.studio_scripts on delete cascade
);
call agents.isolate_tenants('agents.studio_script_versions');
grant select, insert on agents.studio_script_versions to agent_app;

-- A batch of scripts that a plugin is to apply, and what became of each.
create table agents.studio_deployments (
  tenant_id      text not null default agents.tenant(),
  deployment_id  uuid not null,
  project        text not null,
  session_id     uuid not null,
  scripts        jsonb not null,
  status         text not null default 'sent' check (status in ('sent', 'applied', 'partly', 'declined', 'failed')),
  results        jsonb not null default '[]',
  created_by     text not null,
  created_at     timestamptz not null default now(),
  finished_at    timestamptz,
  primary key (tenant_id, deployment_id),
  foreign key (tenant_id, session_id) references agents.studio_sessions on delete cascade
);
call agents.isolate_tenants('agents.studio_deployments');
grant select, insert, update on agents.studio_deployments to agent_app;

create table agents.studio_messages (
  tenant_id   text not null default agents.tenant(),
  id          bigint generated always as identity,
  session_id  uuid not null,
  level       text not null check (level in ('debug', 'info', 'warning', 'error')),
  text        text not null,
  script      text,
  line        integer,
  at          timestamptz not null default now(),
  primary key (tenant_id, id),
  foreign key (tenant_id, session_id) references agents.studio_sessions on delete cascade
);
call agents.isolate_tenants('agents.studio_messages');
grant select, insert, delete on agents.studio_messages to agent_app;

-- A file that was handed to Open Cloud. The digest finds one that is there already.
create table agents.studio_assets (
  tenant_id   text not null default agents.tenant(),
  asset_key   uuid not null default gen_random_uuid(),
  digest      bytea not null,
  name        text not null,
  asset_type  text not null,
  status      text not null default 'sending' check (status in ('sending', 'processing', 'ready', 'failed')),
  operation   text,
  asset_id    text,
  error       text,
  created_by  text not null,
  created_at  timestamptz not null default now(),
  primary key (tenant_id, asset_key),
  unique (tenant_id, digest, asset_type)
);
call agents.isolate_tenants('agents.studio_assets');
grant select, insert, update on agents.studio_assets to agent_app;
