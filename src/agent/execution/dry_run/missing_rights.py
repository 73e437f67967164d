"""Explains which right agent_actor lacks for a statement, and how an operator grants it."""

from __future__ import annotations

import psycopg

from agent.db import load_queries
from agent.db.paths import rows_as_application
from agent.db.server_messages import message_of
from agent.runtime import Runtime
from agent.statements.parser import Statement

_QUERIES = load_queries(__package__)
DATA_KINDS = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})


# They are not tried, because they refuse a transaction or may run any code.
_UNTRIED_KINDS = frozenset({"CreateTableAsStmt", "IndexStmt", "DropStmt", "ReindexStmt"})
_ROWS_ONLY = (
    "agent_actor changes rows only: to let it change tables, set AGENT_ACTOR_RIGHTS=schema and run `agent setup`."
)


async def why_it_must_fail(statement: Statement, *, runtime: Runtime) -> str:
    """Return why a statement that is not tried fails in any case: agent_actor owns no table and may create none; else ''."""
    if statement.kind not in _UNTRIED_KINDS or runtime.settings.actor_rights != "data":
        return ""
    async with runtime.app.connection("agent_actor") as conn:
        (row,) = await rows_as_application(conn, _QUERIES["rights_on_tables"])
    return "" if row["has_some"] else f"It would fail as things are. {_ROWS_ONLY}"


async def what_is_missing(
    statement: Statement, error: psycopg.errors.InsufficientPrivilege, *, runtime: Runtime
) -> str:
    """Return, for the approver, why the statement would fail as things are, and what to run."""
    reason = message_of(error, sql=statement.sql, deny=runtime.settings.deny)
    return f"It would fail as things are: {reason}. {await _remedy(statement, reason, runtime)}".strip()


async def _remedy(statement: Statement, reason: str, runtime: Runtime) -> str:
    if "row-level security" in reason:
        return "Write a policy for agent_actor, if it is to be allowed."
    if statement.kind in DATA_KINDS:
        return "Run `agent setup`, if it is to be allowed."
    if runtime.settings.actor_rights == "data":
        return _ROWS_ONLY
    async with runtime.app.connection("agent_assessor") as conn:
        names = {"names": list(statement.objects)}
        rows = await rows_as_application(conn, _QUERIES["foreign_owners"], names)
    remedies = [
        f"{row['name']} belongs to {row['owner']!r}, which is more than an owner of tables, so agent_actor gets none of its rights:"
        f" give the table to a role of the application's own (ALTER TABLE {row['name']} OWNER TO ...), then run `agent setup`."
        for row in rows[:3]
    ]
    return " ".join(remedies) or "Run `agent setup`: it gives agent_actor the rights on what is new."
