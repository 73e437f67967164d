-- The agent as a service: one set of roles, API keys, and the answers of writes that a client may repeat.

-- viewer reads, operator also asks and proposes, approver decides, admin names people and makes keys; personal is a right beside them.
alter table agents.people drop constraint people_roles_check;
alter table agents.people add constraint people_roles_check
  check (roles <@ array['viewer', 'operator', 'approver', 'admin', 'personal']);
-- Whoever was named could ask: those who only saw personal columns keep that.
do $$
declare guarded text;
begin
  -- The owner of the tables, who need not be a superuser, changes the rows of every tenant.
  foreach guarded in array array['agents.people', 'agents.audit_unsealed'] loop
    execute format('alter table %s no force row level security', guarded);
  end loop;
  update agents.people set roles = roles || array['operator'] where not roles && array['viewer', 'operator', 'approver', 'admin'];
  foreach guarded in array array['agents.people', 'agents.audit_unsealed'] loop
    execute format('alter table %s force row level security', guarded);
  end loop;
end $$;

-- What proves who calls. Of the secret only a hash is kept.
create table agents.api_keys (
  id            bigint generated always as identity primary key,
  tenant_id     text not null default agents.tenant(),
  name          text not null check (name <> ''),          -- what it is for
  hash          bytea not null unique,                     -- SHA-256 of the whole key
  hint          text not null,                             -- its last characters, to tell keys apart
  person        text not null check (person <> ''),        -- who acts with it
  role          text not null check (role in ('viewer', 'operator', 'approver', 'admin')),
  personal      boolean not null default false,
  created_by    text not null,
  created_at    timestamptz not null default now(),
  expires_at    timestamptz,
  last_used_at  timestamptz,
  revoked_at    timestamptz,
  revoked_by    text
);
create index api_keys_of_tenant on agents.api_keys (tenant_id, id);
call agents.isolate_tenants('agents.api_keys');
call agents.audit('agents.api_keys', '{last_used_at}');
grant select, insert, update on agents.api_keys to agent_app;

-- The answer to a write that came with an Idempotency-Key: the same write again gets the same answer.
create table agents.idempotent_requests (
  tenant_id    text not null default agents.tenant(),
  person       text not null,
  key          text not null check (length(key) between 1 and 255),
  fingerprint  bytea not null,                              -- SHA-256 of method, path and body
  status       integer,                                     -- null while the first request runs
  content_type text,
  body         bytea,
  created_at   timestamptz not null default now(),
  primary key (tenant_id, person, key)
);
create index idempotent_requests_old on agents.idempotent_requests (created_at);
call agents.isolate_tenants('agents.idempotent_requests');
grant select, insert, update, delete on agents.idempotent_requests to agent_app;
