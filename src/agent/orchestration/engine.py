"""Runs one plan: each step starts the moment its own dependencies have ended, and is recorded before a step that waits for it starts.

    claimed run -> recorded steps are taken as they are -> steps as tasks -> each end is a row and an event -> the plan's end

What ends a plan early: its timeout (a timer of our own), somebody who cancels it, or another process that has taken it over. Then
every step that runs is cancelled.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Any

import agent.orchestration.store as store
from agent.errors import InvalidInput, NotFound
from agent.orchestration.agents.registry import Registry
from agent.orchestration.attempts import Outcome, attempt
from agent.orchestration.bus import EventBus, EventName
from agent.orchestration.dependencies import Frontier
from agent.orchestration.journal import PlanLost, Written
from agent.orchestration.plan import Plan, PlanStep
from agent.orchestration.references import filled, holds
from agent.orchestration.store import Owned
from agent.runtime import Runtime
from agent.sync.payloads import checked_object

_CANCEL_SECONDS = 0.25
_MOST_INSIGHT_BYTES = 65_536


class Cancelled(Exception):
    """Somebody ended the plan; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What plans are run with."""

    registry: Registry
    bus: EventBus
    runtime: Runtime


@dataclass(slots=True, kw_only=True)
class PlanRun:
    """A plan while this process runs it. A `fresh` one has just begun: nothing of it is recorded."""

    plan: Plan
    owned: Owned
    work: Work
    seconds_left: float | None
    fresh: bool = False
    outputs: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _news: asyncio.Queue[str | BaseException] = field(default_factory=asyncio.Queue)

    def cancel(self, reason: str) -> None:
        """End the plan, because somebody asked for that."""
        self._news.put_nowait(Cancelled(reason))

    def lose(self) -> None:
        """End the work here, because another process has the plan."""
        self._news.put_nowait(PlanLost())

    async def run(self) -> Owned | None:
        """Run the plan to its end, and return the run of its fallback if one has begun. Raises `PlanLost`."""
        stopped: Exception | None = None
        try:
            async with asyncio.timeout(self.seconds_left):
                await self._restore()
                await self._steps()
        except (TimeoutError, Cancelled) as stop:
            stopped = stop
        finally:
            await self._cancel_steps()
        return await self._end(stopped)

    async def _restore(self) -> None:
        """Take what is recorded as it is."""
        rows = [] if self.fresh else await store.recorded(self.owned.run_id, runtime=self.work.runtime)
        self.outputs = {row["step_id"]: row["output"] for row in rows if row["status"] == "succeeded"}
        self.errors = {row["step_id"]: row["error"] for row in rows if row["status"] == "failed"}
        self._tell("plan:started", {"steps": len(self.plan.steps), "recorded": len(rows)})

    async def _steps(self) -> None:
        """Start what can start, and look again at each end. Raises `Cancelled` and `PlanLost`."""
        steps = {step.id: step for step in self.plan.steps}
        front = Frontier(self.plan.steps)
        ready = deque(front.first())
        while True:
            if self.errors and self.plan.fallback_plan is not None:
                ready.clear()  # what runs may end; the fallback does the rest
            while ready:
                step_id = ready.popleft()
                if step_id in self.outputs:
                    ready.extend(front.ended(step_id))
                elif step_id in self.errors:
                    self._skip(step_id, front)
                elif not self._is_to_run(steps[step_id]):
                    self.outputs[step_id] = None
                    store.skipped(self.owned, [step_id], None, runtime=self.work.runtime)
                    ready.extend(front.ended(step_id))
                else:
                    self._tasks[step_id] = asyncio.create_task(self._step(steps[step_id]))
            if not self._tasks:
                return
            news = await self._news.get()
            if isinstance(news, BaseException):
                raise news
            del self._tasks[news]
            ready.append(news)

    def _skip(self, step_id: str, front: Frontier) -> None:
        behind = front.behind(step_id)
        if behind:
            because = f"Step {step_id!r} failed, which it waits for."
            store.skipped(self.owned, behind, because, runtime=self.work.runtime)

    def _is_to_run(self, step: PlanStep) -> bool:
        try:
            return holds(step.when, self.outputs)
        except InvalidInput:
            return True  # it fails with this sentence when it is tried

    async def _step(self, step: PlanStep) -> None:
        try:
            await self._tried(step)
        except Exception as error:  # the loop of the plan raises it
            self._news.put_nowait(error)
        else:
            self._news.put_nowait(step.id)

    async def _tried(self, step: PlanStep) -> None:
        """Try a step until it succeeds or is final, and record how it ended."""
        began, who = monotonic(), {"stepId": step.id, "agentId": step.agent_id}
        payload = self._payload({**who, "action": step.action})
        started = store.step_started(self.owned, step.id, payload, runtime=self.work.runtime)
        started.add_done_callback(self._if_lost)  # nothing waits for it: the step's end is stored behind it
        self.work.bus.emit("step:started", payload)
        for number in count(1):
            outcome = await self._attempt(step, number)
            if outcome.error is None:
                break
            error = {"message": outcome.error, "type": outcome.kind}
            self._tell("agent:error", {**who, "attempt": number, "error": error}, step.id)
            policy = step.retry_policy
            if outcome.final or number > policy.max_retries or outcome.kind in policy.non_retryable:
                break
            pause = policy.pause(number, random.random())  # noqa: S311  # a pause is no secret
            self._tell("step:retried", {**who, "attempt": number, "pauseMs": round(pause * 1000)}, step.id)
            await asyncio.sleep(pause)
        await self._record(step, outcome, number, (monotonic() - began) * 1000)

    def _if_lost(self, written: Written) -> None:
        error = None if written.cancelled() else written.exception()
        if error is not None:
            self._news.put_nowait(error)

    async def _attempt(self, step: PlanStep, number: int) -> Outcome:
        try:
            agent = self.work.registry.get(step.agent_id)
            given = filled(step.input, self.outputs)
            holds(step.when, self.outputs)
        except (NotFound, InvalidInput) as error:
            return Outcome(error=str(error), kind=type(error).__name__, final=True)

        async def report(insight: Mapping[str, Any]) -> None:
            text = checked_object(dict(insight), what="An insight", most_bytes=_MOST_INSIGHT_BYTES, setting="a fixed bound")  # fmt: skip
            told = {"stepId": step.id, "agentId": step.agent_id, "insight": json.loads(text)}
            await self._tell("agent:insight", told, step.id)

        context = {
            "plan_id": self.plan.id, "run_id": str(self.owned.run_id), "step_id": step.id, "attempt": number,
            "results": {one: self.outputs[one] for one in step.dependencies if one in self.outputs},
        }  # fmt: skip
        seconds = step.timeout / 1000 if step.timeout else None
        return await attempt(agent, step.action, given, seconds=seconds, report=report, context=context)

    async def _record(self, step: PlanStep, outcome: Outcome, number: int, duration: float) -> None:
        done = outcome.error is None
        kind: EventName = "step:completed" if done else "step:failed"
        response = {"success": done, "duration": round(duration, 1), "attempts": number}
        payload = self._payload({"stepId": step.id, "agentId": step.agent_id, "response": response})
        await store.step_ended(
            self.owned, step.id, payload, kind=kind, status="succeeded" if done else "failed", attempts=number,
            output=outcome.output, error=outcome.error, duration_ms=duration, runtime=self.work.runtime,
        )  # fmt: skip
        if outcome.error is None:
            self.outputs[step.id] = outcome.data
        else:
            self.errors[step.id] = outcome.error
            payload["error"] = {"message": outcome.error, "type": outcome.kind}
        self.work.bus.emit(kind, {**payload, "response": {**response, "data": self.outputs.get(step.id)}})

    async def _end(self, stopped: Exception | None) -> Owned | None:
        """End the plan's row; a plan that failed begins its fallback with it, so that this happens exactly once."""
        status, error = self._verdict(stopped)
        fallback = self.plan.fallback_plan if status == "failed" else None
        if isinstance(stopped, TimeoutError) and fallback is not None and fallback.timeout is None:
            fallback = None  # its time is the plan's, which is over
        kind: EventName = "plan:completed" if fallback is None else "plan:fallback"
        more = {} if fallback is None else {"fallbackPlanId": fallback.id}
        payload = self._payload({"success": status == "succeeded", "status": status, "error": error, **more})
        began = await store.end(
            self.owned, status, error, kind=kind, payload=payload, fallback=fallback, runtime=self.work.runtime
        )
        self.work.bus.emit(kind, payload)
        return began

    def _verdict(self, stopped: Exception | None) -> tuple[str, str | None]:
        if isinstance(stopped, Cancelled):
            return "cancelled", str(stopped) or "Somebody cancelled the plan."
        if isinstance(stopped, TimeoutError):
            return "failed", f"The plan did not end within its timeout{f' of {self.plan.timeout:g} ms' if self.plan.timeout else ''}."  # fmt: skip
        if self.errors:
            step_id, error = next(iter(self.errors.items()))
            return "failed", f"Step {step_id!r} failed: {error}"
        return "succeeded", None

    async def _cancel_steps(self) -> None:
        """Cancel every step that runs. An agent that does not end is left: its step is recorded as cancelled all the same."""
        tasks = set(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)

    def _tell(self, kind: EventName, payload: Mapping[str, Any], step_id: str | None = None) -> Written:
        told = self._payload(payload)
        noted = store.note(self.owned, kind, told, step_id=step_id, runtime=self.work.runtime)
        noted.add_done_callback(self._if_lost)
        self.work.bus.emit(kind, told)
        return noted

    def _payload(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        return {"planId": self.plan.id, "runId": str(self.owned.run_id), **payload}
