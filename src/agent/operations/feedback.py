"""Takes what people say of answers, lets the agent learn from it, and shows it to the administrators of their tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agent.approval.eligibility import Membership, same_name
from agent.approval.people import people
from agent.db import load_queries
from agent.errors import InvalidInput, NotFound
from agent.learning.learning_middleware import learning_middleware
from agent.learning.memory import NewMemory, agent_memory
from agent.learning.memory.correction import correction_in, in_context
from agent.privacy.masking import MASK
from agent.privacy.typed_secrets import typed_secrets, without_typed_secrets
from agent.runtime import Runtime
from agent.threads import threads
from agent.threads.records import TurnRecord

_QUERIES = load_queries(__package__, "feedback.sql")
MOST_CHARACTERS = 2_000
_LEARNED = "Noted: this answer was wrong. I will remember what you said about it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What one person says of one answer. `question` is what was asked, as the viewer may see it."""

    thread_id: str
    turn: int
    person: str
    correct: bool
    reason: str
    via: str
    given_at: datetime
    question: str = ""


async def give(thread_id: str, turn: int, *, right: bool, reason: str = "", via: str, runtime: Runtime) -> str:
    """Take a person's yes or no to an answer, and return what comes of it ('' for nothing). A no with a reason is remembered as what is right.

    Raises `NotFound`, and `InvalidInput` for a question that has no answer yet.
    """
    asked = await _answered(thread_id, turn, runtime)
    reason = _clean(reason)
    wrong = [memory.id for memory in await agent_memory.turn_memories(thread_id, turn, runtime=runtime)]
    said = await learning_middleware.judge(thread_id, turn, right=right, runtime=runtime)
    statement = "" if right else _statement(reason)
    if statement:
        question = "" if asked["question"] == MASK else asked["question"]
        await agent_memory.teach(
            NewMemory(
                content=in_context(statement, question), kind="feedback", trust="human", source_thread=thread_id, source_turn=turn,
                source_quote=reason, speaker=runtime.user,
            ),
            corrects=wrong, runtime=runtime,
        )  # fmt: skip
        said = _LEARNED
    await runtime.execute(
        _QUERIES["give"], thread_id=thread_id, turn=turn, person=runtime.user, correct=right, reason=reason, via=via
    )
    return said


async def own(thread_id: str, *, runtime: Runtime) -> dict[int, Feedback]:
    """Return what the runtime's user said of the answers of a conversation, by turn."""
    rows = await runtime.all(_QUERIES["own"], thread_id=thread_id, person=runtime.user)
    return {row["turn"]: Feedback(**row) for row in rows}


async def newest(limit: int, *, before: datetime | None = None, runtime: Runtime) -> list[Feedback]:
    """Return what was said last, the newest first, or before a time. Texts of others are hidden from who may not see them."""
    who = await people.membership(runtime=runtime)
    rows = await runtime.all(_QUERIES["newest"], limit=limit, before=before)
    return [_shown(row, row.pop("asked_by"), who) for row in rows]


async def counts(*, runtime: Runtime) -> tuple[int, int]:
    """Return how many answers were called right and wrong."""
    row = await runtime.one(_QUERIES["counts"]) or {}
    return int(row["correct"]), int(row["wrong"])


async def _answered(thread_id: str, turn: int, runtime: Runtime) -> TurnRecord:
    found = next((one for one in await threads.turns(thread_id, runtime=runtime) if one["turn"] == turn), None)
    if found is None:
        raise NotFound(f"Conversation {thread_id!r} has no question {turn}.")
    if not found["answer"]:
        raise InvalidInput("This question has no answer yet.")
    return found


def _shown(row: dict[str, Any], asked_by: str, who: Membership) -> Feedback:
    def visible(text: str, author: str) -> str:
        return text if who.sees_personal or same_name(who.name, author) or not text else MASK

    return Feedback(**{
        **row, "question": visible(row["question"], asked_by), "reason": visible(row["reason"], row["person"])
    })  # fmt: skip


def _statement(reason: str) -> str:
    """Return what a reason says is right: "No, that is wrong: we never ship to Malta" says the second half."""
    correction = correction_in(reason)
    return reason if correction is None else correction.statement


def _clean(reason: str) -> str:
    if len(reason) > MOST_CHARACTERS:
        raise InvalidInput(f"A reason has at most {MOST_CHARACTERS} characters.")
    return without_typed_secrets(reason, known=typed_secrets(reason)).strip()
