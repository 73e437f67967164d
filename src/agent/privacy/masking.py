"""Masks previews, arguments and results for people who may not see personal values, and secrets for everybody. Pure.

Masking is the rule and showing is the exception: every constant and comment of a statement is masked, and every value of
arguments. What a decision needs stays: the statement's shape, names, numbers of rows, and the cells of columns that do not
look personal. What cannot be read for certain is hidden completely. What is stored, and what a decision is bound to, is
never masked.
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
# Arguments of built-in tools that name things: no person wrote them.
_NAMES = {
    "create_new_tool": frozenset({"name", "capabilities", "hosts"}), "query_data": frozenset({"table", "columns"}),
    "describe_schema": frozenset({"name"}),
}  # fmt: skip
_NUMBERS = {"undo_change": frozenset({"execution_id"})}
_DONE = re.compile(r"Done(?:: \d+ rows? affected)?\.")


@dataclass(frozen=True, slots=True)
class Values:
    """Values that are hidden wherever they are repeated. `parts` are long enough to be searched for inside of a text."""

    parts: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Iterator[str]) -> Values:
        """Return those of `values` that are long enough, the longest first."""
        folded = {_CUT.sub("", value).casefold().strip() for value in values}
        return cls(tuple(sorted((value for value in folded if len(value) >= _SHORT), key=len, reverse=True)))

    def repeated_in(self, value: Any) -> bool:
        """Return whether a cell repeats one of them."""
        return any(part in text.casefold() for text in texts_of(value) for part in self.parts)

    def cut_from(self, text: str) -> str:
        """Return a text with a mask in place of the values that it repeats."""
        for part in self.parts:
            if part in text.casefold():
                text = re.sub(re.escape(part), MASK, text, flags=re.IGNORECASE)
        return text


def masked_arguments(arguments: Mapping[str, Any], action: str = "", *, sql: str | None = None) -> dict[str, Any]:
    """Return a request's arguments as an approver sees them who may not see personal values; `sql` is their statement."""
    names, numbers = _NAMES.get(action, ()), _NUMBERS.get(action, ())
    shown: dict[str, Any] = {}
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
        shown[_free_key(masked_name(str(name)), shown)] = masked
    return shown


def masked_value(value: Any) -> Any:
    """Return JSON with every value masked, and every key that is not a plain name."""
    if isinstance(value, Mapping):
        shown: dict[str, Any] = {}
        for name, inner in value.items():
            shown[_free_key(masked_name(str(name)), shown)] = masked_value(inner)
        return shown
    if isinstance(value, (list, tuple)):
        return [masked_value(inner) for inner in value]
    return value if value is None or isinstance(value, bool) else MASK


def masked_reasons(reasons: Sequence[str]) -> tuple[str, ...]:
    """Return the codes of a risk without the domain of a mail, which somebody gave, and without words that look personal."""
    return tuple(f"domain:{MASK}" if code.startswith("domain:") else cut_words(code) for code in reasons)


def masked_result(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of an action as a person sees it who may not see personal values.

    Its status, numbers of rows and masked statement stay; of the rows only the names of columns do.
    """
    shown = {name: masked_value(value) for name, value in result.items() if name not in _RESULT_AS_IT_IS}
    shown |= {name: value for name, value in result.items() if name in _RESULT_AS_IT_IS}
    if result.get("sql"):
        shown["sql"] = masked_sql(str(result["sql"]))
    if "columns" in result:
        shown["columns"] = [masked_name(str(name)) for name in result["columns"] or ()]
    if _DONE.fullmatch(str(result.get("message", ""))):
        shown["message"] = result["message"]
    return shown


_RESULT_AS_IT_IS = frozenset({"success", "status", "row_count", "truncated", "approval_id", "execution_id"})


def without_secrets(value: Any) -> Any:
    """Return JSON as anybody may see it: without values under a key that names a secret, and without texts in a key's form."""
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
    """Return a name that is `known` or looks like nothing else than a name; a mask for any other text."""
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


def changed_rows(rows: Sequence[Mapping[str, Any]], shown: Callable[[str, Any], Any]) -> list[dict[str, Any]]:
    """Return the rows of a preview with every cell as `shown` returns it."""

    def side(cells: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if cells is None else {name: shown(name, value) for name, value in cells.items()}

    return [{**row, "before": side(row.get("before")), "after": side(row.get("after"))} for row in rows]


def cut_words(text: str) -> str:
    """Return a text with a mask in place of words that look personal or secret."""
    return " ".join(MASK if looks_sensitive_value(word) else word for word in text.split(" "))
