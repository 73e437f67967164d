-- Functions of the application that a human has read and found to change nothing: statements that call them run without
-- asking. `body_hash` is of all that a function is and of what it calls; when that is another one, nobody trusts it any more.
create table agents.trusted_functions (
  tenant_id    text not null default agents.tenant(),
  database_id  text not null,
  function_id  bigint not null,               -- its OID
  signature    text not null,
  body_hash    text not null,
  reason       text not null default '',
  trusted_by   text not null,
  trusted_at   timestamptz not null default now(),
  primary key (tenant_id, database_id, function_id)
);
call agents.isolate_tenants('agents.trusted_functions');
grant select, insert, update, delete on agents.trusted_functions to agent_app;
