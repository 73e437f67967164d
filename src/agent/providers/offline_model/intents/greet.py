"""Answers a greeting and "what can you do?"."""

from __future__ import annotations

import re

from agent.providers.offline_model.turn_view import Answer, Step, Turn

ABILITIES = (
    "I can list, filter, count, group, rank, add up and average rows of any table, follow foreign keys, describe tables, "
    "change a field of one row (a human is asked where that is risky), and remember and recall facts."
)
_GREETING = re.compile(
    r"^\W*(hi|hello|hey|good (morning|afternoon|evening)|thanks|thank you|help|what can you do|who are you)\b[\s\w]{0,20}\W*$",
    re.I,
)


def greet(turn: Turn) -> Step | None:
    """Return the answer to a greeting."""
    if not _GREETING.match(turn.question):
        return None
    return Answer(
        text=f"I am the built-in offline model. {ABILITIES} "
        "For anything harder, set AGENT_MODEL or OPENAI_API_KEY to use a real model."
    )
