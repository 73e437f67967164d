"""Finds secrets inside of JSON, where no column's name shows them: the values under a key such as `api_key`. Pure."""

from __future__ import annotations

import re
from typing import Any

from agent.privacy.sensitive import HIDDEN, looks_secret
from agent.statements.parser import Message, Statement, kind_of, walk

_PAIR = re.compile(r'("((?:[^"\\]|\\.)*)"\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|[^\s",\[\]{}]+)')
_JSON_OPERATORS = frozenset({"->", "->>", "#>", "#>>"})
_LAST_KEY = re.compile(r"([^{},\"]+)\"?\}?$")


def without_keyed(value: Any) -> Any:
    """Return a cell with the values under such keys replaced by `HIDDEN`, also if the JSON is a text or the start of one."""
    if isinstance(value, dict):
        return {key: HIDDEN if _is_secret_item(key, item) else without_keyed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_keyed(item) for item in value]
    if isinstance(value, str) and value[:1] in {"{", "["}:
        return _PAIR.sub(lambda pair: f'{pair[1]}"{HIDDEN}"' if looks_secret(pair[2]) else pair[0], value)
    return value


def keyed_places(statement: Statement, width: int) -> frozenset[int]:
    """Return the places in a query's result of `width` columns whose values are taken from JSON by such a key.

    For example, `settings ->> 'api_key'` is such a column.
    """
    targets = [target.res_target.val for target in getattr(statement.node, "target_list", ())]
    stars = [place for place, target in enumerate(targets) if _is_star(target)]
    places = (place for place, target in enumerate(targets) if any(map(_takes_secret, walk(target))))
    # A star stands for an unknown number of columns, so places after it are counted from the end.
    return frozenset(place if not stars or place < stars[0] else width - len(targets) + place for place in places)


def _is_secret_item(key: str, item: Any) -> bool:
    return looks_secret(key) and item is not None and not isinstance(item, bool)


def _is_star(target: Message) -> bool:
    return any(kind_of(part) == "A_Star" for part in walk(target))


def _takes_secret(part: Message) -> bool:
    if kind_of(part) != "A_Expr" or part.name[-1].string.sval not in _JSON_OPERATORS:
        return False
    key = _LAST_KEY.search(_constant(part.rexpr))
    return key is not None and looks_secret(key[1])


def _constant(node: Message) -> str:
    """Return the text of a constant, also of one under a cast; '' for anything else."""
    inner = node.type_cast.arg if node.HasField("type_cast") else node
    return str(inner.a_const.sval.sval) if inner.HasField("a_const") else ""
