"""The SQL that gives a login of your own the tables of analytics, for one tenant: dashboards and agents then use plain SQL. Pure."""

from __future__ import annotations

import json

from psycopg import sql

from agent.errors import InvalidInput
from agent.types import LOGINS

_TABLES = ("execution_log", "performance_metrics", "agent_embeddings", "ml_models", "agents", "execution_rollups")
_WRITTEN = ("execution_log", "performance_metrics", "agent_embeddings")

# A restrictive policy beside the tenant's own: the login may set what it likes in its session, and still reaches one tenant only.
_SCRIPT = """
alter role {login} set "request.jwt.claims" = {claims};
grant usage on schema agents to {login};
grant execute on function agents.tenant() to {login};
do $$ declare place name := agents.vector_schema(); begin
  if place <> 'public' then execute format('grant usage on schema %I to {login}', place); end if;
exception when insufficient_privilege then null; end $$;
"""
_TABLE = """
grant select on agents.{table} to {login};
drop policy if exists {policy} on agents.{table};
create policy {policy} on agents.{table} as restrictive to {login} using (tenant_id = {tenant}) with check (tenant_id = {tenant});
"""
_WRITES = """
grant insert, update, delete, truncate on agents.{table} to {login};
"""


def login_script(login: str, *, tenant_id: str) -> str:
    """Return the SQL that an administrator runs once for an existing login. Raises `InvalidInput` for a login of the agent's."""
    if login in LOGINS or not login.isidentifier() or not login.isascii():
        raise InvalidInput(
            f"{login[:100]!r} cannot be given these rights: name a login of your own, of letters, digits and _."
        )
    name, tenant = sql.Identifier(login), sql.Literal(tenant_id)
    parts = [sql.SQL(_SCRIPT).format(login=name, claims=sql.Literal(json.dumps({"tenant_id": tenant_id})))]
    for table in _TABLES:
        policy = sql.Identifier(f"only_{tenant_id}_of_{login}"[:60])
        parts.append(sql.SQL(_TABLE).format(table=sql.Identifier(table), login=name, policy=policy, tenant=tenant))
        if table in _WRITTEN:
            parts.append(sql.SQL(_WRITES).format(table=sql.Identifier(table), login=name))
    return "".join(part.as_string() for part in parts).strip() + "\n"
