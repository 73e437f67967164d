"""What an approver sees who may not see personal data: the request with such values masked. Pure.

A preview names the columns that look personal (`personal`) and the constants that its statement compares with them or
puts into them (`personal_literals`). Their values are masked wherever the request repeats them: in the rows, in the
statement, in arguments and sentences. What is stored, and what a decision is bound to, stays unmasked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent.learning.privacy import looks_sensitive, looks_sensitive_value

MASK = "•••"
_SHORT = 3
_CUT = re.compile(r"(?:…|\.\.\.) \(\d+ characters\)$")
# What Postgres takes as one piece of a statement: comments, dollar-quoted, E'' and U&'' and quoted strings, names, numbers.
_PIECES = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?(?:\*/|$))
      | (?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
      | (?P<escaped>(?:[eE]|[uU]&)'(?:[^'\\]|''|\\.)*(?:'|$))
      | (?P<text>'(?:[^']|'')*(?:'|$))
      | (?P<name>"(?:[^"]|"")*(?:"|$)|[^\W\d][\w$]*)
      | (?P<number>(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)""",
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Secrets:
    """The values that are masked: whole ones, and those long enough to be looked for inside of a text."""

    whole: frozenset[str]
    parts: tuple[str, ...]

    def holds(self, text: str) -> bool:
        """Whether `text` is or repeats one of them, or is a part of one, or looks personal by itself."""
        folded = text.casefold().strip()
        bare = folded.strip("%_ ")
        if folded in self.whole or bare in self.whole or looks_sensitive_value(text):
            return True
        return any(part in folded or (len(bare) >= _SHORT and bare in part) for part in self.parts)

    def repeated_in(self, value: Any) -> bool:
        """Whether a cell of any other column repeats one of them."""
        return any(part in text.casefold() for text in _texts(value) for part in self.parts)

    def cut_from(self, text: str) -> str:
        """A sentence without the values that it repeats."""
        folded = text.casefold()
        for part in self.parts:
            if part in folded:
                text = re.sub(re.escape(part), MASK, text, flags=re.IGNORECASE)
        return " ".join(MASK if looks_sensitive_value(word) else word for word in text.split(" "))


def masked_preview(preview: Mapping[str, Any]) -> dict[str, Any]:
    """A stored preview as such an approver sees it. The digests of values go too: short values could be guessed from them."""
    secrets = _secrets(preview)
    shown = {name: _in_words(value, secrets) for name, value in preview.items() if name not in _OWN_WAY}
    shown["rows"] = _masked_rows(preview, secrets)
    shown["others"] = [
        {**other, "rows": _masked_rows(other, secrets), "effect": None} for other in preview.get("others") or []
    ]
    if "sql" in preview:
        shown["sql"] = _masked_sql(str(preview["sql"]), secrets)
    return {**shown, "fingerprint": preview.get("fingerprint", ""), "masked": True}


def masked_arguments(arguments: Mapping[str, Any], preview: Mapping[str, Any] | None) -> dict[str, Any]:
    """A request's arguments as such an approver sees them."""
    secrets = _secrets(preview or {})
    return {name: _masked_argument(name, value, secrets, preview or {}) for name, value in arguments.items()}


def masked_text(text: str, preview: Mapping[str, Any] | None) -> str:
    """A sentence about the request, such as its summary, without the values that are masked."""
    return _secrets(preview or {}).cut_from(text)


_OWN_WAY = {"rows", "others", "sql", "effect", "fingerprint", "personal_literals"}


def _secrets(preview: Mapping[str, Any]) -> _Secrets:
    values = [str(value) for value in preview.get("personal_literals") or []]
    for place in (preview, *(preview.get("others") or [])):
        values += _cells(place.get("rows") or [], place.get("personal") or [])
    folded = {_CUT.sub("", value).casefold().strip() for value in values} - {""}
    long = sorted((value for value in folded if len(value) >= _SHORT), key=len, reverse=True)
    return _Secrets(whole=frozenset(folded), parts=tuple(long))


def _cells(rows: list[Mapping[str, Any]], personal: list[str]) -> Iterator[str]:
    for row in rows:
        for side in (row.get("before") or {}, row.get("after") or {}):
            for name, value in side.items():
                yield from _texts(value) if name in personal else _personal_texts(value)


def _personal_texts(value: Any) -> Iterator[str]:
    """Of JSON only what stands under a personal key, and what looks personal by itself: the rest is to be read."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner) if looks_sensitive(str(name)) else _personal_texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _personal_texts(inner)
    elif isinstance(value, str) and looks_sensitive_value(value):
        yield value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _is_personal(name: str, value: Any, personal: list[str]) -> bool:
    return name in personal or _looks_personal(value)


def _looks_personal(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(looks_sensitive(str(name)) or _looks_personal(inner) for name, inner in value.items())
    if isinstance(value, list):
        return any(_looks_personal(inner) for inner in value)
    return isinstance(value, str) and looks_sensitive_value(value)


def _masked_rows(place: Mapping[str, Any], secrets: _Secrets) -> list[dict[str, Any]]:
    personal = place.get("personal") or []

    def shown(name: str, value: Any) -> Any:
        hidden = value is not None and (_is_personal(name, value, personal) or secrets.repeated_in(value))
        return MASK if hidden else value

    def side(cells: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if cells is None else {name: shown(name, value) for name, value in cells.items()}

    rows = place.get("rows") or []
    return [{**row, "before": side(row.get("before")), "after": side(row.get("after"))} for row in rows]


def _in_words(value: Any, secrets: _Secrets) -> Any:
    if isinstance(value, str):
        return secrets.cut_from(value)
    return [_in_words(item, secrets) for item in value] if isinstance(value, list) else value


def _masked_argument(name: str, value: Any, secrets: _Secrets, preview: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {key: _masked_argument(str(key), inner, secrets, preview) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked_argument(name, inner, secrets, preview) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and (name == "sql" or value == preview.get("sql")):
        return _masked_sql(value, secrets)
    whole = value if isinstance(value, str) else str(value)
    return MASK if whole.casefold() in secrets.whole or (isinstance(value, str) and secrets.holds(value)) else value


def _masked_sql(sql: str, secrets: _Secrets) -> str:
    return _PIECES.sub(lambda piece: _masked_piece(piece, secrets), sql)


def _masked_piece(piece: re.Match[str], secrets: _Secrets) -> str:
    text = piece.group()
    match piece.lastgroup:
        case "comment":
            return text if not secrets.holds(text.strip("-/* ")) else f"/* {MASK} */"
        case "dollar" | "tag":
            return f"'{MASK}'" if secrets.holds(text.strip("$").partition("$")[2].rpartition("$")[0] or text) else text
        case "escaped":
            # Its backslashes are not read here: what could be another text in disguise is not shown.
            return f"'{MASK}'" if "\\" in text or secrets.holds(_unquoted(text[text.index("'") :])) else text
        case "text":
            return f"'{MASK}'" if secrets.holds(_unquoted(text)) else text
        case "number":
            return MASK if text.casefold() in secrets.whole else text
        case _:
            return text


def _unquoted(text: str) -> str:
    return text.strip("'").replace("''", "'")
