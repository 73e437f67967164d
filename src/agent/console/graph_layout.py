"""Lays a graph of boxes out in columns and draws it as SVG: tables with their foreign keys, steps with what they wait for. Pure.

Each connected part is laid out by itself: every box stands in a column right of what it refers to (a circle is cut at one edge),
and is moved in its column towards its neighbours, so that few lines cross. A line over several columns has a lane between the boxes of
each, so that it passes behind none of them (where there are not too many such lines). The parts, the largest first, are packed below and
beside each other; boxes without lines fill a grid. It takes time in proportion to boxes and lines.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from markupsafe import Markup, escape

from agent.text.visible import one_line

_GAP_X, _GAP_Y, _MARGIN, _LINE, _HEAD = 64, 16, 16, 18, 28
_WIDTH, _CHARACTER = 196, 7
_SWEEPS, _MOST_IN_COLUMN, _MOST_AT_ONCE, _GRID_COLUMNS = 4, 14, 40, 5
_LANE, _MOST_LANES = 8, 400
_Edge = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A box of the graph: a title that leads to `href`, and lines below it. `kind` is a class of the style sheet."""

    id: str
    title: str
    lines: Sequence[str] = ()
    href: str = ""
    kind: str = ""

    @property
    def height(self) -> int:
        """Return its height."""
        return _HEAD + _LINE * len(self.lines) + (8 if self.lines else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where the boxes stand, each with its left upper corner, where lines pass through the columns between, and how large the picture is."""

    places: Mapping[str, tuple[float, float]]
    lanes: Mapping[_Edge, Sequence[tuple[float, float]]]
    width: float
    height: float


@dataclass(slots=True)
class _Part:
    columns: list[list[str]] = field(default_factory=list)


def layout(boxes: Sequence[Box], edges: Collection[tuple[str, str]], *, most_in_column: int = _MOST_IN_COLUMN) -> Placed:  # fmt: skip
    """Return where each box stands. An edge leads from a box to the one that it refers to or waits for."""
    by_id = {box.id: box for box in boxes}
    known = [(one, other) for one, other in dict.fromkeys(edges) if one in by_id and other in by_id and one != other]
    parts = _parts(list(by_id), known)
    places: dict[str, tuple[float, float]] = {}
    lanes: dict[_Edge, Sequence[tuple[float, float]]] = {}
    heights = {box.id: box.height for box in boxes}
    y, width = float(_MARGIN), 0.0
    row_x, row_height = float(_MARGIN), 0.0
    most_width = max(1_400.0, math.sqrt(len(boxes)) * (_WIDTH + _GAP_X))
    for part in (part for part in parts if len(part) > 1):
        columns, routes = _with_lanes(
            _columns(part, known, most_in_column),
            [edge for edge in known if edge[0] in set(part)] if len(parts) > 1 else known,
        )
        own, size_x, size_y = _placed(columns, heights)
        if row_x > _MARGIN and row_x + size_x > most_width:
            y, row_x, row_height = y + row_height + 2 * _GAP_Y, float(_MARGIN), 0.0
        moved = {name: (row_x + x, y + top) for name, (x, top) in own.items()}
        places |= {name: place for name, place in moved.items() if name in heights}
        lanes |= {edge: [moved[name] for name in names] for edge, names in routes.items()}
        row_x, row_height = row_x + size_x + _GAP_X, max(row_height, size_y)
        width = max(width, row_x)
    if places:
        y += row_height + 2 * _GAP_Y
    alone = [part[0] for part in parts if len(part) == 1]
    bottom = y
    abreast = max(_GRID_COLUMNS, int(width // (_WIDTH + _GAP_Y)))
    for start in range(0, len(alone), abreast):
        row = alone[start : start + abreast]
        for place, name in enumerate(row):
            places[name] = (_MARGIN + place * (_WIDTH + _GAP_Y), bottom)
        bottom += max(by_id[name].height for name in row) + _GAP_Y
        width = max(width, _MARGIN + len(row) * (_WIDTH + _GAP_Y))
    return Placed(
        places=places, lanes=lanes, width=width + _MARGIN, height=(bottom if alone else y - 2 * _GAP_Y) + _MARGIN
    )


def draw(
    boxes: Sequence[Box], edges: Collection[tuple[str, str]], *, label: str, chosen: str = "", scale: float = 1.0, flow: bool = False
) -> Markup:  # fmt: skip
    """Return the graph as SVG. The lines of the `chosen` box stand out. With `flow` arrows lead from what is waited for to what waits.

    The last pictures are kept, because a page is fetched again and again.
    """
    same = tuple(box if isinstance(box.lines, tuple) else replace(box, lines=tuple(box.lines)) for box in boxes)
    return _drawn(same, tuple(dict.fromkeys(edges)), label=label, chosen=chosen, scale=scale, flow=flow)


@lru_cache(maxsize=16)
def _drawn(
    boxes: tuple[Box, ...], edges: tuple[tuple[str, str], ...], *, label: str, chosen: str, scale: float, flow: bool
) -> Markup:
    placed = layout(boxes, edges, most_in_column=_MOST_AT_ONCE if flow else _MOST_IN_COLUMN)
    parts = [
        (
            '<defs><marker id="to" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">'
            '<path class="arrowhead" d="M0 0L8 4L0 8z"/></marker></defs>'
        )
    ]
    heights = {box.id: box.height for box in boxes}
    parts += [
        _edge(
            placed.places[one],
            placed.places[other],
            heights[one],
            heights[other],
            lanes=placed.lanes.get((one, other), ()),
            near=chosen in (one, other),
            flow=flow,
        )
        for one, other in edges
        if one in placed.places and other in placed.places and one != other
    ]
    parts += [_box(box, placed.places[box.id], chosen=box.id == chosen) for box in boxes]
    size = f'width="{placed.width * scale:.0f}" height="{placed.height * scale:.0f}" viewBox="0 0 {placed.width:.0f} {placed.height:.0f}"'
    return Markup(  # noqa: S704  # every text in it is escaped
        f'<svg class="graph" {size} role="group" aria-label="{_text(label, 200)}">{"".join(parts)}</svg>'
    )


def _parts(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Return the connected parts, the largest first; inside each the names keep their order."""
    root = {name: name for name in names}

    def find(name: str) -> str:
        while root[name] != name:
            root[name] = root[root[name]]
            name = root[name]
        return name

    for one, other in edges:
        root[find(one)] = find(other)
    parts: dict[str, list[str]] = defaultdict(list)
    for name in names:
        parts[find(name)].append(name)
    return sorted(parts.values(), key=len, reverse=True)


def _columns(part: Sequence[str], edges: Sequence[tuple[str, str]], most: int) -> list[list[str]]:
    """Return the boxes of a part in columns, each ordered so that few lines cross."""
    inside = set(part)
    out: dict[str, list[str]] = {name: [] for name in part}
    back: dict[str, list[str]] = {name: [] for name in part}
    for one, other in edges:
        if one in inside:
            out[one].append(other)
            back[other].append(one)
    depth = _depths(part, out)
    columns: list[list[str]] = []
    for level in range(max(depth.values()) + 1):
        column = [name for name in part if depth[name] == level]
        # A level with very many boxes is broken into several columns, so that the picture stays readable.
        columns += [column[at : at + most] for at in range(0, len(column), most)]
    _order(columns, {name: [*out[name], *back[name]] for name in part})
    return columns


def _order(columns: Sequence[list[str]], beside: Mapping[str, Sequence[str]]) -> None:
    """Move each name in its column towards those beside it."""
    order = {name: at for column in columns for at, name in enumerate(column)}
    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 else reversed(columns):
            near = {name: [order[other] for other in beside[name]] or [order[name]] for name in column}
            column.sort(key=lambda name: (sum(near[name]) / len(near[name]), order[name]))  # used at once
            order |= {name: at for at, name in enumerate(column)}


def _with_lanes(columns: list[list[str]], edges: Sequence[_Edge]) -> tuple[list[list[str]], dict[_Edge, list[str]]]:
    """Return the columns with a lane for each line that passes through one, and the lanes of each such line, from its beginning on."""
    at = {name: number for number, column in enumerate(columns) for name in column}
    long = [(one, other) for one, other in edges if one in at and other in at and at[one] - at[other] > 1]
    if not long or sum(at[one] - at[other] - 1 for one, other in long) > _MOST_LANES:
        return columns, {}
    made = [list(column) for column in columns]
    routes: dict[_Edge, list[str]] = {}
    beside: dict[str, list[str]] = {name: [] for name in at}
    for number, (one, other) in enumerate(edges):
        if one not in at or other not in at:
            continue
        between = range(at[one] - 1, at[other], -1)
        route = [f"\0{number} {column}" for column in between]
        if route:
            routes[one, other] = route
        for column, name in zip(between, route, strict=True):
            made[column].append(name)
            beside[name] = []
        for left, right in itertools.pairwise([one, *route, other]):
            beside[left].append(right)
            beside[right].append(left)
    _order(made, beside)
    return made, routes


def _depths(part: Sequence[str], out: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return in which column each box stands: one right of the furthest that it refers to. An edge that closes a circle is left out."""
    depth: dict[str, int] = {}
    for start in part:
        stack, on_path = [(start, iter(out[start]))], {start}
        while stack and start not in depth:
            name, others = stack[-1]
            following = next((other for other in others if other not in depth and other not in on_path), None)
            if following is not None:
                on_path.add(following)
                stack.append((following, iter(out[following])))
                continue
            stack.pop()
            depth[name] = max((depth[other] + 1 for other in out[name] if other in depth), default=0)
    return depth


def _placed(
    columns: Sequence[Sequence[str]], box_heights: Mapping[str, int]
) -> tuple[dict[str, tuple[float, float]], float, float]:
    heights = [sum(box_heights.get(name, _LANE) + _GAP_Y for name in column) - _GAP_Y for column in columns]
    tallest = max(heights)
    places: dict[str, tuple[float, float]] = {}
    for number, column in enumerate(columns):
        y = (tallest - heights[number]) / 2
        for name in column:
            places[name] = (number * (_WIDTH + _GAP_X), y)
            y += box_heights.get(name, _LANE) + _GAP_Y
    return places, len(columns) * (_WIDTH + _GAP_X) - _GAP_X, tallest


def _edge(
    one: tuple[float, float], other: tuple[float, float], one_height: int, other_height: int, *, lanes: Sequence[tuple[float, float]], near: bool, flow: bool
) -> str:  # fmt: skip
    """Return a line from a box to the one that it refers to, which stands left of it unless the edge closes a circle."""
    y1, y2 = one[1] + min(one_height, 2 * _HEAD) / 2, other[1] + min(other_height, 2 * _HEAD) / 2
    if one[0] > other[0]:
        points = [(one[0], y1)]
        for x, top in lanes:
            points += [(x + _WIDTH, top + _LANE / 2), (x, top + _LANE / 2)]
        points.append((other[0] + _WIDTH, y2))
        path = f"M{points[0][0]:.0f} {points[0][1]:.0f}"
        for number, (begin, end) in enumerate(itertools.pairwise(points)):
            path += f"L{end[0]:.0f} {end[1]:.0f}" if number % 2 else _curve(begin, end)
    else:
        x1, x2 = one[0] + _WIDTH, other[0] + _WIDTH
        bow = max(x1, x2) + 32
        path = f"M{x1:.0f} {y1:.0f}C{bow:.0f} {y1:.0f} {bow:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    return (
        f'<path class="{"edge near" if near else "edge"}" d="{path}" marker-{"start" if flow else "end"}="url(#to)"/>'
    )


def _curve(begin: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = begin, end
    middle = max((x1 - x2) / 2, 24.0)
    return f"C{x1 - middle:.0f} {y1:.0f} {x2 + middle:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"


def _box(box: Box, place: tuple[float, float], *, chosen: bool) -> str:
    x, y = place
    lines = "".join(
        f'<text class="small" x="{x + 8:.0f}" y="{y + _HEAD + 14 + at * _LINE:.0f}">{_text(line, (_WIDTH - 16) // 6)}</text>'
        for at, line in enumerate(box.lines)
    )
    inner = (
        f'<title>{_text(box.title, 200)}</title><rect class="box" x="{x:.0f}" y="{y:.0f}" width="{_WIDTH}" height="{box.height}" rx="6"/>'
        f'<text x="{x + 8:.0f}" y="{y + 19:.0f}">{escape(shortened(box.title, (_WIDTH - 16) // _CHARACTER))}</text>{lines}'
    )
    inner = f'<a href="{escape(box.href)}">{inner}</a>' if box.href else inner
    return f'<g class="{escape(box.kind)}{" chosen" if chosen else ""}">{inner}</g>'


def shortened(text: str, limit: int) -> str:
    """Return a name that is too long without its middle: names that begin alike differ at their ends."""
    flat = one_line(text)
    if len(flat) <= limit:
        return flat
    tail = limit // 2 - 1
    return f"{flat[: limit - tail - 1]}…{flat[-tail:]}"


def _text(text: str, limit: int) -> str:
    return str(escape(one_line(text, limit)))
