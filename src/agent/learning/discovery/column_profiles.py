"""Recent data patterns, from statistics that the server keeps anyway: which values are common, what grows, what is newest.

Pure rules over catalog rows. Values are listed for enums, for checks that list them, and for columns with few distinct
values; never for a column that looks personal or secret, by its name or by what is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.learning.discovery.identifiers import one_line
from agent.privacy.sensitive import looks_sensitive_value
from agent.text.words import word_set, words

MAX_VALUES = 20
_VALUE_CHARS = 40
_CODES = word_set(
    """
    status state type kind priority level stage phase mode category class code rank severity flag
    """
)
_COVERED = 0.9  # a column whose common values are fewer of its rows than that is not a choice among them

_LIST = re.compile(r"= ANY \(+ARRAY\[(?P<items>.*?)\]", re.DOTALL)
_EQUAL = re.compile(r"(?:^|[\s(])[\w\"()]+(?:::[\w\s]+\)?)? = (?P<item>'(?:[^']|'')*'|-?\d+)", re.DOTALL)
_ITEM = re.compile(r"'((?:[^']|'')*)'(?:::[\w\s\".\[\]]+)?|(-?\d+(?:\.\d+)?)")
_TIME_TYPES = ("timestamp", "timestamptz", "date")


def listed_values(definition: str) -> list[str]:
    """The values that a check such as `CHECK (x = ANY (ARRAY['a'::text, 'b'::text]))` allows; empty for other checks."""
    if definition.count(" AND ") or "<>" in definition or "NOT " in definition:
        return []
    found = _LIST.search(definition)
    if found:
        return _items(found["items"])
    alternatives = definition.removeprefix("CHECK ").split(" OR ")
    matches = [_EQUAL.search(part) for part in alternatives]
    if len(alternatives) > 1 and all(matches):
        return _items(", ".join(match["item"] for match in matches if match))
    return []


def _items(text: str) -> list[str]:
    return [quoted.replace("''", "'") if quoted or not number else number for quoted, number in _ITEM.findall(text)]


def common_values(name: str, statistics: Mapping[str, Any] | None, *, numeric: bool) -> list[str]:
    """The values of a column that is a choice among few, in a stable order; empty when it is anything else.

    A number is a choice only in a column called like one: `priority`, not `quantity`.
    """
    if statistics is None or len(statistics["common"] or ()) < 2:
        return []
    if (statistics["covered"] or 0) + statistics["null_share"] < _COVERED or (
        numeric and not _CODES & set(words(name))
    ):
        return []
    return showable(sorted(set(statistics["common"])))


def showable(values: Iterable[str]) -> list[str]:
    """At most `MAX_VALUES` values fit to be shown: short and of one line."""
    return [value for value in values if value.strip() and one_line(value, _VALUE_CHARS) == value][:MAX_VALUES]


def holds_sensitive_values(statistics: Mapping[str, Any] | None) -> bool:
    """Whether one of the column's common values has a personal or secret shape."""
    return bool(statistics and statistics["common"] and any(map(looks_sensitive_value, statistics["common"])))


def distinct_estimate(statistics: Mapping[str, Any] | None, rows: int | None) -> int | None:
    """The number of different values: `n_distinct` is negative where it is a share of the rows."""
    if statistics is None or not statistics["distinct"]:
        return None
    share = float(statistics["distinct"])
    if share > 0:
        return round(share)
    return round(-share * rows) if rows is not None else None


def row_estimate(relation: Mapping[str, Any], folded: Mapping[str, Any] | None) -> int | None:
    """Rows of a relation: the planner's estimate or the counter of live rows, None when neither is there."""
    source = folded or relation
    estimate, live = source["estimate"], source["live"]
    if estimate is not None and estimate > 0:
        return round(float(estimate))
    if live:
        return int(live)
    return 0 if estimate == 0 and relation["kind"] in {"r", "p", "m"} and source["analyzed_at"] else None


def leading_time_column(columns: Sequence[Mapping[str, Any]], indexes: Sequence[Mapping[str, Any]]) -> str | None:
    """The first time column that a whole B-tree index leads with; `columns` and `indexes` are as in the structure."""
    leading = {
        index["columns"][0]
        for index in indexes
        if index["method"] == "btree" and not index["partial"] and index["columns"]
    }
    for column in columns:
        base = column["type"].partition("(")[0]
        if column["name"] in leading and base in _TIME_TYPES and column["readable"] and not column["masked"]:
            return str(column["name"])
    return None
