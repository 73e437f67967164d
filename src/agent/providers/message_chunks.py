"""Splits a whole message into the chunks of a stream, for models that do not stream."""

from __future__ import annotations

import json

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk


def chunks_of(message: AIMessage) -> list[AIMessageChunk]:
    """Return `message` as a stream: its words, then its tool calls and its metadata."""
    text = message.text
    words = [word + " " for word in text.split(" ")] if text else []
    chunks = [AIMessageChunk(content=word) for word in words[:-1]]
    calls = [
        tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=n)
        for n, call in enumerate(message.tool_calls)
    ]
    invalid = [
        tool_call_chunk(name=call["name"], args=call["args"], id=call["id"], index=n)
        for n, call in enumerate(message.invalid_tool_calls, len(calls))
    ]
    last = AIMessageChunk(
        content=words[-1][:-1] if words else "",
        tool_call_chunks=calls + invalid,
        usage_metadata=message.usage_metadata,
        response_metadata=message.response_metadata,
    )
    return [*chunks, last]
