"""Which model is chosen, what it costs, what its failures mean, and how the scripted client stands in for it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.messages.tool import tool_call_chunk

from agent.errors import ConfigurationError, ProviderUnavailable
from agent.providers.chat.builders import DEFAULT_OPENAI_MODEL, chosen_models
from agent.providers.chat.client import create_chat_client
from agent.providers.chat.failures import BrokenStream, Failure, error_for, failure_of
from agent.providers.chat.pricing import cost_of, parse_prices
from agent.providers.chat.stream import fold
from agent.providers.message_chunks import chunks_of
from agent.settings import Settings
from agent.testing.scripted_model import call, scripted_client
from agent.text.tokens import estimate_tokens


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given_settings", "chosen"),
    [
        ({}, ("offline",)),
        ({"openai_api_key": "sk-1"}, (f"openai:{DEFAULT_OPENAI_MODEL}",)),
        ({"openai_base_url": "http://localhost:1/v1"}, (f"openai:{DEFAULT_OPENAI_MODEL}",)),
        ({"deepseek_api_key": "sk-1"}, ("deepseek:deepseek-v4-flash",)),
        ({"openai_api_key": "sk-1", "deepseek_api_key": "sk-2"}, (f"openai:{DEFAULT_OPENAI_MODEL}",)),
        ({"model": "offline", "openai_api_key": "sk-1"}, ("offline",)),
        ({"model": "openai:a", "model_fallbacks": " openai:b, offline,openai:a "}, ("openai:a", "openai:b", "offline")),
    ],
)
def test_the_setting_or_else_the_keys_choose_the_model(given_settings: dict[str, object], chosen: tuple[str, ...]):
    assert chosen_models(settings(**given_settings)) == chosen


@pytest.mark.parametrize(
    ("given_settings", "says"),
    [
        ({"model": "openai:gpt-x"}, "OPENAI_API_KEY"),
        ({"model": "deepseek:deepseek-v4-flash"}, "DEEPSEEK_API_KEY"),
        ({"model": "gpt-x"}, "provider:name"),
        ({"model": "openai:"}, "provider:name"),
        ({"model": "anthropic:claude-x"}, "pip install langchain-anthropic"),
        ({"model": "nonsense:x"}, "nonsense:x"),
        ({"model_prices": "not json"}, "AGENT_MODEL_PRICES"),
    ],
)
def test_a_model_that_cannot_be_made_says_what_is_missing(given_settings: dict[str, object], says: str):
    with pytest.raises(ConfigurationError, match=says):
        create_chat_client(settings(**given_settings))


@pytest.mark.parametrize(
    "text", ["[]", "3", '{"a": 1}', '{"a": [1]}', '{"a": ["x", 2]}', '{"a": [-1, 2]}', '{"a": [NaN, 1]}', '"x"']
)
def test_prices_that_make_no_sense_are_refused(text: str):
    with pytest.raises(ConfigurationError, match="million"):
        parse_prices(text)


def test_a_cost_is_known_only_with_a_price():
    prices = parse_prices('{"openai:a": [1, 10], "b": [2, 2], "free": [0, 0]}')
    assert cost_of("openai:a", input_tokens=1_000_000, output_tokens=100_000, prices=prices) == 2
    assert cost_of("openai:b", input_tokens=500_000, output_tokens=500_000, prices=prices) == 2
    assert cost_of("openai:free", input_tokens=5, output_tokens=5, prices=prices) == 0
    assert cost_of("openai:c", input_tokens=5, output_tokens=5, prices=prices) is None
    assert parse_prices(" ") == {}


@given(st.text(), st.text())
def test_a_longer_text_never_has_fewer_tokens(first: str, second: str):
    assert estimate_tokens(first) <= estimate_tokens(first + second) <= estimate_tokens(first) + estimate_tokens(second)
    assert (estimate_tokens(first) == 0) == (first == "")


def test_lone_surrogates_have_tokens_too():
    assert estimate_tokens("\ud800" * 3) == 3


STORED = st.characters(exclude_characters="\x00", exclude_categories=["Cs"])
NUMBERS = st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1)


@given(
    st.dictionaries(st.text(STORED, max_size=5), NUMBERS | st.text(STORED, max_size=5), max_size=3),
    st.text(STORED, max_size=30),
)
def test_a_message_survives_its_own_stream(arguments: dict[str, object], text: str):
    message = AIMessage(content=text, tool_calls=[{"name": "t", "args": arguments, "id": "1", "type": "tool_call"}])
    folded = fold(chunks_of(message), must_finish=False)
    assert folded.content == text
    assert folded.tool_calls == message.tool_calls


@given(st.integers(min_value=1, max_value=40))
def test_cut_off_arguments_never_become_a_call(length: int):
    whole = json.dumps({"sql": "delete from orders where id = 5 and status = 'x'"})
    chunk = AIMessageChunk(
        content="", tool_call_chunks=[tool_call_chunk(name="t", args=whole[:length], id="1", index=0)]
    )
    folded = fold([chunk], must_finish=False)
    assert folded.tool_calls == []
    assert folded.invalid_tool_calls[0]["args"] == whole[:length]


def test_a_stream_without_its_end_is_broken():
    with pytest.raises(BrokenStream):
        fold([AIMessageChunk(content="half")], must_finish=True)
    with pytest.raises(BrokenStream):
        fold([], must_finish=False)


def test_a_bug_is_no_failure_of_a_provider():
    assert failure_of(KeyError("x")) is None
    assert failure_of(AssertionError()) is None
    timeout = failure_of(TimeoutError())
    assert timeout is not None
    assert timeout.retryable


@pytest.mark.parametrize("kind", ["busy", "broken", "timeout", "quota", "key", "model", "refused"])
def test_every_failure_tells_who_must_do_what(kind: str):
    error = error_for(Failure(kind=kind, detail="detail"), name="deepseek:x")  # type: ignore[arg-type]
    assert isinstance(error, ConfigurationError | ProviderUnavailable)
    assert "deepseek:x" in str(error)
    assert any(
        word in str(error) for word in ("set AGENT_MODEL", "DEEPSEEK_API_KEY", "AGENT_CONTEXT_TOKENS", "try again")
    )


async def test_a_scripted_client_answers_in_order_and_keeps_what_it_was_sent():
    client = scripted_client(
        [
            "one",
            call("execute_sql", sql="select 1"),
            lambda messages: f"{len(messages)} messages",
            ProviderUnavailable("down"),
        ]
    )
    question = [HumanMessage("hello")]
    assert (await client.answer(question)).message.text == "one"
    assert (await client.answer(question)).message.tool_calls[0]["args"] == {"sql": "select 1"}
    assert (await client.answer(question)).message.text == "1 messages"
    with pytest.raises(ProviderUnavailable, match="down"):
        await client.answer(question)
    with pytest.raises(AssertionError, match="asked once more"):
        await client.answer(question)
    assert len(client.requests) == 5
