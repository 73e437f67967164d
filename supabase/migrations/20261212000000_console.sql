-- The console: who is signed in in a browser.

-- The cookie of a browser names a session; only its hash is stored. A session of an API key ends with the key.
create table agents.console_sessions (
  id            bigint generated always as identity primary key,
  tenant_id     text not null default agents.tenant(),
  hash          bytea not null unique,                      -- SHA-256 of the cookie's value
  person        text not null check (person <> ''),         -- who is signed in
  role          text not null check (role in ('viewer', 'operator', 'approver', 'admin')),
  personal      boolean not null default false,
  key_id        bigint references agents.api_keys (id) on delete cascade,
  claims        jsonb,                                      -- of a Supabase user's token
  created_at    timestamptz not null default now(),
  expires_at    timestamptz not null
);
create index console_sessions_of_tenant on agents.console_sessions (tenant_id, expires_at);
call agents.isolate_tenants('agents.console_sessions');
grant select, insert, delete on agents.console_sessions to agent_app;

-- The overview counts what was added lately, without reading what is older.
create index agent_memory_created on agents.agent_memory (tenant_id, database_id, created_at);
