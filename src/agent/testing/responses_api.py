"""Speak OpenAI's Responses API for `OpenAIServer`: its events, and what it refuses.

A thinking model's function call is refused without the reasoning item that stood before it. With `store: false` the server
keeps no item, so a reasoning item must come back with its encrypted content, which `include` asks for.
Each rule was written from the provider's documentation or from what its API answered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

ENCRYPTED = "reasoning.encrypted_content"

_CALL, _OUTPUT = "function_call", "function_call_output"
_FIELDS = {
    "reasoning": {"type", "id", "summary", "content", "encrypted_content", "status"},
    _CALL: {"type", "id", "call_id", "name", "arguments", "status"},
    _OUTPUT: {"type", "id", "call_id", "output", "status"},
    "message": {"type", "id", "role", "content", "status", "phase"},
}
_PREFIXES = {"reasoning": "rs", _CALL: "fc", "message": "msg"}
_BEFORE_THINKING = ("gpt-3", "gpt-4", "chatgpt")
_PIECE = 16


@dataclass(slots=True)
class IssuedItems:
    """What a server remembers of its answers: the reasoning item that stands before each call, by the call's id."""

    reasoning_of: dict[str, str] = field(default_factory=dict)
    answers: int = 0

    def refusal(self, body: Mapping[str, Any]) -> str:
        """Return the text of a 400 for this request; '' takes it."""
        if ENCRYPTED in (body.get("include") or ()) and str(body.get("model")).startswith(_BEFORE_THINKING):
            return "Encrypted content is not supported with this model."
        items = body["input"] if isinstance(body["input"], list) else []
        stored = body.get("store") is not False
        checks = (*(_malformed(place, item) for place, item in enumerate(items)), _unanswered(items))
        return next(filter(None, (*checks, *self._reasoning_problems(items, stored=stored))), "")

    def _reasoning_problems(self, items: Sequence[Mapping[str, Any]], *, stored: bool) -> Iterator[str]:
        open_reasoning, followed = "", True
        for item in items:
            kind = item.get("type", "message")
            if kind == "reasoning":
                yield "" if followed else _alone(open_reasoning)
                yield _unreadable(item, stored=stored)
                open_reasoning, followed = str(item["id"]), False
            elif kind == _CALL:
                needed = self.reasoning_of.get(item["call_id"], "")
                if needed and needed != open_reasoning:
                    name = item.get("id") or item["call_id"]
                    yield f"Item '{name}' of type 'function_call' was provided without its required 'reasoning' item: '{needed}'."
                followed = True
            elif kind == "message" and item.get("role") == "assistant":
                followed = True
            else:
                yield "" if followed else _alone(open_reasoning)
                open_reasoning = open_reasoning if kind == _OUTPUT else ""
        yield "" if followed else _alone(open_reasoning)


def encrypted(reasoning_id: str) -> str:
    """Return the encrypted content that the server gives the reasoning item with this id."""
    return hashlib.sha256(b"server's own key" + reasoning_id.encode()).hexdigest()


def events(
    body: Mapping[str, Any],
    issued: IssuedItems,
    *,
    text: str = "",
    calls: Sequence[tuple[str, str]] = (),
    reasoning: str = "",
    finish: Literal["completed", "incomplete", "failed"] = "completed",
    usage: bool = True,
) -> list[dict[str, Any]]:
    """Return the events of one streamed answer: reasoning, text, calls, and its end."""
    number, issued.answers = issued.answers, issued.answers + 1
    rs = f"rs_{number}" if reasoning else ""
    readable = ENCRYPTED in (body.get("include") or ())
    items: list[Iterator[dict[str, Any]]] = [_reasoning(rs, reasoning, readable=readable)] if rs else []
    items += [_message(f"msg_{number}", text)] if text else []
    for place, (name, arguments) in enumerate(calls):
        call_id = f"call_{number}_{place}"
        if rs:
            issued.reasoning_of[call_id] = rs
        items.append(_call(f"fc_{number}_{place}", call_id, name, arguments))
    written = [
        {**event, "output_index": index} | ({"item_id": event["item"]["id"]} if "item" in event else {})
        for index, item in enumerate(items)
        for event in item
    ]
    response = {**_response(number, body), "status": "in_progress"}
    end = _end(response, finish, _usage(body, text, calls) if usage else None)
    return [{"type": "response.created", "response": response}, *written, end]


def _malformed(place: int, item: Mapping[str, Any]) -> str:
    kind = item.get("type", "message")
    if kind not in _FIELDS:
        return f"Invalid value: '{kind}'."
    if unknown := sorted(item.keys() - _FIELDS[kind]):
        return f"Unknown parameter: 'input[{place}].{unknown[0]}'."
    if kind == "reasoning" and "summary" not in item:
        return f"Missing required parameter: 'input[{place}].summary'."
    prefix, given = _PREFIXES.get(kind, ""), str(item.get("id") or "")
    if prefix and given and not given.startswith(prefix):
        return f"Invalid 'input[{place}].id': '{given}'. Expected an ID that begins with '{prefix}'."
    return ""


def _unanswered(items: Sequence[Mapping[str, Any]]) -> str:
    asked = [item["call_id"] for item in items if item.get("type") == _CALL]
    answered = [item["call_id"] for item in items if item.get("type") == _OUTPUT]
    if without := [call_id for call_id in asked if call_id not in answered]:
        return f"No tool output found for function call {without[0]}."
    if without := [call_id for call_id in answered if call_id not in asked]:
        return f"No tool call found for function call output with call_id {without[0]}."
    return f"Duplicate item found with call_id {asked[0]}." if len(set(asked)) < len(asked) else ""


def _unreadable(item: Mapping[str, Any], *, stored: bool) -> str:
    content, name = item.get("encrypted_content"), str(item.get("id"))
    if content:
        return "" if content == encrypted(name) else f"The encrypted content for item {name} could not be verified."
    return "" if stored else f"Item with id '{name}' not found. Items are not persisted when `store` is set to false."


def _alone(name: str) -> str:
    return f"Item '{name}' of type 'reasoning' was provided without its required following item."


def _reasoning(name: str, thought: str, *, readable: bool) -> Iterator[dict[str, Any]]:
    item = {"id": name, "type": "reasoning", "summary": []}
    part = {"item_id": name, "summary_index": 0}
    yield {"type": "response.output_item.added", "item": item}
    yield {"type": "response.reasoning_summary_part.added", "part": {"type": "summary_text", "text": ""}, **part}
    for delta in _pieces(thought):
        yield {"type": "response.reasoning_summary_text.delta", "delta": delta, **part}
    content = {"encrypted_content": encrypted(name)} if readable else {}
    summary = [{"type": "summary_text", "text": thought}]
    yield {"type": "response.output_item.done", "item": {**item, "summary": summary, **content}}


def _message(name: str, text: str) -> Iterator[dict[str, Any]]:
    item = {"id": name, "type": "message", "role": "assistant", "content": [], "status": "in_progress"}
    part = {"item_id": name, "content_index": 0, "logprobs": []}
    yield {"type": "response.output_item.added", "item": item}
    words = text.split(" ")
    for place, word in enumerate(words):
        delta = word if place == len(words) - 1 else word + " "
        yield {"type": "response.output_text.delta", "delta": delta, **part}
    yield {"type": "response.output_text.done", "text": text, **part}
    content = [{"type": "output_text", "text": text, "annotations": []}]
    yield {"type": "response.output_item.done", "item": {**item, "content": content, "status": "completed"}}


def _call(name: str, call_id: str, tool: str, arguments: str) -> Iterator[dict[str, Any]]:
    item = {"id": name, "type": _CALL, "call_id": call_id, "name": tool, "arguments": "", "status": "in_progress"}
    yield {"type": "response.output_item.added", "item": item}
    for delta in _pieces(arguments):
        yield {"type": "response.function_call_arguments.delta", "item_id": name, "delta": delta}
    done = {**item, "arguments": arguments, "status": "completed"}
    yield {"type": "response.function_call_arguments.done", "item_id": name, "name": tool, "arguments": arguments}
    yield {"type": "response.output_item.done", "item": done}


def _pieces(text: str) -> list[str]:
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]


def _response(number: int, body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"resp_{number}", "object": "response", "created_at": 0, "model": body.get("model", "test-model"),
        "output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    }  # fmt: skip


def _end(response: Mapping[str, Any], status: str, usage: dict[str, Any] | None) -> dict[str, Any]:
    why: dict[str, Any] = {}
    if status == "incomplete":
        why = {"incomplete_details": {"reason": "max_output_tokens"}}
    elif status == "failed":
        why = {"error": {"code": "server_error", "message": "The model stumbled."}}
    return {"type": f"response.{status}", "response": {**response, "status": status, "usage": usage, **why}}


def _usage(body: Mapping[str, Any], text: str, calls: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Count one token for each input item, and one for each word or call of the answer."""
    given = len(body["input"]) if isinstance(body["input"], list) else 1
    written = len(text.split()) + len(calls)
    return {
        "input_tokens": given, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": given + written,
    }  # fmt: skip
