"""Lists the differences between two discoveries, one line for each part that changed. Pure.

    public.orders: CHECK orders_total_check changed: total >= 0 -> total > 0

A part is stored as the text that may be shown. Where that is not the whole text (a long default, a function's body, an
expression that may name a denied column), a tab and a digest of the whole text follow; no text that may be shown has a tab.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from agent.learning.discovery.identifiers import one_line

# Object -> element ("" is the object itself) -> attribute ("" is the element's definition) -> text.
Parts: TypeAlias = dict[str, dict[str, dict[str, str]]]

_VISIBLE_CHARS = 160
_DIGEST_CHARS = 16
# Stands for a text that could not be read yet: it equals every other text.
_UNREAD = "\t"
# How a missing attribute is shown; "nothing" for all others.
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


def part_text(text: str, *, hidden: bool = False) -> str:
    """Return a part's text as it is stored; of a `hidden` part only the digest."""
    text = _as_restored(text)
    check = _CHECK.match(text)
    if check:
        text = f"{check['expression']}{check['more']}"
    visible = "" if hidden else one_line(text, _VISIBLE_CHARS)
    if visible == text:
        return visible
    return f"{visible}\t{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:_DIGEST_CHARS]}"


def changes(before: Parts, after: Parts) -> list[str]:
    """Return a line for each part that was changed, added or removed; sorted."""
    return sorted(line for lines in changed_objects(before, after).values() for line in lines)


def changed_objects(before: Parts, after: Parts) -> dict[str, list[str]]:
    """Return the lines of `changes` by the object that they are about."""
    lines_of = {
        name: list(_object(name, before.get(name), after.get(name))) for name in sorted(before.keys() | after.keys())
    }
    return {name: lines for name, lines in lines_of.items() if lines}


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
        details = "; ".join(filter(None, (_detail(attribute, text) for attribute, text in (after or {}).items())))
        yield f"{name} added{f': {details}' if details else ''}"
    elif name and after is None:
        yield f"{name} removed"
    else:
        old, new = before or {}, after or {}
        for attribute in sorted(old.keys() | new.keys()):
            if old.get(attribute) != new.get(attribute) and _UNREAD not in {old.get(attribute), new.get(attribute)}:
                label = " ".join(filter(None, (name, attribute)))
                yield f"{label} changed{_from_to(attribute, old.get(attribute), new.get(attribute))}"


def _detail(attribute: str, text: str) -> str:
    visible = _visible(text)
    return f"{attribute} {visible}" if visible and attribute not in {"", "type"} else visible


def _from_to(attribute: str, old: str | None, new: str | None) -> str:
    before, after = (_ABSENT.get(attribute, "nothing") if text is None else _visible(text) for text in (old, new))
    # Texts whose visible parts are equal or empty are not worth showing.
    return f": {before} -> {after}" if before and after and before != after else ""


def _visible(text: str) -> str:
    return text.partition("\t")[0]


def _as_restored(text: str) -> str:
    """Write `x IN ('a', 'b')` as the server does after a dump and restore: it moves the list's cast to each item."""

    def moved(match: re.Match[str]) -> str:
        items, cast = re.findall(r"'(?:[^']|'')*'::[a-z ]+", match["items"]), f"::{match['type']}"
        return f"ARRAY[{', '.join(item + cast for item in items)}]"

    return _IN_LIST.sub(moved, text)


def group_parts(rows: Iterable[tuple[str, str, str, str | None]], known: Parts) -> Parts:
    """Group (object, element, attribute, text) into parts; a text that could not be read (None) stays as `known` has it."""
    parts: Parts = {}
    for name, element, attribute, text in rows:
        kept = known.get(name, {}).get(element, {}).get(attribute, _UNREAD) if text is None else text
        parts.setdefault(name, {}).setdefault(element, {})[attribute] = kept
    return parts
