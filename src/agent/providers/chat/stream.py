"""Joins streamed chunks into one message, and repairs nothing.

LangChain completes cut-off JSON of tool arguments (`{"sql": "delete from a` becomes a valid call). An action must be what the
model wrote in full, so arguments are parsed strictly here, and what does not parse stays visible in `invalid_tool_calls`.
Characters and numbers that no database stores are also taken out here, once for everything that uses the message.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, InvalidToolCall, ToolCall
from langchain_core.messages.ai import add_ai_message_chunks

from agent.providers.chat.failures import BrokenStream
from agent.providers.chat.thinking_text import without_thinking
from agent.text.storable import exact_float, storable_json
from agent.text.tokens import estimate_tokens


def fold(chunks: Sequence[BaseMessage], *, must_finish: bool) -> AIMessage:
    """Return one message from `chunks`.

    Raises `BrokenStream` if there is none, or if `must_finish` and no chunk gives a finish reason.
    """
    streamed = [chunk for chunk in chunks if isinstance(chunk, AIMessageChunk)]
    if not streamed:
        whole = next((chunk for chunk in chunks if isinstance(chunk, AIMessage)), None)
        if whole is None:
            raise BrokenStream("it sent nothing")
        return _message(whole, whole.tool_calls, whole.invalid_tool_calls)
    folded = add_ai_message_chunks(streamed[0], *streamed[1:])
    if must_finish and not _finished(folded.response_metadata):
        raise BrokenStream("its answer broke off half way")
    return _message(folded, *_strict_calls(folded))


def was_cut_off(message: AIMessage) -> bool:
    """Return whether `message` ends at the model's length limit, in the words of any provider."""
    metadata = message.response_metadata
    reasons = {
        str(metadata.get(name, "")).lower() for name in ("finish_reason", "stop_reason", "done_reason", "status")
    }
    return bool(reasons & _CUT_OFF)


def tokens_of(messages: Sequence[BaseMessage]) -> int:
    """Return the estimated tokens of `messages`, for budgets and for servers that do not report their usage."""
    return sum(_PER_MESSAGE + estimate_tokens(_wire_text(message)) for message in messages)


_CUT_OFF = {"length", "max_tokens", "incomplete"}
_PER_MESSAGE = 4  # role and separators


def _message(source: AIMessage, calls: Sequence[ToolCall], invalid: Sequence[InvalidToolCall]) -> AIMessage:
    return AIMessage(
        content=storable_json(_content(source)),
        additional_kwargs=source.additional_kwargs,
        response_metadata=source.response_metadata,
        usage_metadata=source.usage_metadata,
        tool_calls=storable_json(list(calls)),
        invalid_tool_calls=storable_json(list(invalid)),
        id=source.id,
    )


def _content(source: AIMessage) -> str | list[Any]:
    return without_thinking(source.content) if isinstance(source.content, str) else source.content


def _wire_text(message: BaseMessage) -> str:
    content = message.content if isinstance(message.content, str) else json.dumps(message.content, default=str)
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    own = json.dumps(message.additional_kwargs, default=str) if message.additional_kwargs else ""
    return content + own + "".join(call["name"] + json.dumps(call["args"], default=str) for call in calls)


def _finished(metadata: dict[str, Any]) -> bool:
    # Chat Completions have finish_reason, the Responses API has status.
    return bool(metadata.get("finish_reason") or metadata.get("status"))


def _strict_calls(message: AIMessageChunk) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for number, chunk in enumerate(message.tool_call_chunks):
        name, text = chunk["name"] or "", chunk["args"] or ""
        call_id = chunk["id"] or f"call_{number}"  # some servers send no id, but a result must name its call
        arguments, problem = _arguments(text)
        if problem or not name:
            invalid.append(
                InvalidToolCall(
                    name=name, args=text, id=call_id, error=problem or "the call has no name", type="invalid_tool_call"
                )
            )
        else:
            calls.append(ToolCall(name=name, args=arguments, id=call_id, type="tool_call"))
    return calls, invalid


def _arguments(text: str) -> tuple[dict[str, Any], str]:
    if not text.strip():
        return {}, ""
    try:
        arguments = storable_json(json.loads(text, parse_float=exact_float))
    except (ValueError, RecursionError) as error:
        return {}, f"the arguments are not JSON: {error}"
    if not isinstance(arguments, dict):
        return {}, f"the arguments must be a JSON object, not {type(arguments).__name__}"
    return arguments, ""
