-- Rates of the gateway's endpoints, which hold over all processes.
set search_path = pg_catalog, pg_temp;

-- What a caller used of a rate. `used` counts the last 21 twentieths of its period, `head` is the number of the newest.
create table agents.integration_rates (
  tenant_id  text not null default agents.tenant(),
  name       text not null check (length(name) between 1 and 1000),
  head       bigint not null,
  used       integer[] not null,
  ends_at    timestamptz not null,
  primary key (tenant_id, name)
);
call agents.isolate_tenants('agents.integration_rates');
revoke all on agents.integration_rates from public;
grant select, insert, update, delete on agents.integration_rates to agent_app;

-- Gives out up to `wanted` requests of a rate of `most` in `period` seconds, for use in the present twentieth of the period. `unused` ones of an
-- earlier twentieth come back. The last 21 twentieths are counted, so in no period there are more than `most`.
create function agents.take_rate(
  rate_name text, most integer, period double precision, wanted integer, unused integer, unused_of bigint,
  out granted integer, out part bigint, out seconds_left double precision, out retry_after double precision
) language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  width constant double precision := period / 20;
  at double precision;
  row_head bigint;
  counts integer[];
  behind bigint;
begin
  insert into agents.integration_rates (name, head, used, ends_at)
  values (rate_name, 0, array_fill(0, array[21]), now()) on conflict (tenant_id, name) do nothing;
  select head, used into row_head, counts from agents.integration_rates
   where tenant_id = agents.tenant() and name = rate_name for update;
  at := extract(epoch from clock_timestamp());
  part := greatest(floor(at / width)::bigint, row_head);
  behind := least(part - row_head, 21);
  counts := counts[behind + 1 : 21] || array_fill(0, array[behind::integer]);
  if unused > 0 and unused_of > part - 21 and unused_of <= part then
    counts[21 - (part - unused_of)] := greatest(counts[21 - (part - unused_of)] - unused, 0);
  end if;
  granted := greatest(least(wanted, most - (select sum(one) from unnest(counts) one)), 0);
  counts[21] := counts[21] + granted;
  seconds_left := greatest((part + 1) * width - at, 0);
  -- The oldest that counts is forgotten when it is 21 parts old.
  retry_after := case when granted > 0 then 0 else
    greatest((part - 20 + (select min(i) from generate_subscripts(counts, 1) i where counts[i] > 0) - 1 + 21) * width - at, 0) end;
  update agents.integration_rates set head = part, used = counts, ends_at = now() + make_interval(secs => 2 * period)
   where tenant_id = agents.tenant() and name = rate_name;
end $$;
revoke all on function agents.take_rate from public;
grant execute on function agents.take_rate to agent_app;
