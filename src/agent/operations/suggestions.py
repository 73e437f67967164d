"""Decides about a statement that an answer suggests and that nothing has run: accept it, which runs or asks as always, or reject it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb

from agent.approval.eligibility import Membership, same_name
from agent.approval.people import people
from agent.approval.views import result_for_viewer
from agent.db import load_queries
from agent.errors import AgentError, AlreadyDecided, InvalidInput
from agent.execution.safe_executor import safe_executor
from agent.learning.memory import NewMemory, agent_memory
from agent.privacy.masking import MASK
from agent.privacy.typed_secrets import typed_secrets, without_typed_secrets
from agent.runtime import Runtime
from agent.types import ToolResult

_QUERIES = load_queries(__package__, "suggestions.sql")
_MOST_REASON = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What was decided about the statement at one place of an answer. `result` is what came of it, None while it runs."""

    turn: int
    place: int
    decision: Literal["accepted", "rejected"]
    decided_by: str
    decided_at: datetime
    reason: str
    result: ToolResult | None


async def decided(thread_id: str, *, runtime: Runtime) -> dict[tuple[int, int], Decided]:
    """Return what was decided in a conversation, by turn and place, as the runtime's user may see it."""
    who = await people.membership(runtime=runtime)
    rows = await runtime.all(_QUERIES["decided"], thread_id=thread_id)
    return {(row["turn"], row["place"]): _shown(row, who) for row in rows}


async def accept(thread_id: str, turn: int, place: int, sql: str, *, runtime: Runtime) -> str:
    """Run a suggested statement, or ask about it if it is a change; once, whoever accepts it first. Return what came of it.

    A model wrote it, so none of its values counts as said by a user. Raises `AlreadyDecided`.
    """
    await _claim(thread_id, turn, place, decision="accepted", runtime=runtime)
    try:
        result = await safe_executor.execute("execute_sql", {"sql": sql}, by_model=True, wait=False, runtime=runtime)
    except AgentError as error:
        await _keep(thread_id, turn, place, ToolResult(success=False, error=str(error)), runtime=runtime)
        raise
    await _keep(thread_id, turn, place, result, runtime=runtime)
    if result.get("status") == "waiting":
        return "It waits for a decision: this is what it would do."
    return "It ran." if result.get("success") else str(result.get("error") or result.get("message") or "It failed.")


async def reject(thread_id: str, turn: int, place: int, reason: str, *, runtime: Runtime) -> str:
    """Note that a suggested statement is not wanted. A reason is remembered. Raises `AlreadyDecided`."""
    if len(reason) > _MOST_REASON:
        raise InvalidInput(f"A reason has at most {_MOST_REASON} characters.")
    reason = without_typed_secrets(reason, known=typed_secrets(reason)).strip()
    await _claim(thread_id, turn, place, decision="rejected", reason=reason, runtime=runtime)
    if not reason:
        return "Rejected: it does not run."
    await agent_memory.teach(
        NewMemory(
            content=reason, kind="feedback", trust="human", source_thread=thread_id, source_turn=turn, source_quote=reason,
            speaker=runtime.user,
        ),
        runtime=runtime,
    )  # fmt: skip
    return "Rejected: it does not run. I will remember why."


async def _claim(thread_id: str, turn: int, place: int, *, decision: str, reason: str = "", runtime: Runtime) -> None:
    values = {"thread_id": thread_id, "turn": turn, "place": place}
    if not await runtime.execute(_QUERIES["claim"], decision=decision, reason=reason, person=runtime.user, **values):
        first = (await decided(thread_id, runtime=runtime))[turn, place]
        raise AlreadyDecided(f"{first.decided_by} has {first.decision} this statement already.")


async def _keep(thread_id: str, turn: int, place: int, result: ToolResult, *, runtime: Runtime) -> None:
    await runtime.execute(_QUERIES["keep"], thread_id=thread_id, turn=turn, place=place, result=Jsonb(result))


def _shown(row: dict[str, Any], who: Membership) -> Decided:
    hidden = row["reason"] and not (who.sees_personal or same_name(who.name, row["decided_by"]))
    result = result_for_viewer(who, row["result"]) if row["result"] else None
    return Decided(**{**row, "reason": MASK if hidden else row["reason"], "result": result})
