-- What a turn ran with, and why: parameters of turns, canaries, holdbacks, variants of the instructions.

set search_path = pg_catalog, pg_temp;

alter table agents.turns
  add column parameters jsonb not null default '{}' check (jsonb_typeof(parameters) = 'object'),  -- the values in force when it began
  add column arm text check (arm in ('usual', 'holdback', 'canary', 'explored')),                  -- null: nothing was drawn
  add column optimization_id uuid,                                                                 -- the change that it is compared for
  add column propensity double precision check (propensity > 0 and propensity <= 1);               -- with which its arm was drawn
create index turns_of_optimization on agents.turns (tenant_id, optimization_id, started_at) where optimization_id is not null;

-- Takes a thread and begins its next turn, as before; what was chosen for it is stored with it. The same message again is the same
-- turn, with what was chosen first.
drop function agents.begin_turn(text, text, text, text, text, uuid, interval);
create function agents.begin_turn(
  in_thread text, in_database text, in_user text, in_message text, in_question text, in_owner uuid, in_lease interval,
  in_parameters jsonb default '{}', in_arm text default null, in_optimization uuid default null, in_propensity double precision default null
) returns table (turn integer, status text, database_id text, transcript jsonb, parameters jsonb)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  tenant text := agents.tenant();
  thread agents.threads;
  begun agents.turns;
begin
  if exists (select from agents.controls c where c.tenant_id = tenant and c.stopped) then
    return query select 0, 'stopped', in_database, null::jsonb, '{}'::jsonb;
    return;
  end if;
  insert into agents.threads as t (tenant_id, thread_id, database_id, title, created_by, lease_owner, lease_until)
  values (tenant, in_thread, in_database, left(in_question, 80), in_user, in_owner, now() + in_lease)
  on conflict (tenant_id, thread_id) do update
     set lease_owner = excluded.lease_owner, lease_until = excluded.lease_until, updated_at = now()
   where t.lease_owner is null or t.lease_until < now() or t.lease_owner = excluded.lease_owner
  returning t.* into thread;
  if not found then
    return;
  end if;
  if thread.database_id <> in_database then
    update agents.threads t set lease_owner = null, lease_until = null where t.tenant_id = tenant and t.thread_id = in_thread;
    return query select 0, 'failed', thread.database_id, null::jsonb, '{}'::jsonb;
    return;
  end if;
  select r.* into begun from agents.turns r
   where r.tenant_id = tenant and r.thread_id = in_thread and r.message_id = in_message;
  if not found then
    select r.* into begun from agents.turns r
     where r.tenant_id = tenant and r.thread_id = in_thread and r.status = 'waiting' order by r.turn desc limit 1;
  end if;
  if not found then
    update agents.turns r set status = 'failed', error = 'interrupted before it was finished', finished_at = now()
     where r.tenant_id = tenant and r.thread_id = in_thread and r.status = 'running';
    update agents.threads t set turn_count = turn_count + 1 where t.tenant_id = tenant and t.thread_id = in_thread;
    insert into agents.turns as r (tenant_id, thread_id, turn, asked_by, message_id, question, parameters, arm, optimization_id, propensity)
    values (tenant, in_thread, thread.turn_count + 1, in_user, in_message, in_question, in_parameters, in_arm, in_optimization, in_propensity)
    returning r.* into begun;
  end if;
  return query select begun.turn, begun.status, thread.database_id, agents.transcript(in_thread, begun.turn), begun.parameters;
end $$;
revoke all on function agents.begin_turn(text, text, text, text, text, uuid, interval, jsonb, text, uuid, double precision) from public;
grant execute on function agents.begin_turn(text, text, text, text, text, uuid, interval, jsonb, text, uuid, double precision) to agent_app;

-- A change is shown to a part of the turns first. `rolled_back_because` says why it was taken back, if nobody asked for that.
alter table agents.optimizations drop constraint optimizations_status_check;
alter table agents.optimizations add constraint optimizations_status_check
  check (status in ('proposed', 'tested', 'waiting', 'shadow', 'canary', 'applied', 'rejected', 'rolled_back'));
alter table agents.optimizations
  add column share double precision check (share > 0 and share <= 1),
  add column stage integer not null default 0,
  add column stage_began_at timestamptz,
  add column rolled_back_because text not null default '';
-- Two changes at once could not be told apart, so one workflow has one canary.
create unique index optimizations_on_trial on agents.optimizations (tenant_id, workflow_type) where status in ('shadow', 'canary');
create index optimizations_in_force on agents.optimizations (tenant_id, workflow_type) where status in ('shadow', 'canary', 'applied');

-- Variants of the agent's instructions. A variant is never changed: another text is another variant.
create table agents.prompt_variants (
  tenant_id   text not null default agents.tenant(),
  name        text not null check (length(name) between 1 and 100),
  template    text not null check (length(template) between 1 and 20000),
  source      text not null check (source in ('human', 'model')),
  created_by  text not null,
  created_at  timestamptz not null default now(),
  primary key (tenant_id, name)
);
call agents.isolate_tenants('agents.prompt_variants');
call agents.audit('agents.prompt_variants');
grant select, insert on agents.prompt_variants to agent_app;


reset search_path;
