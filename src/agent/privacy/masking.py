"""Masks previews, arguments and results for people who may not see personal values, and secrets for everybody. Pure.

Every constant and comment of a statement is masked, and every value of arguments. What a decision needs stays: the
statement's shape, names, numbers of rows, and the cells of columns that do not look personal. A text that cannot be parsed
for certain is hidden completely. Stored requests, to which decisions are bound, are never masked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.privacy.masked_texts import HIDDEN_SQL, MASK, is_plain_name, masked_code, masked_sql
from agent.privacy.sensitive import keys_in, looks_secret, looks_sensitive_value

__all__ = ["HIDDEN_SQL", "MASK", "is_plain_name", "masked_sql"]

_SHORT = 3
_CUT = re.compile(r"(?:…|\.\.\.) \(\d+ (?:characters|bytes).*\)$")
# Arguments of built-in tools that hold names of things, not what a person wrote.
_NAME_ARGUMENTS = {
    "create_new_tool": frozenset({"name", "capabilities", "hosts"}), "query_data": frozenset({"table", "columns"}),
    "describe_schema": frozenset({"name"}),
}  # fmt: skip
_NUMBER_ARGUMENTS = {"undo_change": frozenset({"execution_id"})}
# What was done to which tables, and whether it can be undone: names of tables and numbers, and no value of a row.
_COUNTS = r"\w+(?:\.\w+)? \d+(?:, \w+(?:\.\w+)? \d+)* (?:inserted|updated|deleted)"
_DONE_MESSAGE = re.compile(
    rf"Done(?:: (?:\d+ rows? affected|no row matched, so nothing was changed|{_COUNTS}(?:; {_COUNTS})*))?\."
    rf"(?: Can be undone(?:, but not what triggers or cascades do: {_COUNTS}(?:; {_COUNTS})*)?\.)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Values:
    """Values that are hidden wherever a text repeats them. `parts` are those long enough to search for inside of a text."""

    parts: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Iterator[str]) -> Values:
        """Return those of `values` that are long enough, the longest first."""
        folded = {_CUT.sub("", value).casefold().strip() for value in values}
        return cls(tuple(sorted((value for value in folded if len(value) >= _SHORT), key=len, reverse=True)))

    def repeated_in(self, value: Any) -> bool:
        """Return whether a cell repeats one of the values."""
        return any(part in text.casefold() for text in texts_of(value) for part in self.parts)

    def cut_from(self, text: str) -> str:
        """Return a text with masks in place of the values that it repeats."""
        for part in self.parts:
            if part in text.casefold():
                text = re.sub(re.escape(part), MASK, text, flags=re.IGNORECASE)
        return text


def masked_arguments(arguments: Mapping[str, Any], action: str = "", *, sql: str | None = None) -> dict[str, Any]:
    """Return a request's arguments without personal values; `sql` is the statement of its preview."""
    names, numbers = _NAME_ARGUMENTS.get(action, ()), _NUMBER_ARGUMENTS.get(action, ())
    masked_by_name: dict[str, Any] = {}
    for name, value in arguments.items():
        if isinstance(value, str) and (name == "sql" or value == sql):
            masked: Any = masked_sql(value)
        elif isinstance(value, str) and (action, name) == ("create_new_tool", "code"):
            masked = masked_code(value)
        elif name in names and isinstance(value, (str, list)):
            masked = masked_name(value) if isinstance(value, str) else [masked_name(str(item)) for item in value]
        elif name in numbers and isinstance(value, int):
            masked = value
        else:
            masked = masked_value(value)
        masked_by_name[_free_key(masked_name(str(name)), masked_by_name)] = masked
    return masked_by_name


def masked_value(value: Any) -> Any:
    """Return JSON with every value masked, and every key that is not a plain name."""
    if isinstance(value, Mapping):
        masked: dict[str, Any] = {}
        for name, inner in value.items():
            masked[_free_key(masked_name(str(name)), masked)] = masked_value(inner)
        return masked
    if isinstance(value, (list, tuple)):
        return [masked_value(inner) for inner in value]
    return value if value is None or isinstance(value, bool) else MASK


def masked_reasons(reasons: Sequence[str]) -> tuple[str, ...]:
    """Return the codes of a risk without the domains of a mail, and without words that look personal."""
    return tuple(f"domain:{MASK}" if code.startswith("domain:") else cut_words(code) for code in reasons)


def masked_result(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of an action without personal values.

    Its status, numbers of rows and masked statement stay; of the rows only the names of columns do.
    """
    masked = {name: masked_value(value) for name, value in result.items() if name not in _UNMASKED_RESULT}
    masked |= {name: value for name, value in result.items() if name in _UNMASKED_RESULT}
    if result.get("sql"):
        masked["sql"] = masked_sql(str(result["sql"]))
    if "columns" in result:
        masked["columns"] = [masked_name(str(name)) for name in result["columns"] or ()]
    if _DONE_MESSAGE.fullmatch(str(result.get("message", ""))):
        masked["message"] = cut_words(str(result["message"]))
    return masked


_UNMASKED_RESULT = frozenset({"success", "status", "row_count", "truncated", "approval_id", "execution_id"})


def without_secrets(value: Any) -> Any:
    """Return JSON without secrets: values under a key that names a secret, and parts of texts that look like access keys."""
    if isinstance(value, Mapping):
        return {
            name: MASK if looks_secret(str(name)) and isinstance(inner, (str, int, float)) else without_secrets(inner)
            for name, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [without_secrets(inner) for inner in value]
    if isinstance(value, str):
        for key in sorted(keys_in(value), key=len, reverse=True):
            value = value.replace(key, MASK)
    return value


def texts_of(value: Any) -> Iterator[str]:
    """Yield every value in JSON as text, except null, true and false."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def masked_name(text: str, known: Collection[str] = ()) -> str:
    """Return a name that is `known` or certainly is a name, and a mask for any other text."""
    return text if text in known or is_plain_name(text) or is_host(text) else MASK


def is_host(text: str) -> bool:
    """Return whether a text names a host as the tools' lists of allowed hosts do."""
    return bool(
        re.fullmatch(r"(?:private:)?[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d{1,5})?", text)
    ) and not looks_sensitive_value(text)


def _free_key(name: str, taken: Collection[str]) -> str:
    """Return `name`, with a number if it is taken: several keys may be masked to the same text."""
    number, key = 1, name
    while key in taken:
        number += 1
        key = f"{name} ({number})"
    return key


def rows_with_cells(rows: Sequence[Mapping[str, Any]], cell: Callable[[str, Any], Any]) -> list[dict[str, Any]]:
    """Return the rows of a preview with every cell replaced by `cell(column, value)`."""

    def side(cells: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if cells is None else {name: cell(name, value) for name, value in cells.items()}

    return [{**row, "before": side(row.get("before")), "after": side(row.get("after"))} for row in rows]


def cut_words(text: str) -> str:
    """Return a text with masks in place of words that look personal or secret."""
    return " ".join(MASK if looks_sensitive_value(word) else word for word in text.split(" "))
