"""The queue of questions to a human: ask, list, decide.

A request is a row; whoever moves it out of 'pending' in time wins, on whatever surface. Expiry and rejection are
final. What was approved is executed from its row by `agent.execution`, which this package does not know.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, cast

import structlog
from psycopg.types.json import Jsonb

from agent.approval.records import Answer, Approval, Decision, PendingApproval, binding
from agent.db import load_queries
from agent.errors import AlreadyDecided, InvalidInput, NotFound
from agent.runtime import Runtime, current_runtime
from agent.storable import storable
from agent.types import RISK_LEVELS, CallKey, RiskLevel

__all__ = ["Answer", "Approval", "Decision", "HumanApprovalQueue", "PendingApproval", "binding", "human_approval_queue"]

_QUERIES = load_queries(__package__)
# A NUL as JSON writes it, and not the six characters of that name after a backslash.
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_log = structlog.get_logger(__name__)
_MOST_SECONDS = 366 * 24 * 3600.0
_MOST_BYTES = 1_000_000
_MOST_COMMENT = 4_000
_FIRST_POLL, _LAST_POLL = 0.05, 0.5


class HumanApprovalQueue:
    """The queue of the current tenant. Holds nothing; see the module docstring."""

    async def request_approval(
        self,
        action: str,
        arguments: Mapping[str, Any],
        risk_level: RiskLevel = "MEDIUM",
        *,
        timeout: float | None = None,  # noqa: ASYNC109  # the life of the row, not of this call
        runtime: Runtime | None = None,
    ) -> Answer:
        """Ask whether the caller may do `action` by itself, and wait for the answer.

        Waits up to `timeout` seconds (default: AGENT_APPROVAL_TIMEOUT); no answer by then is no. Nothing is executed.
        """
        runtime = runtime or await current_runtime()
        approval = await self.request(
            action, arguments, risk_level=risk_level, executable=False, timeout=timeout, runtime=runtime
        )
        return (await self.wait(approval.id, runtime=runtime)).answer()

    async def request(
        self,
        action: str,
        arguments: Mapping[str, Any],
        *,
        risk_level: RiskLevel = "MEDIUM",
        reasons: Sequence[str] = (),
        summary: str = "",
        preview: Mapping[str, Any] | None = None,
        policy_version: str = "1",
        requested_by: str | None = None,
        call: CallKey | None = None,
        executable: bool = True,
        timeout: float | None = None,  # noqa: ASYNC109  # the life of the row, not of this call
        runtime: Runtime | None = None,
    ) -> Approval:
        """Store a request without waiting. The same `call` again returns its first row. Raises `InvalidInput`."""
        runtime = runtime or await current_runtime()
        seconds = runtime.settings.approval_timeout if timeout is None else timeout
        _check(action, risk_level, seconds)
        shown = _json_copy(preview, "preview") if preview is not None else None
        given = _json_copy(arguments, "arguments")
        key = asdict(call) if call else {"thread_id": None, "turn": None, "round": None, "ordinal": None}
        values = {
            "tenant_id": runtime.tenant_id, "database_id": runtime.database_id, "action": action, "arguments": Jsonb(given),
            "risk_level": risk_level, "reasons": list(reasons), "summary": summary or f"Allow {action}?",
            "preview": Jsonb(shown) if shown is not None else None, "policy_version": policy_version,
            "binding": binding(action, given, policy_version=policy_version, preview=shown), "executable": executable,
            "requested_by": requested_by or runtime.user, "timeout": timedelta(seconds=seconds), **key,
        }  # fmt: skip
        async with runtime.connection() as conn:
            row = await (await conn.execute(_QUERIES["request"], values)).fetchone()
            if row is None:
                row = await (await conn.execute(_QUERIES["request_of_call"], values)).fetchone()
        assert row is not None  # noqa: S101  # rows of the queue are never deleted
        approval = Approval.from_row(row)
        _log.info("approval_requested", approval_id=approval.id, action_name=action, risk_level=risk_level)
        return approval

    async def get(self, approval_id: int, *, runtime: Runtime | None = None) -> Approval:
        """One request, expired if its time is over. Raises `NotFound`."""
        runtime = runtime or await current_runtime()
        values = {"tenant_id": runtime.tenant_id, "id": _identifier(approval_id)}
        async with runtime.connection() as conn:
            row = await (await conn.execute(_QUERIES["approval"], values)).fetchone()
            if row is not None and row["status"] == "pending":
                await conn.execute(_QUERIES["expire"], values)
                row = await (await conn.execute(_QUERIES["approval"], values)).fetchone()
        if row is None:
            raise NotFound(f"There is no approval {approval_id!r}. `agent approvals list` shows what waits.")
        return Approval.from_row(row)

    async def of_call(self, call: CallKey, *, runtime: Runtime | None = None) -> Approval | None:
        """The request that this tool call made before, if it did."""
        runtime = runtime or await current_runtime()
        async with runtime.connection() as conn:
            values = {"tenant_id": runtime.tenant_id, **asdict(call)}
            row = await (await conn.execute(_QUERIES["request_of_call"], values)).fetchone()
        return Approval.from_row(row) if row else None

    async def wait(self, approval_id: int, *, runtime: Runtime | None = None) -> Approval:
        """Wait until the request is decided or expired; any process may decide it."""
        runtime = runtime or await current_runtime()
        pause, started = _FIRST_POLL, time.monotonic()
        while True:
            approval = await self.get(approval_id, runtime=runtime)
            if approval.status != "pending":
                return approval
            # Quick while somebody sits in front of it, slower later: a poll is one indexed read.
            pause = _LAST_POLL if time.monotonic() - started > 10 else pause
            await asyncio.sleep(pause)

    async def get_pending_approvals(self, *, runtime: Runtime | None = None) -> list[PendingApproval]:
        """What waits for a human, oldest first."""
        runtime = runtime or await current_runtime()
        async with runtime.connection() as conn:
            await conn.execute(_QUERIES["expire"], {"tenant_id": runtime.tenant_id})
            rows = await (await conn.execute(_QUERIES["pending"], {"tenant_id": runtime.tenant_id})).fetchall()
        return [Approval.from_row(row).as_dict() for row in rows]

    async def decide(
        self,
        approval_id: int,
        decision: Decision,
        *,
        decided_by: str | None = None,
        via: str = "python",
        comment: str | None = None,
        runtime: Runtime | None = None,
    ) -> Approval:
        """Approve or reject; the first decision stands.

        Raises `AlreadyDecided` (also after the expiry), `NotFound`, `InvalidInput`.
        """
        runtime = runtime or await current_runtime()
        if decision not in {"approve", "reject"}:
            raise InvalidInput(f"{decision!r} is not a decision: say 'approve' or 'reject'.")
        values = {
            "tenant_id": runtime.tenant_id, "id": _identifier(approval_id), "decided_by": decided_by or runtime.user,
            "via": via, "comment": None if comment is None else storable(comment)[:_MOST_COMMENT],
        }  # fmt: skip
        async with runtime.connection() as conn:
            row = await (await conn.execute(_QUERIES[decision], values)).fetchone()
        if row is None:
            raise _too_late(await self.get(approval_id, runtime=runtime))
        _log.info("approval_decided", approval_id=approval_id, status=row["status"], via=via)
        return Approval.from_row(row)

    async def history(self, limit: int = 50, *, runtime: Runtime | None = None) -> list[Approval]:
        """Requests about this database, newest first."""
        runtime = runtime or await current_runtime()
        values = {"database_id": runtime.database_id, "limit": max(0, min(limit, 10_000))}
        return await self._list("history", values, runtime)

    async def for_turn(self, thread_id: str, turn: int, *, runtime: Runtime | None = None) -> list[Approval]:
        """Every request of one turn, in the order of its calls."""
        runtime = runtime or await current_runtime()
        return await self._list("for_turn", {"thread_id": thread_id, "turn": turn}, runtime)

    async def _list(self, query: str, values: dict[str, Any], runtime: Runtime) -> list[Approval]:
        async with runtime.connection() as conn:
            await conn.execute(_QUERIES["expire"], {"tenant_id": runtime.tenant_id})
            rows = await (await conn.execute(_QUERIES[query], {"tenant_id": runtime.tenant_id, **values})).fetchall()
        return [Approval.from_row(row) for row in rows]


human_approval_queue = HumanApprovalQueue()


def _check(action: str, risk_level: str, seconds: float) -> None:
    if not isinstance(action, str) or not 0 < len(action) <= 200 or not action.isprintable():
        raise InvalidInput(f"{str(action)[:50]!r} is not an action: use 1 to 200 printable characters.")
    if risk_level not in RISK_LEVELS:
        raise InvalidInput(f"{risk_level!r} is not a risk level: use one of {', '.join(RISK_LEVELS)}.")
    if not 0 < seconds <= _MOST_SECONDS:
        raise InvalidInput(f"{seconds!r} is not a time to wait: use seconds from above 0 to a year.")


def _identifier(approval_id: int) -> int:
    if not isinstance(approval_id, int) or isinstance(approval_id, bool) or not 0 < approval_id < 2**63:
        raise NotFound(f"There is no approval {str(approval_id)[:50]!r}. `agent approvals list` shows what waits.")
    return approval_id


def _json_copy(value: Mapping[str, Any], what: str) -> dict[str, Any]:
    import json

    try:
        text = json.dumps(dict(value), ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:  # UnicodeEncodeError (lone surrogates) is a ValueError
        raise InvalidInput(
            f"The {what} of an approval must be JSON without NaN and lone surrogates: {error}"
        ) from error
    if _ESCAPED_NUL.search(text):
        raise InvalidInput(f"The {what} of an approval must not hold NUL characters.")
    if size > _MOST_BYTES:
        raise InvalidInput(f"The {what} of an approval are {size} bytes; the most is {_MOST_BYTES}.")
    return cast("dict[str, Any]", json.loads(text))


def _too_late(approval: Approval) -> AlreadyDecided:
    if approval.status == "expired":
        return AlreadyDecided(
            f"Approval {approval.id} expired at {approval.expires_at:%Y-%m-%d %H:%M:%S %Z}; ask again."
        )
    return AlreadyDecided(f"Approval {approval.id} was {approval.status} already, by {approval.decided_by!r}.")
