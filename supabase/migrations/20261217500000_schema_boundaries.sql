-- What schemas refer to, and what must fit them: a version that is used cannot be removed.
set search_path = pg_catalog, pg_temp;

-- Versions that were removed: their numbers and names are not given again.
create table agents.integration_schema_removals (
  tenant_id   text not null default agents.tenant(),
  name        text not null,
  platform    text not null,
  number      integer not null,
  version     text not null,
  removed_by  text not null,
  removed_at  timestamptz not null default now(),
  primary key (tenant_id, name, platform, number),
  foreign key (tenant_id, name, platform) references agents.integration_schemas on delete cascade
);

-- The versions that a version refers to, each under the name that it uses for it.
create table agents.integration_schema_references (
  tenant_id    text not null default agents.tenant(),
  name         text not null,
  platform     text not null,
  number       integer not null,
  used_as      text not null check (length(used_as) between 1 and 500),
  to_name      text not null,
  to_platform  text not null,
  to_version   text not null,
  primary key (tenant_id, name, platform, number, used_as),
  foreign key (tenant_id, name, platform, number) references agents.integration_schema_versions on delete cascade,
  foreign key (tenant_id, to_name, to_platform, to_version)
    references agents.integration_schema_versions (tenant_id, name, platform, version) on delete restrict
);
create index integration_schema_references_to on agents.integration_schema_references (tenant_id, to_name, to_platform, to_version);

-- What must fit a schema: an event, a record, a component or what is synchronised to a platform, by its name. Without a version: the newest.
create table agents.integration_schema_bindings (
  tenant_id   text not null default agents.tenant(),
  boundary    text not null check (boundary in ('event', 'record', 'component', 'sync')),
  subject     text not null check (length(subject) between 1 and 200),
  name        text not null,
  platform    text not null,
  version     text,
  created_by  text not null,
  created_at  timestamptz not null default now(),
  primary key (tenant_id, boundary, subject),
  foreign key (tenant_id, name, platform) references agents.integration_schemas on delete restrict,
  foreign key (tenant_id, name, platform, version) references agents.integration_schema_versions (tenant_id, name, platform, version) on delete restrict
);
create index integration_schema_bindings_to on agents.integration_schema_bindings (tenant_id, name, platform, version);

-- The owner of the tables, who need not be a superuser, looks at the rows of every tenant.
alter table agents.integration_schema_versions no force row level security;
insert into agents.integration_schema_references (tenant_id, name, platform, number, used_as, to_name, to_platform, to_version)
select v.tenant_id, v.name, v.platform, v.number, r.key, r.value ->> 'schema_name', r.value ->> 'platform', r.value ->> 'version'
  from agents.integration_schema_versions v cross join jsonb_each(coalesce(v.options -> 'references', '{}')) r
 where length(r.key) between 1 and 500
   and exists (select from agents.integration_schema_versions t where (t.tenant_id, t.name, t.platform, t.version)
               = (v.tenant_id, r.value ->> 'schema_name', r.value ->> 'platform', r.value ->> 'version'));
alter table agents.integration_schema_versions force row level security;

call agents.isolate_tenants('agents.integration_schema_removals');
call agents.isolate_tenants('agents.integration_schema_references');
call agents.isolate_tenants('agents.integration_schema_bindings');
call agents.audit('agents.integration_schema_versions', ignored => '{definition,options}');
call agents.audit('agents.integration_schema_bindings');
revoke all on agents.integration_schema_removals, agents.integration_schema_references, agents.integration_schema_bindings from public;
grant select, insert, update, delete on agents.integration_schema_removals, agents.integration_schema_references, agents.integration_schema_bindings to agent_app;
