"""Saves a fact: "Remember that status 3 means paused"."""

from __future__ import annotations

import re

from agent.providers.offline_model.answers import failure_message
from agent.providers.offline_model.tokenizer import is_plain
from agent.providers.offline_model.turn_view import Answer, Call, Refusal, Step, Turn

_REMEMBER = re.compile(
    r"^\W*(?:please |can you |could you |note: ?)*(?:remember|memori[sz]e|note|keep in mind|don'?t forget|take note|bear in mind)"
    r"(?: for (?:later|next time|the future))?(?:,|:)?(?: that)?[:,]? (?P<fact>.{3,1000}?)\s*$",
    re.I | re.S,
)


def remember(turn: Turn) -> Step | None:
    """Return the call that saves the fact, or its outcome."""
    match = _REMEMBER.match(turn.question)
    if not match or not is_plain(match["fact"].replace("\n", " ")) or turn.question.rstrip().endswith("?"):
        return None
    fact = match["fact"]
    outcome = turn.outcome("remember")
    if outcome:
        return Answer(
            text=f"I will remember: {fact}{'' if fact[-1] in '.!?' else '.'}"
            if outcome.success
            else failure_message(outcome.result)
        )
    if "remember" not in turn.tools:
        return Refusal(reason="I have no tool for remembering here")
    return Call(tool="remember", arguments={"content": fact, "kind": "fact"})
