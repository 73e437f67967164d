-- The integration layer: schemas with their versions, endpoints of the gateway, and what agents did.
set search_path = pg_catalog, pg_temp;

-- A schema of a platform: what its versions have in common.
create table agents.integration_schemas (
  tenant_id      text not null default agents.tenant(),
  name           text not null check (length(name) between 1 and 200),
  platform       text not null check (platform in ('backend', 'frontend', 'roblox')),
  kind           text not null check (kind in ('json_schema', 'avro', 'protobuf')),
  compatibility  text not null default 'BACKWARD' check (compatibility in
    ('NONE', 'BACKWARD', 'BACKWARD_TRANSITIVE', 'FORWARD', 'FORWARD_TRANSITIVE', 'FULL', 'FULL_TRANSITIVE')),
  created_by     text not null,
  created_at     timestamptz not null default now(),
  primary key (tenant_id, name, platform)
);
call agents.isolate_tenants('agents.integration_schemas');
create trigger note_tenant after insert on agents.integration_schemas for each row execute function agents.note_tenant();

-- `number` orders the versions, `version` names them. `digest` is of the normal form: the same schema is stored once.
create table agents.integration_schema_versions (
  tenant_id   text not null default agents.tenant(),
  name        text not null,
  platform    text not null,
  number      integer not null check (number > 0),
  version     text not null check (length(version) between 1 and 100),
  definition  text not null,
  digest      text not null,
  options     jsonb not null default '{}',                      -- references, migration, mappings, metadata
  created_by  text not null,
  created_at  timestamptz not null default now(),
  primary key (tenant_id, name, platform, number),
  unique (tenant_id, name, platform, version),
  foreign key (tenant_id, name, platform) references agents.integration_schemas on delete cascade
);
call agents.isolate_tenants('agents.integration_schema_versions');

-- An endpoint of the gateway that was made at run time. `state` decides whether it answers; a removed one keeps its row until it is cleaned up.
create table agents.integration_endpoints (
  tenant_id      text not null default agents.tenant(),
  version        text not null check (version ~ '^v[1-9][0-9]{0,2}$'),
  path           text not null check (length(path) between 1 and 300),
  method         text not null check (method in ('GET', 'POST', 'PUT', 'PATCH', 'DELETE')),
  agent          text not null check (length(agent) between 1 and 100),
  task           text not null check (length(task) between 1 and 200),
  options        jsonb not null default '{}',                   -- summary, parameters, rate_limit, transformations, schemas
  role           text not null check (role in ('viewer', 'operator', 'approver', 'admin')),
  deprecated_at  timestamptz,
  sunset_at      timestamptz,
  successor      text,
  removed_at     timestamptz,
  created_by     text not null,
  created_at     timestamptz not null default now(),
  primary key (tenant_id, version, path, method)
);
call agents.isolate_tenants('agents.integration_endpoints');
create trigger note_tenant after insert on agents.integration_endpoints for each row execute function agents.note_tenant();

-- Counts up with each change of the endpoints of a tenant, so that every process sees at one look whether its own copy is old.
create table agents.integration_endpoint_changes (
  tenant_id  text primary key default agents.tenant(),
  change     bigint not null default 0
);
call agents.isolate_tenants('agents.integration_endpoint_changes');

-- What agents did, by the hour; processes add what they counted.
create table agents.integration_metrics (
  tenant_id            text not null default agents.tenant(),
  agent                text not null check (length(agent) between 1 and 100),
  hour                 timestamptz not null,
  total_requests       bigint not null default 0,
  successful_requests  bigint not null default 0,
  failed_requests      bigint not null default 0,
  events_processed     bigint not null default 0,
  cache_hits           bigint not null default 0,
  cache_misses         bigint not null default 0,
  total_ms             double precision not null default 0,
  primary key (tenant_id, agent, hour)
);
call agents.isolate_tenants('agents.integration_metrics');

call agents.audit('agents.integration_schemas');
call agents.audit('agents.integration_endpoints');
revoke all on agents.integration_schemas, agents.integration_schema_versions, agents.integration_endpoints, agents.integration_endpoint_changes,
  agents.integration_metrics from public;
grant select, insert, update, delete on agents.integration_schemas, agents.integration_schema_versions, agents.integration_endpoints,
  agents.integration_endpoint_changes, agents.integration_metrics to agent_app;
