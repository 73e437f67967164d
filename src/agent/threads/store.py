"""Reads and writes threads. Each operation is one short transaction; none is open while a model or a tool runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from psycopg.types.json import Jsonb

from agent.approval.people import people
from agent.concurrency import end_tasks
from agent.db import load_queries
from agent.db.queries import fetch_all, fetch_one
from agent.errors import BudgetExceeded, InvalidInput, NotFound, OperatorError, ThreadBusy
from agent.runtime import Runtime, current_runtime
from agent.threads.records import (
    BegunTurn,
    Choice,
    RequestedCall,
    StoredCall,
    ThreadSummary,
    Transcript,
    TurnRecord,
    TurnStatus,
)
from agent.threads.rights import rights_of
from agent.threads.views import call_for_viewer, thread_for_viewer, turn_for_viewer
from agent.types import CallKey, ToolResult, Usage

_log = structlog.get_logger(__name__)

# The default of agents.transcript: the number of last turns that come with their calls.
TURNS_WITH_CALLS = 3
# A turn whose process died is taken over after this time.
_LEASE = timedelta(seconds=20)
_RENEW_SECONDS = 6
# Turns are summarised when _SUMMARISE_AT of them are not in the summary yet; the newest _SUMMARISE_KEEP stay out.
_SUMMARISE_AT = 15
_SUMMARISE_KEEP = 5
_SUMMARY_CHARS = 4_000
_LINE_CHARS = 160


class Threads:
    """The conversations of the current tenant. It has no state."""

    async def begin_turn(
        self,
        thread_id: str,
        question: str,
        *,
        owner: UUID,
        message_id: str | None = None,
        choice: Choice | None = None,
        runtime: Runtime | None = None,
    ) -> BegunTurn:
        """Take the thread and begin its next turn with what was chosen for it.

        A `message_id` that was used before returns its turn. A turn that waits for a human is returned instead of a new
        one. Raises `ThreadBusy` when another run works on the thread, `InvalidInput` for a thread of another database.
        """
        runtime = runtime or await current_runtime()
        check_thread_id(thread_id)
        row = await runtime.one(
            _QUERIES["begin_turn"], thread_id=thread_id, database_id=runtime.database_id, user=runtime.user, question=question,
            message_id=message_id, owner=owner, lease=_LEASE, **rights_of(runtime), **_chosen(choice or Choice()),
        )  # fmt: skip
        if row is None:
            raise ThreadBusy(f"Another turn is running on thread {thread_id!r}; wait for it, or use another thread.")
        if row["database_id"] != runtime.database_id:
            raise InvalidInput(
                f"Thread {thread_id!r} is about another database ({row['database_id']}); start a new one."
            )
        if row["transcript"] is None:
            return BegunTurn(turn=row["turn"], status=row["status"])
        transcript = Transcript.from_row(thread_id, row)
        return BegunTurn(turn=row["turn"], status=row["status"], transcript=transcript)

    async def continue_turn(
        self, thread_id: str, turn: int, *, owner: UUID, runtime: Runtime | None = None
    ) -> Transcript | None:
        """Take the lease to continue `turn` and return its transcript, or None when it is over. Raises `ThreadBusy`."""
        runtime = runtime or await current_runtime()
        row = await runtime.one(
            _QUERIES["continue_turn"], thread_id=thread_id, turn=turn, owner=owner, lease=_LEASE
        ) or {}  # fmt: skip
        if row["lease"] is None:
            raise ThreadBusy(f"Another run works on thread {thread_id!r}.")
        if row["turn"] is None:
            await runtime.execute(_QUERIES["release_lease"], thread_id=thread_id, owner=owner)
            return None
        return Transcript.from_row(thread_id, row)

    @asynccontextmanager
    async def keep_lease(self, thread_id: str, *, owner: UUID, runtime: Runtime) -> AsyncIterator[None]:
        """Renew the lease regularly while the `with` block runs."""
        renewals: list[asyncio.Task[None]] = []
        values = {"thread_id": thread_id, "owner": owner, "lease": _LEASE}
        first = asyncio.get_running_loop().call_later(
            _RENEW_SECONDS, lambda: renewals.append(asyncio.create_task(_renew(values, runtime)))
        )
        try:
            yield
        finally:
            first.cancel()
            await end_tasks(*renewals)

    async def abandon(
        self, thread_id: str, *, owner: UUID, reason: str = "stopped by the user", runtime: Runtime | None = None
    ) -> None:
        """End a run that was interrupted: its turn fails with `reason`, unless it waits for a human, and the lease is released."""
        runtime = runtime or await current_runtime()
        await runtime.execute(_QUERIES["abandon_run"], thread_id=thread_id, owner=owner, reason=reason)

    async def hand_over(self, thread_id: str, *, owner: UUID, runtime: Runtime | None = None) -> None:
        """Leave a running turn to the workers of other processes: the lease is released, and the turn is due at once."""
        runtime = runtime or await current_runtime()
        await runtime.execute(_QUERIES["hand_over"], thread_id=thread_id, owner=owner)

    async def wait(self, thread_id: str, turn: int, *, owner: UUID, runtime: Runtime | None = None) -> None:
        """Mark the turn as waiting for a human and release the lease."""
        runtime = runtime or await current_runtime()
        await runtime.execute(_QUERIES["wait"], thread_id=thread_id, turn=turn, owner=owner)

    async def waiting_turn(self, thread_id: str, *, runtime: Runtime | None = None) -> int | None:
        """Return the turn of this thread that is running or waiting, or None."""
        runtime = runtime or await current_runtime()
        row = await runtime.one(_QUERIES["unfinished_turn"], thread_id=thread_id)
        return row["turn"] if row else None

    async def finish_turn(
        self,
        thread_id: str,
        turn: int,
        *,
        owner: UUID,
        answer: str,
        logged: str | None = None,
        error: str | None = None,
        sources: Mapping[str, Any] | None = None,
        model: str | None = None,
        usage: Usage | None = None,
        runtime: Runtime | None = None,
    ) -> Usage | None:
        """Store the answer and the usage of its model call and release the lease.

        Return the usage of the whole turn, or None when it was over already. `logged` is the answer for the execution log, if it differs.
        """
        runtime = runtime or await current_runtime()
        status: TurnStatus = "failed" if error else "done"
        finished = await runtime.one(
            _QUERIES["finish_turn"], thread_id=thread_id, turn=turn, owner=owner, status=status, answer=answer, error=error,
            logged=answer if logged is None else logged,
            sources=Jsonb(dict(sources or {})), database_id=runtime.database_id, model=model, **asdict(usage or Usage()),
        )  # fmt: skip
        return Usage(**finished) if finished else None

    async def transcript(self, thread_id: str, turn: int, *, runtime: Runtime | None = None) -> Transcript:
        """Return the transcript up to and including `turn`, with the calls of the last turns. Raises `NotFound`."""
        runtime = runtime or await current_runtime()
        row = await runtime.one(_QUERIES["transcript"], thread_id=thread_id, turn=turn) or {}
        if not row["transcript"] or not row["transcript"]["turns"]:
            raise NotFound(f"There is no turn {turn} in a thread {thread_id!r}.")
        return Transcript.from_row(thread_id, row)

    async def store_round(
        self,
        thread_id: str,
        turn: int,
        round_: int,
        requested: Sequence[RequestedCall],
        *,
        said: str = "",
        provider_message: Mapping[str, Any] | None = None,
        model: str = "",
        usage: Usage | None = None,
        runtime: Runtime | None = None,
    ) -> list[StoredCall]:
        """Store a model's calls and its usage before any call is executed. A round that was stored before stays as it is.

        `provider_message` is the provider's own form of the message with these calls.
        """
        runtime = runtime or await current_runtime()
        calls = [_call_record(ordinal, call, said) for ordinal, call in enumerate(requested, start=1)]
        rows = await runtime.all(
            _QUERIES["store_round"], thread_id=thread_id, turn=turn, round=round_, calls=Jsonb(calls), model=model,
            provider_message=Jsonb(dict(provider_message)) if provider_message else None,
            **asdict(usage or Usage()),
        )  # fmt: skip
        if len(rows) < len(calls):  # the round was stored before
            stored = await runtime.all(_QUERIES["calls_of_turn"], thread_id=thread_id, turn=turn)
            rows = [row for row in stored if row["round"] == round_]
        return [StoredCall.from_row(thread_id, row) for row in rows]

    async def call(self, key: CallKey, *, viewer: str | None = None, runtime: Runtime | None = None) -> StoredCall:
        """Return one stored call as `viewer` may see it. Raises `NotFound`."""
        runtime = runtime or await current_runtime()
        row = await runtime.one(_QUERIES["one_call"], **asdict(key))
        if row is None:
            raise NotFound(f"There is no tool call {key}.")
        call = StoredCall.from_row(key.thread_id, row)
        return call_for_viewer(await people.membership(viewer, runtime=runtime), call, None)

    async def calls(
        self, thread_id: str, turn: int, *, viewer: str | None = None, runtime: Runtime | None = None
    ) -> list[StoredCall]:
        """Return every call of a turn, in order, as `viewer` may see it (default: the runtime's user)."""
        runtime = runtime or await current_runtime()
        rows = await runtime.all(_QUERIES["calls_of_turn"], thread_id=thread_id, turn=turn)
        who = await people.membership(viewer, runtime=runtime) if rows else None
        calls = [(StoredCall.from_row(thread_id, row), row["shown_sql"]) for row in rows]
        return [call_for_viewer(who, call, shown_sql) for call, shown_sql in calls] if who else []

    async def call_waits(self, key: CallKey, approval_id: int, *, runtime: Runtime | None = None) -> None:
        """Mark a call as waiting for the approval."""
        runtime = runtime or await current_runtime()
        await runtime.execute(_QUERIES["call_waits"], approval_id=approval_id, **asdict(key))

    async def call_done(self, key: CallKey, result: ToolResult, *, runtime: Runtime | None = None) -> None:
        """Store the result of a call, unless it has one already."""
        runtime = runtime or await current_runtime()
        await runtime.execute(_QUERIES["call_done"], result=Jsonb(result), **asdict(key))

    async def call_done_after_all(self, key: CallKey, result: ToolResult, *, runtime: Runtime | None = None) -> None:
        """Replace the result of a call that was refused and whose approval was executed later."""
        runtime = runtime or await current_runtime()
        await runtime.execute(_QUERIES["call_done_after_all"], result=Jsonb(result), **asdict(key))

    async def check_budget(self, thread_id: str, turn: int, *, runtime: Runtime | None = None) -> None:
        """Raise `BudgetExceeded` when a cap on tokens or cost, of this turn or this day, is reached."""
        runtime = runtime or await current_runtime()
        settings = runtime.settings
        caps = {
            "turn_tokens": (settings.turn_token_cap, "tokens in this turn", "AGENT_TURN_TOKEN_CAP"),
            "turn_cost": (settings.turn_cost_cap, "US dollars in this turn", "AGENT_TURN_COST_CAP"),
            "day_tokens": (settings.day_token_cap, "tokens today", "AGENT_DAY_TOKEN_CAP"),
            "day_cost": (settings.day_cost_cap, "US dollars today", "AGENT_DAY_COST_CAP"),
        }
        if not any(cap for cap, _, _ in caps.values()):
            return
        spent = await runtime.one(_QUERIES["spent"], thread_id=thread_id, turn=turn) or {}
        for name, (cap, unit, variable) in caps.items():
            if cap and spent[name] >= cap:
                raise BudgetExceeded(
                    f"The cap of {cap:g} {unit} is reached ({spent[name]:g} used). Raise {variable}, or wait."
                )

    async def summarise(self, thread_id: str, *, runtime: Runtime | None = None) -> int:
        """Add the oldest turns of a long thread to its summary and return how many were added.

        The summary is extractive and of limited length. What it drops is still in `agent_memory`, where a search finds it.
        """
        runtime = runtime or await current_runtime()
        values = {
            "tenant_id": runtime.tenant_id, "thread_id": thread_id, "keep": _SUMMARISE_KEEP, "enough": _SUMMARISE_AT
        }  # fmt: skip
        async with runtime.transaction() as conn:
            rows = await fetch_all(conn, _QUERIES["old_turns"], values)
            if rows:
                update = {
                    "summary": fold_summary(rows),
                    "summarised": rows[-1]["turn"],
                    "before": rows[0]["summarised"],
                }
                await conn.execute(_QUERIES["save_summary"], {**values, **update})
        return len(rows)

    async def recent(
        self,
        *,
        limit: int = 20,
        after: tuple[datetime, str] | None = None,
        viewer: str | None = None,
        runtime: Runtime | None = None,
    ) -> list[ThreadSummary]:
        """Return the newest threads on this database, as `viewer` may see them (default: the runtime's user).

        `after` has the time of the last change and the id of a thread: those that stood behind it then are returned.
        """
        runtime = runtime or await current_runtime()
        updated_at, thread_id = after or (None, None)
        rows = await runtime.all(
            _QUERIES["recent_threads"],
            database_id=runtime.database_id,
            limit=limit,
            updated_at=updated_at,
            thread_id=thread_id,
        )
        who = await people.membership(viewer, runtime=runtime)
        return [thread_for_viewer(who, ThreadSummary(**row)) for row in rows]  # type: ignore[typeddict-item]  # the query names the keys

    async def turns(
        self, thread_id: str, *, viewer: str | None = None, runtime: Runtime | None = None
    ) -> list[TurnRecord]:
        """Return the whole conversation, oldest turn first, as `viewer` may see it. Raises `NotFound` or `InvalidInput`."""
        check_thread_id(thread_id)
        runtime = runtime or await current_runtime()
        rows = await runtime.all(_QUERIES["turns_of_thread"], thread_id=thread_id)
        if not rows:
            raise NotFound(f"There is no thread {thread_id!r}. `agent threads list` names them.")
        who = await people.membership(viewer, runtime=runtime)
        return [turn_for_viewer(who, TurnRecord(**row)) for row in rows]  # type: ignore[typeddict-item]  # the query names the keys

    async def forget_rights(self, *, runtime: Runtime | None = None) -> None:
        """Delete with which rights the turns that are over were asked."""
        runtime = runtime or await current_runtime()
        await runtime.execute(_QUERIES["forget_rights"])

    async def delete(self, thread_id: str, *, runtime: Runtime | None = None) -> None:
        """Delete a thread with its turns. Raises `NotFound`, or `ThreadBusy` while it runs or waits for a human."""
        check_thread_id(thread_id)
        runtime = runtime or await current_runtime()
        values = {"tenant_id": runtime.tenant_id, "thread_id": thread_id}
        async with runtime.transaction() as conn:
            if await fetch_one(conn, _QUERIES["delete_thread"], values) is not None:
                return
            if await fetch_one(conn, _QUERIES["thread_exists"], values) is None:
                raise NotFound(f"There is no thread {thread_id!r}. `agent threads list` names them.")
        raise ThreadBusy(f"Thread {thread_id!r} is running or waits for an approval; decide that first.")


threads = Threads()

_QUERIES = load_queries(__package__)


def fold_summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the summary with a line for each of these turns; the oldest lines are dropped when it is too long."""
    lines = rows[0]["summary"].splitlines()
    lines += [f"- asked: {_line(row['question'])} / answered: {_line(row['answer'] or 'nothing')}" for row in rows]
    while sum(len(line) + 1 for line in lines) > _SUMMARY_CHARS:
        del lines[0]
    return "\n".join(lines)


def _line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LINE_CHARS else f"{flat[:_LINE_CHARS]}…"


def check_thread_id(thread_id: str) -> None:
    """Raise `InvalidInput` for an invalid thread id. The checkpointer's ids use a slash after the tenant."""
    if not 0 < len(thread_id) <= 200 or not thread_id.isprintable() or "/" in thread_id:
        raise InvalidInput(f"{thread_id[:50]!r} is not a thread id: use 1 to 200 printable characters without a slash.")


def _chosen(choice: Choice) -> dict[str, Any]:
    return {
        "parameters": Jsonb(dict(choice.parameters)), "arm": choice.arm, "optimization_id": choice.optimization_id,
        "propensity": choice.propensity,
    }  # fmt: skip


def _call_record(ordinal: int, call: RequestedCall, said: str) -> dict[str, Any]:
    failed: ToolResult | None = {"success": False, "status": "failed", "error": call.error} if call.error else None
    return {
        "ordinal": ordinal, "call_id": call.call_id, "tool": call.tool, "arguments": call.arguments,
        "said": said if ordinal == 1 else "", "status": "done" if failed else "stored", "result": failed,
    }  # fmt: skip


async def _renew(values: Mapping[str, object], runtime: Runtime) -> None:
    while True:
        try:
            await runtime.execute(_QUERIES["keep_lease"], **values)
        except OperatorError:
            _log.warning("lease_not_renewed", thread_id=values["thread_id"], exc_info=True)
        await asyncio.sleep(_RENEW_SECONDS)
