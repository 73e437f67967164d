"""Explains which right agent_actor lacks for a statement, and how an operator grants it."""

from __future__ import annotations

import psycopg

from agent.db import load_queries
from agent.db.paths import rows_as_application
from agent.db.server_messages import message_of
from agent.runtime import Runtime
from agent.statements.parser import Statement

_QUERIES = load_queries(__package__)
_DATA_KINDS = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}


async def what_is_missing(
    statement: Statement, error: psycopg.errors.InsufficientPrivilege, *, runtime: Runtime
) -> str:
    """Return, for the approver, why the statement would fail as things are, and what to run."""
    reason = message_of(error, sql=statement.sql, deny=runtime.settings.deny)
    return f"It would fail as things are: {reason}. {await _remedy(statement, reason, runtime)}".strip()


async def _remedy(statement: Statement, reason: str, runtime: Runtime) -> str:
    if "row-level security" in reason:
        return "Write a policy for agent_actor, if it is to be allowed."
    if statement.kind in _DATA_KINDS:
        return "Run `agent setup`, if it is to be allowed."
    if runtime.settings.actor_rights == "data":
        return "agent_actor changes rows only: to let it change tables, set AGENT_ACTOR_RIGHTS=schema and run `agent setup`."
    async with runtime.app.connection("agent_assessor") as conn:
        names = {"names": list(statement.objects)}
        rows = await rows_as_application(conn, _QUERIES["foreign_owners"], names)
    remedies = [
        f"{row['name']} belongs to {row['owner']!r}, which is more than an owner of tables, so agent_actor gets none of its rights:"
        f" give the table to a role of the application's own (ALTER TABLE {row['name']} OWNER TO ...), then run `agent setup`."
        for row in rows[:3]
    ]
    return " ".join(remedies) or "Run `agent setup`: it gives agent_actor the rights on what is new."
