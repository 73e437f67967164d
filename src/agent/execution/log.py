"""Writes and reads the execution log: one row for every action, whatever its outcome. `effects` writes approved ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

import structlog
from psycopg.types.json import Jsonb

from agent.approval.eligibility import Membership, same_name
from agent.approval.people import people
from agent.approval.views import call_for_everybody
from agent.audit.sealing import seal_soon
from agent.db import load_queries
from agent.errors import InvalidInput, NotFound
from agent.privacy.masking import MASK, is_plain_name, masked_arguments, masked_reasons, masked_result, without_secrets
from agent.runtime import Runtime, current_runtime
from agent.text.storable import storable
from agent.types import Assessment, CallKey, ExecutionStatus, RiskLevel, ToolResult, Verdict

_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)
_MOST_ARGUMENT_CHARACTERS = 20_000
_MOST_ERROR_CHARACTERS = 4_000
_DEEPEST, _MOST_BITS = 60, 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One row of the log."""

    id: int
    database_id: str
    actor: str
    action: str
    arguments: dict[str, Any]
    verdict: Verdict
    risk_level: RiskLevel
    reasons: tuple[str, ...]
    status: ExecutionStatus
    approval_id: int | None
    approved_by: str | None
    result: dict[str, Any] | None
    row_count: int | None
    error: str | None
    duration_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    thread_id: str | None
    turn: int | None
    created_at: datetime
    finished_at: datetime | None
    settled_by: str | None
    settled_at: datetime | None
    settled_comment: str | None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Execution:
        """Build an execution from a row of agents.agent_execution_log."""
        values = {field.name: row[field.name] for field in fields(cls)}
        return cls(**{**values, "reasons": tuple(row["reasons"])})


class Executions:
    """The log of the current tenant. Readers get it masked for `viewer` (default: the runtime's user)."""

    async def recent(
        self,
        limit: int = 50,
        *,
        thread_id: str | None = None,
        status: ExecutionStatus | None = None,
        before: int | None = None,
        viewer: str | None = None,
        runtime: Runtime | None = None,
    ) -> list[Execution]:
        """Return the newest executions about this database, the highest number first.

        They may be of one thread or status only, or have numbers below `before`.
        """
        runtime = runtime or await current_runtime()
        rows = await runtime.all(
            _QUERIES["recent"],
            database_id=runtime.database_id,
            thread_id=thread_id,
            status=status,
            before=before,
            limit=max(0, min(limit, 10_000)),
        )
        return await _masked(rows, viewer, runtime)

    async def get(self, execution_id: int, *, viewer: str | None = None, runtime: Runtime | None = None) -> Execution:
        """Return one execution. Raises `NotFound`."""
        runtime = runtime or await current_runtime()
        row = None
        if 0 < execution_id < 2**63:
            row = await runtime.one(_QUERIES["execution"], id=execution_id)
        if row is None:
            raise NotFound(f"There is no execution {execution_id!r}. `agent executions` lists the newest.")
        return (await _masked([row], viewer, runtime))[0]

    async def of_request(
        self, approval_id: int, *, viewer: str | None = None, runtime: Runtime | None = None
    ) -> Execution | None:
        """Return the execution of a request, or None while there is none."""
        runtime = runtime or await current_runtime()
        row = await runtime.one(_QUERIES["execution_of_request"], approval_id=approval_id)
        return (await _masked([row], viewer, runtime))[0] if row else None

    async def unknown(self, *, runtime: Runtime | None = None) -> int:
        """Return how many executions wait for a human to say whether they happened."""
        runtime = runtime or await current_runtime()
        row = await runtime.one(_QUERIES["unknown"], database_id=runtime.database_id)
        return int(row["number"]) if row else 0

    async def settle(
        self,
        execution_id: int,
        *,
        happened: bool,
        settled_by: str | None = None,
        comment: str | None = None,
        runtime: Runtime | None = None,
    ) -> Execution:
        """Record a human's word on whether an execution of unknown outcome happened. It is final, and its caller learns it.

        Raises `NotFound`, `InvalidInput` where the outcome is known, `DecisionRefused` for a person who may not decide.
        """
        runtime = runtime or await current_runtime()
        execution = await self.get(execution_id, runtime=runtime)
        who = await people.decider(settled_by, runtime=runtime)
        message = f"{who.name} looked: it {'happened' if happened else 'did not happen'}."
        row = await runtime.one(
            _QUERIES["settle"],
            id=execution.id,
            by=who.name,
            status="succeeded" if happened else "failed",
            comment=storable(comment)[:_MOST_ERROR_CHARACTERS] if comment else None,
            message=f"{message} They said: {storable(comment)[:_MOST_ERROR_CHARACTERS]}" if comment else message,
        )
        if row is None:
            raise InvalidInput(f"The outcome of execution {execution.id} is known: it is {execution.status!r}.")
        seal_soon(runtime)
        _log.warning("execution_settled", execution_id=execution.id, status=row["status"], by=who.name)
        return await self.get(execution.id, viewer=who.name, runtime=runtime)

    async def with_calls(
        self, execution_id: int, *, viewer: str | None = None, runtime: Runtime | None = None
    ) -> tuple[Execution, list[Execution]]:
        """Return one execution, and the calls that a created tool's code made in it, in order. Raises `NotFound`."""
        runtime = runtime or await current_runtime()
        execution = await self.get(execution_id, viewer=viewer, runtime=runtime)
        rows = await runtime.all(_QUERIES["calls_of"], id=execution.id)
        return execution, await _masked(rows, viewer, runtime)


executions = Executions()


async def _masked(rows: Sequence[Mapping[str, Any]], viewer: str | None, runtime: Runtime) -> list[Execution]:
    who = await people.membership(viewer, runtime=runtime)
    return [execution_for_viewer(who, Execution.from_row(row), row["shown_sql"]) for row in rows]


def execution_for_viewer(who: Membership, execution: Execution, shown_sql: str | None) -> Execution:
    """Return an execution as `who` may see it; `shown_sql` is its statement without secrets, where it was previewed."""
    given = call_for_everybody(execution.arguments, shown_sql)
    result = without_secrets(execution.result)
    if who.sees_personal:
        return replace(execution, arguments=given, result=result)
    masked = masked_arguments(given, execution.action)
    if "question" in given and same_name(who.name, execution.actor):
        masked["question"] = given["question"]
    return replace(
        execution, action=execution.action if is_plain_name(execution.action) else MASK, arguments=masked,
        reasons=masked_reasons(execution.reasons), result=masked_result(result) if result is not None else None,
        error=MASK if execution.error else None,
    )  # fmt: skip


async def record(
    action: str,
    arguments: Mapping[str, Any],
    *,
    assessment: Assessment,
    result: ToolResult,
    actor: str | None,
    call: CallKey | None,
    final: bool = True,
    duration_ms: float,
    runtime: Runtime,
) -> int:
    """Write the row of an action that has no approval, and return its id. Only the number of the rows it read is kept.

    If a tool call asked for it and the result is `final`, the same statement gives the call its result, rows included.
    """
    key = asdict(call) if call else {"thread_id": None, "turn": None, "round": None, "ordinal": None}
    kept = {name: value for name, value in result.items() if name in {"sql", "message", "truncated", "cut_cells"}}
    error = result.get("error")
    row = await runtime.one(
        _QUERIES["record"],
        database_id=runtime.database_id,
        actor=actor or runtime.user,
        action=storable(str(action))[:200],
        arguments=Jsonb(loggable(arguments)),
        verdict=assessment.verdict,
        risk_level=assessment.risk,
        reasons=list(assessment.reasons),
        status=result.get("status", "failed"),
        result=Jsonb(loggable(kept)),
        row_count=result.get("row_count"),
        error=storable(error)[:_MOST_ERROR_CHARACTERS] if error else None,
        duration_ms=duration_ms,
        outcome=Jsonb(result) if call and final else None,
        **key,
    )
    assert row is not None  # noqa: S101  # an insert returns its row
    seal_soon(runtime)
    return int(row["id"])


def loggable(value: Any, *, depth: int = 0) -> Any:
    """Return `value` as JSON that Postgres stores: hostile characters replaced, long texts, numbers and nesting cut."""
    if isinstance(value, str):
        return storable(value)[:_MOST_ARGUMENT_CHARACTERS]
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        items = list(value.items())[:200]
        return {str(loggable(key, depth=depth + 1))[:200]: loggable(item, depth=depth + 1) for key, item in items}
    if isinstance(value, (list, tuple)):
        return [loggable(item, depth=depth + 1) for item in value[:1000]]
    if isinstance(value, (bool, float, int, type(None))):
        return _number(value)
    return storable(str(value))[:_MOST_ARGUMENT_CHARACTERS]


def _number(value: float | None) -> Any:
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:  # Python itself refuses to write it out
        return f"a number of {value.bit_length()} bits"
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
