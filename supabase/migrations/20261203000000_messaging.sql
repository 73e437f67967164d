-- Messaging: requests in Slack and Telegram, and who a Slack or Telegram account is.

-- One row for each request and place. It says what was posted where and whether that is still true: `ready_at` is when to post or
-- update it; a process that takes the row moves it, so that another one looks again if it dies; null means that nothing is to do.
create table agents.messages (
  id           bigint generated always as identity primary key,
  tenant_id    text not null default agents.tenant(),
  approval_id  bigint not null,
  service      text not null check (service <> ''),
  place        text not null check (place <> ''),     -- a chat, channel or person, as the service calls it
  binding      text not null,                         -- of the request that the message shows
  token        uuid,                                  -- what its buttons send; a decision uses it up
  message_id   text,                                  -- null until it is posted
  ready_at     timestamptz default now(),
  attempts     integer not null default 0,
  error        text,                                  -- why the last attempt failed
  created_at   timestamptz not null default now(),
  unique (tenant_id, approval_id, service, place)
);
create index messages_ready on agents.messages (tenant_id, service, ready_at) where ready_at is not null;
create unique index messages_token on agents.messages (tenant_id, token) where token is not null;
create index messages_posted on agents.messages (tenant_id, service, message_id);
call agents.isolate_tenants('agents.messages');
grant select, insert, update on agents.messages to agent_app;

-- Every change of a request and of its execution makes its messages due.
create function agents.approval_is_message() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  update agents.messages m set ready_at = now(), attempts = 0
   where m.tenant_id = new.tenant_id
     and m.approval_id = case tg_table_name when 'human_approval_queue' then to_jsonb(new) -> 'id' else to_jsonb(new) -> 'approval_id' end::bigint;
  perform pg_notify('agents_messages', '');
  return null;
end $$;
create trigger messages after insert or update of status, approved_by, delegated_to on agents.human_approval_queue
  for each row execute function agents.approval_is_message();
create trigger messages after insert or update of status on agents.agent_execution_log
  for each row when (new.approval_id is not null) execute function agents.approval_is_message();

-- Which person an account of a messaging service is. A person with two accounts is one person.
create table agents.messaging_identities (
  tenant_id  text not null default agents.tenant(),
  service    text not null,
  account    text not null check (account <> ''),
  person     text not null check (person <> ''),
  active     boolean not null default true,
  linked_at  timestamptz not null default now(),
  primary key (tenant_id, service, account)
);
call agents.isolate_tenants('agents.messaging_identities');
call agents.audit('agents.messaging_identities');
grant select, insert, update on agents.messaging_identities to agent_app;

-- One-time codes that link an account. Of a code only a hash is kept.
create table agents.messaging_codes (
  id          bigint generated always as identity primary key,
  tenant_id   text not null default agents.tenant(),
  hash        bytea not null,
  person      text not null check (person <> ''),
  created_by  text not null,
  created_at  timestamptz not null default now(),
  expires_at  timestamptz not null,
  used_at     timestamptz,
  unique (tenant_id, hash)
);
call agents.isolate_tenants('agents.messaging_codes');
call agents.audit('agents.messaging_codes');
grant select, insert, update on agents.messaging_codes to agent_app;

-- Attempts by accounts that are nobody here, one row for each account and request (0: no request).
create table agents.messaging_refusals (
  tenant_id    text not null default agents.tenant(),
  service      text not null,
  account      text not null,
  approval_id  bigint not null,
  refused_at   timestamptz not null default now(),
  primary key (tenant_id, service, account, approval_id)
);
call agents.isolate_tenants('agents.messaging_refusals');
call agents.audit('agents.messaging_refusals');
grant select, insert on agents.messaging_refusals to agent_app;

-- What came in, so that what a service delivers twice is done once; kept for two days.
create table agents.messaging_updates (
  tenant_id  text not null default agents.tenant(),
  service    text not null,
  key        text not null,
  seen_at    timestamptz not null default now(),
  primary key (tenant_id, service, key)
);
create index messaging_updates_old on agents.messaging_updates (seen_at);
call agents.isolate_tenants('agents.messaging_updates');
grant select, insert, delete on agents.messaging_updates to agent_app;

-- Which process receives from a service that lets only one do so; it renews its time, or another one takes over.
create table agents.messaging_receivers (
  tenant_id   text not null default agents.tenant(),
  service     text not null,
  holder      text not null,
  held_until  timestamptz not null,
  primary key (tenant_id, service)
);
call agents.isolate_tenants('agents.messaging_receivers');
grant select, insert, update on agents.messaging_receivers to agent_app;

revoke all on function agents.approval_is_message() from public;
