-- Messaging: which request goes where and when, answers and notices that are sent later, and what a crash left half done.

-- A request is placed once for each place that it is meant for first. When that service is down, the row moves to another one, so
-- that nobody is asked twice.
alter table agents.messages
  add column first_service text,
  add column first_place   text,
  add column tried         text[] not null default '{}',  -- service/place pairs that it came from
  add column not_before    timestamptz,                   -- the end of quiet hours
  add column marker        uuid not null default gen_random_uuid(),  -- finds a message that was posted and not noted
  add column sending_at    timestamptz,                   -- a post began then; null once it is known how it ended
  add column held          boolean not null default false,  -- a process is at it until ready_at
  add column posted_at     timestamptz,
  add column decision      jsonb;                         -- taken in and not yet carried out: account, decision, comment, arguments
-- The owner of the table, who need not be a superuser, changes the rows of every tenant.
alter table agents.messages no force row level security;
update agents.messages set first_service = service, first_place = place;
alter table agents.messages force row level security;
alter table agents.messages
  alter column first_service set not null,
  alter column first_place set not null,
  add constraint messages_once unique (tenant_id, approval_id, first_service, first_place);

-- Every change of a request and of its execution makes its messages due, and tells the couriers which request it is.
create or replace function agents.approval_is_message() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  approval bigint := case tg_table_name when 'human_approval_queue' then to_jsonb(new) -> 'id' else to_jsonb(new) -> 'approval_id' end::bigint;
begin
  update agents.messages m set ready_at = greatest(now(), m.not_before), attempts = 0
   where m.tenant_id = new.tenant_id and m.approval_id = approval;
  perform pg_notify('agents_messages', approval::text);
  return null;
end $$;
revoke all on function agents.approval_is_message() from public;

-- Texts that are sent later: the answer of a turn that went on elsewhere, to where it was asked, and notices to people.
create table agents.messaging_texts (
  id           bigint generated always as identity primary key,
  tenant_id    text not null default agents.tenant(),
  service      text,                       -- null until a notice has a place
  place        text,
  reply_to     text,                       -- the message that it stands under
  thread_id    text,                       -- of an answer: the conversation
  person       text,                       -- of an answer: who asked; of a notice: whom it is for, '' for whoever reads the request
  approval_id  bigint,                     -- of a notice
  notice       text,                       -- of a notice: what it says
  kind         text not null check (kind in ('answer', 'reminder', 'escalation', 'delegated')),
  marker       uuid not null default gen_random_uuid(),
  here         boolean not null default false,  -- of an answer: a process is at it and sends it itself
  ready_at     timestamptz,                -- when to send; null while there is nothing to send
  attempts     integer not null default 0,
  sending_at   timestamptz,
  sent_at      timestamptz,
  tried        text[] not null default '{}',
  error        text,
  created_at   timestamptz not null default now(),
  check ((kind = 'answer') = (thread_id is not null))
);
create index messaging_texts_ready on agents.messaging_texts (tenant_id, ready_at) where ready_at is not null;
create index messaging_texts_thread on agents.messaging_texts (tenant_id, thread_id) where thread_id is not null and sent_at is null;
call agents.isolate_tenants('agents.messaging_texts');
grant select, insert, update, delete on agents.messaging_texts to agent_app;

-- A turn that ends makes its answer due; if the process that was asked lives, it sends the answer before that.
create function agents.turn_is_answered() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  update agents.messaging_texts t set ready_at = now() + case when t.here then interval '60 s' else interval '0 s' end
   where t.tenant_id = new.tenant_id and t.thread_id = new.thread_id and t.sent_at is null;
  if found then
    perform pg_notify('agents_messages', '');
  end if;
  return null;
end $$;
revoke all on function agents.turn_is_answered() from public;
create trigger messages after update of status on agents.turns
  for each row when (new.status in ('done', 'failed')) execute function agents.turn_is_answered();

-- A reminder or an escalation is a text to each of its people, or to whoever reads the request.
create function agents.notice_is_message() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  insert into agents.messaging_texts (tenant_id, person, approval_id, notice, kind, ready_at)
  select new.tenant_id, recipient, new.approval_id, new.text, new.kind, now()
    from unnest(case when new.recipients = '{}' then array[''] else new.recipients end) recipient;
  perform pg_notify('agents_messages', '');
  return null;
end $$;
revoke all on function agents.notice_is_message() from public;
create trigger messages after insert on agents.approval_notices
  for each row when (new.kind in ('reminder', 'escalation', 'delegated')) execute function agents.notice_is_message();

-- Where requests go. A route without a condition matches every request; where no route matches, the places of the settings count.
create table agents.messaging_routes (
  id            bigint generated always as identity primary key,
  tenant_id     text not null default agents.tenant(),
  service       text not null check (service <> ''),
  place         text not null check (place <> ''),       -- 'people': each linked person who may decide
  risks         text[] not null default '{}',            -- empty: every risk
  tools         text[] not null default '{}',            -- globs
  environments  text[] not null default '{}',
  quiet         text not null default '',                -- 22:00-07:00: nothing is posted then
  backup        boolean not null default false,          -- only when another place does not work
  created_by    text not null,
  created_at    timestamptz not null default now(),
  revoked_by    text,
  revoked_at    timestamptz
);
call agents.isolate_tenants('agents.messaging_routes');
call agents.audit('agents.messaging_routes', '{}', '{service,place,risks,tools,environments,quiet,backup}');
grant select, insert, update on agents.messaging_routes to agent_app;
