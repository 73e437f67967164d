"""A replay beside what it replays: what each step gave then and now. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from agent.orchestration.records import RunView, StepRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPair:
    """A step then and now. `redone` says that it ran again, `same` that status and output are equal."""

    id: str
    redone: bool
    same: bool
    status: tuple[str, str]
    output: tuple[Any, Any]
    error: tuple[str | None, str | None]
    duration: tuple[float | None, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A run and its replay. `changed` names the steps that gave something else."""

    plan_id: str
    before: UUID
    after: UUID
    status: tuple[str, str]
    duration: tuple[float, float]
    changed: Sequence[str]
    steps: Sequence[StepPair]


def compare(before: RunView, after: RunView) -> Comparison:
    """Return a run and its replay side by side."""
    then = {step.id: step for step in before.steps}
    steps = [_pair(then[step.id], step) for step in after.steps if step.id in then]
    return Comparison(
        plan_id=after.run.plan_id, before=before.run.id, after=after.run.id, status=(before.run.status, after.run.status),
        duration=(before.run.duration, after.run.duration), changed=[one.id for one in steps if not one.same], steps=steps,
    )  # fmt: skip


def _pair(then: StepRecord, now: StepRecord) -> StepPair:
    return StepPair(
        id=now.id, redone=now.started_at != then.started_at, same=(then.status, then.output) == (now.status, now.output),
        status=(then.status, now.status), output=(then.output, now.output), error=(then.error, now.error), duration=(then.duration, now.duration),
    )  # fmt: skip
