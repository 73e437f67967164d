"""One step of a run: it is tried until it succeeds or is final, and how it ended is recorded.

perform -> for each element of its list, or once -> try, pause, try again -> an agent, a human or a plan of its own -> recorded
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Any

import agent.orchestration.store as store
from agent import circuits
from agent.approval.human_approval import human_approval_queue
from agent.breaker import CircuitOpen
from agent.concurrency import gather_or_cancel
from agent.errors import InvalidInput, NotFound
from agent.orchestration.agents.registry import Registry
from agent.orchestration.attempts import MOST_OUTPUT_BYTES, Outcome, attempt
from agent.orchestration.bus import EventBus, EventName
from agent.orchestration.journal import Written
from agent.orchestration.places import place_of
from agent.orchestration.plan import Plan, PlanStep, RetryPolicy, read_plan
from agent.orchestration.records import PlanResult
from agent.orchestration.references import INDEX, INPUT, ITEM, filled, holds
from agent.orchestration.store import Owned
from agent.runtime import Runtime
from agent.sync.payloads import checked_object, json_text
from agent.types import CallKey

_MOST_INSIGHT_BYTES = 65_536
MOST_ELEMENTS = 10_000
# Runs a plan as part of another run's step, and returns how it ended. The same step and name run it once.
RunPart = Callable[[Plan, Owned, str], Awaitable[PlanResult]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What plans are run with."""

    registry: Registry
    bus: EventBus
    runtime: Runtime
    run_part: RunPart


@dataclass(slots=True, kw_only=True)
class Scope:
    """What the steps of a run share: what was given so far, and whom to tell. `trouble` is called when a write was refused."""

    plan: Plan
    owned: Owned
    work: Work
    trouble: Callable[[BaseException], None]
    outputs: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    elements: dict[str, dict[int, Any]] = field(default_factory=dict)

    def tell(self, kind: EventName, payload: Mapping[str, Any], step_id: str | None = None) -> Written:
        """Store an event, and tell who listens here."""
        told = self.payload(payload)
        noted = store.note(self.owned, kind, told, step_id=step_id, runtime=self.work.runtime)
        self.work.bus.emit(kind, told)
        return self.watched(noted)

    def payload(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an event says, with whose it is."""
        return {"planId": self.plan.id, "runId": str(self.owned.run_id), **payload}

    def watched(self, written: Written) -> Written:
        """Return a write that nobody need wait for: if it is refused, the run learns it."""
        written.add_done_callback(self._if_refused)
        return written

    def _if_refused(self, written: Written) -> None:
        error = None if written.cancelled() else written.exception()
        if error is not None:
            self.trouble(error)

    def known(self, **more: Any) -> dict[str, Any]:
        """Return what references can name."""
        return {**self.outputs, INPUT: self.plan.input, **more}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something to do in a run: a step, an element of its list, or what takes it back. `name` is that of its row."""

    name: str
    step: PlanStep
    agent_id: str
    action: str
    given: Mapping[str, Any]
    known: Mapping[str, Any]
    role: str = "step"
    policy: RetryPolicy

    @property
    def who(self) -> dict[str, Any]:
        """Return what every event of it says."""
        return {"stepId": self.name, "agentId": self.agent_id}


def task_of(scope: Scope, step: PlanStep) -> Task:
    """Return a step as something to do."""
    return Task(
        name=step.id, step=step, agent_id=step.performer, action=step.action, given=step.input, known=scope.known(), policy=step.retry_policy
    )  # fmt: skip


async def perform(scope: Scope, step: PlanStep) -> None:
    """Do a step, and record how it ended."""
    await done(scope, task_of(scope, step), each if step.for_each is not None else tried)


async def done(scope: Scope, task: Task, how: Callable[[Scope, Task], Awaitable[tuple[Outcome, int]]]) -> Outcome:
    """Record that a task begins, do it, and record how it ended."""
    began = monotonic()
    payload = scope.payload({**task.who, "action": task.action})
    part_of = None if task.role == "step" else task.step.id
    scope.watched(
        store.step_started(scope.owned, task.name, payload, role=task.role, part_of=part_of, runtime=scope.work.runtime)
    )
    scope.work.bus.emit("step:started", payload)
    outcome, attempts = await how(scope, task)
    await _record(scope, task, outcome, attempts, (monotonic() - began) * 1000)
    return outcome


async def tried(scope: Scope, task: Task) -> tuple[Outcome, int]:
    """Try something until it succeeds or is final."""
    for number in count(1):
        outcome = await _once(scope, task, number)
        if outcome.error is None:
            return outcome, number
        error = {"message": outcome.error, "type": outcome.kind}
        scope.tell("agent:error", {**task.who, "attempt": number, "error": error}, task.name)
        if outcome.final or number > task.policy.max_retries or outcome.kind in task.policy.non_retryable:
            return outcome, number
        pause = task.policy.pause(number, random.random())  # noqa: S311  # a pause is no secret
        scope.tell("step:retried", {**task.who, "attempt": number, "pauseMs": round(pause * 1000)}, task.name)
        await asyncio.sleep(pause)
    raise AssertionError  # pragma: no cover  # counting does not end


async def each(scope: Scope, task: Task) -> tuple[Outcome, int]:
    """Do a step for each element of its list; the first that fails stops those that have not begun."""
    try:
        elements = filled(task.step.for_each, scope.known())
        elements = [] if elements is None else elements  # what gives the list was skipped
    except InvalidInput as error:
        return _final(error), 1
    if not isinstance(elements, list) or len(elements) > MOST_ELEMENTS:
        return _final(InvalidInput(f"forEach of step {task.name!r} needs a list of at most {MOST_ELEMENTS:,} elements.")), 1  # fmt: skip
    outputs = dict(scope.elements.get(task.name, {}))
    failed: dict[int, Outcome] = {}
    left = iter([at for at in range(len(elements)) if at not in outputs])

    async def worker() -> None:
        for at in left:
            if failed:
                return
            known = scope.known(**{ITEM: elements[at], INDEX: at})
            element = Task(
                name=f"{task.name}[{at}]", step=task.step, agent_id=task.agent_id, action=task.action, given=task.given,
                known=known, role="item", policy=task.policy,
            )  # fmt: skip
            outcome = await done(scope, element, tried)
            if outcome.error is None:
                outputs[at] = outcome.data
            else:
                failed[at] = outcome

    await gather_or_cancel(*(worker() for _ in range(min(task.step.concurrency, len(elements)))))
    if failed:
        at = min(failed)
        return Outcome(error=f"Element {at}: {failed[at].error}", kind=failed[at].kind, final=True), 1
    text = json_text([outputs[at] for at in range(len(elements))], what=f"What step {task.name!r} gave")
    if len(text) > MOST_OUTPUT_BYTES:
        return _final(InvalidInput(f"The elements of step {task.name!r} gave more than {MOST_OUTPUT_BYTES:,} characters: return where they are.")), 1  # fmt: skip
    return Outcome(output=text), 1


async def _once(scope: Scope, task: Task, number: int) -> Outcome:
    try:
        given = filled(task.given, task.known)
        holds(task.step.when, task.known)
        if task.role != "compensation" and task.step.approval is not None:
            return await _asked(scope, task, given)
        if task.role != "compensation" and task.step.plan is not None:
            return await _plan(scope, task, given, number)
        return await _called(scope, task, given, number)
    except (NotFound, InvalidInput) as error:
        return _final(error)


async def _called(scope: Scope, task: Task, given: Mapping[str, Any], number: int) -> Outcome:
    """Let an agent do it, unless its circuit is open, when one of its places is free."""
    agent, runtime = scope.work.registry.get(task.agent_id), scope.work.runtime

    async def report(insight: Mapping[str, Any]) -> None:
        text = checked_object(dict(insight), what="An insight", most_bytes=_MOST_INSIGHT_BYTES, setting="a fixed bound")  # fmt: skip
        await scope.tell("agent:insight", {**task.who, "insight": json.loads(text)}, task.name)

    context = {
        "plan_id": scope.plan.id, "run_id": str(scope.owned.run_id), "step_id": task.name, "attempt": number,
        "results": {one: scope.outputs[one] for one in task.step.dependencies if one in scope.outputs},
    }  # fmt: skip
    seconds = task.step.timeout / 1000 if task.step.timeout else None

    async def call() -> Outcome:
        outcome = await attempt(agent, task.action, given, seconds=seconds, report=report, context=context)
        if outcome.counts:
            raise _Failed(outcome)
        return outcome

    async with place_of(task.agent_id, scope.owned.run_id, task.name, runtime=runtime):
        if agent.limits is None:
            return await attempt(agent, task.action, given, seconds=seconds, report=report, context=context)
        try:
            return await circuits.call(f"agent {task.agent_id}: {task.action}"[:300], call, failed=_Failed, limits=agent.limits, runtime=runtime)  # fmt: skip
        except _Failed as failed:
            return failed.outcome
        except CircuitOpen as error:
            return Outcome(error=str(error), kind="CircuitOpen")


class _Failed(Exception):
    """An attempt that failed in a way that counts for the circuit, which keeps the `kind`."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.kind)
        self.outcome = outcome
        self.kind = outcome.kind


async def _asked(scope: Scope, task: Task, given: Mapping[str, Any]) -> Outcome:
    """Ask a human, and wait. After a crash the same question is waited for."""
    question, runtime = task.step.approval, scope.work.runtime
    assert question is not None  # noqa: S101  # the caller has looked
    at = next(at for at, step in enumerate(scope.plan.steps) if step.id == task.step.id)
    key = CallKey(thread_id=f"plan:{scope.owned.run_id}", turn=0, round=0, ordinal=at)
    asked = await human_approval_queue.request(
        "plan_step", {"plan": scope.plan.id, "step": task.name, "input": given}, risk_level=question.risk_level, executable=False,
        summary=question.summary or f"May plan {scope.plan.id!r} go on with step {task.name!r}?", call=key,
        timeout=question.timeout / 1000 if question.timeout else None, runtime=runtime,
    )  # fmt: skip
    approval = await human_approval_queue.wait(asked.id, runtime=runtime)
    if approval.status != "approved":
        why = f": {approval.comment}" if approval.comment else ""
        return Outcome(
            error=f"Approval {approval.id} was not given ({approval.status}){why}.", kind="NotApproved", final=True
        )
    return Outcome(output=json_text({"approved": True, "approvalId": approval.id, "decidedBy": approval.decided_by, "comment": approval.comment}, what="An approval"))  # fmt: skip


async def _plan(scope: Scope, task: Task, given: Mapping[str, Any], number: int) -> Outcome:
    """Run a plan of its own, once for each attempt, also if this process dies meanwhile."""
    inner = {**(task.step.plan or {}), "input": dict(given)}
    if task.step.timeout is not None:
        inner["timeout"] = min(task.step.timeout, inner.get("timeout") or task.step.timeout)
    name = task.name if number == 1 else f"{task.name}~{number}"
    result = await scope.work.run_part(read_plan(inner), scope.owned, name)
    if not result.success:
        return Outcome(error=f"Its plan failed: {next(iter((result.errors or {}).values()), 'it was cancelled.')}", kind="PlanFailed")  # fmt: skip
    given_back = {"runId": result.run_id, "results": {name: one.data for name, one in result.results.items()}}
    return Outcome(output=json_text(given_back, what=f"What the plan of step {task.name!r} gave"))


async def _record(scope: Scope, task: Task, outcome: Outcome, attempts: int, duration: float) -> None:
    succeeded = outcome.error is None
    kind: EventName = "step:completed" if succeeded else "step:failed"
    response = {"success": succeeded, "duration": round(duration, 1), "attempts": attempts}
    payload = scope.payload({**task.who, "action": task.action, "response": response})
    await store.step_ended(
        scope.owned, task.name, payload, kind=kind, status="succeeded" if succeeded else "failed", attempts=attempts,
        output=outcome.output, error=outcome.error, duration_ms=duration, runtime=scope.work.runtime,
    )  # fmt: skip
    data = outcome.data
    if outcome.error is not None:
        payload["error"] = {"message": outcome.error, "type": outcome.kind}
    if task.role == "step" and outcome.error is None:
        scope.outputs[task.name] = data
    elif task.role == "step" and outcome.error is not None:
        scope.errors[task.name] = outcome.error
    scope.work.bus.emit(kind, {**payload, "response": {**response, "data": data}})


def _final(error: Exception) -> Outcome:
    return Outcome(error=str(error), kind=type(error).__name__, final=True)
