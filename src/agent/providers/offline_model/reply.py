"""From messages to the next message: the first intent that knows what to do decides; when none does, that is said plainly."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, ToolCall

from agent.providers.offline_model.intents import INTENTS
from agent.providers.offline_model.intents.greet import ABILITIES
from agent.providers.offline_model.namesakes import WhichTable
from agent.providers.offline_model.tokenizer import LONGEST_QUESTION
from agent.providers.offline_model.turn_view import Call, Cannot, Say, Step, Turn, turn_of

_MOST_CALLS = 4  # of one turn: look up, ask, look up again, ask again


def reply(messages: Sequence[BaseMessage], *, tools: frozenset[str]) -> AIMessage:
    """The next message: a tool call, or the answer."""
    turn = turn_of(messages, tools)
    step = next_step(turn)
    if isinstance(step, Call) and len(turn.outcomes) < _MOST_CALLS:
        number = len(turn.outcomes) + 1
        call = ToolCall(name=step.tool, args=dict(step.arguments), id=f"call_{number}", type="tool_call")
        return AIMessage(content="", tool_calls=[call])
    return AIMessage(content=step.text if isinstance(step, Say) else cannot("I did not get that done"))


def next_step(turn: Turn) -> Step:
    """What the first willing intent wants; `Say` what is missing when none is."""
    if len(turn.question) > LONGEST_QUESTION:
        return Say(text=cannot(f"a question of more than {LONGEST_QUESTION} characters is not a simple one"))
    reasons = []
    for intent in INTENTS:
        try:
            step = intent(turn)
        except WhichTable as problem:
            step = Cannot(reason=str(problem))
        if isinstance(step, Call | Say):
            return step
        if isinstance(step, Cannot):
            reasons.append(step.reason)
    return Say(text=cannot(reasons[0] if reasons else "I do not understand that"))


def cannot(reason: str) -> str:
    """The plain refusal: why, what this model can do, and that a real one can do more."""
    return (
        f"I cannot answer that: {reason}. I am the built-in offline model for simple questions. {ABILITIES} "
        "A real model understands more: set AGENT_MODEL, or OPENAI_API_KEY."
    )
