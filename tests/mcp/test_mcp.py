"""The server for clients of the Model Context Protocol, with the SDK's own client in its modes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import psycopg
import pytest
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult, InputRequiredResult

from agent.access import keys
from agent.approval.human_approval import human_approval_queue
from agent.learning.memory import agent_memory
from agent.mcp.callers import LocalUser
from agent.mcp.server import create_server
from agent.operations import approvals
from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.mcp_clients import connected, mcp_served
from agent.testing.running import running
from agent.text.tokens import estimate_tokens
from mcp import Client, MCPError, StdioServerParameters

CHANGE = "insert into public.notes (text) values ('hello')"
YES = ElicitResult(action="accept", content={"decision": "approve"})


@pytest.fixture
def url(runtime: Runtime) -> str:
    assert runtime.settings.database_url
    url = runtime.settings.database_url.get_secret_value()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("create table public.notes (id int generated always as identity primary key, text text)")
    return url


def notes(url: str) -> list[str]:
    with psycopg.connect(url) as conn:
        return [row[0] for row in conn.execute("select text from public.notes order by id")]


def read(result: CallToolResult) -> dict[str, Any]:
    (content,) = result.content
    return json.loads(content.text)  # type: ignore[union-attr]


def answering(answer: ElicitResult, asked: list[str] | None = None) -> Any:
    async def callback(_context: Any, params: ElicitRequestParams) -> ElicitResult:
        if asked is not None:
            asked.append(params.message)
        return answer

    return callback


@pytest.fixture
async def workers(url: str, settings: Settings, runtime: Runtime) -> AsyncIterator[list[str]]:
    """Two workers, each with connections of its own."""
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(running(settings))
        yield [await stack.enter_async_context(mcp_served(one)) for one in (runtime, other)]


async def test_the_list_of_tools_is_short_enough_for_every_conversation(workers: list[str]) -> None:
    async with connected(workers[0]) as client:
        tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == [
        "ask", "search_memory", "describe_schema", "read_sql", "propose_change", "request_status",
    ]  # fmt: skip
    listed = json.dumps([tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools])
    assert estimate_tokens(listed) <= 2_500
    assert all(tool.annotations and tool.annotations.read_only_hint is not None for tool in tools)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_of_each_age_reads_and_asks_over_http(workers: list[str], url: str, mode: str) -> None:
    await agent_memory.save("Notes are written by the night shift.")
    async with connected(workers[0], mode=mode) as client:
        found = read(await client.call_tool("search_memory", {"query": "who writes notes?"}))
        assert "night shift" in found["rows"][0][3]
        described = await client.call_tool("describe_schema", {"name": "notes"})
        assert "TABLE public.notes" in described.content[0].text  # type: ignore[union-attr]
        rows = read(await client.call_tool("read_sql", {"sql": "select count(*) as number from notes"}))
        assert (rows["columns"], rows["rows"]) == (["number"], [[0]])
        answer = read(await client.call_tool("ask", {"question": "How many notes are there?"}))
        assert (answer["status"], "0" in answer["answer"]) == ("done", True)
        schema = await client.read_resource("knowledge://schema")
        assert "public.notes" in schema.contents[0].text  # type: ignore[union-attr]
        table = await client.read_resource("knowledge://schema/notes")
        assert "text" in table.contents[0].text  # type: ignore[union-attr]
        refused = await client.call_tool("read_sql", {"sql": CHANGE})
    assert (refused.is_error, "approval" in refused.content[0].text, notes(url)) == (True, True, [])  # type: ignore[union-attr]


async def test_a_client_that_its_editor_starts_is_the_local_user_and_is_asked_within_the_call(
    settings: Settings, url: str
) -> None:
    assert settings.database_url
    assert settings.secret
    env = {
        "AGENT_HOME": str(settings.home), "DATABASE_URL": url, "AGENT_SECRET": settings.secret.get_secret_value(),
        "AGENT_USER": "ana", "PATH": "/usr/bin:/bin",
    }  # fmt: skip
    command = StdioServerParameters(command=sys.executable, args=["-m", "agent.cli.main", "mcp"], env=env)
    for number, mode in enumerate(("auto", "legacy"), 1):
        asked: list[str] = []
        async with Client(command, mode=mode, elicitation_callback=answering(YES, asked)) as client:
            result = read(await client.call_tool("propose_change", {"sql": CHANGE, "again": True}))
        assert (result["status"], notes(url)) == ("succeeded", ["hello"] * number)
        assert "1 new row" in asked[0] or "inserted" in asked[0] or "new" in asked[0]
    (_, first) = await human_approval_queue.history()
    assert (first.decided_by, first.decided_via, first.requested_by) == ("ana", "mcp", "ana")


async def test_a_call_that_one_worker_began_is_ended_at_another_and_its_answer_counts_once(
    workers: list[str], url: str
) -> None:
    arguments = {"sql": CHANGE}
    async with (
        connected(workers[0], elicitation_callback=answering(YES)) as one,
        connected(workers[1], elicitation_callback=answering(YES)) as two,
    ):
        asked = await one.session.call_tool("propose_change", arguments, allow_input_required=True)
        assert isinstance(asked, InputRequiredResult)
        back: Any = {"input_responses": {"decision": YES}, "request_state": asked.request_state}
        results = await asyncio.gather(
            *(client.call_tool("propose_change", arguments, **back) for client in (one, two, one, two))
        )
        repeated = await two.call_tool("propose_change", arguments)
    assert [read(result)["status"] for result in (*results, repeated)] == ["succeeded"] * 5
    assert notes(url) == ["hello"]


async def test_state_that_is_forged_or_brought_for_another_call_decides_nothing(workers: list[str], url: str) -> None:
    async with connected(workers[0], elicitation_callback=answering(YES)) as client:
        asked = await client.session.call_tool("propose_change", {"sql": CHANGE}, allow_input_required=True)
        assert isinstance(asked, InputRequiredResult)
        assert asked.request_state
        (waiting,) = await human_approval_queue.pending()
        forged = (f"{waiting.id}:{waiting.binding}", asked.request_state[:-4] + "AAAA", "v1.")
        for state in forged:
            with pytest.raises(MCPError):
                await client.session.call_tool(
                    "propose_change", {"sql": CHANGE}, input_responses={"decision": YES}, request_state=state
                )
        with pytest.raises(MCPError):
            await client.session.call_tool(
                "propose_change",
                {"sql": "drop table notes"},
                input_responses={"decision": YES},
                request_state=asked.request_state,
            )
    assert [one.status for one in await human_approval_queue.history()] == ["pending"]
    assert notes(url) == []


async def test_the_roles_of_keys_hold_and_nobody_can_use_the_state_of_somebody_else(
    workers: list[str], url: str, runtime: Runtime
) -> None:
    made = {
        role: (await keys.create(role, role=role, person=role, personal=True)).secret  # type: ignore[arg-type]
        for role in ("viewer", "operator", "approver")
    }

    async def proposed(role: str) -> CallToolResult:
        async with connected(workers[0], key=made[role], elicitation_callback=answering(YES)) as client:
            return await client.call_tool("propose_change", {"sql": CHANGE})

    refused = await proposed("viewer")
    assert (refused.is_error, "role operator" in refused.content[0].text) == (True, True)  # type: ignore[union-attr]
    waiting = read(await proposed("operator"))
    assert (waiting["status"], notes(url)) == ("waiting", [])
    assert waiting["link"].endswith(f"/api/approvals/{waiting['request_id']}")
    async with connected(workers[0], key=made["approver"], elicitation_callback=answering(YES)) as client:
        asked = await client.session.call_tool("propose_change", {"sql": CHANGE}, allow_input_required=True)
    assert isinstance(asked, InputRequiredResult)
    async with connected(workers[1], key=made["operator"], elicitation_callback=answering(YES)) as client:
        with pytest.raises(MCPError):
            await client.session.call_tool(
                "propose_change", {"sql": CHANGE}, input_responses={"decision": YES}, request_state=asked.request_state
            )
        request = {"request_id": waiting["request_id"], "wait_seconds": 20}
        status = asyncio.create_task(client.call_tool("request_status", request))
        await asyncio.sleep(0.2)
        await approvals.decide_and_run(waiting["request_id"], HumanDecision(decision="approve"), via="test")
        assert read(await status)["status"] == "succeeded"
    assert notes(url) == ["hello"]
    async with httpx.AsyncClient() as plain:
        wrong = await plain.post(workers[0], headers={"Authorization": f"Bearer agk_ZGVmYXVsdA_{'x' * 43}"}, json={})
        elsewhere = await plain.post(workers[0], headers={"Host": "evil.example"}, json={})
    assert (wrong.status_code, wrong.headers["WWW-Authenticate"], elsewhere.status_code) == (401, "Bearer", 421)


async def test_a_client_that_never_answers_leaves_a_request_and_a_no_is_a_no(url: str, runtime: Runtime) -> None:
    async def silent(_context: Any, _params: ElicitRequestParams) -> ElicitResult:
        await asyncio.sleep(60)
        raise AssertionError

    server = await create_server(runtime, LocalUser(runtime), answer_seconds=0.3)
    async with Client(server, mode="legacy", elicitation_callback=silent) as client:
        result = read(await client.call_tool("propose_change", {"sql": CHANGE}))
    assert (result["status"], notes(url)) == ("waiting", [])
    async with Client(server, mode="legacy") as client:
        again = read(await client.call_tool("propose_change", {"sql": CHANGE}))
    assert again["request_id"] == result["request_id"]
    for answer, status in ((ElicitResult(action="cancel"), "waiting"), (ElicitResult(action="decline"), "rejected")):
        async with Client(server, elicitation_callback=answering(answer)) as client:
            told = await client.call_tool("propose_change", {"sql": CHANGE})
            assert read(told)["status"] == status
    assert (told.is_error, notes(url)) == (True, [])


async def test_what_the_operator_keeps_from_models_is_kept_from_those_of_clients(url: str, settings: Settings) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("insert into public.notes (text) values ('for the mayor only')")
    async with running(settings.model_copy(update={"data_sharing": "counts"})) as runtime:
        server = await create_server(runtime, LocalUser(runtime))
        async with Client(server) as client:
            texts = [
                (await client.call_tool("read_sql", {"sql": "select text from notes"})).content[0].text,  # type: ignore[union-attr]
                (await client.call_tool("ask", {"question": "Show the notes"})).content[0].text,  # type: ignore[union-attr]
                (await client.read_resource("knowledge://memories")).contents[0].text,  # type: ignore[union-attr]
                (await client.read_resource("knowledge://schema/notes")).contents[0].text,  # type: ignore[union-attr]
            ]
    assert [text for text in texts if "mayor" in text] == []
