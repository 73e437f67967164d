"""Carries out approved writes, each exactly once, whoever is killed when.

Where the application shares the agent's database, the effect and its row in the log are one transaction, guarded by
the row's claim and a unique index. In a database apart the intent is written first, with the number of the effect's
transaction before it commits; after a crash that server says whether it did, and only if it has forgotten is a human
asked. For an effect outside of any database the intent is written first too, and its tool looks. Nothing is ever
repeated on a guess.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg.types.json import Jsonb

from agent.approval.audit_sealing import seal_soon
from agent.approval.human_approval import Approval
from agent.db import Connection, load_queries
from agent.db.failures import statement_failure
from agent.errors import ActionRefused, AgentError, AgentStopped, OutcomeUnknown, StatementFailed
from agent.execution.acting import Outcome, actor_transaction, run_statement
from agent.execution.json_values import shorten, size_of
from agent.execution.log import loggable
from agent.execution.preview import changed_tables, changes_since, difference
from agent.execution.proposals import Outside, idempotency_key
from agent.execution.sessions import failure
from agent.execution.sql_parsing import Statement
from agent.learning.privacy import DenyList
from agent.runtime import Runtime
from agent.types import ToolResult

_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)
_RETRIES = 3
_POLL = 0.1
_LEASE_MARGIN = 15.0
_LOOK = "Whether it happened is not known, so it is not repeated: look, then ask again if it did not."
# Nothing happened, and the same again may work.
_TRANSIENT = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)


async def recorded(approval_id: int, *, runtime: Runtime) -> dict[str, Any] | None:
    """The row of the approval's one execution, if there is one; `held` says that its process may still be at work."""
    values = {"tenant_id": runtime.tenant_id, "approval_id": approval_id}
    async with runtime.connection() as conn:
        return await (await conn.execute(_QUERIES["of_approval"], values)).fetchone()


async def left_over(*, runtime: Runtime) -> list[int]:
    """Approved actions that nobody has executed and nobody is at work on, in the order of their decisions."""
    values = {"tenant_id": runtime.tenant_id, "database_id": runtime.database_id}
    async with runtime.connection() as conn:
        rows = await (await conn.execute(_QUERIES["left_over"], values)).fetchall()
    return [row["id"] for row in rows]


async def carry_out(approval: Approval, effect: Statement | Outside, *, runtime: Runtime) -> ToolResult:
    """Execute what was approved once and return its recorded outcome, whoever executed it."""
    lease = _lease(effect, runtime)
    patience = time.monotonic() + lease.total_seconds() + 5
    while True:
        row = await recorded(approval.id, runtime=runtime)
        if row is not None and row["status"] != "running":
            return outcome_of(row)
        claim = None
        if row is None or not row["held"]:
            claim = await _claim("take_over" if row else "claim", approval.id, lease, runtime=runtime)
        if claim is not None and row is not None:
            return await _after_crash(approval, effect, row, claim, runtime=runtime)
        if claim is not None:
            try:
                return await _execute(approval, effect, claim, runtime=runtime)
            except (asyncio.CancelledError, AgentStopped):
                await asyncio.shield(_release(approval.id, claim, runtime=runtime))
                raise
        if time.monotonic() > patience:
            return ToolResult(
                success=False, status="running", approval_id=approval.id,
                error="Another process is still executing this approval; look again later.",
            )  # fmt: skip
        await asyncio.sleep(_POLL)


def outcome_of(row: Mapping[str, Any]) -> ToolResult:
    """What the log says about an execution, as a tool's result."""
    result = ToolResult(
        success=row["status"] == "succeeded",
        status=row["status"],
        execution_id=row["id"],
        approval_id=row["approval_id"],
    )
    kept: ToolResult = row["result"] or ToolResult()
    result.update(kept)
    if row["error"]:
        result["error"] = row["error"]
    return result


async def _claim(query: str, approval_id: int, lease: timedelta, *, runtime: Runtime) -> UUID | None:
    values = {"tenant_id": runtime.tenant_id, "approval_id": approval_id, "lease": lease}
    async with runtime.connection() as conn:
        row = await (await conn.execute(_QUERIES[query], values)).fetchone()
    return row["claim"] if row else None


async def _release(approval_id: int, claim: UUID, *, runtime: Runtime) -> None:
    values = {"tenant_id": runtime.tenant_id, "approval_id": approval_id, "claim": claim}
    async with runtime.connection() as conn:
        await conn.execute(_QUERIES["release"], values)


def _lease(effect: Statement | Outside, runtime: Runtime) -> timedelta:
    # Longer than the effect can take: it has a time limit.
    seconds = effect.seconds if isinstance(effect, Outside) else runtime.settings.statement_timeout
    return timedelta(seconds=seconds + _LEASE_MARGIN)


async def _execute(approval: Approval, effect: Statement | Outside, claim: UUID, *, runtime: Runtime) -> ToolResult:
    if isinstance(effect, Outside):
        await _outside(approval, effect, claim, runtime=runtime)
    else:
        await _in_database(approval, effect, claim, runtime=runtime)
    row = await recorded(approval.id, runtime=runtime)
    if row is None or row["status"] == "running":
        raise ActionRefused(f"Approval {approval.id} was taken over by another process; ask for its outcome again.")
    seal_soon(runtime)
    _log.info("approval_executed", approval_id=approval.id, status=row["status"])
    return outcome_of(row)


async def _outside(approval: Approval, effect: Outside, claim: UUID, *, runtime: Runtime) -> None:
    """Do what no transaction holds: the intent first, then the effect, then what came of it."""
    started = time.monotonic()
    key = {"tenant_id": runtime.tenant_id, "approval_id": approval.id, "claim": claim}
    if await recorded(approval.id, runtime=runtime) is None:
        await _write("record_intent", key, runtime=runtime)
    try:
        async with asyncio.timeout(effect.seconds):
            result = await effect.carry_out(approval, key=idempotency_key(approval), runtime=runtime)
    except (OutcomeUnknown, TimeoutError) as error:
        reason = str(error) or f"It took longer than {effect.seconds:g} s."
        result = ToolResult(success=False, status="unknown", error=f"{reason} {_LOOK}")
    except AgentError as error:
        result = ToolResult(success=False, status="failed", error=str(error))
    error_text = result.pop("error", None)
    values = {
        **key, "status": result.get("status", "failed"), "result": Jsonb(loggable(result)),
        "row_count": result.get("row_count"), "error": loggable(error_text), "elapsed_ms": _since(started),
    }  # fmt: skip
    await _write("record_outcome", values, runtime=runtime)


async def _in_database(approval: Approval, statement: Statement, claim: UUID, *, runtime: Runtime) -> None:
    attempt = _shared if runtime.shared else _apart
    for remaining in reversed(range(_RETRIES)):
        try:
            await attempt(approval, statement, claim, runtime=runtime)
            break
        except _TRANSIENT as error:
            if not remaining:
                await _fail(approval, claim, failure(error, runtime.settings.statement_timeout), runtime=runtime)
        except psycopg.errors.UniqueViolation as error:
            # Somebody else was first; or it is the statement's own violation, and then no row is recorded.
            if await recorded(approval.id, runtime=runtime) is None or not runtime.shared:
                await _fail(approval, claim, failure(error, runtime.settings.statement_timeout), runtime=runtime)
            break
        except psycopg.Error as error:
            await _failed(approval, claim, error, runtime=runtime)
            break
        except StatementFailed as error:
            await _fail(approval, claim, error, runtime=runtime)
            break


async def _failed(approval: Approval, claim: UUID, error: psycopg.Error, *, runtime: Runtime) -> None:
    """A driver error: ours to pass on when the database or the switches are at fault, else the statement's failure."""
    operator = statement_failure(error)
    if operator is not None:
        raise operator from error
    text = error.diag.message_primary or ""
    if isinstance(error, psycopg.errors.InsufficientPrivilege) and "the agent is stopped or read-only" in text:
        raise AgentStopped(
            "The agent is stopped or in read-only mode; the approval stays open until it is lifted."
        ) from error
    if isinstance(error, psycopg.errors.InsufficientPrivilege) and "claimed by another process" in text:
        return
    await _fail(approval, claim, failure(error, runtime.settings.statement_timeout), runtime=runtime)


async def _shared(approval: Approval, statement: Statement, claim: UUID, *, runtime: Runtime) -> None:
    started = time.monotonic()
    key = {"approval_id": approval.id, "claim": claim}
    async with actor_transaction(runtime, keep=True) as conn:
        row = await (await conn.execute(_QUERIES["begin_effect"], key)).fetchone()
        outcome = await _run(conn, approval, statement, runtime=runtime)
        result = result_of(approval, statement, outcome, deny=runtime.settings.deny, runtime=runtime)
        result["execution_id"] = row["execution_id"] if row else 0
        await conn.execute(
            _QUERIES["finish_effect"],
            {**key, "result": Jsonb(result), "row_count": outcome.row_count, "elapsed_ms": _since(started)},
        )


async def _apart(approval: Approval, statement: Statement, claim: UUID, *, runtime: Runtime) -> None:
    started = time.monotonic()
    key = {"tenant_id": runtime.tenant_id, "approval_id": approval.id, "claim": claim}
    if await recorded(approval.id, runtime=runtime) is None:
        await _write("record_intent", key, runtime=runtime)
    async with actor_transaction(runtime, keep=True) as conn:
        outcome = await _run(conn, approval, statement, runtime=runtime)
        row = await (await conn.execute(_QUERIES["transaction_id"])).fetchone()
        await _write("record_transaction", {**key, "id": row["id"] if row else ""}, runtime=runtime)
    result = result_of(approval, statement, outcome, deny=runtime.settings.deny, runtime=runtime)
    values = {
        **key, "status": "succeeded", "result": Jsonb(result), "row_count": outcome.row_count, "error": None,
        "elapsed_ms": _since(started),
    }  # fmt: skip
    await _write("record_outcome", values, runtime=runtime)


async def _write(query: str, values: Mapping[str, Any], *, runtime: Runtime) -> None:
    async with runtime.connection() as conn:
        row = await (await conn.execute(_QUERIES[query], values)).fetchone()
    if row is None:
        raise ActionRefused("Another process took this approval over; nothing more was done here.")


async def _run(conn: Connection, approval: Approval, statement: Statement, *, runtime: Runtime) -> Outcome:
    version = (await runtime.app.facts("agent_actor")).version
    before = await changed_tables(conn)
    outcome = await run_statement(conn, statement, version=version, most_rows=runtime.settings.max_rows)
    shown = approval.preview or {}
    if shown.get("row_count") is not None:
        await conn.execute("SET CONSTRAINTS ALL IMMEDIATE")  # as in the preview: what they do counts too
        other = difference(shown, outcome, changes_since(before, await changed_tables(conn)))
        if other:
            raise StatementFailed(f"Not executed: {other}. Propose it again, so that a human sees it as it is now.")
    return outcome


async def _fail(approval: Approval, claim: UUID, error: Exception, *, runtime: Runtime) -> None:
    if not isinstance(error, AgentError):
        raise error
    values = {
        "tenant_id": runtime.tenant_id, "approval_id": approval.id, "claim": claim, "error": loggable(str(error)),
        "result": Jsonb({"sql": (approval.preview or {}).get("sql", "")}), "elapsed_ms": None, "row_count": None,
        "status": "failed",
    }  # fmt: skip
    async with runtime.connection() as conn:
        updated = await (await conn.execute(_QUERIES["record_outcome"], values)).fetchone()
        if updated is None:
            await conn.execute(_QUERIES["record_failure"], values)


async def _after_crash(
    approval: Approval, effect: Statement | Outside, row: Mapping[str, Any], claim: UUID, *, runtime: Runtime
) -> ToolResult:
    """An intent without an outcome, its process gone: ask who can know whether it happened."""
    if isinstance(effect, Outside):
        return await _look(approval, effect, claim, runtime=runtime)
    outcome = await _transaction_outcome(row, runtime=runtime)
    while outcome == "in progress":  # its statement has a time limit
        await asyncio.sleep(_POLL)
        outcome = await _transaction_outcome(row, runtime=runtime)
    status, error = _proof(outcome)
    values = {
        "tenant_id": runtime.tenant_id, "approval_id": approval.id, "claim": claim, "status": status, "error": error,
        "result": Jsonb({"sql": (approval.preview or {}).get("sql", "")}), "elapsed_ms": None,
        "row_count": (approval.preview or {}).get("row_count") if status == "succeeded" else None,
    }  # fmt: skip
    return await _settle(values, runtime=runtime)


async def _settle(values: Mapping[str, Any], *, runtime: Runtime) -> ToolResult:
    """Record what a crash left open, and return what is recorded."""
    await _write("record_outcome", values, runtime=runtime)
    seal_soon(runtime)
    _log.warning("execution_recovered", approval_id=values["approval_id"], status=values["status"])
    latest = await recorded(values["approval_id"], runtime=runtime)
    assert latest is not None  # noqa: S101  # its row was just written
    return outcome_of(latest)


async def _look(approval: Approval, effect: Outside, claim: UUID, *, runtime: Runtime) -> ToolResult:
    happened = await effect.look(approval, key=idempotency_key(approval), runtime=runtime)
    if happened == "not-done":
        return await _execute(approval, effect, claim, runtime=runtime)
    told = {"done": None, "unknown": f"The process died while it was being done. {_LOOK}"}[happened]
    values = {
        "tenant_id": runtime.tenant_id, "approval_id": approval.id, "claim": claim, "elapsed_ms": None, "row_count": None,
        "status": "succeeded" if happened == "done" else "unknown", "error": told, "result": Jsonb({}),
    }  # fmt: skip
    return await _settle(values, runtime=runtime)


async def _transaction_outcome(row: Mapping[str, Any], *, runtime: Runtime) -> str | None:
    identifier = (row["result"] or {}).get("transaction")
    if not identifier:
        # The number is stored before the commit is sent: without it there was no commit.
        return "aborted"
    async with runtime.app.connection("agent_actor") as conn:
        try:
            found = await (await conn.execute(_QUERIES["transaction_outcome"], {"id": identifier})).fetchone()
        except psycopg.Error as error:
            _log.warning("transaction_unknown", error=str(error))
            return None
    return found["outcome"] if found else None


def _proof(outcome: str | None) -> tuple[str, str | None]:
    if outcome == "committed":
        return "succeeded", None
    if outcome == "aborted":
        return "failed", "The process died before the change was committed: nothing was done. Ask again."
    return (
        "unknown",
        "The process died while the change was committed, and the server cannot tell the outcome. Look, then ask again.",
    )


def result_of(approval: Approval, statement: Statement, outcome: Outcome, *, deny: str, runtime: Runtime) -> ToolResult:
    """The outcome as the model is told it: denied columns left out, capped."""
    result = ToolResult(
        success=True, status="succeeded", sql=statement.sql, row_count=outcome.row_count or 0, approval_id=approval.id,
        message=_told(outcome),
    )  # fmt: skip
    columns, rows = _read_back(statement, outcome, deny)
    if columns:
        kept = _within(rows, runtime.settings.max_result_bytes // 4)
        result |= ToolResult(columns=columns, rows=kept, truncated=len(kept) < (outcome.row_count or 0))
    return result


def _told(outcome: Outcome) -> str:
    if outcome.row_count is None:
        return "Done."
    return f"Done: {outcome.row_count} row{'' if outcome.row_count == 1 else 's'} affected."


def _read_back(statement: Statement, outcome: Outcome, deny: str) -> tuple[list[str], list[list[Any]]]:
    if not outcome.detailed:
        return outcome.columns, outcome.rows
    relation = statement.node.relation
    denied, place = DenyList.parse(deny), (relation.schemaname, relation.relname)
    values = [change.after or change.before or {} for change in outcome.changes]
    columns = [column for column in (values[0] if values else {}) if not denied.column(*place, column)]
    return columns, [[value.get(column) for column in columns] for value in values]


def _within(rows: list[list[Any]], most_bytes: int) -> list[list[Any]]:
    kept: list[list[Any]] = []
    for row in rows:
        cells = [shorten(value, 2_000)[0] for value in row]
        most_bytes -= size_of(cells)
        if most_bytes < 0:
            break
        kept.append(cells)
    return kept


def _since(started: float) -> float:
    return (time.monotonic() - started) * 1000
