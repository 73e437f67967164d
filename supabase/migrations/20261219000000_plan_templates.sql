-- Templates of plans that people make in the console: a draft that anybody of the tenant edits, and versions that stay as they were saved.
set search_path = pg_catalog, pg_temp;

create table agents.plan_templates (
  tenant_id   text not null default agents.tenant(),
  id          uuid not null,
  name        text not null check (length(name) between 1 and 200),
  draft       jsonb not null,                                   -- the plan and its parameters as they are edited; it need not run
  created_by  text not null,
  created_at  timestamptz not null default now(),
  changed_by  text not null,
  changed_at  timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, name)
);
call agents.isolate_tenants('agents.plan_templates');

create table agents.plan_template_versions (
  tenant_id    text not null default agents.tenant(),
  template_id  uuid not null,
  version      integer not null check (version > 0),
  definition   jsonb not null,                                  -- the plan and its parameters; it was checked when it was saved
  note         text not null default '' check (length(note) <= 500),
  saved_by     text not null,
  saved_at     timestamptz not null default now(),
  primary key (tenant_id, template_id, version),
  foreign key (tenant_id, template_id) references agents.plan_templates on delete cascade
);
call agents.isolate_tenants('agents.plan_template_versions');

-- A draft runs nothing by itself; what is saved is in the log with all of it.
call agents.audit('agents.plan_templates', ignored => '{draft,changed_by,changed_at}');
call agents.audit('agents.plan_template_versions');

revoke all on agents.plan_templates, agents.plan_template_versions from public;
grant select, insert, update, delete on agents.plan_templates to agent_app;
grant select, insert, delete on agents.plan_template_versions to agent_app;

-- A tenant that does nothing but plans is a tenant for whose plans the workers look.
create trigger note_tenant after insert on agents.plans for each row execute function agents.note_tenant();
create trigger note_tenant after insert on agents.plan_schedules for each row execute function agents.note_tenant();
do $$
declare
  of_plans text;
begin
  foreach of_plans in array array['agents.plans', 'agents.plan_schedules', 'agents.tenants'] loop
    execute format('alter table %s no force row level security', of_plans);
  end loop;
  insert into agents.tenants (tenant_id) select tenant_id from agents.plans union select tenant_id from agents.plan_schedules on conflict do nothing;
  foreach of_plans in array array['agents.plans', 'agents.plan_schedules', 'agents.tenants'] loop
    execute format('alter table %s force row level security', of_plans);
  end loop;
end $$;
