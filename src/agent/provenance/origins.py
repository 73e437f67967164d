"""Decides where a value that an action sends or writes comes from: the user, a trusted source, data, or nowhere. Pure.

A fooled model takes a recipient, a link, an account or an amount out of a text that it read. A value that the user said or
that a trusted source holds needs no more attention. Every other value makes the risk HIGH, and the approver sees where it
was found.

A text contains a value if it contains the whole address or link; the whole account number, however it is grouped; a number
of the same value (1,500.00, 1.500 or 1.5k) that is not part of a date, a time, a code or an identifier; of any other text,
all words in their order.
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
_SHORTEST_PART = 4
_MOST_TIMES = 31
# What stands before a number that identifies something, such as "ticket no.".
_BEFORE_IDENTIFIER = re.compile(r"(?:\b(?:id|no|nr|num|number|key)\b\.?|#)\s*$", re.I)
_UNITS = {"k": 1_000, "thousand": 1_000, "m": 1_000_000, "mn": 1_000_000, "million": 1_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value that an action sends or writes.

    `argument` says where to: an argument's name or a column. `names` are the constants that select the action's rows. If
    `kind` is "copy", `text` is the column that the database copies the value from.
    """

    argument: str
    kind: Kind
    text: str
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownText:
    """A text that the model was shown. `where` tells people its source; `trusted` says whether that source is trusted.

    Of a cell, `named` says whether the user named its row, and `holds` for which kind of values its `column` can then be
    trusted.
    """

    where: str
    text: str
    place: Literal["data", "memory"] = "data"
    trusted: bool = False
    named: bool = False
    column: str = ""
    holds: Kind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a value comes from; `where` describes the source for people."""

    value: Value
    place: Place
    where: str = ""

    @property
    def known(self) -> bool:
        """Return whether the value needs no more attention."""
        return self.place in {"user", "trusted"}

    @property
    def sentence(self) -> str:
        """Return a sentence for the approver; of the value, at most 200 characters."""
        what = f"{self.value.argument} {self.value.text[:200]!r}"
        if self.place == "nowhere":
            return f"{what} was neither said by the user nor found in what was read."
        return f"{what} was not said by the user: it comes from {self.where}."


def origin_of(value: Value, *, user_words: Sequence[str], shown_texts: Iterable[ShownText]) -> Origin:
    """Return where `value` comes from: the most trusted of the places that hold it."""
    if value.kind == "copy":
        return Origin(value=value, place="data", where=f"the column {value.text}")
    if any(is_in(value, text, names=value.names) for text in user_words):
        return Origin(value=value, place="user")
    shown_texts = list(shown_texts)
    for shown in shown_texts:
        if _is_given_by(shown, value):
            return Origin(value=value, place="trusted", where=shown.where)
    wanted = value.text.casefold()
    # The place only tells the approver where to look, so a part of a word is enough.
    sources = [shown for shown in shown_texts if is_in(value, shown.text)]
    if not sources and len(wanted) >= _SHORTEST_PART:
        sources = [shown for shown in shown_texts if wanted in shown.text.casefold()]
    if sources:
        return Origin(value=value, place=sources[0].place, where=sources[0].where)
    single = [shown for shown in shown_texts if value.kind == shown.holds == "amount"]
    multiple = next((shown for shown in single if _is_multiple(value.text, shown.text)), None)
    return Origin(value=value, place="trusted" if multiple else "nowhere", where=multiple.where if multiple else "")


def _is_given_by(shown: ShownText, value: Value) -> bool:
    """Return whether a text from a trusted source gives a value."""
    if shown.trusted:
        return is_in(value, shown.text) if shown.place == "memory" else is_whole(value, shown.text)
    return shown.holds == value.kind and is_one_of(value, shown.text)


def is_in(value: Value, text: str, *, names: Collection[str] = ()) -> bool:
    """Return whether `text` contains `value`.

    An amount that is also one of `names`, a key of the action's rows, must be there once more: the first time may mean the
    row.
    """
    if value.kind in {"address", "link"}:
        if text.isascii() and value.text.isascii() and value.text.rstrip("/").casefold() not in text.casefold():
            return False  # a quick answer for most texts: only text beyond ASCII can spell it differently
        # Quotes and underlines around an address are the user's punctuation, though an address may begin with them.
        return _plain_link(value.text) in {
            _plain_link(form) for link in links_in(text) for form in (link, link.strip("'_"))
        }
    if value.kind == "account":
        return bool(_account_pattern(value.text).search(text))
    if value.kind == "amount":
        number = decimal_of(value.text)
        times = sum(number in readings for readings in numbers_in(text)) - (value.text in names)
        return number is not None and times > 0
    wanted = folded(value.text)
    return bool(wanted) and f" {wanted} " in f" {folded(text)} "


def is_whole(value: Value, text: str) -> bool:
    """Return whether `text` is `value` and nothing else."""
    if value.kind == "amount":
        return decimal_of(value.text) == decimal_of(text)
    if value.kind in {"address", "link"}:
        return _plain_link(value.text) == _plain_link(text.strip())
    return _compact(value.text) == _compact(text)


def is_one_of(value: Value, text: str) -> bool:
    """Return whether `text` is `value`, or a list of nothing but addresses or accounts that has it."""
    if is_whole(value, text):
        return True
    shapes = [shape for kind, shape in shapes_in(text) if kind == value.kind]
    rest = text
    for shape in sorted(shapes, key=len, reverse=True):
        rest = rest.replace(shape, " ")
    return len(shapes) > 1 and not folded(rest) and any(is_whole(value, shape) for shape in shapes)


def _is_multiple(amount: str, single: str) -> bool:
    """Return whether an amount is another one so many times: three nights at the price of one."""
    number, one = decimal_of(amount), decimal_of(single)
    if not number or not one:
        return False
    times = number / one
    return times == times.to_integral_value() and 1 < times <= _MOST_TIMES


def shapes_in(text: str) -> Iterator[tuple[Kind, str]]:
    """Yield the addresses, links and account numbers in a text as (kind, text)."""
    for link in links_in(text):
        if "@" in link and "/" not in link:
            yield "address", link
        elif ":" in link or link.lower().startswith("www."):
            yield "link", link
    for match in _ACCOUNT.finditer(text):
        if sum(character.isdigit() for character in match.group()) >= 10:
            yield "account", match.group()


def folded(text: str) -> str:
    """Return the words of a text with one space between them, without case and punctuation."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def decimal_of(text: str) -> Decimal | None:
    """Return the absolute value of a number as SQL writes it; None if `text` is no finite number."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return abs(number) if number.is_finite() else None


def numbers_in(text: str) -> Iterator[frozenset[Decimal]]:
    """Yield, for each number that people write in a text, the set of values that it may mean."""
    for match in _NUMBER.finditer(text):
        if _BEFORE_IDENTIFIER.search(text[: match.start()]):
            continue
        readings = _readings(match["number"])
        unit = (match["unit"] or "").lower()
        if unit in {"%", "percent"}:
            readings |= {
                part for number in readings for part in (number / 100, 1 + number / 100, abs(1 - number / 100))
            }
        elif unit:
            readings = {number * _UNITS[unit] for number in readings}
        yield frozenset(readings)


def _readings(written: str) -> set[Decimal]:
    """Return the values that a number may mean: 1.500 is 1500 where a point groups thousands, and 1.5 elsewhere."""
    text = re.sub(r"[ \u00a0'\u2019]", "", written)
    candidates = {text.replace(",", ""), text.replace(".", "").replace(",", ".")}
    return {number for candidate in candidates if (number := decimal_of(candidate)) is not None}


def _plain_link(link: str) -> str:
    """Return the form in which two addresses or links are compared."""
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
