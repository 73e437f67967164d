"""Define how providers depart from OpenAI's protocol, for `OpenAIServer`: what they add to an answer, and what they refuse.

    async with OpenAIServer([tool_calls(..., reasoning="Count them.")], dialect=DEEPSEEK) as server: ...

Each rule was written from the provider's documentation or from what its API answered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Message = Mapping[str, Any]

# Google's documentation names it for calls that another model made.
SKIPPED_SIGNATURE = "skip_thought_signature_validator"


def _nothing(_: Any) -> dict[str, Any]:
    return {}


def _no_refusal(_: Sequence[Message]) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One provider's departures.

    `thought` makes a delta from a reply's reasoning, `signed` the fields of a call with these arguments, and `refusal` the
    text of a 400 for these messages ('' takes them).
    """

    thought: Callable[[str], dict[str, Any]] = _nothing
    signed: Callable[[str], dict[str, Any]] = _nothing
    refusal: Callable[[Sequence[Message]], str] = _no_refusal


def signature_of(arguments: str) -> str:
    """Return the signature that the Gemini-like server puts on a call with these arguments."""
    return hashlib.sha256(b"server's own key" + arguments.encode()).hexdigest()


def _without_reasoning(messages: Sequence[Message]) -> str:
    asked = [message for message in messages if message["role"] == "assistant" and message.get("tool_calls")]
    if all(message.get("reasoning_content") for message in asked):
        return ""
    return "The `reasoning_content` in the thinking mode must be passed back to the API."


def _without_signature(messages: Sequence[Message]) -> str:
    for message in messages:
        for call in (message.get("tool_calls") or ())[:1]:
            signature = call.get("extra_content", {}).get("google", {}).get("thought_signature")
            if not signature:
                return (
                    f"Function call `{call['function']['name']}` is missing a thought_signature in functionCall parts."
                )
            if signature not in {signature_of(call["function"]["arguments"]), SKIPPED_SIGNATURE}:
                return "Corrupted thought signature."
    return ""


OPENAI = Dialect()
DEEPSEEK = Dialect(thought=lambda text: {"reasoning_content": text}, refusal=_without_reasoning)
GEMINI = Dialect(
    signed=lambda arguments: {"extra_content": {"google": {"thought_signature": signature_of(arguments)}}},
    refusal=_without_signature,
)
OLLAMA = Dialect(thought=lambda text: {"content": f"<think>{text}</think>\n\n"})
