"""JSON Patch (RFC 6902) and JSON Pointer (RFC 6901): applied, made from two states, and checked against what others changed. Pure.

Nothing is changed in place: a patch that fails half-way leaves the state as it was.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent.errors import InvalidInput
from agent.sync.merging import same

Operation = Mapping[str, Any]
Patch = Sequence[Operation]
Path = tuple[str, ...]
MOST_OPERATIONS: Final = 1_000
_MOST_INDEX_DIGITS = 9
_INDEX = re.compile(r"(0|[1-9][0-9]*)\Z", re.ASCII)
_BAD_ESCAPE = re.compile(r"~(?![01])")


class PatchFailed(InvalidInput):
    """The patch does not fit the state."""


def applied(state: Any, patch: Patch) -> Any:
    """Return the state after a patch. Raises `PatchFailed`, which names the operation."""
    if not isinstance(patch, Sequence) or isinstance(patch, str | bytes) or len(patch) > MOST_OPERATIONS:
        raise PatchFailed(f"A patch is a list of at most {MOST_OPERATIONS:,} operations.")
    state = copy.deepcopy(state)
    for number, operation in enumerate(patch):
        try:
            state = _apply(state, operation)
        except PatchFailed as failed:
            raise PatchFailed(f"Operation {number + 1} of the patch: {failed}") from None
    return state


def path_of(pointer: Any) -> Path:
    """Return the parts of a JSON Pointer. Raises `PatchFailed`."""
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")) or _BAD_ESCAPE.search(pointer):
        raise PatchFailed("A path is a JSON Pointer such as /items/0/title.")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def pointer_of(path: Path) -> str:
    """Return the JSON Pointer of a path."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def difference(before: Any, after: Any, path: Path = ()) -> list[dict[str, Any]]:
    """Return a patch that makes `after` of `before`. Lists are compared from both ends, so an insertion is one operation."""
    if same(before, after):
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        found = [{"op": "remove", "path": pointer_of((*path, key))} for key in before if key not in after]
        for key, value in after.items():
            here = (*path, key)
            if key in before:
                found += difference(before[key], value, here)
            else:
                found.append({"op": "add", "path": pointer_of(here), "value": value})
        return found
    if isinstance(before, list) and isinstance(after, list):
        return _of_lists(before, after, path)
    return [{"op": "replace", "path": pointer_of(path), "value": after}]


def touched(patch: Patch) -> tuple[set[Path], set[Path]]:
    """Return the paths that a patch changes, and the lists whose later elements it moves."""
    changed: set[Path] = set()
    shifted: set[Path] = set()
    for operation in patch:
        name = operation.get("op")
        if name == "test":
            continue
        path = path_of(operation.get("path"))
        changed.add(path)
        moves = [path] if name in ("add", "remove", "move", "copy") else []
        if name == "move":
            source = path_of(operation.get("from"))
            changed.add(source)
            moves.append(source)
        shifted |= {one[:-1] for one in moves if one and (_INDEX.match(one[-1]) or one[-1] == "-")}
    return changed, shifted


def disturbs(theirs: Patch, ours: Patch, state: Any) -> bool:
    """Return whether `theirs`, which came first, touches what `ours` speaks of. `state` says which paths are lists."""
    their_paths, their_shifts = touched(theirs)
    our_paths, _ = touched(ours)
    our_paths |= {path_of(one.get("from")) for one in ours if one.get("op") in ("move", "copy")}
    our_paths |= {path_of(one.get("path")) for one in ours if one.get("op") == "test"}
    lists = {path for path in their_shifts if isinstance(_at(state, path), list)}
    for our in our_paths:
        if any(_overlap(our, their) for their in their_paths if not _appends(our, their, lists)):
            return True
        if any(our[: len(path)] == path and len(our) > len(path) and our[len(path)] != "-" for path in lists):
            return True
    return False


def _appends(our: Path, their: Path, lists: set[Path]) -> bool:
    """Return whether both append to the same list, which disturbs nobody."""
    return our == their and our[-1:] == ("-",) and our[:-1] in lists


def _overlap(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _at(state: Any, path: Path) -> Any:
    try:
        return _get(state, path)
    except PatchFailed:
        return None


def _apply(state: Any, operation: Any) -> Any:
    if not isinstance(operation, Mapping):
        raise PatchFailed("it is no JSON object.")
    name, path = operation.get("op"), path_of(operation.get("path"))
    match name:
        case "add":
            return _add(state, path, copy.deepcopy(_value(operation)))
        case "replace":
            _get(state, path)
            return _set(state, path, copy.deepcopy(_value(operation)))
        case "remove":
            return _remove(state, path)
        case "move":
            source = path_of(operation.get("from"))
            if len(path) > len(source) and path[: len(source)] == source:
                raise PatchFailed("a value cannot be moved into itself.")
            value = _get(state, source)
            return state if path == source else _add(_remove(state, source), path, value)
        case "copy":
            return _add(state, path, copy.deepcopy(_get(state, path_of(operation.get("from")))))
        case "test":
            if not same(_get(state, path), _value(operation)):
                raise PatchFailed(f"{pointer_of(path) or 'the state'!r} has another value.")
            return state
        case _:
            raise PatchFailed("op is add, remove, replace, move, copy or test.")


def _value(operation: Mapping[str, Any]) -> Any:
    if "value" not in operation:
        raise PatchFailed("it needs a value.")
    return operation["value"]


def _get(state: Any, path: Path) -> Any:
    for number, part in enumerate(path):
        if isinstance(state, dict) and part in state:
            state = state[part]
        elif isinstance(state, list):
            state = state[_index(part, len(state) - 1)]
        else:
            raise PatchFailed(f"there is nothing at {pointer_of(path[: number + 1])[:200]!r}.")
    return state


def _index(part: str, most: int) -> int:
    if not _INDEX.match(part) or len(part) > _MOST_INDEX_DIGITS or int(part) > most:
        raise PatchFailed(f"{part[:50]!r} is no index of the list.")
    return int(part)


def _add(state: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(state, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(last, len(parent)), value)
    else:
        raise PatchFailed(f"nothing can be added at {pointer_of(path)[:200]!r}.")
    return state


def _set(state: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(state, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent[_index(last, len(parent) - 1)] = value
    else:
        parent[last] = value
    return state


def _remove(state: Any, path: Path) -> Any:
    _get(state, path)
    if not path:
        return None
    parent, last = _get(state, path[:-1]), path[-1]
    if isinstance(parent, list):
        del parent[_index(last, len(parent) - 1)]
    else:
        del parent[last]
    return state


def _of_lists(before: list[Any], after: list[Any], path: Path) -> list[dict[str, Any]]:
    start, most = 0, min(len(before), len(after))
    while start < most and same(before[start], after[start]):
        start += 1
    end = 0
    while end < most - start and same(before[-1 - end], after[-1 - end]):
        end += 1
    old, new = len(before) - end, len(after) - end
    common = min(old, new)
    found: list[dict[str, Any]] = []
    for number in range(start, common):
        found += difference(before[number], after[number], (*path, str(number)))
    found += [{"op": "remove", "path": pointer_of((*path, str(one)))} for one in range(old - 1, common - 1, -1)]
    return found + [{"op": "add", "path": pointer_of((*path, str(one))), "value": after[one]} for one in range(common, new)]  # fmt: skip


def size_of(value: Any) -> int:
    """Return the bytes of a value as JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
