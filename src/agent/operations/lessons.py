"""Let the learner run, and read its runs as a person may see them. They quote questions and SQL, so every surface reads them here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.approval.people import people
from agent.learning.background_learner import background_learner
from agent.learning.learning_runs import LearningRun, learning_runs
from agent.privacy.masking import MASK, without_secrets
from agent.runtime import Runtime


async def learn(
    *, progress: Callable[[str, int, int], None] | None = None, viewer: str | None = None, runtime: Runtime
) -> LearningRun:
    """Run the learner once, and return the record as `viewer` may see it."""
    return await _shown(await background_learner.run_once(progress=progress, runtime=runtime), viewer, runtime)


async def runs(
    limit: int, *, before: int | None = None, viewer: str | None = None, runtime: Runtime
) -> list[LearningRun]:
    """Return the newest runs, or those before run `before`, as `viewer` may see them."""
    newest = await learning_runs.recent(limit, before=before, runtime=runtime)
    return [await _shown(run, viewer, runtime) for run in newest]


async def run(run_id: int, *, viewer: str | None = None, runtime: Runtime) -> LearningRun:
    """Return one run as `viewer` may see it. Raises `NotFound`."""
    return await _shown(await learning_runs.get(run_id, runtime=runtime), viewer, runtime)


async def counts(*, runtime: Runtime) -> dict[str, int]:
    """Return how much is known of each kind of lesson."""
    return await learning_runs.known(runtime=runtime)


async def _shown(run: LearningRun, viewer: str | None, runtime: Runtime) -> LearningRun:
    sees = (await people.membership(viewer, runtime=runtime)).sees_personal

    def clean(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**entry, "what": without_secrets(entry.get("what", "")) if sees else MASK} for entry in entries]

    return replace(run, learned=clean(run.learned), dropped=clean(run.dropped))
