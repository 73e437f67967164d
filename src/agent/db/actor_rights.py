"""What `agent_actor` may do beyond the data: with AGENT_ACTOR_RIGHTS=schema, change the tables themselves.

Only owners alter and drop, so it becomes a member of the roles that own the application's tables. Not of every one: of
no role that is more than an application's owner (a superuser, one that makes roles, one that owns something of the
agent's), because a member has all of its rights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from psycopg import sql

from agent.types import LOGINS, ActorRights

_GIVEN: tuple[LiteralString, ...] = (
    "grant create on schema {} to agent_actor",
    "grant truncate, references, trigger on all tables in schema {} to agent_actor",
    "alter default privileges in schema {} grant truncate, references, trigger on tables to agent_actor",
)
_TAKEN: tuple[LiteralString, ...] = (
    "revoke truncate, references, trigger on all tables in schema {} from agent_actor",
    "alter default privileges in schema {} revoke truncate, references, trigger on tables from agent_actor",
)
# What not every server or administrator has: MAINTAIN is new in Postgres 17.
_MAINTAIN = """do $$ begin if current_setting('server_version_num')::int >= 170000 then
  execute format('{verb} maintain on all tables in schema %I {to} agent_actor', {schema});
  execute format('alter default privileges in schema %I {verb} maintain on tables {to} agent_actor', {schema});
  end if; end $$"""
_NO_CREATE = """do $$ begin
  if exists (select from pg_namespace n, aclexplode(n.nspacl) a, pg_roles r
              where n.nspname = {schema} and r.rolname = 'agent_actor' and a.grantee = r.oid and a.privilege_type = 'CREATE') then
    execute format('revoke create on schema %I from agent_actor', {schema});
  end if; end $$"""

# The owners of the application's relations that are no more than that, by all that they are members of.
_OWNERS = """
  select distinct o.rolname from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles o on o.oid = c.relowner
   where n.nspname = any ({schemas}) and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and o.rolname <> all ({logins})
     and not exists (
       with recursive roles as (
         select o.oid union select m.roleid from pg_auth_members m join roles on m.member = roles.oid)
       select from roles join pg_roles r using (oid)
        where r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls or r.rolname ~ '^pg_'
           or r.rolname = any ({logins})
           or exists (select from pg_namespace a where a.nspname ~ '^agents(_|$)' and a.nspowner = r.oid)
           or exists (select from pg_class a join pg_namespace s on s.oid = a.relnamespace
                       where s.nspname ~ '^agents(_|$)' and a.relowner = r.oid)
           or exists (select from pg_proc a join pg_namespace s on s.oid = a.pronamespace
                       where s.nspname ~ '^agents(_|$)' and a.proowner = r.oid))"""
# From Postgres 16 on a grant says whether rights are inherited and whether the member may become the role.
_JOIN = """do $$ declare owner name; begin
  for owner in {owners} loop
    begin
      if current_setting('server_version_num')::int >= 160000 then
        execute format('grant %I to agent_actor with inherit true, set false', owner);
      else
        alter role agent_actor inherit;
        execute format('grant %I to agent_actor', owner);
      end if;
    exception when insufficient_privilege or invalid_grant_operation then
      raise notice 'agent_actor may not alter the tables of %: have an administrator of that role run the set-up', owner;
    end;
  end loop; end $$"""
# What it creates is read like the other tables.
_READ_ITS_OWN = """do $$ begin
  alter default privileges for role agent_actor in schema {schema} grant select on tables to agent_reader;
exception when insufficient_privilege then
  raise notice 'agent_actor may make tables that agent_reader cannot read: have a superuser run the set-up';
end $$"""
_LEAVE = """do $$ declare entry record; begin
  for entry in
      select r.rolname as owner, g.rolname as grantor, current_setting('server_version_num')::int >= 160000 as named
        from pg_auth_members m join pg_roles r on r.oid = m.roleid join pg_roles a on a.oid = m.member join pg_roles g on g.oid = m.grantor
       where a.rolname = 'agent_actor' and exists (
               select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = any ({schemas}) and c.relowner = r.oid) loop
    execute format('revoke %I from agent_actor', entry.owner)
      || case when entry.named then format(' granted by %I', entry.grantor) else '' end;
  end loop;
  if exists (select from pg_roles where rolname = 'agent_actor' and rolinherit) then alter role agent_actor noinherit; end if;
  end $$"""


def do_block(template: LiteralString, **values: sql.Composable) -> sql.Composed:
    """A `do $$ ... $$` block with these values, one of which may hold the dollars that would end it: a schema's name can."""
    block = sql.SQL(template).format(**values)
    body = block.as_string().removeprefix("do $$").removesuffix("$$")
    return sql.SQL("do {}").format(sql.Literal(body)) if "$$" in body else block


def actor_statements(schemas: Sequence[str], rights: ActorRights) -> list[sql.Composed]:
    """The SQL that gives agent_actor the rights on `schemas` that the operator chose, and takes away the others."""
    found: list[sql.Composed] = []
    for schema in schemas:
        name, literal = sql.Identifier(schema), sql.Literal(schema)
        given = rights == "schema"
        found += [sql.SQL(right).format(name) for right in (_GIVEN if given else _TAKEN)]
        verb, to = (sql.SQL("grant"), sql.SQL("to")) if given else (sql.SQL("revoke"), sql.SQL("from"))
        found.append(do_block(_MAINTAIN, verb=verb, to=to, schema=literal))
        found.append(do_block(_READ_ITS_OWN if given else _NO_CREATE, schema=name if given else literal))
    names, logins = sql.Literal(list(schemas)), sql.Literal(list(LOGINS))
    if rights == "schema":
        owners = sql.SQL(_OWNERS).format(schemas=names, logins=logins)
        return [*found, do_block(_JOIN, owners=owners)]
    return [*found, do_block(_LEAVE, schemas=names)]
