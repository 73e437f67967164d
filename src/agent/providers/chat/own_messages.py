"""Keeps what a provider writes beside text and tool calls, and gives it back to the model that wrote it.

DeepSeek refuses a tool call that comes back without its `reasoning_content`, Gemini one without its signature, Anthropic
and OpenAI's Responses API have content blocks. So each round keeps the own form of its message, in the row of its first
call. `attach` puts it beside the message for the prompt; `for_model` takes it out again: the model that wrote it gets its
message as it was, every other model gets the plain one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage

from agent.text.storable import storable_json

EXTRAS = "provider_extras"
"""The key in `additional_kwargs` of what an OpenAI-compatible server adds: {"message": {...}, "calls": {call id: {...}}}."""

_OWN = "provider_message"


def own_form(message: AIMessage, *, model: str) -> dict[str, Any] | None:
    """Return the form of `message` to store, as JSON, or None if text and calls are all that there is."""
    kwargs = {name: value for name, value in message.additional_kwargs.items() if name not in {"tool_calls", _OWN}}
    if isinstance(message.content, str) and not kwargs:
        return None
    form = json.loads(json.dumps({"model": model, "content": message.content, "kwargs": kwargs}, default=str))
    return dict(storable_json(form))


def attach(message: AIMessage, own: Mapping[str, Any] | None, *, call_ids: Sequence[str]) -> AIMessage:
    """Return `message` with its provider's `own` form beside it; `call_ids` are the provider's names of its calls."""
    if not own:
        return message
    return message.model_copy(update={"additional_kwargs": {_OWN: {**own, "call_ids": list(call_ids)}}})


def for_model(messages: Sequence[BaseMessage], name: str) -> list[BaseMessage]:
    """Return `messages` as the model `name` may get them: its own rounds in their own form, all others plain."""
    ids = _their_ids(messages, name)
    shown: list[BaseMessage] = []
    for message in messages:
        if isinstance(message, AIMessage):
            shown.append(_shown(message, name, ids))
        elif isinstance(message, ToolMessage) and message.tool_call_id in ids:
            shown.append(message.model_copy(update={"tool_call_id": ids[message.tool_call_id]}))
        else:
            shown.append(message)
    return shown


def _own(message: BaseMessage, name: str) -> dict[str, Any] | None:
    own = message.additional_kwargs.get(_OWN)
    return own if isinstance(own, dict) and own.get("model") == name else None


def _their_ids(messages: Sequence[BaseMessage], name: str) -> dict[str, str]:
    """Return the provider's ids by ours. Own forms refer to them. Ours stay where theirs name two calls, or none."""
    pairs = [
        (str(call["id"]), str(theirs))
        for message in messages
        if isinstance(message, AIMessage) and (own := _own(message, name))
        for call, theirs in zip(message.tool_calls, own["call_ids"], strict=False)
    ]
    given = [theirs for _, theirs in pairs]
    return {ours: theirs for ours, theirs in pairs if theirs and given.count(theirs) == 1}


def _shown(message: AIMessage, name: str, ids: Mapping[str, str]) -> AIMessage:
    if _OWN not in message.additional_kwargs:
        return message
    own = _own(message, name)
    if own is None:
        return message.model_copy(update={"additional_kwargs": {}})
    calls = [ToolCall(**{**call, "id": ids.get(str(call["id"]), call["id"])}) for call in message.tool_calls]
    kwargs = dict(own["kwargs"])
    if EXTRAS in kwargs:
        by_theirs = kwargs[EXTRAS].get("calls", {})
        renamed = {
            str(call["id"]): by_theirs[theirs]
            for call, theirs in zip(calls, own["call_ids"], strict=False)
            if theirs in by_theirs
        }
        kwargs[EXTRAS] = {**kwargs[EXTRAS], "calls": renamed}
    return AIMessage(content=own["content"], additional_kwargs=kwargs, tool_calls=calls, id=message.id)
