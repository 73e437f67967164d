"""Try the merge of states on thousands of generated edits: it commutes, drops nothing in silence, and repeats without effect."""

from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

from agent.sync.merging import keys_of, latest_wins, same, three_way, with_value
from benchmarks.report import Report

CASES = 6_000
KEYS = ("a", "b", "c/d", "~", "")


def measure(report: Report) -> None:
    chance = random.Random(16)
    wrong: dict[str, int] = {
        "does not commute": 0,
        "drops an edit": 0,
        "repeats with effect": 0,
        "depends on the side": 0,
    }
    for _ in range(CASES):
        base = _state(chance, 3)
        ours, theirs = _edited(chance, base), _edited(chance, base)
        merged, decisions = three_way(base, ours, theirs)
        swapped, others = three_way(base, theirs, ours)
        undecided = [one.path for one in decisions if one.took == "undecided"]
        left, right = merged, swapped
        for path in undecided:
            left, right = (with_value(side, keys_of(path), "?") for side in (left, right))
        wrong["does not commute"] += not same(left, right) or len(undecided) != sum(
            one.took == "undecided" for one in others
        )
        told = {one.path for one in decisions}
        wrong["drops an edit"] += any(
            not _is_told(path, told)
            for path in _changed(base, theirs)
            if not _equal(_at(merged, path), _at(theirs, path))
        )
        wrong["repeats with effect"] += not same(three_way(base, merged, theirs)[0], merged)
        clock = {one: f"{n:016d}-00000-x" for n, one in enumerate(told)}
        one, _ = latest_wins(base, ours, theirs, our_clocks=clock, their_clocks={}, their_clock="0" * 16 + "-00001-y")
        two, _ = latest_wins(base, ours, theirs, our_clocks=clock, their_clocks={}, their_clock="0" * 16 + "-00001-y")
        wrong["depends on the side"] += not same(one, two)
    bad = ", ".join(f"{count} {name}" for name, count in wrong.items() if count) or "none"
    report.bar(
        f"wrong merges of {CASES:,} generated ones (commutes, no silent drop, idempotent, deterministic)", bar="0 of >= 5,000",
        reached=bad, ok=not any(wrong.values()),
    )  # fmt: skip


def _state(chance: random.Random, depth: int) -> dict[str, Any]:
    return {key: _value(chance, depth) for key in KEYS if chance.random() < 0.6}


def _value(chance: random.Random, depth: int) -> Any:
    kind = chance.random()
    if depth and kind < 0.45:
        return _state(chance, depth - 1)
    if kind < 0.55:
        return [_value(chance, 0) for _ in range(chance.randint(0, 2))]
    return chance.choice([0, 1, 1.0, True, False, None, "", "x", "0"])


def _edited(chance: random.Random, state: dict[str, Any]) -> dict[str, Any]:
    edited = deepcopy(state)
    for _ in range(chance.randint(0, 3)):
        place = edited
        while (inner := [one for one in place.values() if isinstance(one, dict)]) and chance.random() < 0.6:
            place = chance.choice(inner)
        key = chance.choice(KEYS)
        if chance.random() < 0.3:
            place.pop(key, None)
        else:
            place[key] = _value(chance, 1)
    return edited


_GONE = object()


def _at(state: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(state, dict) or key not in state:
            return _GONE
        state = state[key]
    return state


def _changed(base: Any, other: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths at which `other` has another value than `base`, as deep as both are objects."""
    if isinstance(base, dict) and isinstance(other, dict):
        found: list[tuple[str, ...]] = []
        for key in {*base, *other}:
            if key in base and key in other:
                found += _changed(base[key], other[key], (*path, key))
            else:
                found.append((*path, key))
        return found
    return [] if same(base, other) else [path]


def _equal(one: Any, other: Any) -> bool:
    return one is other if one is _GONE or other is _GONE else same(one, other)


def _is_told(path: tuple[str, ...], told: set[str]) -> bool:
    """Whether a decision names the path, or one above or below it."""
    for one in told:
        keys = tuple(keys_of(one))
        if keys[: len(path)] == path or path[: len(keys)] == keys:
            return True
    return False
