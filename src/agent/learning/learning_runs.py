"""The record of the learner's runs: what each looked at, learned, dropped and spent.

A run is a row that its process holds for a while and renews. There is one running run at most for each application: whoever wants
another one waits for it. A run whose process died is taken over, and goes on after its last finished step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from agent.db import load_queries
from agent.errors import AgentStopped, NotFound
from agent.learning.memory.embeddings import scope
from agent.runtime import Runtime, current_runtime

_QUERIES = load_queries(__package__)
HOLD = timedelta(seconds=60)
WokenBy = Literal["schedule", "call", "drift", "correction"]
RunStatus = Literal["running", "done", "failed", "out_of_budget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningRun:
    """One run of the learner. `learned` and `dropped` name the lesson, its memory and the reason; `steps` are those that are finished."""

    id: int
    database_id: str
    woken_by: WokenBy
    status: RunStatus
    steps: list[str] = field(default_factory=list)
    looked_at: dict[str, int] = field(default_factory=dict)
    learned: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    model_calls: int = 0
    cost_usd: float = 0.0
    newest: int = 0
    fingerprint: str = ""
    error: str | None = None
    started_at: datetime
    finished_at: datetime | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> LearningRun:
        """Return the run in a row of agents.learning_runs."""
        return cls(**{one.name: row[one.name] for one in fields(cls)})


class LearningRuns:
    """Reads and writes the runs of the current application. It has no state."""

    async def begin(self, woken_by: WokenBy, *, runtime: Runtime) -> tuple[LearningRun, UUID] | None:
        """Begin a run, or take over one whose process died. None while another process runs one. Raises `AgentStopped`."""
        holder = uuid4()
        row = await runtime.one(_QUERIES["begin_run"], woken_by=woken_by, holder=holder, hold=HOLD, **scope(runtime))
        if row is not None:
            return LearningRun.from_row(row), holder
        switch = await runtime.one(_QUERIES["is_stopped"])
        if switch and switch["stopped"]:
            raise AgentStopped("The agent is stopped, so it does not learn: `agent resume` lifts that.")
        return None

    async def note(self, run: LearningRun, holder: UUID, *, runtime: Runtime) -> bool:
        """Store how far a run is, and hold it longer; False if another process has taken it over."""
        changed = await runtime.execute(
            _QUERIES["note_run"], id=run.id, holder=holder, hold=HOLD, status=run.status, steps=run.steps,
            looked_at=Jsonb(run.looked_at), learned=Jsonb(run.learned), dropped=Jsonb(run.dropped), seconds=run.seconds,
            model_calls=run.model_calls, cost_usd=run.cost_usd, newest=run.newest, fingerprint=run.fingerprint, error=run.error,
        )  # fmt: skip
        return changed == 1

    async def leave(self, run: LearningRun, holder: UUID, *, runtime: Runtime) -> None:
        """Let another process go on with a run at once."""
        await runtime.execute(_QUERIES["leave_run"], id=run.id, holder=holder)

    async def get(self, run_id: int, *, runtime: Runtime | None = None) -> LearningRun:
        """Return one run. Raises `NotFound`."""
        runtime = runtime or await current_runtime()
        row = await runtime.one(_QUERIES["run"], id=run_id)
        if row is None:
            raise NotFound(f"There is no learning run {run_id!r}. `agent learn log` shows what there is.")
        return LearningRun.from_row(row)

    async def recent(
        self, limit: int = 20, *, before: int | None = None, runtime: Runtime | None = None
    ) -> list[LearningRun]:
        """Return the newest runs, or those before run `before`, the newest first."""
        runtime = runtime or await current_runtime()
        rows = await runtime.all(_QUERIES["recent_runs"], limit=limit, before=before, **scope(runtime))
        return [LearningRun.from_row(row) for row in rows]

    async def known(self, *, runtime: Runtime) -> dict[str, int]:
        """Return how much is known of each kind of lesson."""
        return {row["lesson"]: row["known"] for row in await runtime.all(_QUERIES["known_lessons"], **scope(runtime))}

    async def due(self, every: timedelta, *, runtime: Runtime) -> WokenBy | None:
        """Return why a run is due by the server's clock: the time, a change of the structure or a correction; None if it is not."""
        row = await runtime.one(_QUERIES["due_run"], every=every, hold=HOLD, **scope(runtime))
        return row["why"] if row else None


learning_runs = LearningRuns()
