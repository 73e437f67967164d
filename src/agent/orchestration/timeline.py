"""A run in time: a bar for each step, the path that decided how long it took, and idle times cut short. Pure.

`state_at` goes back in time: it is what each step was after an event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from agent.orchestration.records import PlanEvent, StepRecord

_SHOWN_GAP, _LONG_GAP = 200.0, 1_000.0
StepState = Literal["waiting", "running", "succeeded", "failed"]
_STATES: Mapping[str, StepState] = {"step:started": "running", "step:completed": "succeeded", "step:failed": "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A step in time, in milliseconds since the run began; `drawn_start` and `drawn_end` leave idle times out."""

    id: str
    status: str
    start: float
    end: float
    drawn_start: float
    drawn_end: float
    critical: bool
    waited: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleGap:
    """A time in which nothing ran, as when a human was asked or a process was dead."""

    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The bars of a run in the order in which they began, the path that decided its duration, and when nothing ran."""

    bars: Sequence[Bar]
    critical_path: Sequence[str]
    critical_ms: float
    gaps: Sequence[IdleGap]


def timeline(steps: Sequence[StepRecord], began: datetime, now: datetime) -> Timeline:
    """Return a run in time. Steps that have not begun are left out, and those that a replay took over: they ran before it."""
    times = {
        step.id: (_since(began, step.started_at), _since(began, step.finished_at or now))
        for step in steps if step.started_at is not None and step.started_at >= began
    }  # fmt: skip
    path = _critical(steps, times)
    gaps = _gaps(sorted(times.values()))
    needs = {step.id: max((times[one][1] for one in step.dependencies if one in times), default=0.0) for step in steps}
    status = {step.id: step.status for step in steps}
    bars = [
        Bar(
            id=name, status=status[name], start=start, end=end, drawn_start=_drawn(start, gaps), drawn_end=_drawn(end, gaps),
            critical=name in path, waited=round(max(0.0, start - needs[name]), 1),
        )
        for name, (start, end) in sorted(times.items(), key=lambda one: (one[1], one[0]))
    ]  # fmt: skip
    busy = sum(times[name][1] - times[name][0] for name in path)
    return Timeline(bars=bars, critical_path=path, critical_ms=round(busy, 1), gaps=gaps)


def state_at(steps: Sequence[StepRecord], events: Sequence[PlanEvent], until: int) -> dict[str, StepState]:
    """Return what each step was after the event with this number. What a replay took over was done before its first event."""
    told = {one.step_id for one in events}
    states: dict[str, StepState] = {
        step.id: "succeeded" if step.status == "succeeded" and step.id not in told else "waiting" for step in steps
    }
    for one in events:
        if one.id <= until and one.step_id in states and one.kind in _STATES:
            states[one.step_id] = _STATES[one.kind]
    return states


def _since(began: datetime, at: datetime) -> float:
    return round((at - began).total_seconds() * 1000, 1)


def _critical(steps: Sequence[StepRecord], times: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return the path back from what ended last: before each step, the one that it waited for longest."""
    needs = {step.id: [one for one in step.dependencies if one in times] for step in steps}
    path: list[str] = []
    ahead = max(times, key=lambda name: (times[name][1], name), default=None)
    while ahead is not None:
        path.append(ahead)
        ahead = max(needs[ahead], key=lambda name: (times[name][1], name), default=None)
    return path[::-1]


def _gaps(spans: Sequence[tuple[float, float]]) -> list[IdleGap]:
    """Return the long times in which nothing ran."""
    gaps: list[IdleGap] = []
    busy_until = 0.0
    for start, end in spans:
        if start - busy_until > _LONG_GAP:
            gaps.append(IdleGap(start=busy_until, end=start))
        busy_until = max(busy_until, end)
    return gaps


def _drawn(at: float, gaps: Sequence[IdleGap]) -> float:
    """Return a time with the gaps before it cut short."""
    cut = sum(gap.end - gap.start - _SHOWN_GAP for gap in gaps if gap.end <= at)
    return round(at - cut, 1)
