"""The agent makes a tool: what is wrong comes back as text, what is right asks a human, and what was agreed runs as agreed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.cases.created_tool_cases import INTEGER, closing, proposal

from agent.approval.human_approval import Approval, human_approval_queue
from agent.chat import chat
from agent.db import migrations
from agent.errors import ActionRefused, InvalidInput, NotFound, SandboxUnavailable
from agent.execution import available_tools
from agent.execution.created_tools.store import created_tools
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.graph.langchain_tools import all_langchain_tools
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.sandbox import process
from agent.testing.cluster import Cluster
from agent.testing.scripted_model import call, scripted_client
from agent.threads import StoredCall
from agent.types import ToolResult

APPLICATION = """
create table public.accounts (id int primary key, owner text not null, state text not null default 'open');
insert into public.accounts select n, 'owner ' || n, 'open' from generate_series(1, 9) n;
"""
Query = Callable[..., list[Any]]


@pytest.fixture
def application(runtime: Runtime) -> Query:
    """A small application; calling it runs a query as its administrator."""
    url = runtime.settings.database_url.get_secret_value()

    def query(statement: str, *values: Any) -> list[Any]:
        with psycopg.connect(url, autocommit=True) as conn:
            cursor = conn.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    query(APPLICATION)
    return query


async def proposed(arguments: dict[str, Any]) -> ToolResult:
    return await safe_executor.execute("create_new_tool", arguments, wait=False)


async def asked(arguments: dict[str, Any]) -> Approval:
    result = await proposed(arguments)
    assert result["status"] == "waiting", result
    return await human_approval_queue.get(result["approval_id"])


async def made(arguments: dict[str, Any]) -> None:
    approval = await asked(arguments)
    await human_approval_queue.decide(approval.id, "approve")
    result = await safe_executor.run_approved(approval.id)
    assert result["success"], result


async def run(name: str, **arguments: Any) -> ToolResult:
    return await safe_executor.execute(name, arguments, wait=False)


def closed(application: Query) -> list[int]:
    return [row[0] for row in application("select id from accounts where state = 'closed' order by id")]


async def test_a_tool_is_usable_when_a_human_has_agreed_and_not_before(runtime: Runtime) -> None:
    approval = await asked(proposal())
    assert (await run("double", n=4))["status"] == "refused"
    assert approval.risk_level == "CRITICAL"
    assert "def run(n: int) -> int:" in approval.preview_json["text"]
    assert "run(n=2) is 4" in approval.preview_json["text"]
    await human_approval_queue.decide(approval.id, "approve")
    stored = await safe_executor.run_approved(approval.id)
    assert stored["success"], stored
    result = await run("double", n=21)
    assert (result["success"], result["data"]) == (True, 42)
    execution = await executions.get(result["execution_id"])
    assert (execution.action, execution.risk_level, execution.reasons) == ("double", "LOW", ("own",))


async def test_a_rejected_tool_is_never_there(runtime: Runtime) -> None:
    approval = await asked(proposal())
    await human_approval_queue.decide(approval.id, "reject", comment="no")
    assert (await safe_executor.run_approved(approval.id))["status"] == "rejected"
    assert await created_tools.active(runtime=runtime) == []
    assert (await run("double", n=1))["status"] == "refused"


async def test_no_setting_lets_a_tool_be_made_without_a_human(runtime: Runtime) -> None:
    trusting = replace(runtime, settings=runtime.settings.model_copy(update={"ask_from": "CRITICAL"}))
    result = await safe_executor.execute("create_new_tool", proposal(), wait=False, runtime=trusting)
    assert result["status"] == "waiting"
    refused = await safe_executor.execute("create_new_tool", proposal(), require_approval=False)
    assert refused["status"] == "refused"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"code": "def run(n: int) -> int:\n    return 3 * n\n"}, "run returned 6, not 4"),
    ({"code": "def run(n: int) -> int:\n    return n + 'x'\n"}, "unsupported-operator"),
    ({"code": "def run(m: int) -> int:\n    return m\n"}, "Argument `n` does not match"),
    ({"code": "def go(n: int) -> int:\n    return n\n"}, "exactly one function `run`"),
    ({"code": "def run(n: int) -> int:\n    return (\n"}, "not Python"),
    ({"code": "import socket\ndef run(n: int) -> int:\n    return 2 * n\n"}, "socket"),
    ({"code": "def run(n: int) -> int:\n    while True: pass\n"}, "limit exceeded"),
    ({"code": "def run(n: int) -> int:\n    query_data(table='x')\n    return n\n"}, "query_data"),
    ({"code": "_agent_ask = 1\ndef run(n: int) -> int:\n    return n\n"}, "_agent_"),
    ({"tests": [{"code": "assert run(n=1) == 3"}]}, "AssertionError"),
    ({"code": "def run(n: int) -> int:\n    return 2 * n  # \u202e drop \u202c\n"}, "cannot be seen"),
    ({"code": "def run(n: int) -> int:\n    return 2 * n\r\n"}, "cannot be seen"),
    ({"description": "Doubles\u200b a whole number."}, "cannot be seen"),
    ({"tests": [{"arguments": {"n": "two"}, "expected": 4}]}, "is not of type"),
    ({"tests": []}, "tests"),
    ({"parameters": {"type": "array"}}, "must describe an object"),
    ({"parameters": {"type": "object", "properties": {"n": {"type": "intger"}}}}, "draft 2020-12"),
    ({"parameters": {"type": "object", "properties": {"n": {"$ref": "https://example.com/x"}}}}, "point into the schema"),
    ({"parameters": {"type": "object", "properties": {"n": INTEGER}, "additionalProperties": True}}, "other properties"),
    ({"parameters": {"type": "object", "properties": {"x" * 30_000: INTEGER}}}, "characters"),
    ({"parameters": {"type": "object", "properties": {"not a name": INTEGER}}}, "cannot be a parameter"),
    ({"name": "execute_sql"}, "taken"),
    ({"name": "http_get"}, "taken"),
    ({"name": "No Name"}, "name"),
    ({"capabilities": ["format_disk"]}, "no capability format_disk"),
    ({"capabilities": ["http_get"]}, "belong together"),
    ({"hosts": ["example.com"]}, "belong together"),
    ({"capabilities": ["http_get"], "hosts": ["https://example.com/"]}, "is not a host"),
]  # fmt: skip


async def test_what_is_wrong_goes_back_to_the_model_and_asks_nobody(runtime: Runtime) -> None:
    for changes, told in WRONG:
        result = await proposed(proposal(**changes))
        assert result["status"] == "refused", changes
        assert told in result["error"], changes
    assert await human_approval_queue.get_pending_approvals() == []


async def test_a_test_names_the_host_function_that_it_does_not_answer(runtime: Runtime) -> None:
    arguments = closing(tests=[{"arguments": {"numbers": [1]}, "expected": []}])
    assert "the code called query_data, but the test has no answer left" in (await proposed(arguments))["error"]
    wrong = [{"arguments": {"numbers": []}, "expected": [], "answers": [{"function": "execute_sql", "value": 1}]}]
    assert "but the test answers execute_sql next" in (await proposed(closing(tests=wrong)))["error"]


async def test_arguments_are_checked_strictly_at_each_call(runtime: Runtime) -> None:
    await made(proposal())
    for arguments in ({}, {"n": "two"}, {"n": 2, "m": 3}, {"n": 1.5}, {"n": None}):
        result = await run("double", **arguments)
        assert result["status"] == "refused", arguments
        assert "cannot take these arguments" in result["error"]


async def test_a_new_version_is_shown_as_a_difference_and_takes_the_place_of_the_old_one(runtime: Runtime) -> None:
    await made(proposal())
    changed = proposal(code="def run(n: int) -> int:\n    return n + n\n", description="Adds a number to itself.")
    approval = await asked(changed)
    text = approval.preview_json["text"]
    assert "-    return 2 * n" in text
    assert "+    return n + n" in text
    assert "changed   description" in text
    assert (await run("double", n=1))["data"] == 2
    await human_approval_queue.decide(approval.id, "approve")
    await safe_executor.run_approved(approval.id)
    found = await created_tools.versions("double")
    assert [(one.content.version, one.status) for one in found] == [(2, "active"), (1, "replaced")]


async def test_of_two_versions_shown_against_the_same_one_only_the_first_is_stored(runtime: Runtime) -> None:
    first, second = await asked(proposal()), await asked(proposal(code="def run(n: int) -> int:\n    return n * 2\n"))
    for approval in (first, second):
        await human_approval_queue.decide(approval.id, "approve")
    assert (await safe_executor.run_approved(first.id))["success"]
    late = await safe_executor.run_approved(second.id)
    assert late["status"] == "failed"
    assert "propose it again" in late["error"]
    assert (await created_tools.versions("double"))[0].status == "active"


async def test_tools_are_listed_disabled_enabled_and_rolled_back_at_once(runtime: Runtime) -> None:
    await made(proposal())
    await made(proposal(code="def run(n: int) -> int:\n    return n + n + 0\n"))
    await created_tools.disable("double")
    assert (await run("double", n=1))["status"] == "refused"
    assert "double" not in [spec.name for spec in await available_tools.specs(runtime=runtime)]
    with pytest.raises(InvalidInput):
        await created_tools.disable("double")
    assert (await created_tools.activate("double")).content.version == 2
    assert (await created_tools.rollback("double")).content.version == 1
    assert (await run("double", n=1))["data"] == 2
    with pytest.raises(InvalidInput, match="no version before"):
        await created_tools.rollback("double")
    with pytest.raises(NotFound):
        await created_tools.rollback("double", 7)
    with pytest.raises(NotFound):
        await created_tools.disable("treble")
    actions = [one.action for one in await executions.recent(20)]
    assert actions.count("activate_tool") == 2
    assert actions.count("disable_tool") == 1


CHANGES = [
    "update agents.created_tools set code = replace(code, '2', '3')",
    "update agents.created_tools set code = replace(code, '2', '3'), content_hash = 'x'",
    "update agents.created_tools set capabilities = '{execute_sql}'",
    'update agents.created_tools set parameters = \'{"type": "object"}\'',
    "update agents.created_tools set version = 2",
    "update agents.human_approval_queue set binding = 'x'",
    "update agents.human_approval_queue set action = 'execute_sql'",
    "update agents.human_approval_queue set status = 'rejected'",
    "update agents.created_tools set signature = repeat('0', 64)",
]


async def test_what_was_changed_in_the_database_does_not_run(application: Query, runtime: Runtime) -> None:
    await made(proposal())
    for table in ("created_tools", "human_approval_queue"):
        application(f"create table public.{table}_before as select * from agents.{table}")
    for change in CHANGES:
        application(change)
        result = await run("double", n=2)
        assert result["status"] == "refused", change
        assert "not what was approved" in result["error"]
        assert [spec.name for spec in await available_tools.specs(runtime=runtime) if spec.name == "double"] == []
        with pytest.raises((ActionRefused, InvalidInput)):
            await created_tools.activate("double")
        application(
            "update agents.created_tools t set (code, content_hash, capabilities, parameters, version, signature) ="
            " (select code, content_hash, capabilities, parameters, version, signature from public.created_tools_before)"
        )
        application(
            "update agents.human_approval_queue t set (binding, action, status) ="
            " (select binding, action, status from public.human_approval_queue_before b where b.id = t.id)"
        )
    assert (await run("double", n=2))["data"] == 4


async def test_the_agents_own_login_cannot_change_a_version(runtime: Runtime) -> None:
    await made(proposal())
    async with runtime.connection() as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await conn.execute("update agents.created_tools set code = 'x'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await conn.execute("delete from agents.created_tools")


async def test_another_tenant_has_its_own_tools(runtime: Runtime) -> None:
    await made(proposal())
    other = runtime.for_tenant("other")
    assert (await safe_executor.execute("double", {"n": 1}, runtime=other))["status"] == "refused"
    assert await created_tools.versions(runtime=other) == []


async def test_host_calls_go_through_the_executor_and_stand_in_the_log_beside_the_call(
    runtime: Runtime, application: Query
) -> None:
    await made(
        proposal(
            "count_accounts",
            parameters={"type": "object", "properties": {}},
            code="def run() -> int:\n    return execute_sql(sql='select count(*) from accounts')['rows'][0][0]\n",
            tests=[{"expected": 3, "answers": [{"function": "execute_sql", "value": {"rows": [[3]]}}]}],
            capabilities=["execute_sql"],
        )
    )
    result = await run("count_accounts")
    assert result["data"] == 9
    _, calls = await executions.with_calls(result["execution_id"])
    assert [(one.action, one.status, one.row_count) for one in calls] == [("execute_sql", "succeeded", 1)]
    assert application("select count(*) from agents.tool_runs") == [(0,)]


async def test_a_tool_waits_for_a_human_inside_and_goes_on_with_each_decision(
    runtime: Runtime, application: Query
) -> None:
    await made(closing())
    task = asyncio.create_task(safe_executor.execute("close_account", {"numbers": [3, 4]}))
    for decision in ("approve", "reject"):
        while not (waiting := await human_approval_queue.get_pending_approvals()):
            assert not task.done(), task.result()
            await asyncio.sleep(0.02)
        assert waiting[0]["action"] == "execute_sql"
        await human_approval_queue.decide(waiting[0]["id"], decision)
    result = await task
    assert result["data"][0] == "3: 1 of 9"
    assert "rejected this" in result["data"][1]
    assert closed(application) == [3]


async def test_only_what_was_granted_can_be_called(runtime: Runtime, application: Query) -> None:
    code = "def run(n: int) -> object:\n    f = globals()['execute_sql'] if n else None\n    return f(sql='delete from accounts')\n"
    result = await proposed(proposal(code=code, tests=[{"code": "pass"}]))
    assert result["status"] in {"waiting", "refused"}
    if result["status"] == "waiting":
        await human_approval_queue.decide(result["approval_id"], "approve")
        await safe_executor.run_approved(result["approval_id"])
        assert (await run("double", n=1))["status"] in {"failed", "refused"}
    assert application("select count(*) from accounts") == [(9,)]


async def test_nobody_asked_means_refused_inside_a_tool_too(runtime: Runtime, application: Query) -> None:
    await made(closing())
    result = await safe_executor.execute("close_account", {"numbers": [1]}, require_approval=False)
    assert result["status"] == "refused"
    assert closed(application) == []


async def test_a_conversation_makes_a_tool_uses_it_and_goes_on_after_an_approval_inside(
    runtime: Runtime, application: Query
) -> None:
    script = [
        call("create_new_tool", **closing()),
        call("close_account", numbers=[5, 6]),
        lambda messages: f"Done: {messages[-1].text}",
    ]
    talking = replace(runtime, model=scripted_client(script), cached={})
    with use_runtime(talking):
        answer = await chat.answer("Make a tool that closes accounts 5 and 6, then use it.", thread_id="t")
        decided = 0
        while answer.status == "waiting":
            for approval in answer.approvals:
                await human_approval_queue.decide(approval.id, "approve")
                decided += 1
            # Each time another process: nothing is left of the one before but the rows.
            talking = replace(talking, cached={})
            with use_runtime(talking):
                answer = await chat.finish("t")
    assert (answer.status, decided) == ("done", 3)
    assert '"5: 1 of 9", "6: 1 of 9"' in answer.text
    assert closed(application) == [5, 6]
    later = await all_langchain_tools(runtime=runtime)
    assert "close_account" in [tool.name for tool in later]


async def paused(runtime: Runtime) -> tuple[Any, int]:
    """A call of a conversation whose tool waits for a human; its key, and the approval."""
    await made(closing())
    script = [call("close_account", numbers=[7, 8]), "Done."]
    answer = await chat.answer("Close 7 and 8.", thread_id="t", runtime=replace(runtime, model=scripted_client(script)))
    assert answer.status == "waiting"
    return script, answer.approvals[0].id


async def result_of(application: Query) -> dict[str, Any]:
    ((result,),) = application("select result from agents.tool_calls where tool = 'close_account'")
    return result


@pytest.mark.parametrize(
    "change",
    [
        "update agents.tool_runs set state = set_byte(state, 100, get_byte(state, 100) # 1)",
        "update agents.tool_runs set state = '\\x00'",
        "update agents.tool_runs set signature = repeat('0', 64)",
        "update agents.tool_runs set asked = jsonb_set(asked, '{function}', '\"query_data\"')",
        "update agents.tool_runs set answers = answers || '[{}]'",
    ],
)
async def test_a_tampered_state_does_not_go_on(change: str, runtime: Runtime, application: Query) -> None:
    _, approval = await paused(runtime)
    application(change)
    await human_approval_queue.decide(approval, "approve")
    finished = replace(runtime, model=scripted_client(["I could not."]), cached={})
    await chat.finish("t", runtime=finished)
    result = await result_of(application)
    assert result["success"] is False
    assert "is not what was stored" in result["error"]
    assert 8 not in closed(application)


async def test_a_state_of_another_call_does_not_go_on_in_this_one(runtime: Runtime, application: Query) -> None:
    _, approval = await paused(runtime)
    script = [call("close_account", numbers=[9, 9]), "Done."]
    await chat.answer("Close 9.", thread_id="u", runtime=replace(runtime, model=scripted_client(script)))
    application(
        "update agents.tool_runs t set state = u.state, signature = u.signature from agents.tool_runs u"
        " where t.thread_id = 't' and u.thread_id = 'u'"
    )
    await human_approval_queue.decide(approval, "approve")
    await chat.finish("t", runtime=replace(runtime, model=scripted_client(["No."]), cached={}))
    ((result,),) = application("select result from agents.tool_calls where thread_id = 't' and tool = 'close_account'")
    assert "is not what was stored" in result["error"]


async def test_a_state_is_taken_once_whoever_races(runtime: Runtime, application: Query) -> None:
    _, approval = await paused(runtime)
    await human_approval_queue.decide(approval, "approve")
    ((stored,),) = application("select row_to_json(c) from agents.tool_calls c where tool = 'close_account'")
    one = StoredCall.from_row("t", stored)
    results = await asyncio.gather(*(safe_executor.outcome_of(one) for _ in range(8)))
    assert {result["status"] for result in results} <= {"running", "waiting"}
    assert closed(application) == [7]
    assert application(
        "select count(*) from agents.agent_execution_log where action = 'execute_sql' and status = 'succeeded'"
    ) == [(1,)]


async def test_a_state_that_is_put_back_repeats_no_effect(runtime: Runtime, application: Query) -> None:
    _, approval = await paused(runtime)
    application("create table public.kept as select * from agents.tool_runs")
    await human_approval_queue.decide(approval, "approve")
    ((stored,),) = application("select row_to_json(c) from agents.tool_calls c where tool = 'close_account'")
    one = StoredCall.from_row("t", stored)
    second = await safe_executor.outcome_of(one)
    await human_approval_queue.decide(second["approval_id"], "approve")
    assert (await safe_executor.outcome_of(one))["success"]
    effects = "select count(*) from agents.agent_execution_log where action = 'execute_sql' and approval_id is not null"
    assert application(effects) == [(2,)]
    application("insert into agents.tool_runs select * from public.kept")
    assert (await safe_executor.outcome_of(one))["success"]
    assert application(effects) == [(2,)]
    assert application("select count(*) from agents.tool_runs") == [(0,)]


async def test_a_disabled_tool_does_not_go_on(runtime: Runtime, application: Query) -> None:
    _, approval = await paused(runtime)
    await created_tools.disable("close_account")
    await human_approval_queue.decide(approval, "approve")
    await chat.finish("t", runtime=replace(runtime, model=scripted_client(["No."]), cached={}))
    assert (await result_of(application))["status"] == "refused"
    assert 8 not in closed(application)


async def test_without_a_sandbox_tools_are_neither_made_nor_run(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(proposal())
    monkeypatch.setattr(process, "plain_command", lambda limits: ["/nonexistent"])
    monkeypatch.setattr(process, "bwrap_command", lambda bwrap, limits: ["/nonexistent"])
    bare = replace(runtime, cached={})
    for action, arguments in (("create_new_tool", proposal("another_one")), ("double", {"n": 1})):
        with pytest.raises(SandboxUnavailable, match="does not start"):
            await safe_executor.execute(action, arguments, wait=False, runtime=bare)


async def test_another_process_finds_the_tool_and_trusts_it_by_the_same_secret(runtime: Runtime) -> None:
    await made(proposal())
    other = await open_runtime(runtime.settings)
    assert (await safe_executor.execute("double", {"n": 5}, runtime=other))["data"] == 10
    await other.close()
    stranger = replace(
        runtime, settings=runtime.settings.model_copy(update={"secret": None, "home": Path("/nonexistent")}), cached={}
    )
    with pytest.raises(Exception, match="AGENT_SECRET"):
        await safe_executor.execute("double", {"n": 5}, runtime=stranger)


async def test_an_operator_forbids_tools_or_what_they_may_call(runtime: Runtime) -> None:
    for refuse, arguments, status in (
        ("tool:create", proposal(), "refused"),
        ("capability:execute_sql", closing(), "refused"),
        ("capability:execute_sql", proposal(), "waiting"),
    ):
        strict = replace(runtime, settings=runtime.settings.model_copy(update={"refuse": refuse}))
        result = await safe_executor.execute("create_new_tool", arguments, wait=False, runtime=strict)
        assert result["status"] == status, refuse


def test_the_tables_come_to_a_database_that_has_approvals(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    version = "20261125060000"
    url, every = cluster.empty_database(), migrations.all_migrations()
    with monkeypatch.context() as before:
        before.setattr(migrations, "all_migrations", lambda: [one for one in every if one.version < version])
        migrations.migrate(url)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "insert into agents.human_approval_queue (tenant_id, database_id, action, arguments, risk_level, binding, expires_at)"
            " values ('default', 'd', 'execute_sql', '{}', 'LOW', 'x', now())"
        )
        assert version in migrations.migrate(url)
        found = conn.execute("select relforcerowsecurity from pg_class where relname in ('created_tools', 'tool_runs')")
        assert found.fetchall() == [(True,), (True,)]
        assert conn.execute("select count(*) from agents.human_approval_queue").fetchone() == (1,)
