-- Undo: the rows of approved changes as they were before and after, kept for a time in the transaction of their effect.
create table agents.before_images (
  tenant_id     text not null default agents.tenant(),
  execution_id  bigint not null references agents.agent_execution_log,
  database_id   text not null,
  table_schema  text not null default '',
  table_name    text not null default '',
  columns       jsonb not null default '[]',   -- name, type, generated, identity: as the rows' texts have them
  key           text[] not null default '{}',  -- the columns of the primary key
  before        text[] not null default '{}',  -- rows as Postgres writes them; null for one that was not there
  after         text[] not null default '{}',
  others        jsonb not null default '[]',   -- what triggers and cascades changed elsewhere
  why_not       text,                          -- why no rows are here
  created_at    timestamptz not null default now(),
  primary key (tenant_id, execution_id)
);
create index before_images_age on agents.before_images (tenant_id, created_at);
call agents.isolate_tenants('agents.before_images');

-- Called by who carries out an approved action, with its claim: by agent_actor inside the effect's transaction, or by
-- agent_app before the transaction of another database commits. What is older than `keep` goes.
create function agents.keep_images(approval bigint, claim_token uuid, images jsonb, keep interval) returns void
language plpgsql security definer set search_path = pg_catalog
as $$
begin
  delete from agents.before_images i where i.tenant_id = agents.tenant() and i.created_at < now() - keep;
  insert into agents.before_images (tenant_id, execution_id, database_id, table_schema, table_name, columns, key, before, after, others, why_not)
  select e.tenant_id, e.id, e.database_id, coalesce(n.table_schema, ''), coalesce(n.table_name, ''), coalesce(n.columns, '[]'),
         coalesce(n.key, '{}'), coalesce(n.before, '{}'), coalesce(n.after, '{}'), coalesce(n.others, '[]'), n.why_not
    from agents.human_approval_queue q
    join agents.agent_execution_log e on e.tenant_id = q.tenant_id and e.approval_id = q.id and e.status = 'running'
    cross join jsonb_to_record(images) as n (table_schema text, table_name text, columns jsonb, key text[], before text[],
      after text[], others jsonb, why_not text)
   where q.tenant_id = agents.tenant() and q.id = approval and q.claim = claim_token
  on conflict (tenant_id, execution_id) do update
     set columns = excluded.columns, key = excluded.key, before = excluded.before, after = excluded.after,
         others = excluded.others, why_not = excluded.why_not, created_at = now();
end $$;

revoke all on function agents.keep_images(bigint, uuid, jsonb, interval) from public;
grant execute on function agents.keep_images(bigint, uuid, jsonb, interval) to agent_actor, agent_app;
revoke all on agents.before_images from public;
grant select, delete on agents.before_images to agent_app;
