"""LangChain's OpenAI model for servers that speak Chat Completions and add something of their own.

The library drops what it does not know of a streamed message. Here `reasoning_content`, signatures and the like are kept
in `additional_kwargs` (`own_messages.EXTRAS`) and sent back with their message, and thinking in the text is taken out before
anybody sees it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI

from agent.providers.chat.own_messages import EXTRAS
from agent.providers.chat.thinking_text import ThinkingFilter

_OF_MESSAGE = ("reasoning_content", "reasoning", "reasoning_details", "extra_content")
_KNOWN_OF_CALL = frozenset({"index", "id", "type", "function"})
_DELTAS = "provider_deltas"
_WITHOUT_THINKING = re.compile(r"gpt-[34]|chatgpt|gpt-5[\w.]*-chat")


class CompatibleChat(ChatOpenAI):
    """A chat model at an OpenAI-compatible server.

    `foreign_message` and `foreign_call` (the first of a message) stand for what a message with tool calls lacks because another
    model wrote it: some servers refuse it otherwise.
    """

    foreign_message: dict[str, Any] = {}
    foreign_call: dict[str, Any] = {}

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> ChatGenerationChunk | None:
        converted = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)
        choices = chunk.get("choices") or [{}]
        added = _added(choices[0].get("delta") or {})
        if converted is not None and added:
            converted.message.additional_kwargs[_DELTAS] = [added]
        return converted

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        """Stream without the thinking in the text; one more chunk holds what the server added to the whole message."""
        thinking, deltas = ThinkingFilter(), list[dict[str, Any]]()
        async for chunk in super()._astream(messages, stop, None, **kwargs):
            deltas += chunk.message.additional_kwargs.pop(_DELTAS, [])
            if isinstance(chunk.message.content, str):
                chunk.message.content = thinking.feed(chunk.message.content)
            yield chunk
        rest, extras = thinking.end(), merged(deltas)
        if rest or extras:
            kwargs_of_message = {EXTRAS: extras} if extras else {}
            yield ChatGenerationChunk(message=AIMessageChunk(content=rest, additional_kwargs=kwargs_of_message))

    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        if self._use_responses_api({**self._default_params, **kwargs}):
            kwargs = {**self._keeps_nothing(), **kwargs}
        payload: dict[str, Any] = super()._get_request_payload(input_, stop=stop, **kwargs)
        written = payload.get("messages")
        if isinstance(written, list):
            for message, sent in zip(self._convert_input(input_).to_messages(), written, strict=True):
                if isinstance(message, AIMessage) and sent.get("tool_calls"):
                    self._give_back(message.additional_kwargs.get(EXTRAS) or {}, sent)
        return payload

    def _keeps_nothing(self) -> dict[str, Any]:
        """Return what keeps the conversation out of the provider's store: then a thinking model's reasoning comes encrypted."""
        if _WITHOUT_THINKING.match(self.model_name):  # it refuses to be asked for reasoning
            return {"store": False}
        return {"store": False, "include": ["reasoning.encrypted_content"]}

    def _give_back(self, extras: Mapping[str, Any], sent: dict[str, Any]) -> None:
        sent.update({**self.foreign_message, **extras.get("message", {})})
        of_calls = extras.get("calls", {})
        for number, call in enumerate(sent["tool_calls"]):
            foreign = self.foreign_call if number == 0 and not of_calls else {}
            call.update(of_calls.get(call["id"], foreign))


def merged(deltas: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the deltas of one message added, joined: texts and lists grow, other values are replaced."""
    message: dict[str, Any] = {}
    names: dict[str, str] = {}
    calls: dict[str, dict[str, Any]] = {}
    for delta in deltas:
        for name, value in delta["message"].items():
            message[name] = _grown(message.get(name), value)
        for call in delta["calls"]:
            name = names.setdefault(call["index"], call["id"] or f"call_{len(names)}")
            calls.setdefault(name, {}).update(call["added"])
    calls = {name: added for name, added in calls.items() if added}
    return {"message": message, "calls": calls} if message or calls else {}


def _added(delta: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a delta holds that the library does not know, and the ids of its calls, or nothing."""
    message = {name: delta[name] for name in _OF_MESSAGE if delta.get(name)}
    calls = [
        {
            "index": str(call.get("index")),
            "id": str(call.get("id") or ""),
            "added": {name: value for name, value in call.items() if name not in _KNOWN_OF_CALL and value is not None},
        }
        for call in delta.get("tool_calls") or ()
        if isinstance(call, dict)
    ]
    return {"message": message, "calls": calls} if message or calls else {}


def _grown(before: Any, value: Any) -> Any:
    grows = (isinstance(value, str) and isinstance(before, str)) or (
        isinstance(value, list) and isinstance(before, list)
    )
    return before + value if grows else value
