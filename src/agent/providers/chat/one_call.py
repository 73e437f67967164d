"""One call of a model for work that nobody waits for: no retry, no fallback, and its greatest cost is known before."""

from __future__ import annotations

from dataclasses import replace

from langchain_core.messages import HumanMessage, SystemMessage

from agent.providers.chat.client import ChatClient
from agent.providers.chat.pricing import cost_of
from agent.text.tokens import estimate_tokens
from agent.types import Usage

# More than an answer of such a call has, thinking included.
_ANSWER_TOKENS = 4_000


def greatest_cost(client: ChatClient, instructions: str, text: str) -> float | None:
    """Return what `one_call` may cost in US dollars, or None where the price of the model is unknown."""
    # The estimate of tokens is rough, so it counts twice.
    tokens = 2 * (estimate_tokens(instructions) + estimate_tokens(text))
    return cost_of(client.name, input_tokens=tokens, output_tokens=_ANSWER_TOKENS, prices=client.prices)


async def one_call(client: ChatClient, instructions: str, text: str) -> tuple[str, Usage]:
    """Ask the first model once and return its text and what it used. Raises `ProviderUnavailable`, `ConfigurationError`."""
    once = replace(client, candidates=client.candidates[:1], retries=0)
    answer = await once.answer([SystemMessage(instructions), HumanMessage(text)])
    return answer.message.text, answer.usage
