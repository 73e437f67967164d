"""What waits for what: the order of steps, and which of them can start. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from agent.errors import InvalidInput


class Dependent(Protocol):
    """What has an id and waits for others."""

    @property
    def id(self) -> str: ...
    @property
    def dependencies(self) -> tuple[str, ...]: ...


T = TypeVar("T", bound=Dependent)


def in_order(steps: Sequence[T]) -> list[T]:
    """Return the steps so that each comes after what it waits for, else in the order given.

    Raises `InvalidInput` for an id that is there twice, a dependency that is not there, and a circle, which it spells out.
    """
    by_id: dict[str, T] = {}
    for step in steps:
        if step.id in by_id:
            raise InvalidInput(f"Two steps have the id {step.id!r}: give each its own.")
        by_id[step.id] = step
    for step in steps:
        for one in step.dependencies:
            if one not in by_id:
                raise InvalidInput(f"Step {step.id!r} depends on {one!r}, and the plan has no such step.")
    front = Frontier(steps)
    ordered: list[T] = []
    ready = deque(front.first())
    while ready:
        ordered.append(by_id[ready.popleft()])
        ready.extend(front.ended(ordered[-1].id))
    if len(ordered) < len(steps):
        raise InvalidInput(f"The steps wait for each other in a circle: {' -> '.join(_circle(by_id, ordered))}.")
    return ordered


def _circle(by_id: dict[str, T], ordered: Iterable[T]) -> list[str]:
    """Return one circle among the steps that are not in order. Each waits for another of them, so following it must come round."""
    left = set(by_id) - {step.id for step in ordered}
    path = [next(one for one in by_id if one in left)]
    while True:
        following = next(one for one in by_id[path[-1]].dependencies if one in left)
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)


class Frontier:
    """Which steps can start: those whose dependencies have all ended. Each end costs only what waits for it."""

    def __init__(self, steps: Sequence[Dependent]) -> None:
        self._open = {step.id: len(set(step.dependencies)) for step in steps}
        self._waiting: dict[str, list[str]] = {}
        for step in steps:
            for one in set(step.dependencies):
                self._waiting.setdefault(one, []).append(step.id)

    def first(self) -> list[str]:
        """Return the steps that wait for nothing."""
        return [step_id for step_id, count in self._open.items() if count == 0]

    def ended(self, step_id: str) -> list[str]:
        """Note that a step has ended well, and return those that can start now."""
        ready = []
        for one in self._waiting.get(step_id, ()):
            self._open[one] -= 1
            if self._open[one] == 0:
                ready.append(one)
        return ready

    def behind(self, step_id: str) -> list[str]:
        """Return every step that waits for this one, directly or through others, the nearest first."""
        found: dict[str, None] = {}
        ahead = deque(self._waiting.get(step_id, ()))
        while ahead:
            one = ahead.popleft()
            if one not in found:
                found[one] = None
                ahead.extend(self._waiting.get(one, ()))
        return list(found)
