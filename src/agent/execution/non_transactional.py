"""Statements that refuse a transaction: VACUUM, and what is done CONCURRENTLY with an index.

They cannot be tried or taken back, and no row of the log can commit with them. So how things stand is noted before, with
the session that does it; after a crash one waits until that session is gone and compares: the new index is there and
valid, the dropped one is not there, the rebuilt ones have other numbers, the table was vacuumed. What neither happened nor
did not happen (an invalid index was left behind) is told with the statement that clears it away.
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
from agent.db.failures import in_a_log, statement_failure
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
    """How such a statement is carried out, and looked for after a crash."""
    assert refuses_transaction(statement)  # noqa: S101  # the others are held by a transaction
    return NonTransactionalEffect(
        carry_out=_carry_out, look=_look, seconds=runtime.settings.statement_timeout + _MARGIN
    )


def verdict(statement: Statement, before: Mapping[str, Any], after: Mapping[str, Any]) -> Happened:
    """Whether it happened, by how things stood before and after. Raises `StatementFailed` for a half done one."""
    if statement.kind == "VacuumStmt":
        return _vacuumed(statement, before["vacuums"], after["vacuums"])
    old, new = before["indexes"], after["indexes"]
    left = left_behind(old, new)
    if left:
        raise StatementFailed(f"It was broken off. {left}")
    if statement.kind == "DropStmt":
        gone = [name for name in old if name not in new]
        return "done" if len(gone) == len(old) else "unknown" if gone else "not-done"
    numbers = {number for number, _ in old.values()}
    made = [number for number, _ in new.values() if number not in numbers]
    if statement.kind == "IndexStmt":
        return "done" if len(made) == 1 else "unknown" if made else "not-done"
    return "done" if len(made) == len(new) else "unknown" if made else "not-done"


def left_behind(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What to do about indexes that are invalid now and were not before; '' where there are none."""
    broken = sorted(name for name, (number, valid) in new.items() if not valid and [number, False] not in old.values())
    statements = "; ".join(f"DROP INDEX CONCURRENTLY {name}" for name in broken)
    return f"It left an invalid index behind, which this removes: {statements}" if broken else ""


def _vacuumed(statement: Statement, old: Mapping[str, int], new: Mapping[str, int]) -> Happened:
    if not old or "full" in option_names(statement.node.options):  # VACUUM FULL counts nowhere
        return "unknown"
    more = [name for name, count in new.items() if count > old.get(name, 0)]
    return "done" if len(more) == len(new) else "unknown" if more else "not-done"


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
            _log.warning("connection_lost", approval_id=approval.id, error=in_a_log(error))
        else:
            return _done(approval, statement)
    return await _after_loss(approval, statement, key, runtime)


async def _note(conn: Connection, statement: Statement, approval: Approval, runtime: Runtime) -> dict[str, Any]:
    whose = {"tenant_id": runtime.tenant_id, "approval_id": approval.id}
    row = await runtime.one(_QUERIES["seen"], **whose)
    seen = row["before"] if row else None
    limits = {
        "statement_ms": str(int(runtime.settings.statement_timeout * 1000)), "lock_ms": str(_LOCK_MS),
    }  # fmt: skip
    session = await fetch_one(conn, _QUERIES["session_limits"], limits) or {}
    before = {**await _state(conn, statement), "pid": session["pid"], "started": session["started"]}
    noted = await runtime.one(
        _QUERIES["note"], **whose, before=Jsonb(before), seen=Jsonb(seen) if seen is not None else None
    )
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
    row = await runtime.one(_QUERIES["seen"], approval_id=approval.id)
    before = row["before"] if row else None
    if before is None:  # noted before it begins
        return "not-done"
    async with runtime.app.connection("agent_actor") as conn:
        lives = await _lives(conn, before)
        while lives:  # its statement has a time limit
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
