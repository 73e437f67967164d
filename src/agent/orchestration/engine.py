"""Runs one plan: each step starts the moment its own dependencies have ended, and is recorded before a step that waits for it starts.

    claimed run -> recorded steps are taken as they are -> steps as tasks -> each end is a row and an event -> the plan's end

What ends a plan early: its timeout (a timer of our own), somebody who cancels it, or another process that has taken it over. Then
every step that runs is cancelled. A plan that is paused starts nothing more, and is given up when what runs has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field

import agent.orchestration.store as store
from agent.errors import InvalidInput
from agent.orchestration.attempts import still_running
from agent.orchestration.bus import EventName
from agent.orchestration.compensation import compensate
from agent.orchestration.dependencies import Frontier
from agent.orchestration.journal import PlanLost
from agent.orchestration.leases import leases_of
from agent.orchestration.plan import Plan, PlanStep
from agent.orchestration.references import holds
from agent.orchestration.steps import Scope, Work, perform
from agent.orchestration.store import Owned

_CANCEL_SECONDS = 0.25


class Cancelled(Exception):
    """Somebody ended the plan; the text says why."""


class Paused(Exception):
    """The plan waits until somebody resumes it; nobody runs it meanwhile."""


@dataclass(slots=True, kw_only=True)
class PlanRun:
    """A plan while this process runs it. A `fresh` one has just begun: nothing of it is recorded."""

    plan: Plan
    owned: Owned
    work: Work
    seconds_left: float | None
    fresh: bool = False
    cancel_reason: str | None = None
    scope: Scope = field(init=False)
    _paused: bool = False
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _news: asyncio.Queue[str | BaseException | None] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        """Make what its steps share."""
        self.scope = Scope(plan=self.plan, owned=self.owned, work=self.work, trouble=self._news.put_nowait)

    def cancel(self, reason: str) -> None:
        """End the plan, because somebody asked for that."""
        self._news.put_nowait(Cancelled(reason))

    def lose(self) -> None:
        """End the work here, because another process has the plan."""
        self._news.put_nowait(PlanLost())

    def pause(self, paused: bool) -> None:  # noqa: FBT001  # what the row says
        """Start nothing more, or go on."""
        if paused != self._paused:
            self._paused = paused
            self._news.put_nowait(None)

    async def run(self) -> Owned | None:
        """Run the plan to its end, and return the run of its fallback if one has begun. Raises `PlanLost` and `Paused`."""
        stopped: Exception | None = None
        try:
            async with asyncio.timeout(self.seconds_left):
                await self._restore()
                await self._steps()
        except (TimeoutError, Cancelled) as stop:
            stopped = stop
        finally:
            await self._cancel_steps()
        status, error = self._verdict(stopped)
        left = [] if stopped is None else await still_running(str(self.owned.run_id), seconds=_CANCEL_SECONDS)
        if left:
            error = (
                f"{error} Agents that have not ended although they were cancelled: {', '.join(map(repr, left[:10]))}."
            )
        if status != "succeeded":
            error = await self._taken_back(str(error))
        return await self._end(stopped, status, error)

    async def _restore(self) -> None:
        """Take what is recorded as it is. Raises `Cancelled` if the plan was cancelled while nobody ran it."""
        rows = [] if self.fresh else await store.recorded(self.owned.run_id, runtime=self.work.runtime)
        for row in rows:
            if row["role"] == "item" and row["status"] == "succeeded":
                place = int(row["step_id"].rpartition("[")[2].rstrip("]"))
                self.scope.elements.setdefault(row["part_of"], {})[place] = row["output"]
            elif row["role"] == "step" and row["status"] == "succeeded":
                self.scope.outputs[row["step_id"]] = row["output"]
            elif row["role"] == "step" and row["status"] == "skipped" and row["error"] is None:
                self.scope.outputs[row["step_id"]] = None
            elif row["role"] == "step" and row["status"] == "failed":
                self.scope.errors[row["step_id"]] = row["error"]
        self.scope.tell("plan:started", {"steps": len(self.plan.steps), "recorded": len(rows)})
        if self.cancel_reason is not None:
            raise Cancelled(self.cancel_reason)

    async def _steps(self) -> None:
        """Start what can start, and look again at each end. Raises `Cancelled`, `PlanLost` and `Paused`."""
        steps = {step.id: step for step in self.plan.steps}
        front = Frontier(self.plan.steps)
        ready = deque(front.first())
        while True:
            if self.scope.errors and self.plan.fallback_plan is not None:
                ready.clear()  # what runs may end; the fallback does the rest
            while ready and not self._paused:
                self._start(steps[ready.popleft()], front, ready)
            if not self._tasks:
                if not ready:
                    return
                if await store.give_up(self.owned, runtime=self.work.runtime):
                    raise Paused
                self._paused = False  # somebody resumed it just now
                continue
            news = await self._news.get()
            if isinstance(news, BaseException):
                raise news
            if news is not None:
                del self._tasks[news]
                ready.append(news)

    def _start(self, step: PlanStep, front: Frontier, ready: deque[str]) -> None:
        """Start a step that can start; or go on behind it, if it has ended or is not to run."""
        scope = self.scope
        if step.id in scope.outputs:
            ready.extend(front.ended(step.id))
        elif step.id in scope.errors:
            behind = front.behind(step.id)
            if behind:
                store.skipped(self.owned, behind, f"Step {step.id!r} failed, which it waits for.", runtime=self.work.runtime)  # fmt: skip
        elif not self._is_to_run(step):
            scope.outputs[step.id] = None
            store.skipped(self.owned, [step.id], None, runtime=self.work.runtime)
            ready.extend(front.ended(step.id))
        else:
            self._tasks[step.id] = asyncio.create_task(self._step(step))

    def _is_to_run(self, step: PlanStep) -> bool:
        try:
            return holds(step.when, self.scope.known())
        except InvalidInput:
            return True  # it fails with this sentence when it is tried

    async def _step(self, step: PlanStep) -> None:
        try:
            await perform(self.scope, step)
        except Exception as error:  # the loop of the plan raises it
            self._news.put_nowait(error)
        else:
            self._news.put_nowait(step.id)

    async def _taken_back(self, error: str) -> str:
        """Take back what was done, and return the plan's error with what could not be taken back."""
        failed = await compensate(self.scope)
        return f"{error} Not taken back: {', '.join(map(repr, failed))}."[:2_000] if failed else error

    async def _end(self, stopped: Exception | None, status: str, error: str | None) -> Owned | None:
        """End the plan's row; a plan that failed begins its fallback with it, so that this happens exactly once."""
        fallback = self.plan.fallback_plan if status == "failed" else None
        if isinstance(stopped, TimeoutError) and fallback is not None and fallback.timeout is None:
            fallback = None  # its time is the plan's, which is over
        kind: EventName = "plan:completed" if fallback is None else "plan:fallback"
        more = {} if fallback is None else {"fallbackPlanId": fallback.id}
        payload = self.scope.payload({"success": status == "succeeded", "status": status, "error": error, **more})
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
        if self.scope.errors:
            step_id, error = next(iter(self.scope.errors.items()))
            return "failed", f"Step {step_id!r} failed: {error}"
        return "succeeded", None

    async def _cancel_steps(self) -> None:
        """Cancel every step that runs, and the plans that run for one. An agent that does not end is left: its step counts as cancelled."""
        tasks = set(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
        if tasks and any(step.plan is not None for step in self.plan.steps):
            with contextlib.suppress(asyncio.CancelledError):
                await store.ask_to_cancel(self.owned.run_id, "The plan that it is a part of has ended.", below=True, runtime=self.work.runtime)  # fmt: skip
            leases_of(self.work.runtime).look_now()
