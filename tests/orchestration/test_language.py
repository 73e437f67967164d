"""What a plan can say beyond steps: lists, taking back, questions to humans, plans inside plans, pauses, limits."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from agent import circuits
from agent.approval.human_approval import human_approval_queue
from agent.errors import InvalidInput
from agent.orchestration import AgentOrchestrator, BaseAgent, NonRetryable, read_plan, store
from agent.runtime import Runtime
from agent.testing.running import running


class Worker(BaseAgent):
    """Notes what it does; `fail` fails, `hang` never ends."""

    def __init__(self, agent_id: str = "w") -> None:
        super().__init__(agent_id)
        self.did: list[tuple[str, Any]] = []
        self.at_work = self.most = self.cancelled = 0

    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002
        self.did.append((action, input))
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        try:
            await asyncio.sleep(60 if action == "hang" else input.get("seconds", 0.01))
            if action == "fail":
                raise NonRetryable("on purpose")
            return input.get("gives", {"did": action})
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_work -= 1


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
async def orchestrator(runtime: Runtime, worker: Worker) -> AgentOrchestrator:
    made = AgentOrchestrator(runtime)
    await made.register_agent(worker)
    return made


async def until(orchestrator: AgentOrchestrator, event: str, step_id: str) -> None:
    seen = asyncio.Event()
    orchestrator.on(event, lambda told: seen.set() if told.get("stepId") == step_id else None)
    async with asyncio.timeout(10):
        await seen.wait()


async def test_a_step_is_done_for_each_element_and_what_is_done_is_not_redone(
    orchestrator: AgentOrchestrator, worker: Worker, runtime: Runtime
) -> None:
    plan = {
        "id": "p", "agentId": "w", "input": {"factor": 3}, "steps": [
            {"id": "list", "input": {"gives": {"names": ["a", "b", "c", "d"]}}},
            {"id": "each", "forEach": {"$from": "list.names"}, "concurrency": 2,
             "input": {"gives": [{"$from": "$item"}, {"$from": "$index"}, {"$from": "$input.factor"}], "seconds": 0.05}},
            {"id": "after", "input": {"gives": {"$from": "each.3.0"}}},
            {"id": "none", "forEach": [], "input": {"gives": 1}},
        ],
    }  # fmt: skip
    result = await orchestrator.orchestrate(plan)
    assert result.errors is None
    assert result.results["each"].data == [["a", 0, 3], ["b", 1, 3], ["c", 2, 3], ["d", 3, 3]]
    assert (result.results["after"].data, result.results["none"].data, worker.most) == ("d", [], 2)
    assert set(result.results) == {"list", "each", "after", "none"}
    run_id = UUID(result.run_id)
    await runtime.execute(
        "update agents.plan_steps set status = 'running', output = null where step_id in ('each', 'each[2]') and tenant_id = %(tenant_id)s"
    )
    await runtime.execute(
        "update agents.plans set status = 'running', finished_at = null, lease_until = now() where tenant_id = %(tenant_id)s"
    )
    worker.did.clear()
    assert await orchestrator.recover() == 1
    again = await orchestrator.result(run_id, wait=True)
    assert again.results["each"].data == result.results["each"].data
    assert [given["gives"] for _, given in worker.did] == [["c", 2, 3]]
    broken = await orchestrator.orchestrate({"id": "q", "agentId": "w", "steps": [{"id": "e", "action": "fail", "forEach": [1, 2]}, {"id": "x", "forEach": {"$from": "$input.no"}}]})  # fmt: skip
    assert broken.errors == {"e": "Element 0: on purpose", "x": "The reference '$input.no' leads to nothing: '$input' gave no 'no'."}  # fmt: skip


async def test_what_was_done_is_taken_back_in_the_other_order_once(
    orchestrator: AgentOrchestrator, worker: Worker, runtime: Runtime
) -> None:
    back = {"action": "refund", "input": {"what": {"$from": "pay.did"}}}
    plan = {"id": "trip", "agentId": "w", "parallel": False, "steps": [
        {"id": "book", "compensation": {"action": "unbook"}}, {"id": "pay", "compensation": back}, {"id": "mail"},
        {"id": "fail", "compensation": {"action": "never"}},
    ], "fallbackPlan": {"steps": [{"id": "sorry"}]}}  # fmt: skip
    result = await orchestrator.orchestrate(plan)
    assert result.success
    assert [action for action, _ in worker.did] == ["book", "pay", "mail", "fail", "refund", "unbook", "sorry"]
    assert worker.did[4][1] == {"what": "pay"}
    await runtime.execute(
        "update agents.plans set status = 'running', lease_until = now() where fallback_of is null and tenant_id = %(tenant_id)s"
    )
    assert await orchestrator.recover() == 1  # as after a crash before the plan's end was stored
    await orchestrator.result(UUID(result.run_id), wait=True)
    assert [action for action, _ in worker.did].count("refund") == 1
    plan = {"id": "t", "agentId": "w", "timeout": 300, "steps": [{"id": "book", "compensation": {"action": "fail"}}, {"id": "hang", "dependencies": ["book"]}]}  # fmt: skip
    late = await orchestrator.orchestrate(plan)
    assert late.errors is not None
    assert late.errors["hang"] == "The plan did not end within its timeout of 300 ms. Not taken back: 'book'."


@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_a_step_asks_a_human_and_asks_once_also_after_a_crash(runtime: Runtime, decision: Any) -> None:
    plan = {"id": "p", "agentId": "w", "steps": [
        {"id": "draft", "input": {"gives": "Dear Ana"}},
        {"id": "ok", "approval": {"riskLevel": "HIGH", "summary": "May it be sent?"}, "input": {"text": {"$from": "draft"}}},
        {"id": "send", "dependencies": ["ok"]},
    ]}  # fmt: skip
    async with running(runtime.settings) as first:
        dying = AgentOrchestrator(first)
        await dying.register_agent(Worker())
        left = asyncio.create_task(dying.orchestrate(plan))
        async with asyncio.timeout(10):
            while not await human_approval_queue.pending(runtime=runtime):
                await asyncio.sleep(0.02)
    left.cancel()
    other, worker = AgentOrchestrator(runtime), Worker()
    await other.register_agent(worker)
    assert await other.recover() == 1
    (asked,) = await human_approval_queue.pending(runtime=runtime)
    assert (asked.summary, asked.arguments["input"], asked.executable) == (
        "May it be sent?",
        {"text": "Dear Ana"},
        False,
    )
    decider = runtime.for_tenant(runtime.tenant_id, user=runtime.user)
    await human_approval_queue.decide(asked.id, decision, comment="no letters" if decision == "reject" else None, runtime=decider)  # fmt: skip
    result = await other.result(await store.find("p", runtime=runtime), wait=True)
    if decision == "approve":
        assert result.results["ok"].data["approved"] is True
        assert [action for action, _ in worker.did] == ["send"]
    else:
        assert result.errors == {"ok": f"Approval {asked.id} was not given (rejected): no letters."}
        assert worker.did == []


async def test_a_plan_inside_a_plan_gives_its_results_and_ends_with_it(
    orchestrator: AgentOrchestrator, worker: Worker, runtime: Runtime
) -> None:
    inner = {"steps": [{"id": "one", "input": {"gives": {"$from": "$input.word"}}}, {"id": "two", "input": {"gives": {"$from": "one"}}}]}  # fmt: skip
    plan = {"id": "outer", "agentId": "w", "input": {"words": ["x", {"$from": "one"}]}, "steps": [
        {"id": "sub", "plan": inner, "forEach": {"$from": "$input.words"}, "input": {"word": {"$from": "$item"}}},
        {"id": "after", "input": {"gives": {"$from": "sub.1.results.two"}}},
    ]}  # fmt: skip
    result = await orchestrator.orchestrate(plan)
    assert result.errors is None
    assert result.results["after"].data == {"$from": "one"}  # what was given is data, also if it looks like a reference
    hung = {"id": "deep", "steps": [{"id": "sub", "plan": {"agentId": "w", "steps": [{"id": "hang"}, {"id": "sub", "plan": {"steps": [{"id": "hang"}]}}]}}]}  # fmt: skip
    for way in ("cancel", "timeout"):
        worker.cancelled = 0
        going = asyncio.create_task(orchestrator.orchestrate({**hung, "timeout": 700 if way == "timeout" else 60_000}))
        async with asyncio.timeout(10):
            while worker.at_work < 2:
                await asyncio.sleep(0.01)
        if way == "cancel":
            assert (await orchestrator.cancel(await store.find("deep", runtime=runtime))).ended
        async with asyncio.timeout(3):
            assert not (await going).success
            while worker.cancelled < 2:
                await asyncio.sleep(0.01)
            while await runtime.all(
                "select 1 from agents.plans where status = 'running' and tenant_id = %(tenant_id)s"
            ):
                await asyncio.sleep(0.05)
    failing = await orchestrator.orchestrate({"id": "f", "steps": [{"id": "s", "plan": {"agentId": "w", "steps": [{"id": "fail"}]}}]})  # fmt: skip
    assert failing.errors == {"s": "Its plan failed: on purpose"}


async def test_a_plan_is_paused_and_resumed_by_whoever_is_there_with_the_time_that_it_had_left(
    orchestrator: AgentOrchestrator, worker: Worker, runtime: Runtime
) -> None:
    steps = [{"id": "a", "input": {"seconds": 0.3}}, {"id": "b", "dependencies": ["a"]}]
    going = asyncio.create_task(orchestrator.orchestrate({"id": "p", "agentId": "w", "timeout": 1_500, "steps": steps}))
    await until(orchestrator, "step:started", "a")
    run_id = await store.find("p", runtime=runtime)
    assert await orchestrator.pause(run_id)
    assert not await orchestrator.pause(run_id)
    await asyncio.sleep(1.6)
    assert [action for action, _ in worker.did] == ["a"]  # it ended, and nothing more began
    assert await orchestrator.recover() == 0
    assert await orchestrator.resume(run_id)
    assert not await orchestrator.resume(run_id)
    result = await going
    assert set(result.results) == {"a", "b"}
    again = asyncio.create_task(orchestrator.orchestrate({"id": "q", "agentId": "w", "steps": steps}))
    await until(orchestrator, "step:started", "a")
    run_id = await store.find("q", runtime=runtime)
    await orchestrator.pause(run_id)
    async with asyncio.timeout(5):
        while (
            await runtime.one(
                "select lease_until < now() as over from agents.plans where plan_id = 'q' and tenant_id = %(tenant_id)s"
            )
        )["over"] is False:  # type: ignore[index]
            await asyncio.sleep(0.05)
        assert (await orchestrator.cancel(run_id)).cancelled  # also while nobody runs it
        assert not (await again).success


async def test_only_so_many_steps_of_an_agent_run_at_the_same_time_in_all_processes(
    orchestrator: AgentOrchestrator, worker: Worker, runtime: Runtime
) -> None:
    await orchestrator.limit_agent("w", 2)
    plan = {"agentId": "w", "steps": [{"id": f"s{at}", "input": {"seconds": 0.05}} for at in range(6)]}
    async with running(runtime.settings) as second:
        other = AgentOrchestrator(second)
        await other.register_agent(worker)
        results = await asyncio.gather(orchestrator.orchestrate({**plan, "id": "p"}), other.orchestrate({**plan, "id": "q"}))  # fmt: skip
    assert all(result.success for result in results)
    assert worker.most == 2
    await runtime.execute(
        "insert into agents.plan_agent_places (agent_id, place, run_id, step_id, until) select 'w', n, gen_random_uuid(), 'dead', now() from generate_series(1, 2) n"
    )
    assert (await orchestrator.orchestrate({**plan, "id": "r"})).success  # the places of the dead are free
    with pytest.raises(InvalidInput, match="1 to 10,000"):
        await orchestrator.limit_agent("w", 0)
    await orchestrator.limit_agent("w", None)
    assert (await orchestrator.orchestrate({**plan, "id": "s"})).success
    assert worker.most == 6


async def test_an_agent_that_fails_again_and_again_is_left_alone(runtime: Runtime) -> None:
    class Down(BaseAgent):
        calls = 0

        async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002
            Down.calls += 1
            if action == "down":
                raise OSError("down")

    orchestrator = AgentOrchestrator(runtime)
    await orchestrator.register_agent(Down("d"))
    step = {"id": "down", "agentId": "d", "retryPolicy": {"maxRetries": 9, "backoffMs": 1}}
    result = await orchestrator.orchestrate({"id": "p", "steps": [step], "fallbackPlan": {"steps": [{"id": "else", "agentId": "d"}]}})  # fmt: skip
    assert result.success
    assert Down.calls == 6
    (found,) = await circuits.listed(runtime=runtime)
    assert (found.name, found.phase, found.failures) == ("agent d: down", "open", 5)


async def test_a_worker_leaves_plans_of_a_newer_format_alone(orchestrator: AgentOrchestrator, runtime: Runtime) -> None:
    run_id = await orchestrator.submit({"id": "p", "agentId": "w", "steps": [{"id": "a"}]})
    await runtime.execute("update agents.plans set format = 99 where tenant_id = %(tenant_id)s")
    assert await orchestrator.recover() == 0
    assert await orchestrator.take(run_id) is None
    assert read_plan({"id": "p", "agentId": "w", "steps": [{"id": "a"}]}).format == 1
    assert read_plan({"id": "p", "agentId": "w", "steps": [{"id": "a", "forEach": [1]}]}).format == 2


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"id": "$item"}, "No step can have the id"), ({"id": "a", "forEach": {"$from": "no.x"}}, "names no step"), ({"id": "a", "forEach": {"x": 1}}, "no list"),
        ({"id": "a", "input": {"x": {"$from": "$item"}}}, "names no step"), ({"id": "a", "approval": {}, "forEach": [1]}, "question to a human"),
        ({"id": "a", "approval": {"riskLevel": "SEVERE"}}, "riskLevel"), ({"id": "a", "plan": {"steps": []}}, "steps"), ({"id": "a", "plan": {"steps": [{"id": "b", "dependencies": ["b"]}]}}, "circle"),
        ({"id": "a", "compensation": {"action": "b", "input": {"$from": "no"}}}, "names no step"), ({"id": "a", "concurrency": 0}, "concurrency"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_with_its_step(step: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        read_plan({"id": "p", "agentId": "w", "steps": [step]})


def test_plans_inside_plans_have_an_end_and_rows_have_names_of_their_own() -> None:
    inner: dict[str, Any] = {"id": "p", "agentId": "w", "steps": [{"id": "a"}]}
    for _ in range(8):
        inner = {"id": "p", "agentId": "w", "steps": [{"id": "a", "plan": inner}]}
    with pytest.raises(InvalidInput, match="inside each other"):
        read_plan(inner)
    for name in ("a[0]", "a~back"):
        with pytest.raises(InvalidInput, match="part of another step"):
            read_plan({"id": "p", "agentId": "w", "steps": [{"id": "a", "forEach": [1], "compensation": {"action": "b"}}, {"id": name}]})  # fmt: skip


async def test_no_plan_begins_for_a_step_of_a_run_that_has_ended(
    orchestrator: AgentOrchestrator, runtime: Runtime
) -> None:
    plan = read_plan({"id": "p", "agentId": "w", "steps": [{"id": "a"}]})
    parent = await store.begin(plan, runtime=runtime)
    assert parent is not None
    part = await store.begin_part(plan, parent, "a", runtime=runtime)
    assert part is not None
    assert await store.begin_part(plan, parent, "a", runtime=runtime) is None
    await store.end(parent, "failed", "x", kind="plan:completed", payload={}, fallback=None, runtime=runtime)
    assert await store.begin_part(plan, parent, "b", runtime=runtime) is None
    await runtime.execute(
        "update agents.plans set lease_until = now() where tenant_id = %(tenant_id)s"
    )  # its process died
    assert await orchestrator.recover() == 1
    await orchestrator.result(part.run_id, wait=True)
    assert (await store.row_of(part.run_id, runtime=runtime))["status"] == "cancelled"


async def test_nothing_empty_is_taken_for_nothing_recorded(orchestrator: AgentOrchestrator, worker: Worker, runtime: Runtime) -> None:  # fmt: skip
    steps = [{"id": f"s{at}", "input": {"gives": value}} for at, value in enumerate(["", None, [], {}, 0, False])]
    result = await orchestrator.orchestrate({"id": "p", "agentId": "w", "parallel": False, "steps": steps})
    assert [one.data for one in result.results.values()] == ["", None, [], {}, 0, False]
    await runtime.execute(
        "update agents.plans set status = 'running', lease_until = now() where tenant_id = %(tenant_id)s"
    )
    worker.did.clear()
    await orchestrator.recover()
    assert (await orchestrator.result(UUID(result.run_id), wait=True)).results.keys() == result.results.keys()
    assert worker.did == []
