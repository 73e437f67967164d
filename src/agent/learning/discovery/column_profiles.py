"""Derives a column's profile from the server's statistics: its common values, its distinct values, the newest column. Pure.

Values are listed for enums, for checks that list them, and for columns with few distinct values; never for a column that
looks personal or secret, by its name or by its values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.learning.discovery.identifiers import one_line
from agent.privacy.sensitive import looks_sensitive_value
from agent.text.words import word_set, words

MAX_VALUES = 20
_EXAMPLES = 5
_VALUE_CHARS = 40
_CODES = word_set(
    """
    status state type kind priority level stage phase mode category class code rank severity flag
    """
)
_COVERED = 0.9  # the share of rows that the common values must cover for a column with few values

_LIST = re.compile(r"= ANY \(+ARRAY\[(?P<items>.*?)\]", re.DOTALL)
_EQUAL = re.compile(r"(?:^|[\s(])[\w\"()]+(?:::[\w\s]+\)?)? = (?P<item>'(?:[^']|'')*'|-?\d+)", re.DOTALL)
_ITEM = re.compile(r"'((?:[^']|'')*)'(?:::[\w\s\".\[\]]+)?|(-?\d+(?:\.\d+)?)")
_TIME_TYPES = ("timestamp", "timestamptz", "date")


def listed_values(definition: str) -> list[str]:
    """Return the values that a check such as `CHECK (x = ANY (ARRAY['a'::text, 'b'::text]))` allows; [] for other checks."""
    if definition.count(" AND ") or "<>" in definition or "NOT " in definition:
        return []
    match = _LIST.search(definition)
    if match:
        return _items(match["items"])
    alternatives = definition.removeprefix("CHECK ").split(" OR ")
    matches = [_EQUAL.search(part) for part in alternatives]
    if len(alternatives) > 1 and all(matches):
        return _items(", ".join(match["item"] for match in matches if match))
    return []


def _items(text: str) -> list[str]:
    return [quoted.replace("''", "'") if quoted or not number else number for quoted, number in _ITEM.findall(text)]


def common_values(name: str, statistics: Mapping[str, Any] | None, *, numeric: bool) -> list[str]:
    """Return the values of a column with few distinct values, sorted; of a text with some more, a few of the most common.

    A numeric column counts only when its name is one of a code: `priority`, not `quantity`.
    """
    if statistics is None or len(statistics["common"] or ()) < 2 or (numeric and not _CODES & set(words(name))):
        return []
    common = list(dict.fromkeys(statistics["common"]))
    if len(common) <= MAX_VALUES and (statistics["covered"] or 0) + statistics["null_share"] >= _COVERED:
        return showable(sorted(common))
    return [] if numeric else showable(common)[:_EXAMPLES]


def days(statistics: Mapping[str, Any] | None) -> list[str] | None:
    """Return the first and the last day that the statistics of a column know of."""
    times = [str(time)[:10] for time in (statistics or {}).get("times") or () if time]
    if not times:
        return None
    return [min(times), max(times)]


def showable(values: Iterable[str]) -> list[str]:
    """Return at most `MAX_VALUES` of the values that may be shown: short ones on one line."""
    return [value for value in values if value.strip() and one_line(value, _VALUE_CHARS) == value][:MAX_VALUES]


def holds_sensitive_values(statistics: Mapping[str, Any] | None) -> bool:
    """Return whether one of the column's common values looks personal or secret."""
    return bool(statistics and statistics["common"] and any(map(looks_sensitive_value, statistics["common"])))


def distinct_estimate(statistics: Mapping[str, Any] | None, rows: int | None) -> int | None:
    """Return the estimated number of distinct values. A negative `n_distinct` is a share of the rows."""
    if statistics is None or not statistics["distinct"]:
        return None
    share = float(statistics["distinct"])
    if share > 0:
        return round(share)
    return round(-share * rows) if rows is not None else None


def row_estimate(relation: Mapping[str, Any], folded: Mapping[str, Any] | None) -> int | None:
    """Return the rows of a relation: the planner's estimate or the counter of live rows; None when there is neither."""
    source = folded or relation
    estimate, live = source["estimate"], source["live"]
    if estimate is not None and estimate > 0:
        return round(float(estimate))
    if live:
        return int(live)
    return 0 if estimate == 0 and relation["kind"] in {"r", "p", "m"} and source["analyzed_at"] else None


def leading_time_column(columns: Sequence[Mapping[str, Any]], indexes: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the first time column that is the first column of a B-tree index without a predicate.

    `columns` and `indexes` are as in the structure.
    """
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
