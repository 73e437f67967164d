"""Turns messages into the next message of the offline model: the first intent that understands the question decides."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, ToolCall

from agent.providers.offline_model.intents import INTENTS
from agent.providers.offline_model.intents.greet import ABILITIES
from agent.providers.offline_model.tokenizer import LONGEST_QUESTION
from agent.providers.offline_model.turn_view import Answer, Call, Refusal, Step, Turn, turn_of

_MOST_CALLS = 6  # a turn: describe twice, look up, query, describe again, query again


def reply(messages: Sequence[BaseMessage], *, tools: frozenset[str]) -> AIMessage:
    """Return the next message: a tool call, or the answer."""
    turn = turn_of(messages, tools)
    step = next_step(turn)
    if isinstance(step, Call) and len(turn.outcomes) < _MOST_CALLS:
        number = len(turn.outcomes) + 1
        call = ToolCall(name=step.tool, args=dict(step.arguments), id=f"call_{number}", type="tool_call")
        return AIMessage(content="", tool_calls=[call])
    return AIMessage(content=step.text if isinstance(step, Answer) else refusal("I needed too many tool calls"))


def next_step(turn: Turn) -> Step:
    """Return the step of the first intent that understands the question; else an `Answer` with the reason."""
    if len(turn.question) > LONGEST_QUESTION:
        return Answer(text=refusal(f"a question of more than {LONGEST_QUESTION} characters is not a simple one"))
    reasons = []
    for intent in INTENTS:
        step = intent(turn)
        if isinstance(step, Call | Answer):
            return step
        if isinstance(step, Refusal):
            reasons.append(step.reason)
    return Answer(text=refusal(reasons[0] if reasons else "I do not understand that"))


def refusal(reason: str) -> str:
    """Return why the question is not answered, what this model can do, and how to use a better one."""
    return (
        f"I cannot answer that: {reason}. I am the built-in offline model for simple questions. {ABILITIES} "
        "A real model understands more: set AGENT_MODEL, or OPENAI_API_KEY."
    )
