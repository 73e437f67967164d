"""Turns with tools against servers that have providers' own rules: what they add comes back, and no thinking is shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from langchain_core.messages import AIMessage, ToolCall, ToolMessage

from agent.chat import Answered, Restarted, Token, chat
from agent.providers.chat.client import create_chat_client
from agent.providers.chat.compatible import _added, merged
from agent.providers.chat.own_messages import attach, for_model, own_form
from agent.providers.chat.thinking_text import ThinkingFilter, without_thinking
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.dialects import DEEPSEEK, GEMINI, OLLAMA, OPENAI, SKIPPED_SIGNATURE, Dialect, signature_of
from agent.testing.openai_server import OpenAIServer, Reply, failure, text, tool_calls
from agent.testing.responses_api import encrypted

COUNT = ("execute_sql", {"sql": "select 40 + 2 as n"})
AGAIN = ("execute_sql", {"sql": "select 6 * 7 as n"})
KEY = "sk-test-0123456789"


@asynccontextmanager
async def served(
    runtime: Runtime, script: list[Reply], dialect: Dialect, **overrides: Any
) -> AsyncIterator[tuple[Runtime, OpenAIServer]]:
    """The runtime with a model at a server of this dialect."""
    async with OpenAIServer(script, dialect=dialect) as server:
        values = {"model": "deepseek:deepseek-v4-flash", "deepseek_api_key": KEY, "deepseek_base_url": server.url,
                  "openai_api_key": KEY, "openai_base_url": server.url, "model_retries": 0, **overrides}  # fmt: skip
        settings = Settings(_env_file=None, **{**runtime.settings.model_dump(), **values})
        yield replace(runtime, settings=settings, model=create_chat_client(settings), cached={}), server


def assistants(server: OpenAIServer, request: int) -> list[dict[str, Any]]:
    messages = server.chats[request].body["messages"]
    return [message for message in messages if message["role"] == "assistant" and message.get("tool_calls")]


async def test_deepseeks_reasoning_goes_back_within_the_turn_and_in_the_next_ones(runtime: Runtime) -> None:
    script = [
        tool_calls(COUNT, reasoning="I count the first way."),
        tool_calls(AGAIN, COUNT, reasoning="And the second way."),
        text("It is 42.", reasoning="Both say so."),
        text("As I said, 42.", reasoning="I know that."),
    ]
    async with served(runtime, script, DEEPSEEK) as (asking, server):
        first = await chat.answer("How many?", thread_id="t", runtime=asking)
        # Another process: what it gives back comes from the database.
        later = replace(asking, model=create_chat_client(asking.settings), cached={})
        second = await chat.answer("Sure?", thread_id="t", runtime=later)
    assert (first.text, second.text) == ("It is 42.", "As I said, 42.")
    reasons = ["I count the first way.", "And the second way."]
    assert [message["reasoning_content"] for message in assistants(server, 2)] == reasons
    assert [message["reasoning_content"] for message in assistants(server, 3)] == reasons
    for request in server.chats:
        messages = request.body["messages"]
        asked = [call["id"] for message in messages for call in message.get("tool_calls") or ()]
        assert asked == [message["tool_call_id"] for message in messages if message["role"] == "tool"]


async def test_geminis_signatures_go_back_on_their_calls(runtime: Runtime) -> None:
    script = [tool_calls(COUNT, AGAIN), tool_calls(AGAIN), text("42.")]
    async with served(runtime, script, GEMINI, model="openai:gemini-3-flash") as (asking, server):
        answered = await chat.answer("How many?", thread_id="t", runtime=asking)
    assert answered.text == "42."
    first, second = assistants(server, 2)
    for message in (first, second):
        call = message["tool_calls"][0]
        assert call["extra_content"]["google"]["thought_signature"] == signature_of(call["function"]["arguments"])
    assert "extra_content" not in first["tool_calls"][1]


@pytest.mark.parametrize(
    ("dialect", "model"), [(DEEPSEEK, "deepseek:deepseek-v4-pro"), (GEMINI, "openai:gemini-3-pro")]
)
async def test_a_fallback_gets_nothing_of_the_other_providers_own_and_can_go_on(
    runtime: Runtime, dialect: Dialect, model: str
) -> None:
    script = [tool_calls(COUNT, reasoning="My own secret thought."), failure(500)]
    async with OpenAIServer([text("42.")], dialect=dialect) as second:
        to_openai = model.startswith("openai:")
        overrides = {
            "model": "deepseek:deepseek-v4-flash" if to_openai else "openai:local",
            "model_fallbacks": model,
            "openai_base_url" if to_openai else "deepseek_base_url": second.url,
        }
        async with served(runtime, script, DEEPSEEK, **overrides) as (asking, _):
            answered = await chat.answer("How many?", thread_id="t", runtime=asking)
        assert answered.text == "42."
        assert "secret thought" not in str(second.chats[0].body)
        (asked,) = assistants(second, 0)
        if dialect is GEMINI:
            assert asked["tool_calls"][0]["extra_content"]["google"]["thought_signature"] == SKIPPED_SIGNATURE


async def test_thinking_in_the_text_is_never_shown_stored_or_answered(runtime: Runtime) -> None:
    script = [
        tool_calls(COUNT, reasoning="The user wants SECRETIVE things.", text="I count."),
        text("It is 42.", reasoning="SECRETIVE again."),
    ]
    async with served(runtime, script, OLLAMA, model="openai:qwen3") as (asking, server):
        events = [event async for event in chat.ask("How many?", thread_id="t", runtime=asking)]
    shown = "".join(event.text for event in events if isinstance(event, Token))
    answered = next(event for event in events if isinstance(event, Answered))
    assert answered.text == "It is 42."
    assert shown.replace("\n", "").startswith("I count.")
    assert "SECRETIVE" not in shown + str(server.chats[1].body)
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        for table in ("turns", "tool_calls", "agent_memory", "agent_execution_log"):
            assert not conn.execute(f"select 1 from agents.{table} t where t::text like '%SECRETIVE%'").fetchall()


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain\ntext", "plain\ntext"),
        ("<think>a\nb</think>\nYes.", "Yes."),
        ("  <THINK>a</Think> Yes.", "Yes."),
        ("<think>a</think><think>b</think>Yes.", "Yes."),
        ("Well.\n<think>a</think>\nYes.", "Well.\nYes."),
        ("<think>never closed", ""),
        ("a</think>Yes.", "Yes."),
        ("<thinly sliced>", "<thinly sliced>"),
        ("The name is <think> in row 3.", "The name is <think> in row 3."),
        ("<thi", "<thi"),
    ],
)
def test_thinking_is_taken_out_however_the_text_is_cut(written: str, shown: str) -> None:
    assert without_thinking(written) == shown
    for size in (1, 2, 3, 7):
        thinking = ThinkingFilter()
        pieces = "".join(thinking.feed(written[at : at + size]) for at in range(0, len(written), size)) + thinking.end()
        if written != "a</think>Yes.":  # nothing says that it is thinking before its end
            assert pieces == shown


async def test_an_answer_that_ends_at_the_length_limit_says_so_to_whom_it_concerns(runtime: Runtime) -> None:
    script = [
        tool_calls(("execute_sql", '{"sql": "select count(*) from'), finish="length"),
        text("There are many, namely", finish="length"),
        text("", reasoning="I think for too long.", finish="length"),
    ]
    async with served(runtime, script, DEEPSEEK) as (asking, server):
        first = await chat.answer("How many?", thread_id="t", runtime=asking)
        second = await chat.answer("Well?", thread_id="t", runtime=asking)
    told = [message["content"] for message in server.chats[1].body["messages"] if message["role"] == "tool"]
    assert "your answer reached its length limit" in told[0]
    assert first.text.startswith("There are many, namely\n\n(The model reached its length limit")
    assert second.text.startswith("There is no answer. The model reached its length limit")


async def test_sql_as_text_gets_one_nudge(runtime: Runtime) -> None:
    cut = tool_calls(("execute_sql", '{"sql": "select'), finish="length")
    written = text("I will count.\n```sql\nselect 40 + 2\n```", reasoning="SECRETIVE")
    as_json = text('{"name": "execute_sql", "arguments": {"sql": "select 40 + 2"}}')
    async with served(
        runtime, [cut, written, tool_calls(COUNT), text("42."), as_json, as_json], OLLAMA, model="openai:qwen3"
    ) as (asking, server):
        assert (await chat.answer("How many?", thread_id="t", runtime=asking)).text == "42."
        assert "execute_sql" in (await chat.answer("Show me a call", thread_id="t", runtime=asking)).text
    assert len(server.chats) == 6
    *_, said, told = server.chats[2].body["messages"]
    assert (said["role"], told["role"]) == ("assistant", "user")
    assert "nothing runs it" in told["content"]
    assert "SECRETIVE" not in str(server.chats[2].body)


def test_content_blocks_and_names_of_calls_go_back_to_their_own_model_only() -> None:
    blocks = [
        {"type": "thinking", "thinking": "Count.", "signature": "c2ln"},
        {"type": "tool_use", "id": "toolu_1", "name": "execute_sql", "input": {}},
    ]
    calls = [
        ToolCall(name="execute_sql", args={}, id=given, type="tool_call") for given in ("call_1_1_1", "call_1_1_2")
    ]
    message = AIMessage(content=blocks, additional_kwargs={"a": b"\x00"}, tool_calls=calls[:1])
    own = own_form(message, model="anthropic:one")
    stored = attach(AIMessage(content="", tool_calls=calls), own, call_ids=["toolu_1", ""])
    results = [ToolMessage("1", tool_call_id=call["id"]) for call in calls]
    first, *answered = for_model([stored, *results], "anthropic:one")
    assert first.content == blocks
    assert [call["id"] for call in first.tool_calls] == ["toolu_1", "call_1_1_2"]
    assert [result.tool_call_id for result in answered] == ["toolu_1", "call_1_1_2"]
    plain, *_ = for_model([stored, *results], "anthropic:two")
    assert (plain.content, plain.additional_kwargs, plain.tool_calls) == ("", {}, calls)
    assert own_form(AIMessage("text", tool_calls=calls), model="openai:m") is None


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": {"a": [1]}},
        {"reasoning_details": [{"text": "a"}, 3], "extra_content": "text"},
        {"tool_calls": [{"index": [1], "id": 7, "function": {"name": "x"}, "extra_content": {"google": 1}}, None]},
    ],
)
def test_whatever_a_server_adds_can_be_joined(delta: dict[str, Any]) -> None:
    added = _added(delta)
    joined = merged([added, {"message": {"reasoning_content": "text"}, "calls": []}, added])
    assert own_form(AIMessage("", additional_kwargs={"provider_extras": joined}), model="openai:m")


RESPONSES = {"model": "openai:gpt-5.4-mini", "model_options": '{"use_responses_api": true}'}


async def test_reasoning_items_of_the_responses_api_go_back_before_their_calls(runtime: Runtime) -> None:
    script = [
        tool_calls(COUNT, AGAIN, reasoning="I count the first way.", text="I count."),
        tool_calls(AGAIN, reasoning="And the second way."),
        text("It is 42.", reasoning="Both say so."),
        text("As I said, 42.", reasoning="I know that."),
    ]
    async with served(runtime, script, OPENAI, **RESPONSES) as (asking, server):
        events = [event async for event in chat.ask("How many?", thread_id="t", runtime=asking)]
        later = replace(asking, model=create_chat_client(asking.settings), cached={})
        second = await chat.answer("Sure?", thread_id="t", runtime=later)
    assert (events[-1].text, second.text) == ("It is 42.", "As I said, 42.")
    assert "".join(event.text for event in events if isinstance(event, Token)) == "I count.It is 42."
    for request in server.chats:
        assert request.path.endswith("/responses")
        assert request.body["store"] is False
    given = server.chats[3].body["input"]
    assert [item["type"] for item in given[2:9]] == [
        "reasoning", "message", "function_call", "function_call", "function_call_output", "function_call_output", "reasoning"
    ]  # fmt: skip
    assert {item["encrypted_content"] for item in given if item["type"] == "reasoning"} == {
        encrypted("rs_0"),
        encrypted("rs_1"),
    }


async def test_the_responses_api_refuses_what_lacks_its_reasoning(runtime: Runtime) -> None:
    script = [tool_calls(COUNT, reasoning="Count."), text("42.")]
    async with served(runtime, script, OPENAI, **RESPONSES) as (asking, server):
        await chat.answer("How many?", thread_id="t", runtime=asking)
        whole = server.chats[1].body
        items = whole["input"]
        place = next(n for n, item in enumerate(items) if item["type"] == "reasoning")
        without = {**whole, "input": items[:place] + items[place + 1 :]}
        unreadable = [{**item, "encrypted_content": None} if n == place else item for n, item in enumerate(items)]
        assert server._issued.refusal(whole) == ""
        assert "without its required 'reasoning' item: 'rs_0'" in server._issued.refusal(without)
        assert "not persisted" in server._issued.refusal({**whole, "input": unreadable})
        assert server._issued.refusal({**whole, "input": unreadable, "store": True}) == ""
        assert "required following item" in server._issued.refusal({**whole, "input": items[: place + 1]})
        assert "No tool output" in server._issued.refusal({**whole, "input": items[:-1]})


async def test_a_fallback_to_and_from_the_responses_api_goes_on(runtime: Runtime) -> None:
    script = [tool_calls(COUNT, reasoning="My own secret thought."), failure(500), text("43.", reasoning="Again.")]
    async with OpenAIServer([tool_calls(AGAIN, reasoning="Mine."), text("42.")], dialect=DEEPSEEK) as second:
        overrides = {**RESPONSES, "model_fallbacks": "deepseek:deepseek-v4-flash", "deepseek_base_url": second.url}
        async with served(runtime, script, OPENAI, **overrides) as (asking, server):
            answered = await chat.answer("How many?", thread_id="t", runtime=asking)
    assert answered.text == "43."
    assert "secret thought" not in str(second.chats[0].body)
    assert [item["type"] for item in server.chats[2].body["input"] if item["type"] == "reasoning"] == ["reasoning"]


@pytest.mark.parametrize("model", ["gpt-4.1-mini", "gpt-5-chat-latest", "o4-mini", "somebody/else"])
async def test_only_a_model_that_thinks_is_asked_for_its_reasoning(runtime: Runtime, model: str) -> None:
    thinks = {"reasoning": "Count."} if model in {"o4-mini", "somebody/else"} else {}
    script = [tool_calls(COUNT, **thinks), text("42.", **thinks)]
    overrides = {**RESPONSES, "model": f"openai:{model}"}
    async with served(runtime, script, OPENAI, **overrides) as (asking, server):
        assert (await chat.answer("How many?", thread_id="t", runtime=asking)).text == "42."
    assert ("include" in server.chats[0].body) is bool(thinks)


@pytest.mark.parametrize("options", ["", RESPONSES["model_options"]])
async def test_an_error_in_the_middle_of_a_stream_is_tried_again_and_said(runtime: Runtime, options: str) -> None:
    broken = text("Never seen whole.", cut="error", error=f"The engine is overloaded, {KEY}")
    cut = text("There are many, namely", finish="length")
    overrides = {"model": "openai:gpt-5.4-mini", "model_options": options, "model_retries": 1}
    async with served(runtime, [broken, cut, broken], OPENAI, **overrides) as (asking, _):
        first = await chat.answer("How many?", thread_id="t", runtime=asking)
        second = await chat.answer("Well?", thread_id="t", runtime=asking)
    assert first.text.startswith("There are many, namely\n\n(The model reached its length limit")
    assert second.status == "failed"
    assert "The engine is overloaded, [key]" in second.text


@pytest.mark.parametrize("fallback", [False, True])
async def test_an_answer_that_begins_again_says_so_between_its_two_texts(runtime: Runtime, fallback: bool) -> None:
    script = [tool_calls(COUNT, text="I count."), text("one two three four", cut="abrupt"), text("It is 42.")]
    overrides = {"model": "openai:qwen3", "model_retries": 0 if fallback else 1}
    async with OpenAIServer([text("It is 42.")]) as second:
        if fallback:
            overrides |= {"model_fallbacks": "deepseek:deepseek-v4-flash", "deepseek_base_url": second.url}
        async with served(runtime, script, OPENAI, **overrides) as (asking, _):
            events = [event async for event in chat.ask("How many?", thread_id="t", runtime=asking)]
    (place,) = [n for n, event in enumerate(events) if isinstance(event, Restarted)]
    assert "deepseek" in events[place].reason if fallback else "openai:qwen3" in events[place].reason
    before, after = ("".join(e.text for e in part if isinstance(e, Token)) for part in (events[:place], events[place:]))
    assert before == "I count.one two "
    assert after == "It is 42."
    assert events[-1].usage is not None
    assert events[-1].usage.output_tokens == 6


async def test_a_turn_that_waits_returns_only_the_text_that_holds(demo_runtime: Runtime) -> None:
    script = [
        text("I will do", cut="abrupt"),
        tool_calls(("execute_sql", {"sql": "update clients set notes = 'x'"}), text="I ask."),
    ]
    async with served(demo_runtime, script, OPENAI, model="openai:qwen3", model_retries=1) as (asking, _):
        waiting = await chat.answer("Notify them", thread_id="t", runtime=asking)
    assert (waiting.status, waiting.text) == ("waiting", "I ask.")
