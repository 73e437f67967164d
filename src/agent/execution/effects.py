"""Carries out an approved effect exactly once, also when processes race for it or are killed at any moment.

A process claims an approval for a time and executes it; the claim alone does not make it happen once. In a database that
the agent shares with the application, the effect and its row in the log are one transaction, and the log takes one row for
each approval. In a separate database the intent is logged first, and the holder of the claim logs the number of the
effect's transaction before it commits; a process that takes over asks that server whether it committed. Before an effect
outside of any transaction the intent is logged too, and a process that takes over looks whether it happened. An effect that
provably did not happen is carried out then. If nobody can tell, a human is asked: nothing is repeated on a guess.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, LiteralString
from uuid import UUID

import psycopg
import structlog
from psycopg.types.json import Jsonb

from agent.approval.human_approval import Approval
from agent.approval.preview import StatementPreview, as_statement
from agent.audit.sealing import seal_soon
from agent.db import Connection, load_queries
from agent.db.failures import log_message, statement_failure
from agent.db.queries import fetch_one
from agent.db.statement_failures import failure
from agent.errors import (
    ActionRefused,
    AgentError,
    AgentStopped,
    DatabaseUnavailable,
    OutcomeUnknown,
    RowsChanged,
    StatementFailed,
)
from agent.execution.controls import controls
from agent.execution.digests import load_key
from agent.execution.dry_run.preview import check_code, difference, key_of_effects
from agent.execution.dry_run.trials import StatementRun, run_and_observe
from agent.execution.guards.conditions import check_rows, rows_in
from agent.execution.hidden_cells import ApprovedSecrets
from agent.execution.log import loggable
from agent.execution.outside_effects import Happened, NonTransactionalEffect, idempotency_key
from agent.execution.results import outcome_of, recovered_result, result_of, sql_for_model
from agent.execution.writes.kept_rows import keep_values
from agent.execution.writes.statement_runner import actor_transaction
from agent.learning.discovery.secret_columns import secret_columns
from agent.runtime import Runtime
from agent.statements.assessment import use_of_secrets
from agent.statements.parser import Statement
from agent.statements.secret_use import READS
from agent.types import ToolResult

Effect = Statement | NonTransactionalEffect

_QUERIES = load_queries(__package__)
# Marks the outcome of an approval whose rows or values have changed since, so that a human is asked again.
ROWS_CHANGED = "rows_changed"
_log = structlog.get_logger(__name__)
_RETRIES = 3
_POLL = 0.1
_LEASE_MARGIN = 3.0
# If one process dies, the next one tries again; a statement at which every process dies is given up.
_MOST_ATTEMPTS = 10
_LOOK_FIRST = "Whether it happened is not known, so it is not repeated. Look, then say so: agent executions settle"
# Nothing happened, and the same again may work.
_TRANSIENT = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)


class _ClaimLost(Exception):
    """Another process executes this approval now, or has executed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """The right to execute one approval for a time; `attempts` counts the claims that were not released, this one too."""

    approval: Approval
    token: UUID
    attempts: int
    runtime: Runtime

    @property
    def key(self) -> dict[str, Any]:
        approval = self.approval
        return {
            "tenant_id": self.runtime.tenant_id, "approval_id": approval.id, "claim": self.token,
            "executable": approval.executable,
        }  # fmt: skip


async def recorded(approval_id: int, *, runtime: Runtime) -> dict[str, Any] | None:
    """Return the row of the approval's only execution, if there is one; `held` says that a process may be at work on it."""
    return await runtime.one(_QUERIES["of_approval"], approval_id=approval_id)


async def left_over(*, runtime: Runtime) -> list[int]:
    """Return the approvals that no process has executed or executes now, in the order of their decisions."""
    rows = await runtime.all(_QUERIES["left_over"], database_id=runtime.database_id)
    return [row["id"] for row in rows]


async def carry_out(
    approval: Approval, effect: Effect, *, forbidden: ActionRefused | None = None, runtime: Runtime
) -> ToolResult:
    """Execute an approval once and return its recorded outcome, whichever process executed it.

    An effect that is `forbidden` by now is not begun; if it was begun before, its outcome is found out. Status "running"
    says that another process takes longer than this one waits. Raises `AgentStopped` or `DatabaseUnavailable`; the approval
    is then still to be executed.
    """
    lease = _lease(effect, runtime)
    patience = time.monotonic() + 2 * lease.total_seconds()
    lost = False
    while time.monotonic() < patience:
        row = await recorded(approval.id, runtime=runtime)
        if row is not None and row["status"] != "running":
            return outcome_of(row)
        claim = None if row is not None and row["held"] else await _claim(approval, lease, runtime=runtime)
        if claim is None:
            await asyncio.sleep(_POLL)
            continue
        try:
            await _execute(claim, effect, fresh=row is None, forbidden=forbidden)
        except _ClaimLost:
            _log.info("claim_lost", approval_id=approval.id)
        except DatabaseUnavailable:
            if lost:
                raise
            lost = True  # perhaps only the server's answer was lost: look once
    return ToolResult(
        success=False, status="running", approval_id=approval.id,
        error="Another process is still executing this approval; look again later.",
    )  # fmt: skip


async def _claim(approval: Approval, lease: timedelta, *, runtime: Runtime) -> _Claim | None:
    row = await runtime.one(_QUERIES["claim"], approval_id=approval.id, executable=approval.executable, lease=lease)
    return _Claim(approval=approval, token=row["claim"], attempts=row["attempts"], runtime=runtime) if row else None


async def _release(claim: _Claim) -> None:
    """Give the claim back, so that other processes need not wait until it runs out."""
    try:
        async with claim.runtime.connection() as conn:
            await conn.execute(_QUERIES["release"], claim.key)
    except (AgentError, psycopg.Error) as error:
        _log.warning("claim_not_released", approval_id=claim.approval.id, error=str(error))


def _lease(effect: Effect, runtime: Runtime) -> timedelta:
    # Longer than the effect should take, so that others rarely take over; correctness does not depend on it.
    seconds = effect.seconds if isinstance(effect, NonTransactionalEffect) else runtime.settings.statement_timeout
    return timedelta(seconds=seconds + _LEASE_MARGIN)


async def _execute(claim: _Claim, effect: Effect, *, fresh: bool, forbidden: ActionRefused | None) -> None:
    """Bring an approval to its outcome as the holder of its claim; `fresh` says that nobody began it before."""
    finished = False
    try:
        if claim.attempts > _MOST_ATTEMPTS:
            given_up = (
                f"It was begun {_MOST_ATTEMPTS} times, and each time the process or the server died: not tried again."
            )
            forbidden = forbidden or ActionRefused(given_up)
        if fresh and forbidden is None:
            await _begin(claim, effect)
        else:
            await _take_over(claim, effect, forbidden)
        finished = True
    finally:
        if not finished:
            await asyncio.shield(_release(claim))
    seal_soon(claim.runtime)
    _log.info("approval_executed", approval_id=claim.approval.id)


async def _begin(claim: _Claim, effect: Effect) -> None:
    if isinstance(effect, Statement) and claim.runtime.shared:
        await _in_database(claim, effect, shared=True)
        return
    try:
        await _write("record_intent", claim.key, runtime=claim.runtime)
    except psycopg.errors.UniqueViolation as error:
        raise _ClaimLost from error
    except _ClaimLost:
        await controls.check(writing=True, runtime=claim.runtime)
        raise
    await _after_intent(claim, effect)


async def _after_intent(claim: _Claim, effect: Effect) -> None:
    if isinstance(effect, NonTransactionalEffect):
        await _outside_transaction(claim, effect)
    else:
        await _in_database(claim, effect, shared=False)


async def _take_over(claim: _Claim, effect: Effect, forbidden: ActionRefused | None) -> None:
    """Find out whether an effect that another process may have begun happened, and go on from there."""
    row = await recorded(claim.approval.id, runtime=claim.runtime)
    if row is not None and row["status"] != "running":
        return
    try:
        happened = await _find_out(claim, effect, row)
    except StatementFailed as error:  # it was begun, and broke off
        await _fail(claim, error)
        return
    if happened == "not-done" and forbidden is not None:
        await _fail(claim, forbidden, status="refused")
    elif happened == "not-done":
        await _after_intent(claim, effect)
    else:
        await _record_recovered(claim, happened, row)
        _log.warning("execution_recovered", approval_id=claim.approval.id, happened=happened)


async def _find_out(claim: _Claim, effect: Effect, row: Mapping[str, Any] | None) -> Happened:
    """Return whether the effect of an approval happened, whose row in the log is `row`. Raises `StatementFailed`."""
    if row is None:
        return "not-done"
    if isinstance(effect, NonTransactionalEffect):
        return await effect.look(claim.approval, key=idempotency_key(claim.approval), runtime=claim.runtime)
    number = (row["result"] or {}).get("transaction")
    if "before" in (row["result"] or {}):  # its statement refuses a transaction, and its text may not be read any more
        return "unknown"
    if number is None:  # the claim's holder stores it before it sends the COMMIT
        return "not-done"
    outcome = await _transaction_outcome(number, runtime=claim.runtime)
    patience = time.monotonic() + claim.runtime.settings.statement_timeout
    while outcome == "in progress":  # the statement has a time limit; its COMMIT may wait for a standby for ever
        if time.monotonic() > patience:
            raise _ClaimLost
        await asyncio.sleep(_POLL)
        outcome = await _transaction_outcome(number, runtime=claim.runtime)
    return {"committed": "done", "aborted": "not-done"}.get(outcome or "", "unknown")  # type: ignore[return-value]  # of these three


async def _transaction_outcome(number: Mapping[str, Any], *, runtime: Runtime) -> str | None:
    """Ask the server for a transaction's outcome; None when it does not know it, or is not the server that ran it."""
    async with runtime.app.connection("agent_actor") as conn:
        try:
            row = await fetch_one(conn, _QUERIES["transaction_outcome"], number)
        except psycopg.Error as error:
            operator = statement_failure(error)
            if operator is not None:
                raise operator from error
            _log.warning("transaction_unknown", error=log_message(error))
            return None
    return row["outcome"] if row else None


async def _record_recovered(claim: _Claim, happened: Happened, row: Mapping[str, Any] | None) -> None:
    number, done = row["id"] if row else 0, happened == "done"
    values = {
        **claim.key, "elapsed_ms": None, "result": Jsonb(recovered_result(claim.approval, done=done)),
        "status": "succeeded" if done else "unknown",
        "row_count": as_statement(claim.approval.preview).row_count if done else None,
        "error": None if done else f"The process died while it was being done. {_LOOK_FIRST} {number}",
    }  # fmt: skip
    await _write("record_outcome", values, runtime=claim.runtime)


async def _outside_transaction(claim: _Claim, effect: NonTransactionalEffect) -> None:
    """Carry out an effect that no transaction holds and record its outcome; its intent is logged."""
    started = time.monotonic()
    row = await recorded(claim.approval.id, runtime=claim.runtime)
    look = f"{_LOOK_FIRST} {row['id'] if row else 0}"
    try:
        async with asyncio.timeout(effect.seconds):
            result = await effect.carry_out(claim.approval, key=idempotency_key(claim.approval), runtime=claim.runtime)
    except TimeoutError:
        result = ToolResult(success=False, status="unknown", error=f"It took longer than {effect.seconds:g} s. {look}")
    except OutcomeUnknown as error:
        result = ToolResult(success=False, status="unknown", error=f"{error} {look}")
    except RowsChanged as error:
        result = ToolResult(success=False, status="failed", error=str(error), data={ROWS_CHANGED: True})
    except AgentError as error:
        result = ToolResult(success=False, status="failed", error=str(error))
    error_text = result.pop("error", None)
    values = {
        **claim.key, "status": result.get("status", "failed"), "result": Jsonb(loggable(result)),
        "row_count": result.get("row_count"), "error": loggable(error_text), "elapsed_ms": _milliseconds_since(started),
    }  # fmt: skip
    await _write("record_outcome", values, runtime=claim.runtime)


async def _in_database(claim: _Claim, statement: Statement, *, shared: bool) -> None:
    attempt = _in_shared_database if shared else _in_separate_database
    settings = claim.runtime.settings
    secrets = await _secrets_of(claim, statement)
    failed: AgentError | None = None
    for _ in range(_RETRIES):
        try:
            return await attempt(claim, statement, secrets)
        except _TRANSIENT as error:
            failed = failure(error, settings, sql=statement.sql)
        except psycopg.Error as error:
            # Code of the application can raise the very same error: only the row itself says that another process was first.
            second = shared and _is_second_execution(error)
            if second and await recorded(claim.approval.id, runtime=claim.runtime) is not None:
                raise _ClaimLost from error
            operator = statement_failure(error)
            if operator is not None:
                raise operator from error
            failed = failure(error, settings, sql=statement.sql)
            break
        except ActionRefused as error:
            return await _fail(claim, error, status="refused")
        except StatementFailed as error:
            failed = error
            break
    assert failed is not None  # noqa: S101  # the loop ends by returning otherwise
    return await _fail(claim, failed)


def _is_second_execution(error: psycopg.Error) -> bool:
    """Return whether the error says that the log has the approval's row already, and is not of the application's tables."""
    return (error.diag.schema_name, error.diag.constraint_name) == ("agents", "agent_execution_log_approval")


async def _secrets_of(claim: _Claim, statement: Statement) -> ApprovedSecrets:
    """Return what the statement's result may show of secrets: nothing where its use of them cannot be worked out."""
    columns = await secret_columns(claim.runtime)
    opened = READS in claim.approval.reasons
    try:
        use = await use_of_secrets(statement, runtime=claim.runtime)
    except StatementFailed:  # it will fail by itself
        return ApprovedSecrets(columns=columns, opened=opened)
    return ApprovedSecrets(use=use, columns=columns, opened=opened)


async def _in_shared_database(claim: _Claim, statement: Statement, secrets: ApprovedSecrets) -> None:
    started = time.monotonic()
    key = {"approval_id": claim.approval.id, "claim": claim.token}
    async with actor_transaction(claim.runtime, keep=True, steady=_watches(claim.approval)) as conn:
        execution_id = await _begin_effect(conn, key)
        run = await _run(conn, claim, statement)
        if run.images:
            await conn.execute(*_keep_images_query(run.images, claim))
        result = result_of(claim.approval, statement, run, secrets, runtime=claim.runtime)
        result["execution_id"] = execution_id
        await conn.execute(
            _QUERIES["finish_effect"],
            {
                **key,
                "result": Jsonb(result),
                "row_count": run.outcome.row_count,
                "elapsed_ms": _milliseconds_since(started),
            },
        )


async def _begin_effect(conn: Connection, key: Mapping[str, Any]) -> int:
    try:
        row = await fetch_one(conn, _QUERIES["begin_effect"], key)
    except psycopg.errors.InsufficientPrivilege as error:  # `begin_effect` refuses with it
        if "stopped or read-only" in (error.diag.message_primary or ""):
            raise AgentStopped(
                "The agent is stopped or in read-only mode; the approval stays open until it is lifted."
            ) from error
        raise _ClaimLost from error
    return row["execution_id"] if row else 0


async def _in_separate_database(claim: _Claim, statement: Statement, secrets: ApprovedSecrets) -> None:
    started = time.monotonic()
    async with actor_transaction(claim.runtime, keep=True, steady=_watches(claim.approval)) as conn:
        run = await _run(conn, claim, statement)
        if run.images:
            async with claim.runtime.connection() as own:
                await own.execute(*_keep_images_query(run.images, claim))
        if not (await claim.runtime.app.facts("agent_actor")).read_only:  # a replica has no transaction to find again
            number = await fetch_one(conn, _QUERIES["transaction_number"])
            await _write("record_transaction", {**claim.key, "transaction": Jsonb(number)}, runtime=claim.runtime)
    values = {
        **claim.key, "status": "succeeded", "row_count": run.outcome.row_count, "error": None,
        "elapsed_ms": _milliseconds_since(started),
        "result": Jsonb(result_of(claim.approval, statement, run, secrets, runtime=claim.runtime)),
    }  # fmt: skip
    await _write("record_outcome", values, runtime=claim.runtime)


async def _write(query: str, values: Mapping[str, Any], *, runtime: Runtime) -> None:
    """Write to the log as the claim's holder. Raises `_ClaimLost` where another process holds it now."""
    row = await runtime.one(_QUERIES[query], **values)
    if row is None:
        raise _ClaimLost


def _keep_images_query(images: dict[str, Any], claim: _Claim) -> tuple[LiteralString, dict[str, Any]]:
    query, values = keep_values(images, runtime=claim.runtime)
    return query, {**values, **claim.key}


def _watches(approval: Approval) -> bool:
    return bool(_watched_tables(as_statement(approval.preview)))


def _watched_tables(preview: StatementPreview) -> list[str]:
    return [table["table"] for table in preview.others if table["effect"] is not None]


async def _run(conn: Connection, claim: _Claim, statement: Statement) -> StatementRun:
    """Run the statement, and return what it did.

    Raises `RowsChanged` where it does something else than what was approved.
    """
    settings = claim.runtime.settings
    version = (await claim.runtime.app.facts("agent_actor")).version
    await load_key(claim.runtime)
    preview = as_statement(claim.approval.preview)
    await check_code(preview, statement, runtime=claim.runtime)
    run = await run_and_observe(
        conn,
        statement,
        version=version,
        most_rows=settings.max_rows,
        others=_watched_tables(preview),
        volatile=preview.volatile,
        by_rows=preview.effect is not None or not preview.tried,
        runtime=claim.runtime,
    )
    change = difference(preview, run, key_of_effects(claim.runtime)) if preview.tried else ""
    if change:
        raise RowsChanged(f"Not executed: {change}.")
    check_rows(max(rows_in(run.tables), run.outcome.row_count or 0), settings.max_changed_rows)
    await check_code(preview, statement, runtime=claim.runtime)  # it may have been replaced meanwhile
    return run


async def _fail(claim: _Claim, error: AgentError, *, status: Literal["failed", "refused"] = "failed") -> None:
    """Use the approval up by a failure; a database that is away is none."""
    values = {
        **claim.key, "error": loggable(str(error)), "elapsed_ms": None, "row_count": None, "status": status,
        "result": Jsonb({
            "sql": sql_for_model(claim.approval), **({"data": {ROWS_CHANGED: True}} if isinstance(error, RowsChanged) else {})
        }),
    }  # fmt: skip
    async with claim.runtime.connection() as conn:
        updated = await fetch_one(conn, _QUERIES["record_outcome"], values)
        if updated is None:
            await conn.execute(_QUERIES["record_failure"], values)


def _milliseconds_since(started: float) -> float:
    return (time.monotonic() - started) * 1000
