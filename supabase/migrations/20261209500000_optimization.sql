-- Learning from evidence: sessions with budgets, research campaigns, patterns, configurations, optimizations and what tested them.

-- The settings of a run that were fixed before it began: what choices can be compared by.
alter table agents.execution_log add column parameters jsonb check (jsonb_typeof(parameters) = 'object');

-- What is spent is reserved before, at its highest price, so that a budget holds whoever is killed when.
create table agents.learning_sessions (
  tenant_id         text not null default agents.tenant(),
  session_id        uuid not null default gen_random_uuid(),
  agent_id          text not null check (length(agent_id) between 1 and 200),
  focus_area        text not null check (length(focus_area) between 1 and 200),
  status            text not null default 'active' check (status in ('active', 'ended')),
  time_budget_ms    double precision not null check (time_budget_ms >= 0),
  cost_budget_usd   double precision not null check (cost_budget_usd >= 0),
  reserved_ms       double precision not null default 0 check (reserved_ms >= 0),
  reserved_usd      double precision not null default 0 check (reserved_usd >= 0),
  spent_ms          double precision not null default 0 check (spent_ms >= 0),
  spent_usd         double precision not null default 0 check (spent_usd >= 0),
  started_by        text not null,
  started_at        timestamptz not null default now(),
  ended_at          timestamptz,
  primary key (tenant_id, session_id)
);
create index learning_sessions_of_agent on agents.learning_sessions (tenant_id, agent_id, started_at desc);
call agents.isolate_tenants('agents.learning_sessions');
create trigger note_tenant after insert on agents.learning_sessions for each row execute function agents.note_tenant();

create table agents.research_campaigns (
  tenant_id      text not null default agents.tenant(),
  campaign_id    uuid not null default gen_random_uuid(),
  session_id     uuid,
  topic          text not null check (length(topic) between 1 and 200),
  data_sources   text[] not null check (cardinality(data_sources) > 0),
  mining_depth   integer not null check (mining_depth between 1 and 3),
  status         text not null default 'queued' check (status in ('queued', 'running', '', 'done', 'cancelled', 'failed')),
  steps_done     integer not null default 0,          -- a step is one depth; what is done is not done again
  progress       double precision not null default 0 check (progress between 0 and 1),
  findings       jsonb not null default '[]',
  reason         text not null default '',
  holder         uuid,                                -- who works on it until then
  held_until     timestamptz,
  launched_by    text not null,
  created_at     timestamptz not null default now(),
  updated_at     timestamptz not null default now(),
  completed_at   timestamptz,
  primary key (tenant_id, campaign_id)
);
create index research_campaigns_open on agents.research_campaigns (tenant_id, created_at) where status in ('queued', 'running');
call agents.isolate_tenants('agents.research_campaigns');
create trigger note_tenant after insert on agents.research_campaigns for each row execute function agents.note_tenant();

create table agents.learning_patterns (
  tenant_id             text not null default agents.tenant(),
  pattern_id            uuid not null default gen_random_uuid(),
  pattern_key           text not null check (length(pattern_key) between 1 and 500),  -- what it is about: the same finding is one row
  pattern_category      text not null check (length(pattern_category) between 1 and 200),
  workflow_type         text not null default '',      -- '': any
  description           text not null,
  events                jsonb not null default '[]',   -- what goes with success
  parameters            jsonb not null default '{}',   -- what to set, where it can be set
  source                text not null check (source in ('seed', 'mined', '', 'imported')),
  status                text not null default 'unproven' check (status in ('unproven', 'found', '', 'confirmed', 'refuted')),
  confidence_score      double precision not null check (confidence_score between 0 and 1),
  lift                  double precision,
  lift_error            double precision,
  p_value               double precision,
  false_discovery_rate  double precision,
  replication           double precision,
  runs_with             integer,
  runs_without          integer,
  evidence              jsonb not null default '{}',   -- ids of runs
  campaign_id           uuid,
  created_at            timestamptz not null default now(),
  updated_at            timestamptz not null default now(),
  primary key (tenant_id, pattern_id),
  unique (tenant_id, pattern_key)
);
call agents.isolate_tenants('agents.learning_patterns');

create table agents.auto_generated_configs (
  tenant_id         text not null default agents.tenant(),
  config_id         uuid not null default gen_random_uuid(),
  workflow_type     text not null check (length(workflow_type) between 1 and 200),
  generated_config  jsonb not null check (jsonb_typeof(generated_config) = 'object'),
  source_patterns   uuid[] not null default '{}',
  conflicts         jsonb not null default '[]',       -- which pattern's value another one's took the place of
  options           jsonb not null default '{}',
  confidence_score  double precision not null check (confidence_score between 0 and 1),
  improves          uuid,                              -- the configuration that it was made from
  created_by        text not null,
  created_at        timestamptz not null default now(),
  primary key (tenant_id, config_id)
);
create index auto_generated_configs_of_workflow on agents.auto_generated_configs (tenant_id, workflow_type, created_at desc);
call agents.isolate_tenants('agents.auto_generated_configs');
create trigger note_tenant after insert on agents.auto_generated_configs for each row execute function agents.note_tenant();

create table agents.config_test_results (
  tenant_id            text not null default agents.tenant(),
  test_id              uuid not null default gen_random_uuid(),
  config_id            uuid not null,
  test_input           jsonb not null default '{}',
  success              boolean not null,
  reason               text not null,
  simulator            text not null,                  -- recorded runs, or the workflow's own
  runs                 integer not null,
  performance_metrics  jsonb not null,
  intervals            jsonb not null default '{}',
  tested_at            timestamptz not null default now(),
  primary key (tenant_id, test_id),
  foreign key (tenant_id, config_id) references agents.auto_generated_configs on delete cascade
);
create index config_test_results_of_config on agents.config_test_results (tenant_id, config_id, tested_at desc);
call agents.isolate_tenants('agents.config_test_results');

create table agents.optimizations (
  tenant_id           text not null default agents.tenant(),
  optimization_id     uuid not null default gen_random_uuid(),
  pattern_id          uuid,
  agent_id            text not null,
  workflow_type       text not null,
  target              text not null,
  parameters          jsonb not null check (jsonb_typeof(parameters) = 'object'),
  registration        jsonb not null,                  -- what is tested how, written down before the first look
  registration_hash   text not null,
  status              text not null default 'proposed' check (status in ('proposed', 'tested', '', 'waiting', 'applied', 'rejected', 'rolled_back')),
  verdict             text check (verdict in ('better', 'not better', 'underpowered', 'harmful', 'not evaluable')),
  reason              text not null default '',
  evidence            jsonb not null default '[]',      -- the rungs of the ladder, in their order
  cost_benefit_ratio  double precision,
  actual_improvement  double precision,
  more_cases          integer,
  approval_id         bigint,
  created_by          text not null,
  created_at          timestamptz not null default now(),
  tested_at           timestamptz,
  applied_by          text,
  applied_at          timestamptz,
  rolled_back_by      text,
  rolled_back_at      timestamptz,
  primary key (tenant_id, optimization_id)
);
create index optimizations_applied on agents.optimizations (tenant_id, workflow_type, applied_at) where status = 'applied';
call agents.isolate_tenants('agents.optimizations');
create trigger note_tenant after insert on agents.optimizations for each row execute function agents.note_tenant();
call agents.audit('agents.optimizations');

-- What was registered is not changed afterwards, by nobody.
create function agents.keep_registration() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if (old.registration, old.registration_hash, old.parameters, old.workflow_type, old.agent_id)
     is distinct from (new.registration, new.registration_hash, new.parameters, new.workflow_type, new.agent_id) then
    raise exception 'an optimization is tested as it was registered: propose another one' using errcode = 'restrict_violation';
  end if;
  return new;
end $$;
revoke all on function agents.keep_registration() from public;
create trigger keep_registration before update on agents.optimizations for each row execute function agents.keep_registration();

-- Cases that confirmed or refuted a change. They are burnt: they confirm no other one.
create table agents.optimization_cases (
  tenant_id        text not null default agents.tenant(),
  workflow_type    text not null,
  case_id          text not null,
  optimization_id  uuid not null,
  burnt_at         timestamptz not null default now(),
  primary key (tenant_id, workflow_type, case_id)
);
call agents.isolate_tenants('agents.optimization_cases');

create table agents.optimization_metrics (
  id               bigint generated always as identity primary key,
  tenant_id        text not null default agents.tenant(),
  optimization_id  uuid not null,
  agent_id         text not null,
  metric           text not null,
  kind             text not null check (kind in ('claimed', 'realised')),
  value            double precision not null,
  lower_bound      double precision,
  upper_bound      double precision,
  runs             integer not null,
  measured_at      timestamptz not null default now(),
  foreign key (tenant_id, optimization_id) references agents.optimizations on delete cascade
);
create index optimization_metrics_of_agent on agents.optimization_metrics (tenant_id, agent_id, measured_at desc);
call agents.isolate_tenants('agents.optimization_metrics');

grant select, insert, update, delete on agents.learning_sessions, agents.research_campaigns, agents.learning_patterns,
  agents.auto_generated_configs, agents.config_test_results, agents.optimization_cases, agents.optimization_metrics to agent_app;
grant select, insert, update on agents.optimizations to agent_app;

-- Ten patterns that hold in many systems, as weak beginnings. None of them is proven in this installation.
create function agents.seed_patterns(tenant text) returns void
language sql set search_path = pg_catalog, pg_temp
begin atomic
  insert into agents.learning_patterns (tenant_id, pattern_key, pattern_category, workflow_type, description, events, parameters, source, confidence_score)
  select tenant, 'seed:' || s.name, s.category, s.workflow, s.description || ' Unproven here.', '[]', s.parameters::jsonb, 'seed', s.confidence
    from (values
      ('parallel_steps', 'high_success_workflow', '', 'Steps that do not need each other run at the same time.', '{"parallelism": 4}', 0.55),
      ('cached_results', 'cost_efficient_workflow', '', 'Results that do not change are kept and used again.', '{"cache_enabled": true}', 0.55),
      ('timeouts_at_p99', 'reliability', '', 'A step is given up at about twice its usual longest time.', '{"timeout": 30000}', 0.5),
      ('retry_once', 'reliability', '', 'A step that failed for a passing reason is tried once more.', '{"retries": 1}', 0.5),
      ('small_model_first', 'cost_efficient_workflow', '', 'A cheaper model goes first where a check can tell that it failed.', '{"model_tier": "small"}', 0.45),
      ('batch_small_items', 'cost_efficient_workflow', '', 'Many small items are worked on together.', '{"batch_size": 20}', 0.5),
      ('more_memory', 'high_success_workflow', 'agent_turn', 'More recalled memories are shown to the model.', '{"memory_tokens": 2000}', 0.45),
      ('whole_schema', 'high_success_workflow', 'agent_turn', 'The model sees more of the schema.', '{"schema_tokens": 8000}', 0.5),
      ('more_rounds', 'high_success_workflow', 'agent_turn', 'A turn may call tools in more rounds.', '{"max_rounds": 12}', 0.45),
      ('check_before_write', 'high_success_workflow', '', 'A result is checked before it is written.', '{"verify": true}', 0.5)
    ) as s (name, category, workflow, description, parameters, confidence)
  on conflict (tenant_id, pattern_key) do nothing;
end;
revoke all on function agents.seed_patterns(text) from public;
grant execute on function agents.seed_patterns(text) to agent_app;
alter table agents.learning_patterns no force row level security;
select agents.seed_patterns('default');
alter table agents.learning_patterns force row level security;
