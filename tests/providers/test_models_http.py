"""The chat client over real HTTP: the real langchain-openai and openai libraries against an OpenAI-compatible server."""

from __future__ import annotations

import logging
import socket
import time
from pathlib import Path

import pytest
import stamina.instrumentation
import structlog
from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from agent.errors import ConfigurationError, ProviderUnavailable
from agent.providers.chat.client import ChatClient, create_chat_client
from agent.settings import Settings
from agent.testing.openai_server import OpenAIServer, Reply, failure, text, tool_calls
from agent.types import ToolSpec

KEY = "sk-secret-0123456789abcdef"
SQL_TOOL = ToolSpec(
    name="execute_sql",
    description="Run SQL.",
    parameters={"type": "object", "properties": {"sql": {"type": "string"}}, "required": ["sql"]},
)
QUESTION = [SystemMessage("You answer."), HumanMessage("How many orders?")]


def client_of(server: OpenAIServer, **overrides: object) -> ChatClient:
    values: dict[str, object] = {
        "model": "openai:test-model",
        "openai_api_key": KEY,
        "openai_base_url": server.url,
        "model_retries": 2,
        "model_timeout": 5.0,
    }
    return create_chat_client(Settings(_env_file=None, **{**values, **overrides}))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off without the wait: what is tested is that it happens."""
    monkeypatch.setattr("agent.providers.chat.client._FIRST_PAUSE", 0.01)
    monkeypatch.setattr("agent.providers.chat.client._LONGEST_BACKOFF", 0.02)


async def test_a_streamed_answer_comes_whole_with_its_usage_and_cost():
    async with OpenAIServer([text("There are 12 orders.")]) as server:
        client = client_of(server, model_prices='{"openai:test-model": [1000000, 2000000]}')
        answer = await client.answer(QUESTION, [SQL_TOOL])
    assert answer.message.text == "There are 12 orders."
    assert answer.model == client.name == "openai:test-model"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (2, 4)
    assert answer.usage.cost_usd == 2 * 1 + 4 * 2
    (request,) = server.chats
    assert request.body["stream"] is True
    assert request.body["tools"][0]["function"]["name"] == "execute_sql"
    assert request.headers["authorization"] == f"Bearer {KEY}"


async def test_usage_is_estimated_where_the_server_reports_none():
    async with OpenAIServer([text("Twelve.", usage=False)]) as server:
        answer = await client_of(server).answer(QUESTION)
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0
    assert answer.usage.cost_usd is None


async def test_tool_calls_arrive_with_their_arguments_and_results_go_back():
    async with OpenAIServer([tool_calls(("execute_sql", {"sql": "select 'it''s'"})), text("Done.")]) as server:
        client = client_of(server)
        first = await client.answer(QUESTION, [SQL_TOOL])
        (called,) = first.message.tool_calls
        result = ToolMessage('{"success": true}', tool_call_id=called["id"])
        second = await client.answer([*QUESTION, first.message, result], [SQL_TOOL])
    assert called["name"] == "execute_sql"
    assert called["args"] == {"sql": "select 'it''s'"}
    assert second.message.text == "Done."
    assert [m["role"] for m in server.chats[1].body["messages"]] == ["system", "user", "assistant", "tool"]


async def test_fifty_parallel_and_unknown_calls_pass_through_untouched():
    calls = [("execute_sql", {"sql": f"select {n}"}) for n in range(49)]
    async with OpenAIServer([tool_calls(*calls, ("launch_rocket", {"to": "moon"}))]) as server:
        answer = await client_of(server).answer(QUESTION, [SQL_TOOL])
    assert len(answer.message.tool_calls) == 50
    assert answer.message.tool_calls[48]["args"] == {"sql": "select 48"}
    assert answer.message.tool_calls[49]["name"] == "launch_rocket"
    assert len({called["id"] for called in answer.message.tool_calls}) == 50


@pytest.mark.parametrize(
    "arguments", ['{"sql": "delete from orders where', "not json", '["a list"]', '"text"', "{" * 5000]
)
async def test_malformed_arguments_stay_visible_and_are_never_repaired(arguments: str):
    async with OpenAIServer([tool_calls(("execute_sql", arguments))]) as server:
        answer = await client_of(server).answer(QUESTION, [SQL_TOOL])
    assert answer.message.tool_calls == []
    (invalid,) = answer.message.invalid_tool_calls
    assert invalid["name"] == "execute_sql"
    assert invalid["args"] == arguments
    assert invalid["error"]


async def test_an_empty_answer_is_an_answer():
    async with OpenAIServer([text("")]) as server:
        answer = await client_of(server).answer(QUESTION)
    assert answer.message.text == ""
    assert answer.message.tool_calls == []


async def test_429_is_retried_after_the_time_that_the_server_asks_for():
    async with OpenAIServer([failure(429, "slow down", retry_after=0.3), text("Now.")]) as server:
        started = time.monotonic()
        answer = await client_of(server).answer(QUESTION)
    assert answer.message.text == "Now."
    assert len(server.chats) == 2
    assert time.monotonic() - started >= 0.3


async def test_a_server_that_asks_for_a_long_pause_is_given_up_at_once():
    async with OpenAIServer([failure(429, "slow down", retry_after=3600)]) as server:
        with pytest.raises(ProviderUnavailable, match="asks to wait 3600 s"):
            await client_of(server).answer(QUESTION)
    assert len(server.chats) == 1


@pytest.mark.parametrize(
    "broken",
    [
        failure(500),
        failure(503),
        text("There are twelve orders in all", cut="clean"),
        text("There are twelve orders in all", cut="abrupt"),
        text("", cut="empty"),
        text("There are twelve", garbage='{"choices": [{'),
        text("There are twelve", garbage='{"error": {"message": "overloaded", "code": "server_error"}}'),
        tool_calls(("execute_sql", {"sql": "select count(*) from orders where status = 'shipped'"}), cut="clean"),
    ],
    ids=["500", "503", "stream ends", "connection drops", "nothing", "garbage", "error event", "call cut"],
)
async def test_a_broken_answer_is_asked_for_again(broken: Reply):
    async with OpenAIServer([broken, text("Twelve.")]) as server:
        answer = await client_of(server).answer(QUESTION, [SQL_TOOL])
    assert answer.message.text == "Twelve."
    assert answer.message.tool_calls == []
    assert len(server.chats) == 2


async def test_retries_end_and_the_error_says_what_to_do():
    async with OpenAIServer([failure(500, "boom")]) as server:
        with pytest.raises(ProviderUnavailable, match=r"boom.*AGENT_MODEL_FALLBACKS"):
            await client_of(server).answer(QUESTION)
    assert len(server.chats) == 3


async def test_a_slow_server_is_given_up_after_the_timeout():
    async with OpenAIServer([text("late", delay=30)]) as server:
        with pytest.raises(ProviderUnavailable, match="did not answer in time"):
            await client_of(server, model_timeout=0.2, model_retries=1).answer(QUESTION)


async def test_nobody_listening_is_said_plainly():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings = Settings(
        _env_file=None, model="openai:m", openai_base_url=f"http://127.0.0.1:{port}/v1", model_retries=0
    )
    with pytest.raises(ProviderUnavailable, match="Connection error"):
        await create_chat_client(settings).answer(QUESTION)


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (failure(401, f"Incorrect API key provided: {KEY}"), ConfigurationError, "check OPENAI_API_KEY"),
        (failure(404, "model not found"), ConfigurationError, "set AGENT_MODEL"),
        (failure(400, f"maximum context length, key {KEY}"), ConfigurationError, "AGENT_CONTEXT_TOKENS"),
        (failure(429, "no credit", code="insufficient_quota"), ProviderUnavailable, "add credit"),
    ],
)
async def test_what_no_retry_can_mend_is_reported_at_once_and_without_the_key(
    reply: Reply, error: type[Exception], says: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as events:
        async with OpenAIServer([reply]) as server:
            with pytest.raises(error, match=says) as caught:
                await client_of(server).answer(QUESTION)
    assert len(server.chats) == 1
    assert KEY not in str(caught.value)
    assert KEY not in str(events)
    assert KEY not in repr(caught.value.__cause__)
    assert KEY not in caplog.text


async def test_no_retry_logs_the_key_that_a_server_echoes():
    key = "plain-words-as-a-key-42"
    # A test before may have left a logger with its own processors, or a level that leaves warnings out.
    stamina.instrumentation.set_on_retry_hooks(None)
    structlog.reset_defaults()
    with structlog.testing.capture_logs() as events:
        async with OpenAIServer([failure(500, f"cannot verify {key} {KEY}")]) as server:
            with pytest.raises(ProviderUnavailable) as caught:
                await client_of(server, openai_api_key=key).answer(QUESTION)
    assert len(server.chats) == 3
    assert any(event["event"] == "stamina.retry_scheduled" for event in events)
    for secret in (key, KEY):
        assert secret not in str(caught.value)
        assert secret not in str(events)


async def test_fallbacks_answer_in_order_and_the_answer_names_the_model():
    async with OpenAIServer([failure(500)]) as down, OpenAIServer([text("From the second.")]) as up:
        client = client_of(
            down,
            model_retries=0,
            model_fallbacks="deepseek:deepseek-v4-flash,offline",
            deepseek_api_key="sk-deep-0123456789",
            deepseek_base_url=up.url,
        )
        answer = await client.answer(QUESTION)
    assert answer.message.text == "From the second."
    assert answer.model == "deepseek:deepseek-v4-flash"
    assert client.name == "openai:test-model"


async def test_when_every_model_fails_the_error_names_them_all():
    async with OpenAIServer([failure(500)]) as server:
        client = client_of(server, model_retries=0, model_fallbacks="openai:second")
        with pytest.raises(ProviderUnavailable, match=r"openai:test-model.*openai:second"):
            await client.answer(QUESTION)


async def test_deepseek_is_reached_at_its_own_url_with_its_own_key():
    async with OpenAIServer([tool_calls(("execute_sql", {"sql": "select 1"}))]) as server:
        settings = Settings(_env_file=None, deepseek_api_key="sk-deep-0123456789", deepseek_base_url=server.url)
        client = create_chat_client(settings)
        answer = await client.answer(QUESTION, [SQL_TOOL])
    assert client.name == "deepseek:deepseek-v4-flash"
    assert answer.message.tool_calls[0]["args"] == {"sql": "select 1"}
    assert server.chats[0].headers["authorization"] == "Bearer sk-deep-0123456789"
    assert server.chats[0].body["model"] == "deepseek-v4-flash"


async def test_langgraph_sees_the_words_as_they_come():
    async with OpenAIServer([text("one two three")]) as server:
        client = client_of(server)

        async def act(state: MessagesState) -> MessagesState:
            answer = await client.answer(state["messages"])
            return {"messages": [answer.message]}

        graph = StateGraph(MessagesState).add_node("act", act).add_edge(START, "act").add_edge("act", END).compile()
        words = []
        async for message, _ in graph.astream({"messages": QUESTION}, stream_mode="messages"):
            if isinstance(message, AIMessageChunk) and message.text:
                words.append(message.text)
    assert words == ["one ", "two ", "three"]


async def test_the_offline_model_needs_no_openai_library(tmp_path: Path):
    import asyncio
    import sys

    program = (
        "import sys, asyncio\n"
        "from agent.settings import Settings\nfrom agent.providers.chat.client import create_chat_client\n"
        "from langchain_core.messages import HumanMessage\n"
        "client = create_chat_client(Settings(_env_file=None))\n"
        "asyncio.run(client.answer([HumanMessage('hello')]))\n"
        "assert client.offline\n"
        "print([m for m in ('openai', 'langchain_openai', 'langchain', 'langgraph') if m in sys.modules])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert said.decode().strip() == "[]"


async def test_options_go_to_the_first_model_and_to_no_fallback():
    options = '{"temperature": 0.5, "reasoning_effort": "high", "thinking": false, "extra_body": {"top_k": 3}}'
    async with OpenAIServer([failure(500)]) as first, OpenAIServer([text("Yes.")]) as second:
        client = client_of(
            first, model_options=options, model_retries=0, model_fallbacks="deepseek:deepseek-v4-pro",
            deepseek_api_key=KEY, deepseek_base_url=second.url,
        )  # fmt: skip
        await client.answer(QUESTION, [SQL_TOOL])
    sent, plain = first.chats[0].body, second.chats[0].body
    assert (sent["temperature"], sent["reasoning_effort"], sent["top_k"]) == (0.5, "high", 3)
    assert sent["thinking"] == {"type": "disabled"}
    assert not {"temperature", "reasoning_effort", "thinking", "top_k"} & plain.keys()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("secret-value", "must be a JSON object"),
        ("[]", "must be a JSON object"),
        ('{"top_p": 1}', "must be a JSON object with temperature"),
        ('{"temperature": "secret-value"}', "temperature: "),
        ('{"temperature": 3}', "temperature: "),
        ('{"temperature": NaN}', "must be a JSON object"),
        ('{"reasoning_effort": "secret value!"}', "reasoning_effort: "),
        ('{"thinking": 1}', "thinking: "),
        ('{"extra_body": {"messages": []}}', "messages: the agent sets these"),
    ],
)
def test_wrong_options_are_named_and_not_quoted(options: str, says: str):
    with pytest.raises(ConfigurationError, match=f"AGENT_MODEL_OPTIONS.*{says}") as caught:
        Settings.load(_env_file=None, model_options=options)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("says", "error", "advice"),
    [
        ("This model's maximum context length is 8192 tokens", ConfigurationError, "AGENT_CONTEXT_TOKENS"),
        ("The `reasoning_content` in the thinking mode must be passed back", ConfigurationError, "begin a new thread"),
        ("Function call is missing a thought_signature", ConfigurationError, "begin a new thread"),
        ("Unsupported value: 'temperature' does not support 0", ConfigurationError, "AGENT_MODEL_OPTIONS"),
        ("Unrecognized request argument supplied: top_k", ConfigurationError, "AGENT_MODEL_OPTIONS"),
        ("registry.ollama.ai/library/tiny does not support tools", ConfigurationError, "can call tools"),
        ("Model Not Exist", ConfigurationError, "does not exist at its server"),
        ("API key not valid. Please pass a valid one.", ConfigurationError, "check OPENAI_API_KEY"),
        ("Your credit balance is too low", ProviderUnavailable, "add credit"),
        ("Something nobody has seen\x00", ConfigurationError, "Something nobody has seen"),
    ],
)
async def test_a_refusal_says_what_the_provider_said_with_advice_that_fits(
    says: str, error: type[Exception], advice: str
):
    hidden = f"Bearer abcdef0123456789, AIzaSyA1234567890abc, {KEY}"
    async with OpenAIServer([failure(400, f"{says}. {hidden}")]) as server:
        with pytest.raises(error) as caught:
            await client_of(server).answer(QUESTION)
    told = str(caught.value)
    assert advice in told
    assert says.strip("\x00") in told or "API key" in says
    assert not {"abcdef0123456789", "AIzaSyA1234567890abc", KEY, "\x00"} & set(told.replace(",", "").split())
    assert "AIza" not in told
    assert "\x00" not in told
    assert len(server.chats) == 1


async def test_a_slow_answer_comes_whole_and_a_silent_or_endless_one_is_given_up():
    words = " ".join(f"word{n}" for n in range(12))
    async with OpenAIServer([text(words, pause=0.1)]) as server:
        answer = await client_of(server, model_timeout=0.8).answer(QUESTION)
        with pytest.raises(ProviderUnavailable, match="AGENT_MODEL_TIMEOUT"):
            await client_of(server, model_timeout=0.05, model_retries=0).answer(QUESTION)
        with pytest.raises(ProviderUnavailable, match="AGENT_MODEL_TOTAL_TIMEOUT"):
            await client_of(server, model_total_timeout=0.4, model_retries=0).answer(QUESTION)
    assert answer.message.text == words
