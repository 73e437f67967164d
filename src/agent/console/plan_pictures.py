"""Draws steps as a graph and runs in time, as SVG. Pure.

Of a very large plan, the steps around one of them are drawn: a picture of thousands of boxes shows nobody anything. Many steps that wait for
the same ones, and for which the same ones wait, are one box, which says how many they are and how they do.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from markupsafe import Markup, escape

from agent.console.graph_layout import Box, draw, shortened
from agent.console.rendering import seconds
from agent.orchestration.timeline import Bar, Timeline
from agent.text.visible import one_line

MOST_BOXES, NEAR_BOXES, MOST_BARS, _MANY_ALIKE = 600, 120, 600, 9
_ROW, _LEFT, _WIDTH, _RIGHT, _HEAD = 24, 176, 688, 64, 24
_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600, 43200, 86400)  # fmt: skip
_MOST_TICKS = 9


class Drawn(Protocol):
    """What is drawn as a box: a step that waits for others."""

    @property
    def id(self) -> str: ...
    @property
    def dependencies(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture, how many of the plan's steps it shows, and in how many boxes."""

    svg: Markup
    boxes: int
    shown: int
    of: int


def graph_of(
    steps: Sequence[Drawn], *, lines: Callable[[int], Sequence[str]], kind: Callable[[int], str], href: Callable[[int], str],
    around: int = 0, chosen: int | None = None, scale: float = 1.0,
) -> Picture:  # fmt: skip
    """Return the graph of steps. `lines`, `kind` and `href` say what stands in the box of the step at a place, how it looks and where it leads.

    Of too many steps, those near the one at the place `around` are drawn.
    """
    groups = _alike(steps, chosen)
    places = list(range(len(steps))) if len(steps) <= MOST_BOXES else _near(steps, around)
    drawn = set(places)
    first = {step.id: str(groups.get(at, at)) for at, step in reversed(list(enumerate(steps)))}
    members: dict[int, list[int]] = {}
    for at in places:
        members.setdefault(groups.get(at, at), []).append(at)
    boxes = [
        Box(id=str(at), title=steps[at].id or "(no name)", kind=kind(at), lines=lines(at), href=href(at)) if len(same) == 1
        else Box(id=str(at), title=f"{len(same)} like {steps[same[0]].id}", kind=_worst([kind(one) for one in same]), lines=_together([lines(one) for one in same]), href=href(same[0]))
        for at, same in members.items()
    ]  # fmt: skip
    edges = [(str(groups.get(at, at)), first[one]) for at in places for one in steps[at].dependencies if one in first]
    label = f"{len(drawn)} steps; an arrow leads from a step to what waits for it"
    svg = draw(boxes, edges, label=label, chosen="" if chosen is None else str(chosen), scale=scale, flow=True)
    shown = len(drawn)
    return Picture(svg=svg, boxes=len(boxes), shown=shown, of=len(steps))


def _alike(steps: Sequence[Drawn], chosen: int | None) -> dict[int, int]:
    """Return for each step of many that stand between the same others the place of the first of them. The chosen one stands for itself."""
    behind: dict[str, list[str]] = {}
    for step in steps:
        for one in step.dependencies:
            behind.setdefault(one, []).append(step.id)
    found: dict[tuple[Sequence[str], Sequence[str]], list[int]] = {}
    for at, step in enumerate(steps):
        if at != chosen and (step.dependencies or step.id in behind):
            found.setdefault((tuple(sorted(step.dependencies)), tuple(sorted(behind.get(step.id, ())))), []).append(at)
    return {at: same[0] for same in found.values() if len(same) >= _MANY_ALIKE for at in same}


def _worst(kinds: Sequence[str]) -> str:
    """Return how a box of several steps looks: as the one that needs most attention."""
    return next((one for one in ("failed", "cancelled", "running", "waiting", "skipped") if one in kinds), kinds[0])


def _together(lines: Sequence[Sequence[str]]) -> Sequence[str]:
    """Return the lines of a box of several steps: what the first does, and how many of them are in which state."""
    states = Counter(one[-1] for one in lines if len(one) > 1)
    return (lines[0][0], ", ".join(f"{number} {state}" for state, number in states.most_common())) if states else (lines[0][0],)  # fmt: skip


def _near(steps: Sequence[Drawn], around: int) -> list[int]:
    """Return the places of the steps that stand nearest to one, along what waits for what."""
    place = {step.id: at for at, step in enumerate(steps)}
    beside: Mapping[int, list[int]] = {at: [] for at in range(len(steps))}
    for at, step in enumerate(steps):
        for other in (place[one] for one in step.dependencies if one in place):
            beside[at].append(other)
            beside[other].append(at)
    found, ahead = {around: None}, deque([around])
    while ahead and len(found) < NEAR_BOXES:
        for near in beside[ahead.popleft()]:
            if near not in found and len(found) < NEAR_BOXES:
                found[near] = None
                ahead.append(near)
    return sorted(found)


def gantt(timeline: Timeline, href: Callable[[str], str]) -> Markup:
    """Return a bar for each step. Idle times are drawn short, with a break that says how long they were; the critical path stands out."""
    bars = timeline.bars[:MOST_BARS]
    if not bars:
        return Markup("")
    end = max((one.drawn_end for one in timeline.bars), default=1.0) or 1.0
    scale = _WIDTH / end
    height = len(bars) * _ROW + _HEAD + 8
    parts = [_tick(at, scale, height) for at in _ticks(timeline, end)]
    parts += [_break(gap.end - gap.start, _drawn(gap.start, timeline), _drawn(gap.end, timeline), scale, height) for gap in timeline.gaps]  # fmt: skip
    parts += [_bar(bar, row, scale, href(bar.id)) for row, bar in enumerate(bars)]
    size = f'width="{_LEFT + _WIDTH + _RIGHT}" height="{height}" viewBox="0 0 {_LEFT + _WIDTH + _RIGHT} {height}"'
    return Markup(  # noqa: S704  # every text in it is escaped
        f'<svg class="graph gantt" {size} role="group" aria-label="When each step ran, since the run began">{"".join(parts)}</svg>'
    )


def _drawn(at: float, timeline: Timeline) -> float:
    """Return where a time is drawn: as far after the bar before it as it is in truth, with the gaps between left out."""
    near = min(
        ((abs(one - at), drawn) for bar in timeline.bars for one, drawn in ((bar.start, bar.drawn_start), (bar.end, bar.drawn_end))),
        default=(0.0, 0.0),
    )  # fmt: skip
    return near[1] if at else 0.0


def _ticks(timeline: Timeline, end: float) -> list[tuple[float, float]]:
    """Return round times with where they are drawn: only where no idle time was cut before, for a cut axis has no even scale."""
    until = min((_drawn(gap.start, timeline) for gap in timeline.gaps), default=end)
    step = next((one for one in _TICKS if end / 1000 / one <= _MOST_TICKS), _TICKS[-1]) * 1000
    return [(number * step, number * step) for number in range(int(until // step) + 1)]


def _tick(tick: tuple[float, float], scale: float, height: int) -> str:
    at, drawn = tick
    x = _LEFT + drawn * scale
    return (
        f'<line class="gridline" x1="{x:.1f}" x2="{x:.1f}" y1="{_HEAD - 6}" y2="{height}"/>'
        f'<text class="small" x="{x + 3:.1f}" y="12">{seconds(at / 1000) if at else "0"}</text>'
    )


def _break(length: float, left: float, right: float, scale: float, height: int) -> str:
    x, wide = _LEFT + left * scale, max((right - left) * scale, 2.0)
    told = f"nothing ran for {seconds(length / 1000)}"
    return (
        f'<g><title>{told}</title><rect class="idle" x="{x:.1f}" y="{_HEAD - 6}" width="{wide:.1f}" height="{height - _HEAD + 6}"/>'
        f'<text class="small" x="{x + 2:.1f}" y="12">⋯ {seconds(length / 1000)}</text></g>'
    )


def _bar(bar: Bar, row: int, scale: float, href: str) -> str:
    x, wide, y = (
        _LEFT + bar.drawn_start * scale,
        max((bar.drawn_end - bar.drawn_start) * scale, 3.0),
        row * _ROW + _HEAD,
    )
    took = seconds((bar.end - bar.start) / 1000)
    waited = f", began {seconds(bar.waited / 1000)} after it could" if bar.waited >= 1 else ""
    told = f"{one_line(bar.id, 200)}: {bar.status}, {took}{waited}{', on the critical path' if bar.critical else ''}"
    mark = {"failed": "✗ ", "cancelled": "✗ ", "running": "… "}.get(bar.status, "")
    kind = f"{bar.status}{' critical' if bar.critical else ''}"
    return (
        f'<a href="{escape(href)}"><title>{escape(told)}</title><text x="8" y="{y + 15}">{escape(shortened(bar.id, 24))}</text>'
        f'<rect class="bar {escape(kind)}" x="{x:.1f}" y="{y + 4}" width="{wide:.1f}" height="14" rx="3"/>'
        f'<text class="small" x="{x + wide + 6:.1f}" y="{y + 15}">{mark}{took}</text></a>'
    )
