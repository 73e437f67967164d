"""Runs of plans as values: what a caller gets back, and what views show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

RunStatus = Literal["running", "succeeded", "failed", "cancelled"]
FINISHED: tuple[Literal["succeeded", "failed", "cancelled"], ...] = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step gave. `duration` is in milliseconds."""

    success: bool
    data: Any = None
    duration: float = 0.0
    attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanResult:
    """How a plan ended. `errors` is None if nothing failed; after a fallback, results and errors are the fallback's.

    `run_id` names this run (a plan can run many times). `fallback` is the plan id of the fallback that ran, if one did.
    """

    plan_id: str
    run_id: str
    success: bool
    duration: float
    results: Mapping[str, StepResult] = field(default_factory=dict)
    errors: Mapping[str, str] | None = None
    fallback: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what the API sends: {success, duration, results, errors}; errors only if there are some."""
        results = {name: {"success": one.success, "data": one.data, "duration": round(one.duration), "attempts": one.attempts} for name, one in self.results.items()}  # fmt: skip
        body = {"planId": self.plan_id, "runId": self.run_id, "success": self.success, "duration": round(self.duration), "results": results}  # fmt: skip
        if self.errors is not None:
            body["errors"] = dict(self.errors)
        if self.fallback is not None:
            body["fallback"] = self.fallback
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """What is recorded of a step of a run."""

    id: str
    agent_id: str
    action: str
    dependencies: Sequence[str]
    status: Literal["waiting", "running", "succeeded", "failed", "skipped", "cancelled"]
    attempts: int = 0
    output: Any = None
    error: str | None = None
    duration: float | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run of a plan in a list. `duration` is in milliseconds; `part_of` is the run that it is a step of, `batch` its replay in bulk."""

    id: UUID
    plan_id: str
    status: RunStatus
    error: str | None
    fallback_of: UUID | None
    replay_of: UUID | None
    part_of: UUID | None
    batch: UUID | None
    paused_at: datetime | None
    requested_by: str | None
    created_at: datetime
    finished_at: datetime | None
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """One run of a plan with its steps."""

    run: RunRecord
    steps: Sequence[StepRecord]
    fallback_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """What came of a cancellation: whether anything still ran, and what has not ended yet: the run, its fallbacks, the plans of its steps."""

    cancelled: bool
    running: Sequence[UUID] = ()

    @property
    def ended(self) -> bool:
        """Return whether every run has ended."""
        return not self.running


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEvent:
    """What happened to a run. `payload` is what handlers get."""

    id: int
    kind: str
    step_id: str | None
    payload: Mapping[str, Any]
    at: datetime
