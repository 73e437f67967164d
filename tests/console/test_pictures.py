"""Lay graphs out and draw them, without a browser: lines pass no box, many alike are one, names that are cut stay different."""

from __future__ import annotations

import itertools
import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agent.console.graph_layout import Box, draw, layout, shortened
from agent.console.plan_pictures import gantt, graph_of
from agent.orchestration.records import StepRecord
from agent.orchestration.timeline import timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step as it is drawn."""

    id: str
    dependencies: tuple[str, ...] = ()


def test_boxes_stand_apart_and_no_line_over_several_columns_passes_behind_one() -> None:
    chance = random.Random(7)
    for _ in range(40):
        names = [f"s{at}" for at in range(chance.randint(3, 25))]
        edges = {
            (names[at], names[chance.randrange(at)]) for at in range(1, len(names)) for _ in range(chance.randint(0, 2))
        }
        placed = layout([Box(id=name, title=name) for name in names], edges, most_in_column=40)
        spots = [(x, y, x + 196, y + 28) for x, y in placed.places.values()]
        assert len(set(placed.places.values())) == len(names)
        for (x1, y1, right1, bottom1), (x2, y2, right2, bottom2) in itertools.combinations(spots, 2):
            assert right1 <= x2 or right2 <= x1 or bottom1 <= y2 or bottom2 <= y1
        for one, other in edges:
            assert placed.places[one][0] > placed.places[other][0]
            for x, y in placed.lanes.get((one, other), ()):
                assert not any(x == left and top < y + 4 < bottom for left, top, _, bottom in spots)


def test_a_circle_is_drawn_and_many_alike_are_one_box_that_counts_them() -> None:
    assert "<path" in draw([Box(id=name, title=name) for name in "abc"], [("a", "b"), ("b", "c"), ("c", "a")], label="")
    steps = [Step(id="begin"), *(Step(id=f"part {at}", dependencies=("begin",)) for at in range(200)), Step(id="end", dependencies=tuple(f"part {at}" for at in range(200)))]  # fmt: skip
    states = ["succeeded", *(["succeeded"] * 150 + ["failed"] * 2 + ["running"] * 48), "waiting"]

    def drawn(chosen: int | None) -> tuple[str, int]:
        made = graph_of(
            steps,
            lines=lambda at: ("does it", states[at]),
            kind=lambda at: states[at],
            href=lambda at: f"#{at}",
            chosen=chosen,
        )
        return made.svg, made.boxes

    svg, boxes = drawn(None)
    assert boxes == 3
    assert "200 like part 0" in svg
    assert "150 succeeded, 48 run" in svg
    assert 'class="failed"' in svg
    svg, boxes = drawn(7)
    assert boxes == 4
    assert re.search(r'class="succeeded chosen">.*?part 6', svg)


def test_long_names_that_begin_alike_stay_different() -> None:
    one, other = (shortened(f"extract_customer_orders_from_{'x' * 40}_{end}", 25) for end in ("eu_1", "us_2"))
    assert one != other
    assert len(one) == len(other) == 25
    assert shortened("short", 25) == "short"


def test_a_replay_is_drawn_from_its_own_beginning_with_breaks_for_what_idled() -> None:
    began = datetime(2026, 3, 29, 0, 59, tzinfo=UTC)  # an hour that some zones do not have follows

    def step(name: str, start: float, end: float, *needs: str) -> StepRecord:
        return StepRecord(
            id=name, agent_id="a", action="b", dependencies=needs, status="succeeded", started_at=began + timedelta(seconds=start), finished_at=began + timedelta(seconds=end)
        )  # fmt: skip

    steps = [step("kept", -86_400, -86_399), step("one", 0.1, 1, "kept"), step("asked", 7_201, 7_202, "one")]
    made = timeline(steps, began, began + timedelta(seconds=7_202))
    assert [bar.id for bar in made.bars] == ["one", "asked"]
    svg = gantt(made, lambda name: f"#{name}")
    assert "⋯ 120 min" in svg
    assert all(float(x) >= 0 for x in re.findall(r' x="(-?[\d.]+)"', svg))
    assert max(float(x) for x in re.findall(r' x="(-?[\d.]+)"', svg)) < 960
    assert gantt(timeline([], began, began), str) == ""
