-- agent_reader may become a member of PostgREST's signed-in role, which reads the agent's tables by the tenant of its claims.
-- The login itself reads nothing of the agent's, whatever claims it has: for it there is no tenant.

set search_path = pg_catalog, pg_temp;

create or replace function agents.tenant() returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  tenant text;
  claims jsonb;
begin
  if session_user in ('agent_app', 'agent_actor') then
    tenant := current_setting('agents.tenant_id', true);
  elsif session_user not in ('agent_reader', 'agent_assessor') then
    claims := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
    tenant := coalesce(claims ->> 'tenant_id', claims -> 'app_metadata' ->> 'tenant_id');
  end if;
  if tenant is null or tenant = '' then
    raise exception 'no tenant: set agents.tenant_id in this transaction, or send a JWT with a tenant_id claim'
      using errcode = 'insufficient_privilege';
  end if;
  return tenant;
end $$;

reset search_path;
