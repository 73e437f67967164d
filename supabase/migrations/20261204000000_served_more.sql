-- Lists are read page by page, each after the last entry of the page before: an index for each order.

create index agent_execution_log_number on agents.agent_execution_log (tenant_id, id);
create index human_approval_queue_order on agents.human_approval_queue (tenant_id, created_at, id);

-- With which rights a turn that is not over was asked: another process that goes on with it has no more than these. Apart
-- from agents.turns, which PostgREST shows to every user of the tenant. Without a row nobody else goes on with the turn.
create table agents.turn_rights (
  tenant_id  text not null default agents.tenant(),
  thread_id  text not null,
  turn       integer not null,
  masked     boolean not null,    -- the user came with a key or token that shows no personal values
  claims     jsonb,               -- of the Supabase user as whom is read; null: as the process does without a user
  primary key (tenant_id, thread_id, turn),
  foreign key (tenant_id, thread_id, turn) references agents.turns on delete cascade
);
call agents.isolate_tenants('agents.turn_rights');
grant select, insert, delete on agents.turn_rights to agent_app;
