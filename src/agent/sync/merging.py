"""Merges JSON states by path, and says for each path what it did. Pure, and the same input always gives the same answer.

Objects are merged key by key; an array is one value, because its elements have no identity. A side that lacks a path has
`MISSING` there. Nobody's change is dropped without being named in a decision.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, Literal

from agent.sync.clocks import ZERO
from agent.sync.records import Difference, PathDecision

Took = Literal["ours", "theirs", "both", "undecided"]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


def same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are the same: true is not 1, and 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if type(one) is not type(other) and not (isinstance(one, int | float) and isinstance(other, int | float)):
        return False
    return bool(one == other)


def overlaid(state: Any, changes: Any) -> Any:
    """Return a state with some of its values replaced; what `changes` does not name is kept."""
    if not isinstance(state, Mapping) or not isinstance(changes, Mapping):
        return changes
    return {**state, **{key: overlaid(state.get(key), value) for key, value in changes.items()}}


def three_way(base: Any, ours: Any, theirs: Any) -> tuple[Any, list[PathDecision]]:
    """Merge two states that came from `base`. Where both changed a path otherwise, ours stays and the path is `undecided`."""
    decisions: list[PathDecision] = []
    return _merge((), base, ours, theirs, decisions=decisions), decisions


def _merge(path: tuple[str, ...], base: Any, ours: Any, theirs: Any, *, decisions: list[PathDecision]) -> Any:
    if _descends(ours, theirs):
        return _each_key(path, base, ours, theirs, partial(_merge, decisions=decisions))
    changed_here, changed_there = not same(base, ours), not same(base, theirs)
    if not changed_there:
        if changed_here:
            decisions.append(_decision(path, "ours", base, ours, theirs))
        return ours
    if not changed_here:
        decisions.append(_decision(path, "theirs", base, ours, theirs))
        return theirs
    decisions.append(_decision(path, "both" if same(ours, theirs) else "undecided", base, ours, theirs))
    return ours


def latest_wins(
    base: Any,
    ours: Any,
    theirs: Any,
    *,
    our_clocks: Mapping[str, str],
    their_clocks: Mapping[str, str],
    their_clock: str,
) -> tuple[Any, list[PathDecision]]:
    """Take for each path that both changed the value with the later clock; at the same clock, the greater text of the value.

    Without a base (`MISSING`) every path where they differ counts as changed by both.
    """
    decisions: list[PathDecision] = []

    def merge(path: tuple[str, ...], before: Any, ours: Any, theirs: Any) -> Any:
        if _descends(ours, theirs):
            return _each_key(path, before, ours, theirs, merge)
        known = ours if base is MISSING else before
        if same(ours, theirs):
            took: Took = "both"
        elif base is not MISSING and (same(before, ours) or same(before, theirs)):
            took = "theirs" if same(before, ours) else "ours"
        else:
            here, there = clock_of(path, our_clocks), clock_of(path, their_clocks, default=their_clock)
            took = "theirs" if (there, _order(theirs)) > (here, _order(ours)) else "ours"
        if not (same(known, ours) and same(known, theirs)):
            decisions.append(_decision(path, took, before, ours, theirs))
        return theirs if took == "theirs" else ours

    return merge((), base, ours, theirs), decisions


def clock_of(path: tuple[str, ...], clocks: Mapping[str, str], *, default: str = ZERO) -> str:
    """Return the latest clock of a path, of what is below it, and of the nearest path above that has one."""
    name = pointer(path)
    below = [clock for known, clock in clocks.items() if known == name or known.startswith(f"{name}/")]
    above = next((clocks[one] for end in range(len(path), -1, -1) if (one := pointer(path[:end])) in clocks), default)
    return max([above, *below])


def differences(before: Any, after: Any) -> list[Difference]:
    """Return how two states differ, path by path."""
    return list(_differences((), before, after))


def _differences(path: tuple[str, ...], before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from _differences((*path, key), before.get(key, MISSING), after.get(key, MISSING))
    elif before is MISSING:
        yield Difference(path=pointer(path), change="added", after=after)
    elif after is MISSING:
        yield Difference(path=pointer(path), change="removed", before=before)
    elif not same(before, after):
        yield Difference(path=pointer(path), change="changed", before=before, after=after)


def pointer(path: tuple[str, ...]) -> str:
    """Return a path as a JSON pointer (RFC 6901)."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)


def keys_of(text: str) -> tuple[str, ...]:
    """Return the keys of a JSON pointer."""
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in text.split("/")[1:])


def at(state: Any, path: tuple[str, ...]) -> Any:
    """Return the value at a path, or `MISSING`."""
    for key in path:
        if not isinstance(state, Mapping) or key not in state:
            return MISSING
        state = state[key]
    return state


def with_value(state: Any, path: tuple[str, ...], value: Any) -> Any:
    """Return a state with another value at a path; `MISSING` removes it. What stands in the way becomes an object."""
    if not path:
        return value
    key, *rest = path
    here = dict(state) if isinstance(state, Mapping) else {}
    inner = with_value(here.get(key, MISSING), tuple(rest), value)
    if inner is MISSING or (value is MISSING and rest and key not in here):
        here.pop(key, None)
    else:
        here[key] = inner
    return here


def _descends(ours: Any, theirs: Any) -> bool:
    return isinstance(ours, Mapping) and isinstance(theirs, Mapping)


def _each_key(path: tuple[str, ...], base: Any, ours: Any, theirs: Any, merge: Callable[..., Any]) -> dict[str, Any]:
    known = base if isinstance(base, Mapping) else {}
    merged: dict[str, Any] = {}
    for key in [*ours, *sorted({*theirs, *known} - {*ours})]:
        sides = (side.get(key, MISSING) for side in (known, ours, theirs))
        value = merge((*path, key), *sides)
        if value is not MISSING:
            merged[key] = value
    return merged


def _order(value: Any) -> str:
    return "" if value is MISSING else json.dumps(value, sort_keys=True)


def _decision(path: tuple[str, ...], took: Took, base: Any, ours: Any, theirs: Any) -> PathDecision:
    sides = {"base": base, "ours": ours, "theirs": theirs}
    return PathDecision(
        path=pointer(path), took=took, sides={who: one for who, one in sides.items() if one is not MISSING}
    )
