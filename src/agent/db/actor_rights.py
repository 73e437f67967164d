"""Writes the SQL for AGENT_ACTOR_RIGHTS: with `schema`, `agent_actor` may change the tables themselves, not only their rows.

Only owners may alter and drop tables, so `agent_actor` becomes a member of the roles that own the application's tables. A
member has all rights of the role, so roles that are more than an owner are left out: superusers, roles that may create
roles, and roles that own something of the agent's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from psycopg import sql

from agent.types import LOGINS, ActorRights

_GRANTS: tuple[LiteralString, ...] = (
    "grant create on schema {} to agent_actor",
    "grant truncate, references, trigger on all tables in schema {} to agent_actor",
    "alter default privileges in schema {} grant truncate, references, trigger on tables to agent_actor",
)
_REVOKES: tuple[LiteralString, ...] = (
    "revoke truncate, references, trigger on all tables in schema {} from agent_actor",
    "alter default privileges in schema {} revoke truncate, references, trigger on tables from agent_actor",
)
# The privilege MAINTAIN exists from Postgres 17 on.
_MAINTAIN = """do $$ begin if current_setting('server_version_num')::int >= 170000 then
  execute format('{verb} maintain on all tables in schema %I {to} agent_actor', {schema});
  execute format('alter default privileges in schema %I {verb} maintain on tables {to} agent_actor', {schema});
  end if; end $$"""
_NO_CREATE = """do $$ begin
  if exists (select from pg_namespace n, aclexplode(n.nspacl) a, pg_roles r
              where n.nspname = {schema} and r.rolname = 'agent_actor' and a.grantee = r.oid and a.privilege_type = 'CREATE') then
    execute format('revoke create on schema %I from agent_actor', {schema});
  end if; end $$"""

# The owners of the application's relations, without those that have more rights, themselves or by a role they are members of.
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
# Lets agent_reader read the tables that agent_actor creates.
_READ_CREATED_TABLES = """do $$ begin
  alter default privileges for role agent_actor in schema {schema} grant select on tables to agent_reader;
exception when insufficient_privilege then
  raise notice 'agent_actor may create tables that agent_reader cannot read: have a superuser run the set-up';
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
    """Return a `do $$ ... $$` block with these values, quoted otherwise where a value, such as a schema's name, holds `$$`."""
    block = sql.SQL(template).format(**values)
    body = block.as_string().removeprefix("do $$").removesuffix("$$")
    return sql.SQL("do {}").format(sql.Literal(body)) if "$$" in body else block


def actor_statements(schemas: Sequence[str], rights: ActorRights) -> list[sql.Composed]:
    """Return the SQL that grants agent_actor the rights on `schemas` that the operator chose, and revokes the others."""
    statements: list[sql.Composed] = []
    for schema in schemas:
        name, literal = sql.Identifier(schema), sql.Literal(schema)
        granted = rights == "schema"
        statements += [sql.SQL(right).format(name) for right in (_GRANTS if granted else _REVOKES)]
        verb, to = (sql.SQL("grant"), sql.SQL("to")) if granted else (sql.SQL("revoke"), sql.SQL("from"))
        statements.append(do_block(_MAINTAIN, verb=verb, to=to, schema=literal))
        statements.append(
            do_block(_READ_CREATED_TABLES if granted else _NO_CREATE, schema=name if granted else literal)
        )
    names, logins = sql.Literal(list(schemas)), sql.Literal(list(LOGINS))
    if rights == "schema":
        owners = sql.SQL(_OWNERS).format(schemas=names, logins=logins)
        return [*statements, do_block(_JOIN, owners=owners)]
    return [*statements, do_block(_LEAVE, schemas=names)]
