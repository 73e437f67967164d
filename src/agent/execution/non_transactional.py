"""Carries out statements that refuse a transaction: VACUUM, and what is done CONCURRENTLY with an index.

They cannot be tried or taken back, and no row of the log can commit with them. So the state of their tables and indexes is
noted before, with the server session that runs the statement. After a crash a process waits until that session has ended
and compares: the new index exists and is valid, the dropped one does not exist, the rebuilt ones have other numbers, the
table was vacuumed. If an invalid index was left behind, the error names the statement that removes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg
import structlog
from psycopg.types.json import Jsonb

from agent.approval.human_approval import Approval
from agent.approval.preview import as_statement
from agent.db import Connection, load_queries
from agent.db.failures import log_message, statement_failure
from agent.db.paths import LOOK_UP_IN_FROM_NOW, OURS, rows_as_application
from agent.db.queries import fetch_one
from agent.db.statement_failures import failure
from agent.errors import ActionRefused, OutcomeUnknown, StatementFailed
from agent.execution.dry_run.preview import check_code
from agent.execution.outside_effects import Happened, NonTransactionalEffect
from agent.runtime import Runtime
from agent.statements.kinds import option_names, refuses_transaction
from agent.statements.parser import Name, Statement, name_of, parse
from agent.types import ToolResult

_QUERIES = load_queries(__package__, "non_transactional.sql")
_log = structlog.get_logger(__name__)
_LOCK_MS = 5_000
_MARGIN = 15.0
_POLL = 0.1


def non_transactional_effect(statement: Statement, runtime: Runtime) -> NonTransactionalEffect:
    """Return how such a statement is carried out, and how its outcome is found out after a crash."""
    assert refuses_transaction(statement)  # noqa: S101  # all others run in a transaction
    return NonTransactionalEffect(
        carry_out=_carry_out, look=_look, seconds=runtime.settings.statement_timeout + _MARGIN
    )


def verdict(statement: Statement, before: Mapping[str, Any], after: Mapping[str, Any]) -> Happened:
    """Judge by the states before and after whether a statement happened. Raises `StatementFailed` for a half done one."""
    if statement.kind == "VacuumStmt":
        return _vacuumed(statement, before["vacuums"], after["vacuums"])
    old, new = before["indexes"], after["indexes"]
    left = left_behind(old, new)
    if left:
        raise StatementFailed(f"It did not finish. {left}")
    if statement.kind == "DropStmt":
        dropped = [name for name in old if name not in new]
        return _judged(len(dropped), of=len(old))
    numbers = {number for number, _ in old.values()}
    created = [number for number, _ in new.values() if number not in numbers]
    return _judged(len(created), of=1 if statement.kind == "IndexStmt" else len(new))


def _judged(count: int, *, of: int) -> Happened:
    return "done" if count == of else "unknown" if count else "not-done"


def left_behind(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return what to do about indexes that are invalid now and were not before; '' where there are none."""
    broken = sorted(name for name, (number, valid) in new.items() if not valid and [number, False] not in old.values())
    statements = "; ".join(f"DROP INDEX CONCURRENTLY {name}" for name in broken)
    return f"It left an invalid index behind, which this removes: {statements}" if broken else ""


def _vacuumed(statement: Statement, old: Mapping[str, int], new: Mapping[str, int]) -> Happened:
    if not old or "full" in option_names(statement.node.options):  # VACUUM FULL counts nowhere
        return "unknown"
    vacuumed = [name for name, count in new.items() if count > old.get(name, 0)]
    return _judged(len(vacuumed), of=len(new))


def _targets(statement: Statement) -> list[Name]:
    if statement.kind == "DropStmt":
        return [name_of(part.list.items) for part in statement.node.objects]
    return sorted(statement.names.relations)


async def _carry_out(approval: Approval, *, key: str, runtime: Runtime) -> ToolResult:
    shown = as_statement(approval.preview)
    statement = parse(shown.sql)
    await check_code(shown, statement, runtime=runtime)
    async with runtime.app.connection("agent_actor") as conn:
        before = await _note(conn, statement, approval, runtime)
        try:
            await conn.execute(LOOK_UP_IN_FROM_NOW, [conn.application_path])
            try:
                # Binary: the extended protocol, which takes one statement only.
                await conn.execute(statement.sql.encode(), binary=True)
            finally:
                if not conn.closed:
                    await conn.execute(LOOK_UP_IN_FROM_NOW, [OURS])
        except psycopg.Error as error:
            if statement_failure(error) is None:
                left = left_behind(before["indexes"], (await _state(conn, statement))["indexes"])
                raise StatementFailed(
                    f"{failure(error, runtime.settings, sql=statement.sql)} {left}".strip()
                ) from error
            _log.warning("connection_lost", approval_id=approval.id, error=log_message(error))
        else:
            return _done(approval, statement)
    return await _after_loss(approval, statement, key, runtime)


async def _note(conn: Connection, statement: Statement, approval: Approval, runtime: Runtime) -> dict[str, Any]:
    key = {"tenant_id": runtime.tenant_id, "approval_id": approval.id}
    row = await runtime.one(_QUERIES["noted"], **key)
    noted_before = row["before"] if row else None
    limits = {
        "statement_ms": str(int(runtime.settings.statement_timeout * 1000)), "lock_ms": str(_LOCK_MS),
    }  # fmt: skip
    session = await fetch_one(conn, _QUERIES["session_limits"], limits) or {}
    before = {**await _state(conn, statement), "pid": session["pid"], "started": session["started"]}
    earlier = Jsonb(noted_before) if noted_before is not None else None
    noted = await runtime.one(_QUERIES["note"], **key, before=Jsonb(before), earlier=earlier)
    if noted is None:
        raise ActionRefused("Another process took this over; nothing was done here.")
    return before


async def _after_loss(approval: Approval, statement: Statement, key: str, runtime: Runtime) -> ToolResult:
    happened = await _look(approval, key=key, runtime=runtime)
    if happened == "unknown":
        raise OutcomeUnknown("The connection was lost while it ran.")
    if happened == "not-done":
        raise StatementFailed("The connection was lost while it ran, and nothing was done.")
    return _done(approval, statement)


async def _look(approval: Approval, *, key: str, runtime: Runtime) -> Happened:
    statement = parse(as_statement(approval.preview).sql)
    row = await runtime.one(_QUERIES["noted"], approval_id=approval.id)
    before = row["before"] if row else None
    if before is None:  # a statement that begins has its state noted
        return "not-done"
    async with runtime.app.connection("agent_actor") as conn:
        lives = await _lives(conn, before)
        while lives:  # not for ever: its statement has a time limit
            await asyncio.sleep(_POLL)
            lives = await _lives(conn, before)
        return verdict(statement, before, await _state(conn, statement))


async def _lives(conn: Connection, before: Mapping[str, Any]) -> bool:
    row = await fetch_one(conn, _QUERIES["backend_lives"], before)
    return bool(row and row["lives"])


async def _state(conn: Connection, statement: Statement) -> dict[str, Any]:
    targets = _targets(statement)
    values = {"schemas": [target.schema for target in targets], "names": [target.name for target in targets]}
    (row,) = await rows_as_application(conn, _QUERIES["state"], values)
    return {"indexes": row["indexes"] or {}, "vacuums": row["vacuums"] or {}}


def _done(approval: Approval, statement: Statement) -> ToolResult:
    return ToolResult(success=True, status="succeeded", sql=statement.sql, approval_id=approval.id, message="Done.")
