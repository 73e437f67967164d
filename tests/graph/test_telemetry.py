"""Spans of turns, model calls and tools: who is inside of whom, what they tell, and that no value leaves with them."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import ValidationError

from agent import telemetry
from agent.chat import chat
from agent.errors import ProviderUnavailable
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.running import running
from agent.testing.scripted_model import call, scripted_client

PLANTED = "ada@example.com"
READ = call("execute_sql", sql=f"select count(*) as n from public.accounts where owner <> '{PLANTED}'")
CHANGE = call("execute_sql", sql=f"update public.accounts set owner = '{PLANTED}' where id = 1")
BROKEN = call("execute_sql", sql=f"select * from public.no_such where owner = '{PLANTED}'")


@pytest.fixture
def accounts(runtime: Runtime) -> None:
    assert runtime.settings.database_url is not None
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("create table public.accounts (id int primary key, owner text)")
        conn.execute(f"insert into public.accounts values (1, 'x'), (2, '{PLANTED}')")


STRANGE = call(f"look_for_{PLANTED}", sql="select 1")


def traced(runtime: Runtime, *script: Any) -> tuple[Runtime, InMemorySpanExporter]:
    acting = replace(runtime, model=scripted_client(list(script)), cached={})
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry.trace_to(provider, runtime=acting)
    return acting, exporter


def told(span: ReadableSpan) -> tuple[Any, ...]:
    attributes = span.attributes or {}
    return (
        span.name.split()[0],
        attributes.get(telemetry.OUTCOME),
        span.status.status_code.name,
        attributes.get(telemetry.ERROR_TYPE),
    )


async def test_a_turn_holds_its_model_calls_and_tools_and_no_value_leaves(runtime: Runtime, accounts: None) -> None:
    acting, exporter = traced(runtime, READ, BROKEN, STRANGE, f"There are 5, says {PLANTED}.")
    answer = await chat.answer(f"How many are not {PLANTED}?", thread_id="t", runtime=acting)
    assert answer.status == "done"
    spans = exporter.get_finished_spans()
    (turn,) = [one for one in spans if one.name == "invoke_agent learning-agent"]
    inside = [one for one in spans if one is not turn]
    assert {one.parent.span_id for one in inside if one.parent} == {turn.context.span_id}
    assert [told(one) for one in inside] == [
        ("chat", "done", "UNSET", None), ("execute_tool", "succeeded", "UNSET", None), ("chat", "done", "UNSET", None),
        ("execute_tool", "failed", "ERROR", "ToolError"), ("chat", "done", "UNSET", None),
        ("execute_tool", "refused", "UNSET", None), ("chat", "done", "UNSET", None),
    ]  # fmt: skip
    assert told(turn) == ("invoke_agent", "done", "UNSET", None)
    attributes = dict(turn.attributes or {})
    assert (attributes["gen_ai.conversation.id"], attributes["agent.turn"]) == ("t", 1)
    chats = [dict(one.attributes or {}) for one in inside if one.name.startswith("chat")]
    assert attributes["gen_ai.usage.input_tokens"] == sum(one["gen_ai.usage.input_tokens"] for one in chats) > 0
    tools = [dict(one.attributes or {}) for one in inside if one.name.startswith("execute_tool")]
    assert [(one["gen_ai.tool.name"], one["agent.call"]) for one in tools] == [
        ("execute_sql", "1.1"), ("execute_sql", "2.1"), ("other", "3.1"),
    ]  # fmt: skip
    everything = "".join(one.to_json() for one in spans)
    assert not [word for word in (PLANTED, "accounts", "How many", "There are") if word in everything]
    assert not [event for one in spans for event in one.events]


async def test_waiting_for_a_human_is_no_error_and_what_was_approved_is_a_span(
    runtime: Runtime, accounts: None
) -> None:
    acting, exporter = traced(runtime, CHANGE, "Done.")
    answer = await chat.answer("Change it.", thread_id="t", runtime=acting)
    assert [told(one) for one in exporter.get_finished_spans()] == [
        ("chat", "done", "UNSET", None), ("execute_tool", "waiting", "UNSET", None), ("invoke_agent", "waiting", "UNSET", None),
    ]  # fmt: skip
    exporter.clear()
    await safe_executor.decide(answer.approvals[0].id, "approve", runtime=acting)
    await chat.finish("t", runtime=acting)
    assert [told(one) for one in exporter.get_finished_spans()] == [
        ("execute_tool", "succeeded", "UNSET", None), ("chat", "done", "UNSET", None), ("invoke_agent", "done", "UNSET", None),
    ]  # fmt: skip
    assert PLANTED not in "".join(one.to_json() for one in exporter.get_finished_spans())


async def test_a_failed_model_names_the_class_of_its_error_and_a_user_who_leaves_is_none(runtime: Runtime) -> None:
    acting, exporter = traced(runtime, ProviderUnavailable(f"it said {PLANTED}"))
    assert (await chat.answer("Hello?", runtime=acting)).status == "failed"
    assert [told(one) for one in exporter.get_finished_spans()] == [
        ("chat", None, "ERROR", "ProviderUnavailable"), ("invoke_agent", "failed", "ERROR", "TurnFailed"),
    ]  # fmt: skip
    assert PLANTED not in "".join(one.to_json() for one in exporter.get_finished_spans())
    acting, exporter = traced(runtime, "one two three")
    events = chat.ask("Hello?", runtime=acting)
    await anext(events)
    await events.aclose()  # type: ignore[attr-defined]  # it is a generator
    async with asyncio.timeout(10):
        while not (spans := exporter.get_finished_spans()) or not spans[-1].name.startswith("invoke_agent"):
            await asyncio.sleep(0.02)
    assert told(spans[-1]) == ("invoke_agent", "stopped", "UNSET", None)


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[str, list[tuple[Any, Any]]]]:
    """An OpenTelemetry receiver on loopback: what came, with its headers, read by OpenTelemetry's own messages."""
    came: list[tuple[Any, Any]] = []

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        came.append((request.headers, ExportTraceServiceRequest.FromString(body)))
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", came
    finally:
        await runner.cleanup()


async def test_spans_reach_a_receiver_over_http_with_its_key_before_the_process_ends(settings: Settings) -> None:
    async with receiver() as (address, came):
        given = Settings(_env_file=None, otel_endpoint=f"{address}/", otel_headers="x-key=planted-key")
        changed = settings.model_copy(update={"otel_endpoint": given.otel_endpoint, "otel_headers": given.otel_headers})
        assert "planted-key" not in repr(changed)
        async with running(changed) as runtime:
            acting = replace(runtime, model=scripted_client(["Hello."]))
            await chat.answer("Hello?", runtime=acting)
        (headers, message) = came[0]
    assert headers["x-key"] == "planted-key"
    resource = message.resource_spans[0]
    assert ("service.name", "learning-agent") in [
        (one.key, one.value.string_value) for one in resource.resource.attributes
    ]
    names = [span.name.split()[0] for scope in resource.scope_spans for span in scope.spans]
    assert sorted(names) == ["chat", "invoke_agent"]


async def test_a_receiver_that_is_away_stops_no_turn_and_no_end(settings: Settings) -> None:
    changed = settings.model_copy(update={"otel_endpoint": "http://127.0.0.1:9"})
    async with asyncio.timeout(30), running(changed) as runtime:
        acting = replace(runtime, model=scripted_client(["Hello."]))
        assert (await chat.answer("Hello?", runtime=acting)).text == "Hello."


@pytest.mark.parametrize(
    ("name", "value"),
    [("otel_endpoint", "ftp://x"), ("otel_endpoint", "http://user:secret@x"), ("otel_endpoint", "http://x/?key=1"), ("otel_headers", "nonsense"),
     ("otel_headers", "a=b\r\nc=d")],
)  # fmt: skip
def test_settings_that_are_no_receiver_are_refused(name: str, value: str) -> None:
    make: Callable[..., Settings] = Settings
    with pytest.raises(ValidationError):
        make(_env_file=None, **{name: value})
