"""Reads what happened in an application, as the lessons need it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.db import load_queries
from agent.learning.auto_discover import auto_discovery
from agent.learning.lessons.lesson import Evidence, FailedTurn, PastTurn, Repair, Saying
from agent.learning.memory.embeddings import scope
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
# The newest of each are looked at: what was learned from older ones stays known.
_CONSTANT = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b")
MOST_TURNS, _MOST_OTHERS = 5_000, 500


async def read_history(runtime: Runtime) -> Evidence:
    """Return the turns, repairs and failures, and the structure as it is now."""
    turns = await runtime.all(_QUERIES["past_turns"], limit=MOST_TURNS, **scope(runtime))
    repairs = await runtime.all(_QUERIES["repairs"], limit=_MOST_OTHERS, **scope(runtime))
    sayings = await runtime.all(_QUERIES["sayings"], limit=MOST_TURNS, **scope(runtime))
    failures = await runtime.all(_QUERIES["failures"], limit=_MOST_OTHERS, **scope(runtime))
    return Evidence(
        structure=await auto_discovery.current_structure(runtime=runtime),
        turns=[
            PastTurn(
                memory=row["id"], question=row["question"] or "", thread=row["source_thread"] or "",
                digest=row["digest"] or "",
                examples=tuple(sql for sql in row["examples"] if isinstance(sql, str)),
                corrected=row["corrected"], confirmed=row["confirmed"], repeats=_repeats(row["examples"], row["shown"]),
            )
            for row in reversed(turns)
        ],
        repairs=[Repair(memory=row["id"], failed=row["failed"], error=row["error"] or "", worked=row["worked"]) for row in repairs],
        failures=[
            FailedTurn(question=row["question"], error=row["error"] or "", thread=row["thread_id"]) for row in failures
        ],
        sayings=[Saying(text=row["question"], speaker=row["asked_by"], thread=row["thread_id"], turn=row["turn"]) for row in reversed(sayings)],
    )  # fmt: skip


def _repeats(examples: Sequence[object], shown: Sequence[str | None]) -> bool:
    """Return whether a turn ran the SQL of a skill that it was shown, with these or other constants."""
    forms = {_form(sql) for sql in shown if sql}
    return any(_form(sql) in forms for sql in examples if isinstance(sql, str))


def _form(sql: str) -> str:
    return " ".join(_CONSTANT.sub("?", sql).casefold().split())


async def newest_memory(after: int, runtime: Runtime) -> tuple[int, int]:
    """Return the number of the newest memory, and how many came after the memory `after`."""
    row = await runtime.one(_QUERIES["newest"], after=after, **scope(runtime))
    return (row["newest"], row["fresh"]) if row else (0, 0)
