"""Merging states by path: nothing is dropped without being named, sides can be swapped, and repeating changes nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import InvalidInput
from agent.sync import clocks
from agent.sync.merging import MISSING, at, differences, keys_of, latest_wins, pointer, same, three_way, with_value

KEYS = st.sampled_from(["a", "b", "c", "/", "~", ""])
LEAVES = st.sampled_from([None, True, False, 0, 1, 1.0, 2.5, "", "x", [], [1], [{"a": 1}], {}])
STATES = st.dictionaries(KEYS, st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner, max_size=3)), max_size=4)
CASES = settings(max_examples=150, deadline=None)
EARLY, LATE = clocks.clock_at(1_000, "a"), clocks.clock_at(2_000, "b")


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of a state that is no object with keys, with its path."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield path, value


def named(decisions: list[Any], path: tuple[str, ...]) -> bool:
    """Whether a decision is about a path, or about one above or below it."""
    text = pointer(path)
    return any(
        text == one.path or text.startswith(f"{one.path}/") or one.path.startswith(f"{text}/") for one in decisions
    )


@CASES
@given(STATES, STATES, STATES)
def test_no_side_loses_a_value_that_no_decision_names(base: Any, ours: Any, theirs: Any) -> None:
    merged, decisions = three_way(base, ours, theirs)
    latest, chosen = latest_wins(base, ours, theirs, our_clocks={"": EARLY}, their_clocks={}, their_clock=LATE)
    for state, said in ((merged, decisions), (latest, chosen)):
        for side in (ours, theirs):
            for path, value in leaves(side):
                kept = same(at(state, path), value) or (value == {} and isinstance(at(state, path), dict))
                assert kept or named(said, path), (path, value)
        for one in said:  # what was not taken is in the decision itself
            for name, side in (("base", base), ("ours", ours), ("theirs", theirs)):
                assert same(one.sides.get(name, MISSING), at(side, keys_of(one.path)))
    for path, value in leaves(merged):  # and nothing is made up
        assert any(same(at(side, path), value) or isinstance(at(side, path), dict) for side in (ours, theirs))


@CASES
@given(STATES, STATES, STATES)
def test_the_sides_can_be_swapped(base: Any, ours: Any, theirs: Any) -> None:
    (one, first), (other, second) = three_way(base, ours, theirs), three_way(base, theirs, ours)
    undecided = sorted(decision.path for decision in first if decision.took == "undecided")
    assert undecided == sorted(decision.path for decision in second if decision.took == "undecided")
    for path in undecided:
        one, other = (with_value(side, keys_of(path), "?") for side in (one, other))
    assert same(one, other)


@CASES
@given(STATES, STATES, STATES, st.booleans())
def test_the_later_clock_wins_from_either_side(base: Any, ours: Any, theirs: Any, tie: bool) -> None:
    early = LATE if tie else EARLY
    changed = {one.path: early for one in differences(base, ours)}
    there = {one.path: LATE for one in differences(base, theirs)}
    one, _ = latest_wins(base, ours, theirs, our_clocks=changed, their_clocks=there, their_clock=clocks.ZERO)
    other, _ = latest_wins(base, theirs, ours, our_clocks=there, their_clocks=changed, their_clock=clocks.ZERO)
    assert same(one, other)


@CASES
@given(STATES, STATES, STATES)
def test_merging_again_changes_nothing(base: Any, ours: Any, theirs: Any) -> None:
    merged, _ = three_way(base, ours, theirs)
    assert same(three_way(base, merged, theirs)[0], merged)
    assert same(three_way(base, ours, ours)[0], ours)
    assert same(three_way(base, ours, base)[0], ours)
    assert same(three_way(base, base, theirs)[0], theirs)


@CASES
@given(STATES, STATES)
def test_the_differences_lead_from_one_state_to_the_other(before: Any, after: Any) -> None:
    state = before
    for one in differences(before, after):
        assert keys_of(one.path) == keys_of(pointer(keys_of(one.path)))
        state = with_value(state, keys_of(one.path), MISSING if one.change == "removed" else one.after)
    assert same(state, after)


def test_edits_of_different_paths_merge_and_edits_of_one_path_wait() -> None:
    base = {"task": "x", "n": {"done": 1, "left": 2}, "tags": ["a"]}
    ours = {"task": "x", "n": {"done": 5, "left": 2}, "tags": ["a", "b"]}
    theirs = {"n": {"done": 1, "left": 0}, "tags": ["a", "c"], "new": None}
    merged, decisions = three_way(base, ours, theirs)
    assert merged == {"n": {"done": 5, "left": 0}, "tags": ["a", "b"], "new": None}
    assert {one.path: one.took for one in decisions} == {
        "/task": "theirs", "/n/done": "ours", "/n/left": "theirs", "/tags": "undecided", "/new": "theirs"
    }  # fmt: skip


def test_a_clock_never_runs_back_and_sorts_as_text() -> None:
    randomness, times = random.Random(7), [5_000, 4_000, 4_000, 9_000, 1, 10**15]
    made: list[str] = []
    for time in times:
        made.append(clocks.clock_at(time, f"n{randomness.random()}", after=made[-1:]))
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert json.loads(json.dumps(made)) == made
    for wrong in ("", "1", "2026-11-29T12:00:00Z", None, 7):
        with pytest.raises(InvalidInput, match="form"):
            clocks.parsed(wrong)  # type: ignore[arg-type]  # that is what is tried
