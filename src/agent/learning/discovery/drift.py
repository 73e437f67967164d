"""What differs between two discoveries, part by part: each change is one line. Pure.

    public.orders: CHECK orders_total_check changed: total >= 0 -> total > 0

A part is kept as the text that may be shown. Where that is not the whole of it (a long default, a function's body, an
expression that may speak of a denied column), a digest of the whole follows after a tab, which no shown text holds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from agent.learning.discovery.identifiers import one_line

# Object -> element ("" is the object itself) -> attribute ("" is the element's definition) -> text.
Parts: TypeAlias = dict[str, dict[str, dict[str, str]]]

_SHOWN_CHARS = 160
_DIGEST_CHARS = 16
# What could not be read yet is no other than what will be.
_UNREAD = "\t"
# What an attribute says where it is missing; "nothing" elsewhere.
_ABSENT = {
    "not null": "no",
    "row-level security": "off",
    "logged": "yes",
    "valid": "yes",
    "enabled": "yes",
    "security": "invoker",
}
_CHECK = re.compile(r"CHECK \((?P<expression>.*)\)(?P<more>(?: NO INHERIT| NOT VALID| NOT ENFORCED)*)\Z", re.DOTALL)
_IN_LIST = re.compile(
    r"ARRAY\[(?P<items>'(?:[^']|'')*'::[a-z ]+(?:, '(?:[^']|'')*'::[a-z ]+)*)\]::(?P<type>[a-z ]+)\[\]"
)


def part(text: str, *, hidden: bool = False) -> str:
    """A part's text as it is kept; of a `hidden` one only its digest."""
    text = _as_restored(text)
    check = _CHECK.match(text)
    if check:
        text = f"{check['expression']}{check['more']}"
    shown = "" if hidden else one_line(text, _SHOWN_CHARS)
    if shown == text:
        return shown
    return f"{shown}\t{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:_DIGEST_CHARS]}"


def changes(before: Parts, after: Parts) -> list[str]:
    """A line for each part that is another one, was added, or is gone; sorted."""
    return sorted(line for lines in changed_objects(before, after).values() for line in lines)


def changed_objects(before: Parts, after: Parts) -> dict[str, list[str]]:
    """The same by object."""
    found = {
        name: list(_object(name, before.get(name), after.get(name))) for name in sorted(before.keys() | after.keys())
    }
    return {name: lines for name, lines in found.items() if lines}


def _object(
    name: str, before: Mapping[str, Mapping[str, str]] | None, after: Mapping[str, Mapping[str, str]] | None
) -> Iterator[str]:
    if before is None or after is None:
        kind = (after or before or {}).get("", {}).get("kind", "object")
        yield f"{name}: {'new ' if before is None else ''}{kind}{'' if before is None else ' is gone'}"
        return
    for element in sorted(before.keys() | after.keys()):
        yield from (f"{name}: {line}" for line in _element(element, before.get(element), after.get(element)))


def _element(name: str, before: Mapping[str, str] | None, after: Mapping[str, str] | None) -> Iterator[str]:
    if name and before is None:
        told = "; ".join(filter(None, (_told(attribute, text) for attribute, text in (after or {}).items())))
        yield f"{name} added{f': {told}' if told else ''}"
    elif name and after is None:
        yield f"{name} removed"
    else:
        old, new = before or {}, after or {}
        for attribute in sorted(old.keys() | new.keys()):
            if old.get(attribute) != new.get(attribute) and _UNREAD not in {old.get(attribute), new.get(attribute)}:
                what = " ".join(filter(None, (name, attribute)))
                yield f"{what} changed{_from_to(attribute, old.get(attribute), new.get(attribute))}"


def _told(attribute: str, text: str) -> str:
    shown = _shown(text)
    return f"{attribute} {shown}" if shown and attribute not in {"", "type"} else shown


def _from_to(attribute: str, old: str | None, new: str | None) -> str:
    one, other = (_ABSENT.get(attribute, "nothing") if text is None else _shown(text) for text in (old, new))
    # Texts that are cut alike, or that must not be shown, would tell nothing.
    return f": {one} -> {other}" if one and other and one != other else ""


def _shown(text: str) -> str:
    return text.partition("\t")[0]


def _as_restored(text: str) -> str:
    """`x IN ('a', 'b')` as the server writes it after a dump and restore: it moves the cast of the list into the list."""

    def moved(match: re.Match[str]) -> str:
        items, cast = re.findall(r"'(?:[^']|'')*'::[a-z ]+", match["items"]), f"::{match['type']}"
        return f"ARRAY[{', '.join(item + cast for item in items)}]"

    return _IN_LIST.sub(moved, text)


def gathered(rows: Iterable[tuple[str, str, str, str | None]], known: Parts) -> Parts:
    """Parts from (object, element, attribute, text); what could not be read, None, is taken as it was `known`."""
    parts: Parts = {}
    for name, element, attribute, text in rows:
        kept = known.get(name, {}).get(element, {}).get(attribute, _UNREAD) if text is None else text
        parts.setdefault(name, {}).setdefault(element, {})[attribute] = kept
    return parts
