"""For "Remember that status 3 means paused": save what follows as a fact."""

from __future__ import annotations

import re

from agent.providers.offline_model.answers import trouble
from agent.providers.offline_model.tokenizer import clean
from agent.providers.offline_model.turn_view import Call, Cannot, Say, Step, Turn

_REMEMBER = re.compile(
    r"^\W*(?:please |can you |could you |note: ?)*(?:remember|memori[sz]e|note|keep in mind|don'?t forget|take note|bear in mind)"
    r"(?: for (?:later|next time|the future))?(?:,|:)?(?: that)?[:,]? (?P<fact>.{3,1000}?)\s*$",
    re.I | re.S,
)


def remember(turn: Turn) -> Step | None:
    """Save the fact, once."""
    match = _REMEMBER.match(clean(turn.question))
    if not match or turn.question.rstrip().endswith("?"):
        return None
    fact = match["fact"].strip().rstrip(".!").strip()
    done = turn.outcome("remember")
    if done:
        return Say(text=f"I will remember: {fact}." if done.success else trouble(done.result))
    if "remember" not in turn.tools:
        return Cannot(reason="I have no tool for remembering here")
    return Call(tool="remember", arguments={"content": fact, "kind": "fact"})
