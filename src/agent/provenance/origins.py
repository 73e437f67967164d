"""Where a value that an action sends or writes comes from: the user's words, a trusted place, data, or nowhere. Pure.

A fooled model takes a recipient, a link, an account or an amount out of text that it read. What the user said or an
operator trusts needs no more attention; everything else is of HIGH risk and is shown with where it was found.

What counts as said, so that nothing fits by accident: an address or link only as a whole one; an account whatever way it
is grouped, but whole; a number by its value (1,500.00 and 1.500 and 1.5k), not as part of a date, a time, a code or an
identifier; any other text as whole words in that order.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal

from agent.providers.mail_message import address, links_in

Kind = Literal["address", "link", "account", "amount", "text", "copy"]
Place = Literal["user", "trusted", "data", "memory", "nowhere"]

_ACCOUNT = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}(?![A-Za-z0-9])", re.I)
_NUMBER = re.compile(
    r"(?<![\w.,:/#-])(?P<number>\d{1,3}(?:[ \u00a0'\u2019]\d{3})+(?:[.,]\d+)?|\d+(?:[.,]\d+)*)"
    r"\s?(?P<unit>%|percent\b|k\b|thousand\b|m\b|mn\b|million\b)?(?![\w:/-]|[.,]\d)",
    re.I,
)
_NAMES_A_THING = re.compile(r"(?:\b(?:id|no|nr|num|number|key)\b\.?|#)\s*$", re.I)
_UNITS = {"k": 1_000, "thousand": 1_000, "m": 1_000_000, "mn": 1_000_000, "million": 1_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value that an action sends or writes. `argument` says as what; `names` are numbers that only name its rows.

    Of kind "copy" the text names the column that the database itself copies it from.
    """

    argument: str
    kind: Kind
    text: str
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownText:
    """A text that the model was shown. `where` says what it is of, for people; `trusted` by the operator or a human."""

    where: str
    text: str
    place: Literal["data", "memory"] = "data"
    trusted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a value comes from."""

    value: Value
    place: Place
    where: str = ""

    @property
    def known(self) -> bool:
        """Whether it needs no more attention."""
        return self.place in {"user", "trusted"}

    @property
    def sentence(self) -> str:
        """For the approver."""
        shown = f"{self.value.argument} {self.value.text[:200]!r}"
        if self.place == "nowhere":
            return f"{shown} was neither said by the user nor found in what was read."
        return f"{shown} was not said by the user: it comes from {self.where}."


def origin_of(value: Value, *, user_words: Sequence[str], seen: Iterable[ShownText]) -> Origin:
    """Where `value` comes from, the most trusted place first."""
    if value.kind == "copy":
        return Origin(value=value, place="data", where=f"the column {value.text}")
    if any(is_in(value, text, names=value.names) for text in user_words):
        return Origin(value=value, place="user")
    seen = list(seen)
    trusted = [one for one in seen if one.trusted and (is_in if one.place == "memory" else is_whole)(value, one.text)]
    if trusted:
        return Origin(value=value, place="trusted", where=trusted[0].where)
    wanted = value.text.casefold()
    # Where it was found only says where to look, so that a part of a word will do.
    found = [one for one in seen if is_in(value, one.text)] or [one for one in seen if wanted in one.text.casefold()]
    if found:
        return Origin(value=value, place=found[0].place, where=found[0].where)
    return Origin(value=value, place="nowhere")


def is_in(value: Value, text: str, *, names: Collection[str] = ()) -> bool:
    """Whether `text` says `value`. A number that the action also uses as a key of its rows must be said once more."""
    if value.kind in {"address", "link"}:
        if text.isascii() and value.text.isascii() and value.text.rstrip("/").casefold() not in text.casefold():
            return False  # most texts, at once; only others may write it differently
        return _plain_link(value.text) in {_plain_link(link) for link in links_in(text)}
    if value.kind == "account":
        return bool(_account_pattern(value.text).search(text))
    if value.kind == "amount":
        number = decimal_of(value.text)
        times = sum(number in readings for readings in numbers_in(text)) - (value.text in names)
        return number is not None and times > 0
    wanted = folded(value.text)
    return bool(wanted) and f" {wanted} " in f" {folded(text)} "


def is_whole(value: Value, text: str) -> bool:
    """Whether `text` is `value` and nothing else."""
    if value.kind == "amount":
        return decimal_of(value.text) == decimal_of(text)
    if value.kind in {"address", "link"}:
        return _plain_link(value.text) == _plain_link(text.strip())
    return _compact(value.text) == _compact(text)


def shapes_in(text: str) -> Iterator[tuple[Kind, str]]:
    """Addresses, links and account numbers in a text, whatever it is written to."""
    for link in links_in(text):
        if "@" in link and "/" not in link:
            yield "address", link
        elif ":" in link or link.lower().startswith("www."):
            yield "link", link
    for match in _ACCOUNT.finditer(text):
        if sum(character.isdigit() for character in match.group()) >= 10:
            yield "account", match.group()


def folded(text: str) -> str:
    """A text as its words, without case and punctuation."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def decimal_of(text: str) -> Decimal | None:
    """A number as SQL writes it, without its sign."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return abs(number) if number.is_finite() else None


def numbers_in(text: str) -> Iterator[frozenset[Decimal]]:
    """The numbers of a text as people write them, each with every value that it may mean."""
    for match in _NUMBER.finditer(text):
        if _NAMES_A_THING.search(text[: match.start()]):
            continue
        plain = _readings(match["number"])
        unit = (match["unit"] or "").lower()
        if unit in {"%", "percent"}:
            plain |= {one for number in plain for one in (number / 100, 1 + number / 100, abs(1 - number / 100))}
        elif unit:
            plain = {number * _UNITS[unit] for number in plain}
        yield frozenset(plain)


def _readings(written: str) -> set[Decimal]:
    """1.500 is a thousand and a half to some and one and a half to others."""
    text = re.sub(r"[ \u00a0'\u2019]", "", written)
    candidates = {text.replace(",", ""), text.replace(".", "").replace(",", ".")}
    return {number for candidate in candidates if (number := decimal_of(candidate)) is not None}


def _plain_link(link: str) -> str:
    if "@" in link and "/" not in link:
        try:
            return address(link).casefold()
        except ValueError:
            return link.casefold()
    return link.rstrip("/")


def _account_pattern(text: str) -> re.Pattern[str]:
    characters = [re.escape(character) for character in _compact(text)]
    return re.compile(rf"(?<![A-Za-z0-9]){'[ -]?'.join(characters)}(?![A-Za-z0-9])", re.I)


def _compact(text: str) -> str:
    return re.sub(r"[\W_]", "", text).casefold()
