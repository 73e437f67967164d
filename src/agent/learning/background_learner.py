"""Learns by itself: discovers the structure again, and draws lessons from what happened since.

    await background_learner.run_once()      one run, now
    await background_learner.start()         runs in the background: every hour, and when the structure or an answer was corrected

A run needs no model. Its steps are the discovery and one for each lesson; each is stored when it is finished, so a run that is
interrupted goes on there. Lessons compare all that happened with all that is known: to learn twice changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import psycopg
import structlog

from agent.errors import AgentError, ConfigurationError
from agent.learning.auto_discover import auto_discovery
from agent.learning.learning_runs import LearningRun, WokenBy, learning_runs
from agent.learning.lessons import quotations
from agent.learning.lessons.history import newest_memory, read_history
from agent.learning.lessons.keeping import Kept, keep
from agent.learning.lessons.lesson import Findings
from agent.learning.lessons.registry import LESSONS, Lesson
from agent.learning.memory.consolidation import consolidate
from agent.runtime import SCHEDULER, Cache, Runtime, current_runtime

Progress = Callable[[str, int, int], None]

DISCOVER = "discover"
_LOOK_SECONDS = 60.0
_WAIT_SECONDS = 0.2
_MOST_LISTED = 200
_log = structlog.get_logger(__name__)


class _TakenOver(Exception):
    """Another process has taken the run over."""


class BackgroundLearner:
    """Runs the lessons: once, or every `interval_hours`. It has no state."""

    def __init__(self, interval_hours: float = 1) -> None:
        if not 0 < interval_hours <= 24 * 365:
            raise ConfigurationError(f"interval_hours={interval_hours!r} must be more than 0 and at most a year.")
        self.interval = timedelta(hours=interval_hours)

    async def run_once(
        self, *, woken_by: WokenBy = "call", progress: Progress | None = None, runtime: Runtime | None = None
    ) -> LearningRun:
        """Run once and return the record; if a run goes on already, wait for it and return that one.

        `progress(step, done, total)` is called after each step. Raises `AgentStopped`, `DatabaseUnavailable`, `SetupRequired`.
        """
        runtime = runtime or await current_runtime()
        begun = await learning_runs.begin(woken_by, runtime=runtime)
        if begun is not None:
            return await _Run(*begun, progress or _ignore_progress, runtime).finish()
        (running, *_) = await learning_runs.recent(1, runtime=runtime)
        while running.status == "running":
            await asyncio.sleep(_WAIT_SECONDS)
            running = await learning_runs.get(running.id, runtime=runtime)
            begun = await learning_runs.begin(woken_by, runtime=runtime) if running.status == "running" else None
            if begun is not None:  # its process died
                return await _Run(*begun, progress or _ignore_progress, runtime).finish()
        return running

    async def run_if_due(self, *, runtime: Runtime | None = None) -> LearningRun | None:
        """Run if the last run is long enough ago, or the structure changed or an answer was corrected since. Return the run."""
        runtime = runtime or await current_runtime()
        why = await learning_runs.due(self.interval, runtime=runtime)
        return await self.run_once(woken_by=why, runtime=runtime) if why else None

    async def start(self, *, runtime: Runtime | None = None) -> None:
        """Learn in the background until the runtime is closed. Returns at once.

        Where this process runs durable jobs (`agent serve`, `agent worker`), they learn, and nothing more is started.
        """
        runtime = runtime or await current_runtime()
        scheduler = SCHEDULER.get(runtime)
        running = _TASK.get(runtime, runtime.tenant_id)
        if (scheduler and scheduler.runs("learning")) or (running and not running.done()):
            return
        task = asyncio.create_task(self._keep_learning(runtime))
        _TASK.put(runtime, task, runtime.tenant_id)
        runtime.at_close.append(lambda: _cancelled(task))

    async def _keep_learning(self, runtime: Runtime) -> None:
        look = min(_LOOK_SECONDS, self.interval.total_seconds())
        while True:
            try:
                await auto_discovery.refresh_if_changed(runtime=runtime)
                await self.run_if_due(runtime=runtime)
            except (AgentError, psycopg.Error) as error:
                _log.warning("learner_waits", error=str(error))
            except Exception:  # the edge of a loop that must survive; the run's row says what failed
                _log.exception("learner_failed")
            await asyncio.sleep(look)


_TASK: Cache[asyncio.Task[None]] = Cache()


class _Run:
    """One run in this process."""

    def __init__(self, run: LearningRun, holder: UUID, progress: Progress, runtime: Runtime) -> None:
        self._run, self._holder, self._progress, self._runtime = run, holder, progress, runtime
        self._before, self._started = run.seconds, time.monotonic()

    async def finish(self) -> LearningRun:
        """Do the steps that are left, and return the record."""
        try:
            await self._steps()
        except _TakenOver:
            _log.warning("learning_run_taken_over", run=self._run.id)
            return await learning_runs.get(self._run.id, runtime=self._runtime)
        except asyncio.CancelledError:
            await asyncio.shield(learning_runs.leave(self._run, self._holder, runtime=self._runtime))
            raise
        except Exception as error:  # noted in the row, then raised
            await self._note(status="failed", error=f"{type(error).__name__}: {error}"[:500])
            raise
        _log.info(
            "learning_run_ended", run=self._run.id, status=self._run.status, woken_by=self._run.woken_by,
            learned=len(self._run.learned), dropped=len(self._run.dropped), seconds=self._run.seconds,
        )  # fmt: skip
        return await learning_runs.get(self._run.id, runtime=self._runtime)

    async def _steps(self) -> None:
        total = len(LESSONS) + 2
        await self._look()
        for number, lesson in enumerate(LESSONS, 2):
            if lesson.name in self._run.steps:
                continue
            if self._seconds() > self._runtime.settings.learn_seconds:
                await self._note(status="out_of_budget")
                return
            await self._learn(lesson)
            self._progress(lesson.name, number, total)
        await consolidate(self._runtime, max(0.0, self._runtime.settings.learn_seconds - self._seconds()))
        await self._ask_model()
        self._progress(quotations.NAME, total, total)
        newest, fresh = await newest_memory(await self._seen_before(), self._runtime)
        await self._note(status="done", newest=newest, looked_at={**self._run.looked_at, "new memories": fresh})

    async def _look(self) -> None:
        """Discover the structure, and read what happened."""
        structure = await auto_discovery.discover_app_structure(runtime=self._runtime)
        self._history = await read_history(self._runtime)
        changes = structure.get("changes", [])
        counts = {
            "tables": len(structure.get("tables", [])), "changes of the schema": len(changes), "turns": len(self._history.turns),
            "repairs": len(self._history.repairs), "failed turns": len(self._history.failures),
        }  # fmt: skip
        steps = list(dict.fromkeys([*self._run.steps, DISCOVER]))
        await self._note(steps=steps, looked_at=counts, fingerprint=structure.get("fingerprint", ""))
        self._progress(DISCOVER, 1, len(LESSONS) + 2)

    async def _learn(self, lesson: Lesson) -> None:
        findings = await asyncio.to_thread(lesson.find, self._history)
        kept = await keep(lesson.name, lesson.kind, findings, self._history.structure, runtime=self._runtime)
        await self._note(steps=[*self._run.steps, lesson.name], **_added(self._run, kept))

    async def _ask_model(self) -> None:
        """Let the model point at what people stated, within what is left of the budget. Without a model the run is complete, too."""
        settings, run = self._runtime.settings, self._run
        spent = quotations.Spent(
            most_calls=settings.learn_calls, most_usd=settings.learn_usd, calls=run.model_calls, usd=run.cost_usd
        )
        seconds = settings.learn_seconds - self._seconds()
        findings = Findings()
        try:
            async with asyncio.timeout(max(seconds, 0)):
                findings = await quotations.find_quotations(self._history, spent, self._runtime)
        except TimeoutError:
            spent.note = "The time was used up while the model was asked. The next run goes on."
        except ConfigurationError as error:
            spent.note = str(error)
        kept = await keep(quotations.NAME, "fact", findings, self._history.structure, runtime=self._runtime)
        steps = [*self._run.steps, *([quotations.NAME] if spent.calls > run.model_calls else [])]
        await self._note(
            steps=steps, model_calls=spent.calls, cost_usd=spent.usd, error=spent.note or None, **_added(self._run, kept)
        )  # fmt: skip

    async def _seen_before(self) -> int:
        runs = await learning_runs.recent(20, runtime=self._runtime)
        return next((run.newest for run in runs if run.status == "done"), 0)

    async def _note(self, **changes: object) -> None:
        self._run = replace(self._run, seconds=round(self._seconds(), 3), **changes)  # type: ignore[arg-type]  # its own fields
        if not await learning_runs.note(self._run, self._holder, runtime=self._runtime):
            raise _TakenOver

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._started


def _added(run: LearningRun, kept: Kept) -> dict[str, object]:
    return {
        "learned": [*run.learned, *kept.learned][:_MOST_LISTED],
        "dropped": [*run.dropped, *kept.dropped][:_MOST_LISTED],
    }


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=5)


def _ignore_progress(step: str, done: int, total: int) -> None:
    """Do nothing: for callers that show no progress."""


background_learner = BackgroundLearner()
