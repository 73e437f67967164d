"""The face of plans: agents are registered, plans run, and what happens is heard.

    orchestrator = AgentOrchestrator()
    await orchestrator.register_agent(Translator("translator"))
    result = await orchestrator.orchestrate({"id": "letter", "steps": [{"id": "translate", "agentId": "translator"}]})

A plan belongs to its rows, not to who asked for it: if this process dies, another one that knows the agents goes on with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import psycopg
import structlog

import agent.orchestration.places as places
import agent.orchestration.store as store
from agent.errors import AgentError, InvalidInput
from agent.orchestration.agents.base import BaseAgent, Graph
from agent.orchestration.agents.registry import Builder, Registry
from agent.orchestration.bus import EventBus, Handler
from agent.orchestration.dependencies import Frontier
from agent.orchestration.engine import Paused, PlanRun
from agent.orchestration.journal import PlanLost
from agent.orchestration.leases import Held, leases_of
from agent.orchestration.plan import Plan, read_plan
from agent.orchestration.records import Cancellation, PlanResult, RunStatus
from agent.orchestration.steps import Work
from agent.orchestration.store import Owned
from agent.runtime import Runtime, current_runtime

_LOOK_SECONDS = 0.2
_MOST_OWNERS = 20
_MOST_REPLAYS = 1_000
_log = structlog.get_logger(__name__)


class AgentOrchestrator:
    """Runs plans with the agents that are registered here."""

    def __init__(self, runtime: Runtime | None = None) -> None:
        self._runtime = runtime
        self._registry = Registry()
        self._bus = EventBus()

    async def register_agent(self, agent: BaseAgent | type[BaseAgent] | Graph, agent_id: str | None = None) -> BaseAgent:  # fmt: skip
        """Register an agent, a class of agents or a graph of LangGraph (these two with an id), and return the agent."""
        return self._registry.add(agent, agent_id)

    def register_kind(self, prefix: str, builder: Builder, actions: Iterable[str] = ()) -> None:
        """Build each agent whose id begins with `prefix` when a step needs it, so that every process knows it.

        `actions` are those that such agents do: a plan that names no agent for one of them gets the agent `prefix`.
        """
        self._registry.add_kind(prefix, builder, actions)

    def get_agent(self, agent_id: str) -> BaseAgent:
        """Return an agent. Raises `NotFound`."""
        return self._registry.get(agent_id)

    def unregister_agent(self, agent_id: str) -> None:
        """Forget an agent."""
        self._registry.remove(agent_id)

    def on(self, event: str, handler: Handler) -> None:
        """Call `handler` (a function or coroutine function) with each event of this name."""
        self._bus.on(event, handler)

    def off(self, event: str, handler: Handler) -> None:
        """Call `handler` no more."""
        self._bus.off(event, handler)

    async def orchestrate(self, plan: Mapping[str, Any] | Plan, *, idempotency_key: str | None = None) -> PlanResult:
        """Run a plan, and return how it ended; a step that fails is no exception. Raises `InvalidInput` for a plan that cannot run.

        With an `idempotency_key` the same plan runs once, however often it is asked for, also after a crash.
        """
        checked = self.read(plan)
        runtime = await self._acting()
        owned = await store.begin(checked, key=idempotency_key, runtime=runtime)
        if owned is None:
            return await self.result(await _same_run(checked, str(idempotency_key), runtime), wait=True)
        return await self._followed(owned, runtime, checked)

    async def submit(self, plan: Mapping[str, Any] | Plan, *, idempotency_key: str | None = None) -> UUID:
        """Store a plan for any process that knows its agents, and return the number of its run."""
        checked = self.read(plan)
        runtime = await self._acting()
        owned = await store.begin(checked, key=idempotency_key, queued=True, runtime=runtime)
        return owned.run_id if owned else await _same_run(checked, str(idempotency_key), runtime)

    async def replay(
        self, run_id: UUID, *, from_step: str | None = None, input: Mapping[str, Any] | None = None  # noqa: A002  # a step's word for it
    ) -> PlanResult:  # fmt: skip
        """Run a plan again from a step, with another input for it if one is given. What is done and does not wait for it is not redone.

        Without `from_step` everything that did not succeed is done again.
        """
        runtime = await self._acting()
        return await self._followed(await self._begin_again(run_id, from_step, input, queued=False), runtime)

    async def submit_replay(
        self, run_id: UUID, *, from_step: str | None = None, input: Mapping[str, Any] | None = None  # noqa: A002  # a step's word for it
    ) -> UUID:  # fmt: skip
        """Store a replay for any process that knows its agents, and return the number of its run."""
        return (await self._begin_again(run_id, from_step, input, queued=True)).run_id

    async def submit_replays(
        self, *, plan_id: str | None = None, status: RunStatus = "failed", limit: int = 100, from_step: str | None = None,
        input: Mapping[str, Any] | None = None,  # noqa: A002  # a step's word for it
    ) -> tuple[UUID, list[UUID]]:  # fmt: skip
        """Store a replay of each run that ended in this way, and return the number of this batch and those of its runs.

        Raises `InvalidInput` if one of them has no such step; what is stored by then is in the batch.
        """
        runtime, batch = await self._acting(), uuid4()
        found = await store.of_status(status, plan_id=plan_id, limit=max(0, min(limit, _MOST_REPLAYS)), runtime=runtime)
        begun = [await self._begin_again(one, from_step, input, queued=True, batch=batch) for one in found]
        return batch, [one.run_id for one in begun]

    async def _begin_again(
        self, run_id: UUID, from_step: str | None, given: Mapping[str, Any] | None, *, queued: bool, batch: UUID | None = None
    ) -> Owned:  # fmt: skip
        runtime = await self._acting()
        plan = await store.plan_of(run_id, runtime=runtime)
        again = _again(plan, from_step, given)
        self.read(again)
        redone = set() if from_step is None else {from_step, *Frontier(plan.steps).behind(from_step)}
        keep = [step.id for step in plan.steps if step.id not in redone]
        owned = await store.begin(again, replay_of=run_id, keep=keep, queued=queued, batch=batch, runtime=runtime)
        if owned is None:  # only a key can be taken
            raise PlanLost
        return owned

    async def cancel(self, run_id: UUID, reason: str = "", *, wait_seconds: float = 5.0) -> Cancellation:
        """End a run and its fallback, with every step that runs and the plans of its steps. Wait so long until all of them have ended."""
        runtime = await self._acting()
        await store.row_of(run_id, runtime=runtime)
        said = (reason or f"{runtime.user} cancelled the plan.")[:1_000]
        ask = partial(store.ask_to_cancel, run_id, said, runtime=runtime)
        running = await ask() or await ask()  # its fallback may have begun while the first one waited
        answer, until = Cancellation(cancelled=bool(running)), monotonic() + wait_seconds
        while running:
            leases_of(runtime).look_now()
            await self._end_idle(frozenset(running), runtime)
            if monotonic() >= until:
                return replace(answer, running=running)
            await asyncio.sleep(_LOOK_SECONDS)
            running = await ask()
        return answer

    async def _end_idle(self, runs: frozenset[UUID], runtime: Runtime) -> None:
        """Take those of the runs that nobody runs, such as one that was paused: somebody has to end them."""
        for run_id, _ in await store.lapsed(runtime=runtime):
            if run_id in runs:
                await self.take(run_id)

    async def pause(self, run_id: UUID) -> bool:
        """Start nothing more of a run. What runs may end; then nobody runs it until `resume`. Return whether it ran."""
        runtime = await self._acting()
        await store.row_of(run_id, runtime=runtime)
        paused = await store.pause(run_id, runtime=runtime)
        leases_of(runtime).look_now()
        return bool(paused)

    async def resume(self, run_id: UUID) -> bool:
        """Go on with a run that was paused, with the time that it had left. Return whether it was paused."""
        runtime = await self._acting()
        await store.row_of(run_id, runtime=runtime)
        resumed = await store.resume(run_id, runtime=runtime)
        leases_of(runtime).look_now()
        for one in resumed:
            await self.take(one)
        return bool(resumed)

    async def limit_agent(self, agent_id: str, most: int | None) -> None:
        """Let at most so many steps of an agent run at the same time, in all processes; None ends the limit."""
        await places.limit(agent_id, most, runtime=await self._acting())

    def read(self, plan: Mapping[str, Any] | Plan) -> Plan:
        """Return a plan that is checked and complete, with agents that are known here. Raises `InvalidInput`."""
        checked = read_plan(plan, choose=self._registry.who_does)
        for part in checked.chain():
            for step in part.steps:
                for agent_id in step.agents:
                    if not self._registry.knows(agent_id):
                        raise InvalidInput(f"Step {step.id!r} names agent {agent_id!r}, which is not registered here: `await register_agent(...)` first.")  # fmt: skip
        return checked

    async def result(self, run_id: UUID, *, wait: bool = False) -> PlanResult:
        """Return how a run ended, from its rows. With `wait` it is waited for, and taken over if nobody runs it."""
        runtime = await self._acting()
        if wait:
            await self._ended(run_id, runtime)
        return await store.result_of(run_id, runtime=runtime)

    async def recover(self) -> int:
        """Go on with the plans that nobody runs any more and whose agents are all known here. Return how many were taken."""
        runtime = await self._acting()
        return sum([await self.take(run_id) is not None for run_id, _ in await store.lapsed(runtime=runtime)])

    async def take(self, run_id: UUID) -> asyncio.Task[None] | None:
        """Take a run if nobody runs it and its agents are known here, and return the task that goes on with it.

        One that was cancelled and has nothing to take back needs no agents.
        """
        runtime = await self._acting()
        row = await store.row_of(run_id, runtime=runtime)
        plan = await store.plan_in(row, runtime=runtime)
        is_over = row["cancel_reason"] is not None and all(step.compensation is None for step in plan.steps)
        if not is_over and not all(map(self._registry.knows, plan.agents)):
            return None
        owned = await store.claim(run_id, runtime=runtime)
        if owned is None:
            return None
        if owned.epoch > _MOST_OWNERS:
            error = f"{_MOST_OWNERS} processes died while they ran this plan: look at its steps before it runs again."
            told = {"planId": plan.id, "runId": str(run_id), "success": False, "status": "failed", "error": error}
            await store.end(owned, "failed", error, kind="plan:completed", payload=told, fallback=None, runtime=runtime)
            return None
        if owned.epoch > 1:
            _log.warning("plan_taken_over", run_id=str(run_id), owners=owned.epoch)
        return self._start(owned, runtime)

    async def _followed(self, owned: Owned, runtime: Runtime, plan: Plan | None = None) -> PlanResult:
        """Run a plan, and return its result. Who asked may go away: the plan goes on."""
        try:
            await asyncio.shield(self._start(owned, runtime, plan))
        except (PlanLost, Paused):
            await self._ended(owned.run_id, runtime)
        return await store.result_of(owned.run_id, runtime=runtime)

    async def _ended(self, run_id: UUID, runtime: Runtime) -> None:
        """Wait until a run and its fallbacks have ended, whoever runs them."""
        while True:
            row = await store.row_of(run_id, runtime=runtime)
            if row["status"] != "running":
                if row["fallback_id"] is None:
                    return
                run_id = row["fallback_id"]
            elif await self.take(run_id) is None:
                await asyncio.sleep(_LOOK_SECONDS)

    def _start(self, owned: Owned, runtime: Runtime, plan: Plan | None = None) -> asyncio.Task[None]:
        task = asyncio.create_task(self._run(owned, runtime, plan))
        task.add_done_callback(_logged)
        return task

    async def _run(self, owned: Owned, runtime: Runtime, plan: Plan | None) -> None:
        """Run a plan (read from its row, unless it has just begun), its fallback, the fallback's fallback, and so on."""
        leases, following = leases_of(runtime), asyncio.current_task()
        ahead: Owned | None = owned
        while ahead is not None and following is not None:
            run = await self._of_row(ahead, runtime) if plan is None else self._begun(ahead, plan, runtime)
            leases.hold(
                ahead.run_id, Held(epoch=ahead.epoch, cancel=run.cancel, pause=run.pause, lose=run.lose, task=following)
            )
            try:
                following_run = await run.run()
            finally:
                leases.drop(ahead.run_id, ahead.epoch)
            ahead, plan = following_run, None

    def _begun(self, owned: Owned, plan: Plan, runtime: Runtime) -> PlanRun:
        left = plan.timeout / 1000 - (monotonic() - owned.since) if plan.timeout else None
        return PlanRun(plan=plan, owned=owned, work=self._work(runtime), seconds_left=left, fresh=True)

    async def _of_row(self, owned: Owned, runtime: Runtime) -> PlanRun:
        row = await store.row_of(owned.run_id, runtime=runtime)
        plan = await store.plan_in(row, runtime=runtime)
        return PlanRun(plan=plan, owned=owned, work=self._work(runtime), seconds_left=row["seconds_left"], cancel_reason=row["cancel_reason"])  # fmt: skip

    def _work(self, runtime: Runtime) -> Work:
        async def run_part(plan: Plan, parent: Owned, step: str) -> PlanResult:
            part = await store.begin_part(plan, parent, step, runtime=runtime)
            if part is not None:
                return await self._followed(part, runtime, plan)
            run_id = await store.part(parent.run_id, step, runtime=runtime)
            if run_id is None:
                raise PlanLost
            return await self.result(run_id, wait=True)

        return Work(registry=self._registry, bus=self._bus, runtime=runtime, run_part=run_part)

    async def _acting(self) -> Runtime:
        return self._runtime or await current_runtime()


async def _same_run(plan: Plan, key: str, runtime: Runtime) -> UUID:
    """Return the run that an idempotency key began. Raises `InvalidInput` if it was another plan."""
    run_id = await store.by_key(key, runtime=runtime)
    if run_id is None or await store.plan_of(run_id, runtime=runtime) != plan:
        raise InvalidInput(f"The idempotency key {key[:100]!r} belongs to another plan: use a new one.")
    return run_id


def _again(plan: Plan, from_step: str | None, given: Mapping[str, Any] | None) -> Plan:
    """Return the plan with the new input of a step. Raises `InvalidInput`."""
    if from_step is None:
        if given is not None:
            raise InvalidInput("Name the step that the new input is for: from_step='...'.")
        return plan
    if from_step not in {step.id for step in plan.steps}:
        raise InvalidInput(f"The plan has no step {from_step[:100]!r}: name one of its steps.")
    if given is None:
        return plan
    changed = {**plan.as_json()}
    changed["steps"] = [{**step, "input": dict(given)} if step["id"] == from_step else step for step in changed["steps"]]  # fmt: skip
    return read_plan(changed)


def _logged(task: asyncio.Task[None]) -> None:
    """Say why a plan stopped here; its rows are as they were, and somebody takes it over."""
    if task.cancelled():
        return
    error = task.exception()
    if error is not None and not isinstance(error, PlanLost | Paused):
        _log.warning("plan_left", error=str(error), exc_info=None if isinstance(error, AgentError | psycopg.Error) else error)  # fmt: skip
