-- A decision that comes while its turn runs is seen by the run, or the turn goes on once more: the two wait for each other at the
-- turn's row, so one of them always sees what the other did.

create or replace function agents.turn_is_work() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if new.status = 'running' then
    perform agents.add_work(new.tenant_id, 'turn', new.thread_id, interval '21 seconds');
  elsif new.status = 'waiting' and exists (
      select from agents.tool_calls c
        join agents.human_approval_queue q using (tenant_id, thread_id, turn, round, ordinal)
       where c.tenant_id = new.tenant_id and c.thread_id = new.thread_id and c.turn = new.turn and c.status = 'waiting'
         and q.status not in ('pending', 'edited')) then
    perform agents.add_work(new.tenant_id, 'turn', new.thread_id, interval '3 seconds');  -- as after a decision in a terminal
  else
    delete from agents.open_work w where w.tenant_id = new.tenant_id and w.kind = 'turn' and w.subject = new.thread_id;
  end if;
  return null;
end $$;

create or replace function agents.decision_is_work() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  of_turn text;
  wait interval := case when new.decided_via in ('cli', 'python', 'chat', 'graph', 'policy') then '3 seconds' else '0' end;
begin
  if old.status <> 'pending' or new.status in ('pending', 'edited') then
    return null;
  end if;
  select r.status into of_turn from agents.turns r
   where r.tenant_id = new.tenant_id and r.thread_id = new.thread_id and r.turn = new.turn for share;
  if of_turn = 'waiting' then
    perform agents.add_work(new.tenant_id, 'turn', new.thread_id, wait);
  elsif new.status = 'approved' and new.executable then
    perform agents.add_work(new.tenant_id, 'approval', new.id::text, wait);
  end if;
  return null;
end $$;
