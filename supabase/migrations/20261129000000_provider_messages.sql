-- A provider's own form of a message with tool calls: reasoning, signatures, content blocks. Some providers refuse a conversation
-- that comes back without them, so they are kept beside the round, and only the model that wrote them gets them.

set search_path = pg_catalog, pg_temp;

alter table agents.tool_calls
  add column provider_message jsonb;  -- ordinal 1; null where the message has no form of its own

create or replace function agents.transcript(in_thread text, in_turn integer, most_turns integer default 20, turns_with_calls integer default 3)
returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  tenant text := agents.tenant();
begin
  return (
    select jsonb_build_object('summary', t.summary,
      'turns', (select jsonb_agg(to_jsonb(shown) order by shown.turn)
                  from (select r.turn, r.question, r.answer, r.status from agents.turns r
                         where r.tenant_id = tenant and r.thread_id = in_thread and r.turn > t.summarised and r.turn <= in_turn
                         order by r.turn desc limit most_turns) shown),
      'calls', (select jsonb_agg(to_jsonb(shown) order by shown.turn, shown.round, shown.ordinal)
                  from (select c.turn, c.round, c.ordinal, c.call_id, c.tool, c.arguments, c.said, c.status, c.approval_id, c.result,
                               c.provider_message
                          from agents.tool_calls c
                         where c.tenant_id = tenant and c.thread_id = in_thread and c.turn > in_turn - turns_with_calls
                           and c.turn <= in_turn and (c.turn = in_turn or c.status = 'done')) shown))
      from agents.threads t where t.tenant_id = tenant and t.thread_id = in_thread);
end $$;

reset search_path;
