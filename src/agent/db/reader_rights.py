"""Writes the SQL for `agent_reader` beyond reading tables: reading as one of Supabase's users, and views that bypass policies.

Policies `TO authenticated` apply to members of that role only, so reading as a signed-in user needs the membership. It
brings every right of the role, writing too. So the login's sessions are then read-only by default, each of its statements
runs in a read-only transaction, and the login may not switch to the role.

A view runs with its owner's rights: no policy hides what it shows of `auth` or of a table with row-level security. Such a
view, where the API's roles may select from it, is not granted to the login unless AGENT_READ_VIEWS names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from psycopg import sql

from agent.db.actor_rights import do_block
from agent.types import ReadAs

API_ROLES: tuple[LiteralString, ...] = ("anon", "authenticated")

_MEMBER = """do $$ declare held name; begin
  for held in select r.rolname from pg_auth_members m join pg_roles r on r.oid = m.roleid join pg_roles l on l.oid = m.member
      where l.rolname = 'agent_reader' and r.rolname = any ({roles}) and r.rolname <> {role} loop
    execute format('revoke %I from agent_reader', held);
  end loop;
  if {role} = '' then
    if exists (select from pg_roles where rolname = 'agent_reader' and rolinherit) then alter role agent_reader noinherit; end if;
    alter role agent_reader reset default_transaction_read_only;
  elsif not exists (select from pg_roles where rolname = {role}) then
    raise exception 'AGENT_READ_AS_ROLE names the role %, which the server does not have', {role} using errcode = 'undefined_object';
  else
    alter role agent_reader set default_transaction_read_only = on;
    if current_setting('server_version_num')::int >= 160000 then
      execute format('grant %I to agent_reader with inherit true, set false', {role});
    else
      execute format('grant %I to agent_reader', {role});
      alter role agent_reader inherit;
    end if;
  end if; end $$"""

# The views (also materialised ones) of these schemas from which the API's roles may select, and that read `auth` or bypass the
# policies of a table. Each table behind a view is read as the owner of the innermost view. Views with security_invoker are
# left out.
_POLICY_BYPASSING_VIEWS = """
  with recursive behind as (
    select c.oid as view, c.oid as relation, c.relowner as owner
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any ({schemas}) and c.relkind in ('v', 'm')
       and not coalesce((select o.option_value::boolean from pg_options_to_table(c.reloptions) o where o.option_name = 'security_invoker'), false)
       and exists (select from pg_roles r where r.rolname = any ({roles}) and has_schema_privilege(r.oid, n.oid, 'usage')
                      and has_any_column_privilege(r.oid, c.oid, 'select'))
     union
    select b.view, t.oid, case when t.relkind in ('v', 'm') then t.relowner else b.owner end
      from behind b join pg_rewrite r on r.ev_class = b.relation
      join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass and d.refobjid <> b.relation
      join pg_class t on t.oid = d.refobjid
     where not coalesce((select o.option_value::boolean from pg_options_to_table(t.reloptions) o where o.option_name = 'security_invoker'), false)
  )
  select v.oid, vn.nspname::text as schema, v.relname::text as name,
         array_agg(distinct case when n.nspname = 'auth' then 'reads ' else 'bypasses the policies of ' end || n.nspname || '.' || t.relname) as why,
         has_any_column_privilege((select oid from pg_roles where rolname = 'agent_reader'), v.oid, 'select') as granted
    from behind b join pg_class t on t.oid = b.relation and t.relkind in ('r', 'p', 'f') join pg_namespace n on n.oid = t.relnamespace
    join pg_roles o on o.oid = b.owner join pg_class v on v.oid = b.view join pg_namespace vn on vn.oid = v.relnamespace
   where (n.nspname = 'auth' or (t.relrowsecurity and not {bypass}
           and (o.rolsuper or o.rolbypassrls or (pg_has_role(o.oid, t.relowner, 'usage') and not t.relforcerowsecurity))))
     and not (concat(vn.nspname, '.', v.relname) = any ({listed}))
   group by v.oid, vn.nspname, v.relname order by 2, 3"""

_REVOKE_VIEWS = """do $$ declare entry record; begin
  for entry in {views} loop
    execute format('revoke select on %I.%I from agent_reader', entry.schema, entry.name);
  end loop; end $$"""


def policy_bypassing_views(schemas: Sequence[str], *, listed: Sequence[str], bypass_rls: bool) -> sql.Composed:
    """Return the query for the views of `schemas` that bypass row-level security or read `auth`, without those `listed`."""
    return sql.SQL(_POLICY_BYPASSING_VIEWS).format(
        schemas=sql.Literal(list(schemas)), roles=sql.Literal(list(API_ROLES)), listed=sql.Literal(list(listed)),
        bypass=sql.Literal(bypass_rls),
    )  # fmt: skip


def reader_statements(
    schemas: Sequence[str], *, read_as: ReadAs, listed: Sequence[str], bypass_rls: bool
) -> list[sql.Composed]:
    """Return the SQL that lets agent_reader read as the role `read_as`, and revokes the views that bypass policies."""
    roles = sql.Literal(list(API_ROLES))
    views = policy_bypassing_views(schemas, listed=listed, bypass_rls=bypass_rls)
    return [
        do_block(_MEMBER, roles=roles, role=sql.Literal(read_as)),
        do_block(_REVOKE_VIEWS, views=views),
    ]
