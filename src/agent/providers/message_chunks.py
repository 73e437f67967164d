"""A whole message as the chunks of a stream, for models that do not stream by themselves."""

from __future__ import annotations

import json

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk


def chunks_of(message: AIMessage) -> list[AIMessageChunk]:
    """`message` as a stream: its words, then its tool calls, then its metadata."""
    text = message.text
    words = [word + " " for word in text.split(" ")] if text else []
    chunks = [AIMessageChunk(content=word) for word in words[:-1]]
    calls = [
        tool_call_chunk(name=one["name"], args=json.dumps(one["args"]), id=one["id"], index=n)
        for n, one in enumerate(message.tool_calls)
    ]
    broken = [
        tool_call_chunk(name=one["name"], args=one["args"], id=one["id"], index=n)
        for n, one in enumerate(message.invalid_tool_calls, len(calls))
    ]
    last = AIMessageChunk(
        content=words[-1][:-1] if words else "",
        tool_call_chunks=calls + broken,
        usage_metadata=message.usage_metadata,
        response_metadata=message.response_metadata,
    )
    return [*chunks, last]
