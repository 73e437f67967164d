"""Decisions made to confuse: by names that look like others, with arguments that are none, all kinds at the same time, and
resume values of every shape at the graph's door. A request has one end, and only what was shown for that end happens.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from langchain_core.messages import HumanMessage
from langgraph.types import Command

from agent.approval.human_approval import human_approval_queue
from agent.approval.people import people
from agent.errors import AgentError, AlreadyDecided, DecisionRefused, InvalidInput
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.graph import open_graph
from agent.runtime import Runtime, use_runtime
from agent.testing.cases import each
from agent.testing.scripted_model import call, scripted_client

APPLICATION = """
create table public.accounts (id int primary key, balance int not null default 100);
insert into public.accounts select g from generate_series(1, 9) g;
grant select, update, delete on public.accounts to agent_actor, agent_reader;
"""


def query(runtime: Runtime, statement: str) -> list[Any]:
    assert runtime.settings.database_url is not None
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        cursor = conn.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def accounts(runtime: Runtime) -> Runtime:
    query(runtime, APPLICATION)
    return runtime


def setting(balance: int, number: int = 1) -> dict[str, str]:
    return {"sql": f"update accounts set balance = {balance} where id = {number}"}


async def asked(arguments: dict[str, str] | None = None, **options: Any) -> int:
    result = await safe_executor.execute("execute_sql", arguments or setting(1), wait=False, **options)
    assert result["status"] == "waiting", result
    return result["approval_id"]


def balances(runtime: Runtime) -> list[int]:
    return [row[0] for row in query(runtime, "select balance from accounts order by id")]


# Edits that are none.


def nested(levels: int, *, keyed: bool) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"sql": value} if keyed else [value]
    return value


async def test_an_edit_that_is_no_call_of_the_tool_leaves_the_request_as_it_was(accounts: Runtime) -> None:
    endless: dict[str, Any] = {}
    endless["sql"] = endless
    edits: list[Any] = [
        None, 5, "x", b"x", [], {}, {"sql": None}, {"sql": 5}, {"sql": nested(3000, keyed=False)}, nested(3000, keyed=True), endless,
        {"sql": 10**5000}, {5: 1}, {("a",): 1}, {b"x": 1}, {"sql": "\ud800"}, {"sql": "\0"}, {"sql": float("nan")}, {"sql": object()},
        {"sql": "x" * 10_000_000}, {**setting(2), "more": 1}, {"sql": f"{setting(2)['sql']}; select 1"}, {"sql": "select 1"},
        {"sql": "update agents.human_approval_queue set status = 'approved'"}, {"sql": "set role postgres"},
    ]  # fmt: skip
    number = await asked()
    for edit in edits:
        with pytest.raises(AgentError) as caught:
            await safe_executor.decide(number, "edit", arguments=edit)
        assert len(str(caught.value)) < 1_000
        assert (await human_approval_queue.get(number)).status == "pending"
    assert len(await human_approval_queue.history()) == 1
    assert balances(accounts) == [100] * 9


# Names.


async def test_nobody_is_another_person_by_another_spelling(accounts: Runtime) -> None:
    ann = replace(accounts, user="ann")
    await people.add("ann", ["admin", "approver"], runtime=ann)
    await people.add("bob", ["approver"], runtime=ann)
    for asker in ("ann", "ANN", " ann ", "\uff41nn", "a\uff4e\uff4e"):
        number = await asked(actor=asker)
        for decider in ("ann", "Ann", "\uff41nn", " ann", "ann\u00a0"):
            with pytest.raises(DecisionRefused, match="another person"):
                await human_approval_queue.decide(number, "approve", decided_by=decider)
    for decider in ("bob\0", "b\u200bob", "\u202ebob", "bo\ud800b", "b\u043eb", "bob\nann", "", "  "):
        with pytest.raises(AgentError):
            await human_approval_queue.decide(number, "approve", decided_by=decider or "\t", runtime=ann)
    assert (await human_approval_queue.decide(number, "approve", decided_by="BOB")).decided_by == "bob"


@each("name", ["policy", "Policy", " policy", "\uff50olicy", "policy\u00a0x", "permission 7", "PERMISSION"])
async def test_nobody_decides_under_the_name_of_a_rule(accounts: Runtime, name: str) -> None:
    number = await asked()
    with pytest.raises(InvalidInput, match="not a person"):
        await human_approval_queue.decide(number, "approve", decided_by=name)
    assert (await human_approval_queue.get(number)).status == "pending"


@pytest.mark.parametrize(
    "options",
    [{"decided_by": "a\0"}, {"via": "\0\ud800"}, {"comment": "\0\ud800" * 10_000}, {"comment": "\u202e\x1b[2J"}],
)
async def test_no_text_beside_a_decision_breaks_it(accounts: Runtime, options: dict[str, str]) -> None:
    number = await asked()
    try:
        decided = await human_approval_queue.decide(number, "reject", **options)
    except InvalidInput:
        decided = await human_approval_queue.decide(number, "reject")
    assert decided.status == "rejected"
    assert (await human_approval_queue.get(number)).status == "rejected"


# All at once.


async def test_all_kinds_of_decisions_at_once_have_one_end_and_one_effect(accounts: Runtime) -> None:
    chance = random.Random(11)
    for _ in range(12):
        query(accounts, "update accounts set balance = 100")
        number = await asked(setting(1))
        kinds: list[dict[str, Any]] = [
            *[{"decision": "edit", "arguments": setting(balance)} for balance in (2, 3, 4)], *[{"decision": "approve"}] * 3,
            {"decision": "reject"}, {"decision": "respond", "response": "no need"},
        ]  # fmt: skip
        chance.shuffle(kinds)
        outcomes = await asyncio.gather(
            *(safe_executor.decide(number, **kind) for kind in kinds),
            safe_executor.run_approved(number),
            return_exceptions=True,
        )
        won = [kind for kind, outcome in zip(kinds, outcomes, strict=False) if not isinstance(outcome, Exception)]
        lost = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert len(won) == 1
        assert {type(error) for error in lost} == {AlreadyDecided}
        results = await asyncio.gather(*(safe_executor.run_approved(number) for _ in range(4)))
        wanted = {"approve": 1, "edit": 100, "reject": 100, "respond": 100}[won[0]["decision"]]
        if won[0]["decision"] == "edit":
            wanted = int(won[0]["arguments"]["sql"].split()[5])
        assert balances(accounts)[0] == wanted, (won, results)
        assert len({result["status"] for result in results}) == 1
    log = Counter(row.approval_id for row in await executions.recent(500))
    assert set(log.values()) == {1}


async def test_two_edits_at_once_make_one_successor(accounts: Runtime) -> None:
    number = await asked(setting(1))
    edits = [safe_executor.decide(number, "edit", arguments=setting(balance)) for balance in range(2, 10)]
    outcomes = await asyncio.gather(*edits, return_exceptions=True)
    made = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert len(made) == 1
    assert len(await human_approval_queue.history()) == 2
    assert (await safe_executor.run_approved(number))["status"] == "succeeded"
    assert [f"= {balances(accounts)[0]} " in made[0].arguments["sql"], (await safe_executor.run_approved(made[0].id))["status"]] == [
        True, "succeeded",
    ]  # fmt: skip
    assert [row.status for row in await executions.recent() if row.status == "succeeded"] == ["succeeded"]


# The graph's door.

RESUMED: list[Any] = [
    None, 0, 1, -1, True, False, 1e308, float("nan"), "", "yes", "APPROVE!", "approve\0", "\ud800", [], [[]], [["approve"]], {}, {"type": None},
    {"type": ["approve"]}, {"type": {"approve": True}}, {"type": True}, {"type": "approved"}, {"decisions": []}, {"decisions": {}},
    {"decisions": ["approve", "approve"]}, {"decisions": [None]}, {"decisions": [{"type": "reject"}, {"type": "approve"}]},
    {"type": "approve", "args": {"sql": "delete from accounts"}}, {"type": "approve", "edited_action": {"name": "remember", "args": {}}},
    {"type": "edit"}, {"type": "edit", "edited_action": {"name": "remember", "args": {"content": "x"}}},
    {"type": "edit", "edited_action": {"name": "execute_sql", "args": None}}, {"type": "edit", "edited_action": []},
    {"type": "edit", "edited_action": {"name": ["execute_sql"], "args": {}}}, {"type": "edit", "args": nested(50, keyed=True)},
    {"type": "respond"}, {"type": "respond", "message": ""}, {"type": "respond", "message": {"a": 1}}, {"type": "delegate", "to": "nobody"},
    {"type": "delegate", "to": ["a"]}, {"approval_id": 1, "approved": True}, {"action": "approve"}, "collect", {"type": "collect"},
]  # fmt: skip


async def test_no_resume_value_that_is_no_decision_decides(accounts: Runtime) -> None:
    change = call("execute_sql", **setting(1))
    told = replace(accounts, model=scripted_client([change, "Done."]), made={})
    config: Any = {"configurable": {"thread_id": f"{told.tenant_id}/t"}, "recursion_limit": 200}
    with use_runtime(told):
        graph = await open_graph(told)
        await graph.ainvoke({"messages": [HumanMessage("Set it")]}, config)
        for value in RESUMED:
            state = await graph.aget_state(config)
            assert state.interrupts, value
            await graph.ainvoke(Command(resume={state.interrupts[0].id: value}), config)
            assert [one["status"] for one in await human_approval_queue.get_pending_approvals()] == ["pending"], value
        assert balances(accounts)[0] == 100
        state = await graph.aget_state(config)
        final = Command(resume={state.interrupts[0].id: {"type": "approve"}})
        await graph.ainvoke(final, config)
        assert balances(accounts)[0] == 1
        await graph.ainvoke(final, config)  # the same answer, played again
    assert [row.status for row in await executions.recent() if row.approval_id] == ["succeeded"]


async def test_a_yes_to_one_call_is_none_to_the_next(accounts: Runtime) -> None:
    first, second = call("execute_sql", **setting(1, 1)), call("execute_sql", **setting(2, 2))
    told = replace(accounts, model=scripted_client([first, second, "Done."]), made={})
    config: Any = {"configurable": {"thread_id": f"{told.tenant_id}/t"}}
    with use_runtime(told):
        graph = await open_graph(told)
        await graph.ainvoke({"messages": [HumanMessage("Set both")]}, config)
        one = (await graph.aget_state(config)).interrupts[0]
        yes = Command(resume={one.id: {"type": "approve"}})
        await graph.ainvoke(yes, config)
        assert balances(accounts)[:2] == [1, 100]
        for again in (yes, Command(resume={"0" * 32: {"type": "approve"}})):
            await graph.ainvoke(again, config)
            assert balances(accounts)[:2] == [1, 100]
        other = (await graph.aget_state(config)).interrupts
        assert [found.id for found in other] != [one.id]
        assert len(await human_approval_queue.get_pending_approvals()) == 1
