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

from agent.privacy.masked_texts import HIDDEN, MASK, is_plain_name, masked_code, masked_sql
from agent.privacy.sensitive import keys_in, looks_secret, looks_sensitive, looks_sensitive_value

__all__ = ["HIDDEN", "MASK", "is_plain_name", "masked_sql"]

_SHORT = 3
_CUT = re.compile(r"(?:…|\.\.\.) \(\d+ (?:characters|bytes).*\)$")
# Arguments of built-in tools that name things, and the parts of a preview that are always shown: no person wrote them.
_NAMES = {
    "create_new_tool": frozenset({"name", "capabilities", "hosts"}), "query_data": frozenset({"table", "columns"}),
    "describe_schema": frozenset({"name"}),
}  # fmt: skip
_NUMBERS = {"undo_change": frozenset({"execution_id"})}
_AS_IT_IS = frozenset({
    "row_count", "more", "tables", "goes", "tried", "lock", "volatile", "steady", "personal", "secret", "not_previewed",
    "fingerprint", "capabilities", "hosts", "version", "via",
})  # fmt: skip
# Digests of what is masked: short values could be guessed from them.
_LEFT_OUT = frozenset({"effect", "personal_literals", "signature", "content_hash", "shown_sql", "masked_sentence"})
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


def masked_preview(
    preview: Mapping[str, Any], action: str = "", arguments: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A stored preview as such an approver sees it."""
    places = (preview, *(preview.get("others") or ()))
    known = frozenset(name for place in places for row in place.get("rows") or () for name in _cells_of(row))
    values = Values.of(value for place in places for value in _personal_cells(place))
    ways: dict[str, Callable[[Any], Any]] = {
        "rows": lambda _: _masked_rows(preview, values),
        "others": lambda others: [_masked_place(other, values) for other in others or ()],
        "sql": lambda sql: masked_sql(str(sql), known=known),
        "columns": lambda columns: [_name(str(name), known) for name in columns or ()],
        "text": lambda _: _as_lines(masked_arguments(arguments or {}, action)),
        "origins": lambda origins: [_without_quoted(str(one)) for one in origins or ()],
        "notices": lambda notices: _only_counted(notices or ()),
        **dict.fromkeys(_AS_IT_IS, lambda value: _in_words(value, values)),
    }
    shown = {name: ways.get(name, masked_value)(value) for name, value in preview.items() if name not in _LEFT_OUT}
    return {**shown, "sentence": masked_summary(str(preview.get("sentence", "")), action, preview), "masked": True}


def masked_arguments(
    arguments: Mapping[str, Any], action: str = "", preview: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A request's arguments as such an approver sees them."""
    sql, names, numbers = (preview or {}).get("sql"), _NAMES.get(action, ()), _NUMBERS.get(action, ())
    shown: dict[str, Any] = {}
    for name, value in arguments.items():
        if isinstance(value, str) and (name == "sql" or value == sql):
            masked: Any = masked_sql(value)
        elif isinstance(value, str) and (action, name) == ("create_new_tool", "code"):
            masked = masked_code(value)
        elif name in names and isinstance(value, (str, list)):
            masked = _name(value) if isinstance(value, str) else [_name(str(one)) for one in value]
        elif name in numbers and isinstance(value, int):
            masked = value
        else:
            masked = masked_value(value)
        shown[_free_key(_name(str(name)), shown)] = masked
    return shown


def masked_value(value: Any) -> Any:
    """Return JSON with every value masked, and every key that is not a plain name."""
    if isinstance(value, Mapping):
        shown: dict[str, Any] = {}
        for name, inner in value.items():
            shown[_free_key(_name(str(name)), shown)] = masked_value(inner)
        return shown
    if isinstance(value, (list, tuple)):
        return [masked_value(inner) for inner in value]
    return value if value is None or isinstance(value, bool) else MASK


def masked_summary(text: str, action: str, preview: Mapping[str, Any] | None) -> str:
    """The sentence about a request: that of a statement names objects and numbers only; any other is not shown."""
    if preview is not None and "masked_sentence" in preview:
        return str(preview["masked_sentence"])
    if preview is not None and "sql" in preview:
        values = Values.of(
            value for place in (preview, *(preview.get("others") or ())) for value in _personal_cells(place)
        )
        return _cut_words(values.cut_from(text))
    return f"Allow {_name(action)}?"


def masked_reasons(reasons: Sequence[str]) -> tuple[str, ...]:
    """Return the codes of a risk without the domain of a mail, which somebody gave, and without words that look personal."""
    return tuple(f"domain:{MASK}" if code.startswith("domain:") else _cut_words(code) for code in reasons)


def masked_result(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of an action as a person sees it who may not see personal values.

    Its status, numbers of rows and masked statement stay; of the rows only the names of columns do.
    """
    shown = {name: masked_value(value) for name, value in result.items() if name not in _RESULT_AS_IT_IS}
    shown |= {name: value for name, value in result.items() if name in _RESULT_AS_IT_IS}
    if result.get("sql"):
        shown["sql"] = masked_sql(str(result["sql"]))
    if "columns" in result:
        shown["columns"] = [_name(str(name)) for name in result["columns"] or ()]
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


def _name(text: str, known: Collection[str] = ()) -> str:
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


def _cells_of(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**(row.get("before") or {}), **(row.get("after") or {})}


def _personal_cells(place: Mapping[str, Any]) -> Iterator[str]:
    personal = place.get("personal") or ()
    for row in place.get("rows") or ():
        for side in (row.get("before") or {}, row.get("after") or {}):
            for name, value in side.items():
                yield from texts_of(value) if name in personal else _personal_texts(value)


def _personal_texts(value: Any) -> Iterator[str]:
    """Of JSON only what stands under a personal key, and what looks personal by itself: the rest is to be read."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from texts_of(inner) if looks_sensitive(str(name)) else _personal_texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _personal_texts(inner)
    elif isinstance(value, str) and looks_sensitive_value(value):
        yield value


def _looks_personal(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(looks_sensitive(str(name)) or _looks_personal(inner) for name, inner in value.items())
    if isinstance(value, list):
        return any(_looks_personal(inner) for inner in value)
    return isinstance(value, str) and looks_sensitive_value(value)


def _masked_rows(place: Mapping[str, Any], values: Values) -> list[dict[str, Any]]:
    personal = place.get("personal") or ()

    def shown(name: str, value: Any) -> Any:
        hidden = value is not None and (name in personal or _looks_personal(value) or values.repeated_in(value))
        return MASK if hidden else value

    return changed_rows(place.get("rows") or (), shown)


def changed_rows(rows: Sequence[Mapping[str, Any]], shown: Callable[[str, Any], Any]) -> list[dict[str, Any]]:
    """The rows of a preview with every cell as `shown` has it."""

    def side(cells: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if cells is None else {name: shown(name, value) for name, value in cells.items()}

    return [{**row, "before": side(row.get("before")), "after": side(row.get("after"))} for row in rows]


def _masked_place(other: Mapping[str, Any], values: Values) -> dict[str, Any]:
    named = {name: _in_words(value, values) for name, value in other.items() if name in _AS_IT_IS | {"table"}}
    return {**named, "rows": _masked_rows(other, values), "effect": None}


def _in_words(value: Any, values: Values) -> Any:
    if isinstance(value, str):
        return _cut_words(values.cut_from(value))
    return [_in_words(item, values) for item in value] if isinstance(value, list) else value


def _cut_words(text: str) -> str:
    return " ".join(MASK if looks_sensitive_value(word) else word for word in text.split(" "))


def _without_quoted(sentence: str) -> str:
    """A sentence about a value, which it quotes: from the first quotation mark to the last one nothing is shown."""
    marks = [place for place, character in enumerate(sentence) if character in "'\""]
    if marks:
        sentence = f"{sentence[: marks[0]]}'{MASK}'{sentence[marks[-1] + 1 :]}"
    return _cut_words(sentence)


def _only_counted(notices: Sequence[str]) -> list[str]:
    number = len(notices)
    return [f"{number} notice{'' if number == 1 else 's'} of the database that you may not see."] if number else []


def _as_lines(arguments: Mapping[str, Any]) -> str:
    lines = []
    for name, value in arguments.items():
        text = (
            value if isinstance(value, str) else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        )
        lines.append(f"{name}:\n{text}" if "\n" in text else f"{name}: {text}")
    return "\n".join(lines)
