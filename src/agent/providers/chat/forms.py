"""Lets a model fill a form: its only way to answer is one call of a tool, whose arguments are the form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from agent.providers.chat.client import ChatClient
from agent.types import ToolSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """The forms that a model handed in, what it said beside them, and what that cost."""

    forms: Sequence[Mapping[str, Any]]
    text: str
    cost_usd: float


async def fill(form: ToolSpec, *, role: str, said: Sequence[str], client: ChatClient) -> Filled:
    """Ask a model to fill `form`. In `said` our words and the model's take turns; ours are first. Raises an `OperatorError`."""
    messages: list[BaseMessage] = [SystemMessage(role)]
    messages += [HumanMessage(text) if place % 2 == 0 else AIMessage(text) for place, text in enumerate(said)]
    answer = await client.answer(messages, [form])
    calls = [one["args"] for one in answer.message.tool_calls if one["name"] == form.name]
    return Filled(forms=calls, text=answer.message.text, cost_usd=answer.usage.cost_usd or 0.0)
