"""Keeps the queue of requests to a human: ask, list, decide.

`get`, `latest`, `history` and the like return requests masked for `viewer` (default: the runtime's user). Methods called
`unmasked` return the rows as they are, for executing them; no surface calls these.

A request is a row; the first decision that moves it out of 'pending' in time wins, on every surface. Every decision but a
delegation and an incomplete vote is final. `agent.execution`, which this package does not import, executes an approved row.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import psycopg
import structlog

from agent.approval import decisions
from agent.approval.decisions import DecisionRequest
from agent.approval.people import people
from agent.approval.permissions import Grant
from agent.approval.preview import Preview
from agent.approval.records import Answer, Approval, Decision, PendingApproval, binding
from agent.approval.reminders import notify_delegate, recent_notices, remind_if_due
from agent.approval.requests import NewRequest, identifier, row_values
from agent.approval.views import request_for_viewer
from agent.audit.sealing import seal_soon
from agent.audit.settings_in_force import record_policy
from agent.db import Connection, load_queries
from agent.db.queries import fetch_all, fetch_one
from agent.errors import AlreadyDecided, NotFound
from agent.runtime import Runtime, current_runtime
from agent.types import CallKey, Notice, RiskLevel

__all__ = ["Answer", "Approval", "Decision", "HumanApprovalQueue", "PendingApproval", "binding", "human_approval_queue"]

_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)
_FIRST_POLL, _LAST_POLL = 0.05, 0.5


class HumanApprovalQueue:
    """The queue of the current tenant. Holds no state; see the module docstring."""

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

        The request expires after `timeout` seconds (default: AGENT_APPROVAL_TIMEOUT), which means no. Nothing is executed.
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
        preview: Preview | None = None,
        policy_version: str = "1",
        requested_by: str | None = None,
        call: CallKey | None = None,
        executable: bool = True,
        votes: int = 1,
        timeout: float | None = None,  # noqa: ASYNC109  # the life of the row, not of this call
        runtime: Runtime | None = None,
    ) -> Approval:
        """Store a request without waiting. The same `call` again returns its first row. Raises `InvalidInput`."""
        runtime = runtime or await current_runtime()
        new = NewRequest(
            action=action, arguments=arguments, risk_level=risk_level, reasons=reasons, summary=summary, preview=preview,
            policy_version=policy_version, executable=executable, votes=votes,
        )  # fmt: skip
        values = row_values(new, runtime=runtime, requested_by=requested_by, call=call, seconds=timeout)
        await record_policy(runtime)
        async with runtime.connection() as conn:
            row = await fetch_one(conn, _QUERIES["request"], values)
            if row is None:
                row = await fetch_one(conn, _QUERIES["request_of_call"], values)
        assert row is not None  # noqa: S101  # rows of the queue are never deleted
        approval = Approval.from_row(row)
        seal_soon(runtime)
        _log.info("approval_requested", approval_id=approval.id, action_name=action, risk_level=risk_level)
        return approval

    async def get(self, approval_id: int, *, viewer: str | None = None, runtime: Runtime | None = None) -> Approval:
        """Return one request as `viewer` may see it; it expires first if its time is over. Raises `NotFound`."""
        runtime = runtime or await current_runtime()
        return await _masked(await self.unmasked(approval_id, runtime=runtime), viewer, runtime)

    async def latest(self, approval_id: int, *, viewer: str | None = None, runtime: Runtime | None = None) -> Approval:
        """Return one request, or the one that edits have put in its place, as `viewer` may see it. Raises `NotFound`."""
        runtime = runtime or await current_runtime()
        return await _masked(await self.unmasked_latest(approval_id, runtime=runtime), viewer, runtime)

    async def unmasked(self, approval_id: int, *, runtime: Runtime | None = None) -> Approval:
        """Return one request as it is stored, for executing it. Raises `NotFound`."""
        runtime = runtime or await current_runtime()
        values = {"tenant_id": runtime.tenant_id, "id": identifier(approval_id)}
        async with runtime.connection() as conn:
            row = await fetch_one(conn, _QUERIES["approval"], values)
            if row is not None and row["status"] == "pending" and row["read_at"] >= row["expires_at"]:
                await conn.execute(_QUERIES["expire"], values)
                seal_soon(runtime)
                row = await fetch_one(conn, _QUERIES["approval"], values)
        if row is None:
            raise NotFound(f"There is no approval {approval_id!r}. `agent approvals list` shows what waits.")
        if row["status"] == "pending":
            await remind_if_due(row, runtime)
        return Approval.from_row(row)

    async def unmasked_latest(self, approval_id: int, *, runtime: Runtime | None = None) -> Approval:
        """Return what `latest` returns, as it is stored. Raises `NotFound`."""
        runtime = runtime or await current_runtime()
        approval = await self.unmasked(approval_id, runtime=runtime)
        if approval.status != "edited":
            return approval
        row = await runtime.one(_QUERIES["latest"], id=approval_id)
        return await self.unmasked(row["id"] if row else approval_id, runtime=runtime)

    async def of_call(
        self, call: CallKey, *, viewer: str | None = None, runtime: Runtime | None = None
    ) -> Approval | None:
        """Return the request of a tool call, after edits, as `viewer` may see it; None if it made none."""
        runtime = runtime or await current_runtime()
        approval = await self.unmasked_of_call(call, runtime=runtime)
        return await _masked(approval, viewer, runtime) if approval else None

    async def unmasked_of_call(self, call: CallKey, *, runtime: Runtime) -> Approval | None:
        """Return what `of_call` returns, as it is stored."""
        row = await runtime.one(_QUERIES["request_of_call"], **asdict(call))
        return Approval.from_row(row) if row else None

    async def wait(self, approval_id: int, *, viewer: str | None = None, runtime: Runtime | None = None) -> Approval:
        """Wait until the request (or its edited successor) is decided or expired; any process may decide it."""
        runtime = runtime or await current_runtime()
        pause, started = _FIRST_POLL, time.monotonic()
        while True:
            approval = await self.unmasked_latest(approval_id, runtime=runtime)
            if approval.status != "pending":
                return await _masked(approval, viewer, runtime)
            # Short at first, when a person may be sitting in front of it, longer later. A poll is one indexed read.
            pause = _LAST_POLL if time.monotonic() - started > 10 else pause
            await asyncio.sleep(pause)

    async def get_pending_approvals(
        self, *, viewer: str | None = None, runtime: Runtime | None = None
    ) -> list[PendingApproval]:
        """Return the requests that wait for a human as dicts, the oldest first, as `viewer` may see them."""
        return [approval.as_dict() for approval in await self.pending(viewer=viewer, runtime=runtime)]

    async def pending(
        self, *, after: int | None = None, viewer: str | None = None, runtime: Runtime | None = None
    ) -> list[Approval]:
        """Return what `get_pending_approvals` returns, as values; with `after`, those that were made after that request."""
        runtime = runtime or await current_runtime()
        async with runtime.connection() as conn:
            await _expire(conn, runtime)
            rows = await fetch_all(conn, _QUERIES["pending"], {"tenant_id": runtime.tenant_id, "after": after})
        for row in rows:
            await remind_if_due(row, runtime)
        return await _all_masked([Approval.from_row(row) for row in rows], viewer, runtime)

    async def decide(
        self,
        approval_id: int,
        decision: Decision,
        *,
        decided_by: str | None = None,
        via: str = "python",
        comment: str | None = None,
        response: str | None = None,
        delegate_to: str | None = None,
        binding: str | None = None,
        grant: Grant | None = None,
        final: bool = False,
        runtime: Runtime | None = None,
    ) -> Approval:
        """Take one person's decision and return the request as they may see it then.

        The first decision counts; a request that needs several people is approved by the last yes. "respond" answers in the
        tool's place with `response`; "reject" with a `comment` says what to do instead, unless it is `final`; "delegate" leaves the decision to `delegate_to`. With `binding`, the decision is refused
        if the request is not the one with that binding. Raises `AlreadyDecided` (also after the expiry), `DecisionRefused`,
        `NotFound` or `InvalidInput`.
        """
        runtime = runtime or await current_runtime()
        request = DecisionRequest(
            decision=decision, by=decided_by or runtime.user, via=via, comment=comment, response=response,
            delegate_to=delegate_to, binding=binding, grant=grant, final=final,
        )  # fmt: skip
        approval = await decisions.take(approval_id, request, runtime)
        if approval is None:
            raise too_late(await self.unmasked(approval_id, runtime=runtime))
        seal_soon(runtime)
        _log.info("approval_decided", approval_id=approval_id, decision=decision, status=approval.status, via=via)
        if decision == "delegate":
            await notify_delegate(approval, runtime)
        return await _masked(approval, request.by, runtime)

    async def check_may_decide(self, approval_id: int, request: DecisionRequest, *, runtime: Runtime) -> Approval:
        """Check that a decision may be taken now, and return its request as it is stored. Raises as `decide` does."""
        request.check()
        approval = await self.unmasked(approval_id, runtime=runtime)
        if approval.status != "pending":
            raise too_late(approval)
        decisions.check_may(approval, request, await people.membership(request.by, runtime=runtime))
        return approval

    async def edit(
        self, approval_id: int, request: DecisionRequest, new: NewRequest, *, confirmed: bool, runtime: Runtime
    ) -> Approval:
        """Replace a request by an edited one and return that; `confirmed` counts the edit as an approval of it too.

        Raises as `decide` does.
        """
        approval = await decisions.replace(approval_id, request, new, confirmed=confirmed, runtime=runtime)
        if approval is None:
            raise too_late(await self.unmasked(approval_id, runtime=runtime))
        seal_soon(runtime)
        _log.info("approval_edited", approval_id=approval_id, replaced_by=approval.id, status=approval.status)
        return await _masked(approval, request.by, runtime)

    async def reopen(self, expired: Approval, new: NewRequest, *, runtime: Runtime) -> Approval:
        """Replace a request that expired, or could not be executed as approved, by a new one. Raises `AlreadyDecided`.

        The tool call of the old request has its outcome already.
        """
        values = row_values(new, runtime=runtime, requested_by=expired.requested_by, replaces=expired)
        # The new request belongs to the same conversation, and to no call of it.
        values |= {"thread_id": expired.thread_id, "turn": expired.turn}
        try:
            row = await runtime.one(_QUERIES["request"], **values)
        except psycopg.errors.UniqueViolation as error:
            raise AlreadyDecided(
                f"Approval {expired.id} was opened again already, as {await self.successor(expired.id, runtime=runtime)}."
            ) from error
        assert row is not None  # noqa: S101  # an insert without a call has no conflict that it ignores
        return await _masked(Approval.from_row(row), None, runtime)

    async def approve_by_policy(
        self, approval_id: int, why: str, *, proposed: str, risk: RiskLevel, runtime: Runtime
    ) -> None:
        """Approve a request that needs no human; does nothing if it is decided, or is not the `proposed` one (a binding)."""
        await runtime.execute(_QUERIES["approve_by_policy"], id=approval_id, comment=why, binding=proposed, risk=risk)

    async def decisions(self, approval_id: int, *, runtime: Runtime | None = None) -> list[dict[str, Any]]:
        """Return each person's decision about a request, in order."""
        runtime = runtime or await current_runtime()
        return await runtime.all(_QUERIES["decisions"], id=identifier(approval_id))

    async def notices(self, limit: int = 50, *, runtime: Runtime | None = None) -> list[tuple[Notice, datetime]]:
        """Return the notices that people were sent, with their times, the newest first."""
        return await recent_notices(limit, runtime or await current_runtime())

    async def history(
        self,
        limit: int = 50,
        *,
        before: int | None = None,
        viewer: str | None = None,
        runtime: Runtime | None = None,
    ) -> list[Approval]:
        """Return the requests about this database, the newest first, as `viewer` may see them.

        With `before`, return those that were made before that request.
        """
        runtime = runtime or await current_runtime()
        values = {"database_id": runtime.database_id, "limit": max(0, min(limit, 10_000)), "before": before}
        return await _listed("history", values, viewer, runtime)

    async def for_turn(
        self, thread_id: str, turn: int, *, viewer: str | None = None, runtime: Runtime | None = None
    ) -> list[Approval]:
        """Return every request of one turn, in the order of its calls, as `viewer` may see them."""
        runtime = runtime or await current_runtime()
        return await _listed("for_turn", {"thread_id": thread_id, "turn": turn}, viewer, runtime)

    async def unmasked_for_turn(self, thread_id: str, turn: int, *, runtime: Runtime) -> list[Approval]:
        """Return what `for_turn` returns, as it is stored."""
        rows = await runtime.all(_QUERIES["for_turn"], thread_id=thread_id, turn=turn)
        return [Approval.from_row(row) for row in rows]

    async def unmasked_last_of(self, thread_id: str, *, runtime: Runtime) -> Approval | None:
        """Return the request of a thread's last turn that made one, as it is stored; None if it made none."""
        row = await runtime.one(_QUERIES["last_of_thread"], thread_id=thread_id)
        return Approval.from_row(row) if row else None

    async def successor(self, approval_id: int, *, runtime: Runtime) -> int | None:
        """Return the id of the request that replaced this one, or None."""
        row = await runtime.one(_QUERIES["successor"], id=approval_id)
        return row["id"] if row else None


human_approval_queue = HumanApprovalQueue()


async def _expire(conn: Connection, runtime: Runtime) -> None:
    """Expire the requests that nobody answered in time."""
    if await fetch_all(conn, _QUERIES["expire"], {"tenant_id": runtime.tenant_id}):
        seal_soon(runtime)


async def _listed(query: str, values: dict[str, Any], viewer: str | None, runtime: Runtime) -> list[Approval]:
    async with runtime.connection() as conn:
        await _expire(conn, runtime)
        rows = await fetch_all(conn, _QUERIES[query], {"tenant_id": runtime.tenant_id, **values})
    return await _all_masked([Approval.from_row(row) for row in rows], viewer, runtime)


async def _masked(approval: Approval, viewer: str | None, runtime: Runtime) -> Approval:
    return request_for_viewer(await people.membership(viewer, runtime=runtime), approval)


async def _all_masked(approvals: Sequence[Approval], viewer: str | None, runtime: Runtime) -> list[Approval]:
    who = await people.membership(viewer, runtime=runtime) if approvals else None
    return [request_for_viewer(who, approval) for approval in approvals] if who else []


def too_late(approval: Approval) -> AlreadyDecided:
    """Return the error that says why this request cannot be decided any more."""
    if approval.status == "expired":
        return AlreadyDecided(
            f"Approval {approval.id} expired at {approval.expires_at:%Y-%m-%d %H:%M:%S %Z}; ask again, or "
            f"`agent approvals reopen {approval.id}`."
        )
    return AlreadyDecided(f"Approval {approval.id} was {approval.status} already, by {approval.decided_by!r}.")
