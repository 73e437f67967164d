"""Secrets inside of JSON, which no column's name tells: the values that stand under a key such as `api_key`. Pure."""

from __future__ import annotations

import re
from typing import Any

from agent.privacy.sensitive import HIDDEN, looks_secret
from agent.statements.parser import Message, Statement, kind_of, walk

_PAIR = re.compile(r'("((?:[^"\\]|\\.)*)"\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|[^\s",\[\]{}]+)')
_TAKES = frozenset({"->", "->>", "#>", "#>>"})
_LAST_KEY = re.compile(r"([^{},\"]+)\"?\}?$")


def without_keyed(value: Any) -> Any:
    """A cell with what stands under such a key written over, also where the JSON is a text or the beginning of one."""
    if isinstance(value, dict):
        return {key: HIDDEN if _is_kept(key, item) else without_keyed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_keyed(item) for item in value]
    if isinstance(value, str) and value[:1] in {"{", "["}:
        return _PAIR.sub(lambda pair: f'{pair[1]}"{HIDDEN}"' if looks_secret(pair[2]) else pair[0], value)
    return value


def keyed_places(statement: Statement, width: int) -> frozenset[int]:
    """The places in a query's result of `width` columns that are taken from JSON by such a key: `settings ->> 'api_key'`."""
    targets = [target.res_target.val for target in getattr(statement.node, "target_list", ())]
    stars = [place for place, target in enumerate(targets) if _is_star(target)]
    found = (place for place, target in enumerate(targets) if any(map(_takes_secret, walk(target))))
    # What comes after a star is counted from the end.
    return frozenset(place if not stars or place < stars[0] else width - len(targets) + place for place in found)


def _is_kept(key: str, item: Any) -> bool:
    return looks_secret(key) and item is not None and not isinstance(item, bool)


def _is_star(target: Message) -> bool:
    return any(kind_of(part) == "A_Star" for part in walk(target))


def _takes_secret(part: Message) -> bool:
    if kind_of(part) != "A_Expr" or part.name[-1].string.sval not in _TAKES:
        return False
    key = _LAST_KEY.search(_constant(part.rexpr))
    return key is not None and looks_secret(key[1])


def _constant(node: Message) -> str:
    """The text of a constant, under a cast too; '' for anything else."""
    inner = node.type_cast.arg if node.HasField("type_cast") else node
    return str(inner.a_const.sval.sval) if inner.HasField("a_const") else ""
