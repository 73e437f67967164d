"""Plans run: the document's examples, failures of every kind, and what is recorded of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from agent import circuits
from agent.errors import InvalidInput, NotFound
from agent.orchestration import AgentOrchestrator, BaseAgent, Cancellation, NonRetryable, read_plan, store
from agent.orchestration.attempts import attempt
from agent.runtime import Runtime, open_runtime
from agent.settings import Settings


class Worker(BaseAgent):
    """Does what its action says, and notes when."""

    def __init__(self, agent_id: str, **config: Any) -> None:
        super().__init__(agent_id, **config)
        self.ran: list[tuple[str, float]] = []

    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002, C901
        self.ran.append((context["step_id"], time.monotonic()))
        match action:
            case "sleep":
                await asyncio.sleep(input["seconds"])
            case "fail":
                raise RuntimeError("on purpose")
            case "final":
                raise NonRetryable("never again")
            case "exit":
                raise SystemExit(3)
            case "cancel":
                raise asyncio.CancelledError
            case "hang":
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    if not input.get("ends"):
                        await asyncio.sleep(60)  # it goes on until it is cancelled once more
                    raise
            case "odd":
                return object()
            case "deep":
                raise Unspeakable
            case "struggle":
                await self.report_insight({"type": "struggling_detected", "topic": "fractions"})
            case "echo":
                return input
        return {"action": action, "got": context["results"]}


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.fixture
async def worker(runtime: Runtime) -> Worker:
    return Worker("w")


@pytest.fixture
async def orchestrator(runtime: Runtime, worker: Worker) -> AgentOrchestrator:
    made = AgentOrchestrator(runtime)
    await made.register_agent(worker)
    return made


def step(name: str, action: str = "act", *needs: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "agentId": "w", "action": action, "dependencies": list(needs), **more}


async def test_a_step_starts_the_moment_its_own_dependencies_end(orchestrator: AgentOrchestrator, worker: Worker) -> None:  # fmt: skip
    events: list[tuple[str, str]] = []
    for name in ("step:started", "step:completed", "plan:started", "plan:completed"):
        orchestrator.on(name, lambda event, name=name: events.append((name, event.get("stepId", ""))))
    plan = {"id": "p", "steps": [
        step("slow", "sleep", input={"seconds": 0.6}), step("quick"), step("after", "act", "quick"), step("join", "act", "slow", "after"),
    ]}  # fmt: skip
    result = await orchestrator.orchestrate(plan)
    assert result.success
    assert result.errors is None
    assert result.results["after"].data == {"action": "act", "got": {"quick": {"action": "act", "got": {}}}}
    assert result.duration >= 600
    ran = dict(worker.ran)
    assert ran["after"] - ran["slow"] < 0.5  # it did not wait for the slow one
    assert events[0] == ("plan:started", "")
    assert events[-1] == ("plan:completed", "")
    assert events.index(("step:completed", "quick")) < events.index(("step:started", "after"))
    kinds = Counter(one.kind for one in await store.events(UUID(result.run_id), runtime=orchestrator._runtime))
    assert kinds == {"plan:started": 1, "step:started": 4, "step:completed": 4, "plan:completed": 1}


async def test_failures_are_retried_and_what_waits_is_skipped_while_the_rest_goes_on(orchestrator: AgentOrchestrator, worker: Worker) -> None:  # fmt: skip
    retry = {"maxRetries": 2, "backoffMs": 50}
    plan = {"id": "p", "steps": [
        step("bad", "fail", retryPolicy=retry), step("behind", "act", "bad"), step("other"), step("final", "final", retryPolicy=retry),
        step("exit", "exit"), step("odd", "odd", retryPolicy=retry), step("quiet", "deep"), step("gone", "cancel"),
        step("late", "hang", timeout=100, input={"ends": True}),
    ]}  # fmt: skip
    result = await orchestrator.orchestrate(plan)
    assert not result.success
    assert set(result.results) == {"other"}
    assert result.errors is not None
    assert set(result.errors) == {"bad", "final", "exit", "odd", "quiet", "gone", "late"}
    assert result.errors["bad"] == "on purpose"
    assert "Unspeakable" in result.errors["quiet"]
    assert "within 0.1 s" in result.errors["late"]
    tries = Counter(name for name, _ in worker.ran)
    assert (tries["bad"], tries["final"], tries["odd"], tries["behind"]) == (3, 1, 1, 0)
    times = [at for name, at in worker.ran if name == "bad"]
    assert times[1] - times[0] >= 0.05
    assert times[2] - times[1] >= 0.1  # linear: once, then twice the pause
    view = await store.view(UUID(result.run_id), runtime=orchestrator._runtime)
    assert {one.id: one.status for one in view.steps}["behind"] == "skipped"


async def test_the_fallback_begins_exactly_once_and_its_result_counts(orchestrator: AgentOrchestrator) -> None:
    begun: list[Any] = []
    orchestrator.on("plan:fallback", begun.append)
    plan = {"id": "predict", "steps": [step("ml", "fail"), step("second", "act", "ml")], "fallbackPlan": {
        "steps": [step("gpt4", "fail")], "fallbackPlan": {"steps": [step("rule")]},
    }}  # fmt: skip
    result = await orchestrator.orchestrate(plan)
    assert result.success
    assert set(result.results) == {"rule"}
    assert result.errors is None
    assert (result.plan_id, result.fallback) == ("predict", "predict_fallback_fallback")
    assert [event["fallbackPlanId"] for event in begun] == ["predict_fallback", "predict_fallback_fallback"]


async def test_the_timeout_of_a_plan_is_kept_also_by_an_agent_that_does_not_end(orchestrator: AgentOrchestrator) -> None:  # fmt: skip
    began = time.monotonic()
    plan = {"id": "p", "steps": [step("hang", "hang"), step("quick"), step("behind", "act", "hang")], "timeout": 700, "fallbackPlan": {"steps": [step("f")]}}  # fmt: skip
    result = await orchestrator.orchestrate(plan)
    assert time.monotonic() - began < 1.2
    assert not result.success
    assert result.fallback is None  # its time was over as well
    assert set(result.results) == {"quick"}
    assert result.errors == {
        "hang": "The plan did not end within its timeout of 700 ms. Agents that have not ended although they were cancelled: 'hang'."
    }
    result = await orchestrator.orchestrate({**plan, "fallbackPlan": {"steps": [step("f")], "timeout": 5000}})
    assert result.success
    assert set(result.results) == {"f"}


async def test_an_attempt_never_begins_while_the_one_before_still_runs(orchestrator: AgentOrchestrator, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("agent.orchestration.attempts._END_SECONDS", 0.5)

    class Stubborn(BaseAgent):
        """Goes on for some turns after it was cancelled, and notes how many of its runs lived at the same time."""

        alive = most = begun = 0
        turns = 5

        async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002
            self.alive, self.begun = self.alive + 1, self.begun + 1
            self.most, after = max(self.most, self.alive), 0
            while after < self.turns:
                try:
                    await asyncio.sleep(0 if after else 0.01)
                    after += bool(after)
                except asyncio.CancelledError:
                    after = 1
            self.alive -= 1

    slow, stuck = Stubborn("slow"), Stubborn("stuck")
    stuck.turns = 1_000_000_000
    for one in (slow, stuck):
        await orchestrator.register_agent(one)
    policy = {"timeout": 50, "retryPolicy": {"maxRetries": 2, "backoffMs": 1}}
    steps = [{"id": name, "agentId": name, **policy} for name in ("slow", "stuck")]
    result = await orchestrator.orchestrate({"id": "p", "steps": steps})
    assert (slow.begun, slow.most) == (3, 1)  # each retry waited until the one before had ended
    assert (stuck.begun, stuck.most) == (1, 1)
    assert result.errors is not None
    assert "not tried again: agent 'stuck' must let asyncio.CancelledError pass" in result.errors["stuck"]
    assert {one.name: one.error for one in await circuits.listed(runtime=runtime)}["agent stuck: stuck"] == "AgentStuck"
    assert stuck.alive == 1
    context = {"run_id": result.run_id, "step_id": "stuck"}  # as if this process took the same run again
    again = partial(attempt, stuck, "stuck", {}, seconds=0.05, report=_unheard, context=context)
    monkeypatch.setattr("agent.orchestration.attempts._END_SECONDS", 0.01)
    assert (await again()).stuck
    assert stuck.begun == 1
    monkeypatch.setattr("agent.orchestration.attempts._END_SECONDS", 10)
    stuck.turns = 5
    assert not (await again()).stuck
    assert (stuck.begun, stuck.most) == (2, 1)  # the first one ended while the second waited


async def _unheard(_insight: Any) -> None: ...


async def test_somebody_cancels_a_plan_with_all_its_steps(orchestrator: AgentOrchestrator, runtime: Runtime) -> None:
    started = asyncio.Event()
    orchestrator.on("step:started", lambda _event: started.set())
    running = asyncio.create_task(orchestrator.orchestrate({"id": "long", "steps": [step("hang", "hang", input={"ends": True})], "fallbackPlan": {"steps": [step("f")]}}))  # fmt: skip
    await started.wait()
    run_id = await store.find("long", runtime=runtime)
    other = AgentOrchestrator(runtime)  # any process may
    assert await other.cancel(run_id, "enough") == Cancellation(cancelled=True)
    result = await asyncio.wait_for(running, 5)
    assert (result.success, result.errors, result.fallback) == (False, {"hang": "enough"}, None)
    assert await other.cancel(run_id) == Cancellation(cancelled=False)


async def test_a_cancellation_says_whether_every_run_below_has_ended(orchestrator: AgentOrchestrator, worker: Worker, settings: Settings) -> None:  # fmt: skip
    started = asyncio.Event()
    orchestrator.on("step:started", lambda event: started.set() if event["stepId"] == "hang" else None)
    plan: dict[str, Any] = {
        "id": "level3",
        "steps": [step("hang", "hang", input={"ends": True}), step("other", "hang", input={"ends": True})],
    }
    for level in (2, 1, 0):
        plan = {
            "id": f"level{level}",
            "steps": [{"id": "below", "plan": plan}, step("beside", "hang", input={"ends": True})],
        }
    running = asyncio.create_task(orchestrator.orchestrate(plan))
    await asyncio.wait_for(started.wait(), 5)
    elsewhere = await open_runtime(settings)  # another process, which knows no agent
    try:
        other = AgentOrchestrator(elsewhere)
        run_id = await store.find("level0", runtime=elsewhere)
        answer = await other.cancel(run_id, "enough")
        assert (answer.cancelled, answer.ended) == (True, True)
        rows = await elsewhere.all(
            "select plan_id, status, error from agents.plans where tenant_id = %(tenant_id)s order by plan_id"
        )
        assert [(row["plan_id"], row["status"]) for row in rows] == [(f"level{at}", "cancelled") for at in range(4)]
        left = await elsewhere.one(
            "select count(*) as n from agents.plan_steps where tenant_id = %(tenant_id)s and status = 'running'"
        )
        assert left == {"n": 0}
        assert (await asyncio.wait_for(running, 5)).errors is not None

        dead = await store.begin(
            read_plan({"id": "dead", "steps": [step("a")]}), runtime=elsewhere
        )  # whoever began it died
        assert dead is not None
        answer = await other.cancel(dead.run_id, wait_seconds=0.1)
        assert (answer.cancelled, answer.ended, answer.running) == (True, False, [dead.run_id])
        await elsewhere.execute(
            "update agents.plans set lease_until = now() where tenant_id = %(tenant_id)s and id = %(id)s",
            id=dead.run_id,
        )
        answer = await other.cancel(dead.run_id)
        assert (answer.cancelled, answer.ended) == (True, True)
    finally:
        await elsewhere.close()


async def test_an_idempotency_key_runs_a_plan_once(orchestrator: AgentOrchestrator, worker: Worker) -> None:
    plan = {"id": "p", "steps": [step("a", "sleep", input={"seconds": 0.2})]}
    results = await asyncio.gather(*(orchestrator.orchestrate(plan, idempotency_key="k") for _ in range(8)))
    assert len({one.run_id for one in results}) == 1
    assert all(one.success for one in results)
    assert len(worker.ran) == 1
    with pytest.raises(InvalidInput, match="another plan"):
        await orchestrator.orchestrate({"id": "p", "steps": [step("b")]}, idempotency_key="k")


async def test_a_replay_redoes_only_what_waits_for_the_step(orchestrator: AgentOrchestrator, worker: Worker) -> None:
    plan = {"id": "p", "steps": [step("a"), step("b", "act", "a"), step("c", "act", "b"), step("d", "act", "a")]}
    first = await orchestrator.orchestrate(plan)
    worker.ran.clear()
    again = await orchestrator.replay(UUID(first.run_id), from_step="b", input={"edited": True})
    assert again.success
    assert again.run_id != first.run_id
    assert [name for name, _ in worker.ran] == ["b", "c"]
    assert again.results["d"].data == first.results["d"].data
    with pytest.raises(InvalidInput, match="no step 'z'"):
        await orchestrator.replay(UUID(first.run_id), from_step="z")


async def test_insights_and_errors_reach_those_who_listen_and_a_bad_handler_harms_nobody(orchestrator: AgentOrchestrator) -> None:  # fmt: skip
    heard: list[Any] = []

    async def help_learner(event: Any) -> None:
        await orchestrator.orchestrate({"id": "tutor", "steps": [step(event["insight"]["topic"])]})
        heard.append(event)

    orchestrator.on("agent:insight", lambda _event: 1 / 0)
    orchestrator.on("agent:insight", help_learner)
    orchestrator.on("agent:error", heard.append)
    result = await orchestrator.orchestrate({"id": "p", "steps": [step("s", "struggle"), step("f", "fail", "s")]})
    assert not result.success
    async with asyncio.timeout(5):
        while len(heard) < 2:
            await asyncio.sleep(0.02)
    kinds = {("insight" if "insight" in one else one["error"]["message"]): one["agentId"] for one in heard}
    assert kinds == {"insight": "w", "on purpose": "w"}
    with pytest.raises(InvalidInput, match="no event 'step:done'"):
        orchestrator.on("step:done", print)


async def test_agents_come_as_objects_classes_and_graphs(orchestrator: AgentOrchestrator) -> None:
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(dict)
    graph.add_node("double", lambda state: {"n": state["n"] * 2})
    graph.add_edge(START, "double")
    graph.add_edge("double", END)
    await orchestrator.register_agent(graph.compile(), "doubler")
    made = await orchestrator.register_agent(Worker, "second")
    assert orchestrator.get_agent("second") is made
    assert made.get_agent_id() == "second"
    result = await orchestrator.orchestrate({"id": "p", "steps": [{"id": "two", "agentId": "doubler", "input": {"n": 21}}]})  # fmt: skip
    assert result.results["two"].data == {"n": 42}
    with pytest.raises(NotFound, match="register_agent"):
        orchestrator.get_agent("nobody")
    with pytest.raises(InvalidInput, match="'a' names agent 'nobody'"):
        await orchestrator.orchestrate({"id": "p", "steps": [{"id": "a", "agentId": "nobody"}]})


async def test_a_wide_plan_leaves_the_connections_to_others(orchestrator: AgentOrchestrator, runtime: Runtime) -> None:
    plan = {"id": "wide", "steps": [step(f"s{at}") for at in range(400)] + [step("join", "act", *(f"s{at}" for at in range(400)))]}  # fmt: skip
    running = asyncio.create_task(orchestrator.orchestrate(plan))
    await asyncio.sleep(0.3)
    began = time.monotonic()
    await runtime.one("select 1 as one")
    assert time.monotonic() - began < 2
    result = await running
    assert result.success
    assert len(result.results["join"].data["got"]) == 400


async def test_what_was_skipped_gave_nothing_to_inputs_conditions_and_lists(orchestrator: AgentOrchestrator) -> None:
    def of(path: str, **more: Any) -> dict[str, Any]:
        return {"$from": path, **more}

    plan = {"id": "p", "steps": [
        step("which", "echo", input={"left": True}), step("left", "echo", input={"text": "l"}, when=of("which.left")),
        step("right", "echo", input={"text": "r", "list": [1]}, when=of("which.left", equals=False)),
        step("join", "echo", input={"left": of("left.text"), "right": of("right.text")}),
        step("never", "echo", when=of("right.text.deeper")), step("always", "echo", when=of("right.text", equals=None)),
        step("each", "echo", forEach=of("right.list"), input={"n": of("$item")}), step("behind", "echo", input={"all": of("each")}),
        step("typo", "echo", input={"x": of("left.nothing")}),
    ]}  # fmt: skip
    result = await orchestrator.orchestrate(plan)
    assert {name: one.data for name, one in result.results.items()} == {
        "which": {"left": True}, "left": {"text": "l"}, "join": {"left": "l", "right": None}, "always": {}, "each": [], "behind": {"all": []},
    }  # fmt: skip
    assert set(result.errors or {}) == {"typo"}


async def test_inputs_and_conditions_name_what_earlier_steps_gave(orchestrator: AgentOrchestrator) -> None:
    plan = {"id": "p", "steps": [
        step("score", "echo", input={"wrong": 3, "skills": [{"name": "sums"}]}),
        step("help", "echo", input={"with": {"$from": "score.skills.0.name"}}, when={"$from": "score.wrong", "equals": 3}),
        step("praise", "fail", when={"$from": "score.wrong", "equals": 0}), step("after", "act", "praise"),
        step("lost", "echo", input={"x": {"$from": "score.nothing"}}, retryPolicy={"maxRetries": 5}),
    ]}  # fmt: skip
    result = await orchestrator.orchestrate(plan)
    assert result.results["help"].data == {"with": "sums"}
    assert set(result.results) == {"score", "help", "after"}
    assert result.errors == {"lost": "The reference 'score.nothing' leads to nothing: 'score' gave no 'nothing'."}
