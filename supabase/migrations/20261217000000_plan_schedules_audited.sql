-- Who lets plans begin by themselves, and how many steps of an agent may run, is audited; so is who ends that.
-- When a plan began, and how that went, are no decisions.
call agents.audit('agents.plan_schedules', '{next_at,last_run,error}');
call agents.audit('agents.plan_agent_limits');

-- The times of a schedule are those of clocks somewhere.
alter table agents.plan_schedules add column time_zone text not null default 'UTC' check (length(time_zone) between 1 and 100);
