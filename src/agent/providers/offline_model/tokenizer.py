"""Splits a question into tokens with stems, and records which tokens the parser has understood.

The offline model answers only when every word with a meaning has been used: no answer is better than a wrong one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from agent.text.words import word_set

TokenKind = Literal["word", "number", "quoted", "date", "email", "symbol"]

_TOKEN = re.compile(
    r"""
      (?P<quoted>"[^"\n]{1,200}"|(?<![^\W_])'[^'\n]{1,200}'(?![^\W_])|[\u201c\u201e][^\u201c\u201d\n]{1,200}[\u201c\u201d]|\u2018[^\u2019\n]{1,200}\u2019)
    | (?P<email>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)
    | (?P<date>\d{4}-\d{1,2}-\d{1,2})
    | (?P<number>[#$€£]?-?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w])|[#$€£]?-?\d+(?:\.\d+)?[kKmM%]?(?![\w-]))
    | (?P<word>[^\W_]+(?:[-'\u2019][^\W_]+)*)
    | (?P<symbol>[<>!]=|[<>=≥≤:,?%])
    """,
    re.VERBOSE,
)
_NUMBER_WORDS = {
    word: number
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
}
_IRREGULAR = {
    "people": "person", "persons": "person", "children": "child", "men": "man", "women": "woman", "mice": "mouse",
    "statuses": "status", "addresses": "address", "has": "have", "media": "media", "series": "series", "data": "data",
    "analyses": "analysis", "diagnoses": "diagnosis",
}  # fmt: skip
LONGEST_QUESTION = 2_000  # a longer text is no simple question

# Words that add no condition to a question.
FILLER = word_set(
    """
    a an the this these those that which who whom whose what where when is are was were be been being do does did
    have has had having there their they them it its our we us my mine me i you your of for from in on at to with
    and or by as into about please can could would will shall show list give get display find fetch see print tell
    return want need like know let look up just all any some every each one ones also then so now currently hey hi
    hello thanks thank kindly exist exists existing record records row rows entry entries table tables view database
    db system data value values information info details detail belong belongs belonging made make makes placed
    place places got really overall altogether together many much only yet how kind
    """
)


# Words of the grammar: a column's comment cannot make them names of the column.
GRAMMAR_WORDS = word_set(
    """
    sum total count number average avg mean maximum max minimum min most least fewest top highest lowest largest
    smallest last first latest oldest newest per group sort order date time day week month year not no without over
    under more less than
    """
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word, number or sign: as written, in lower case, and its stem; `dotted` when a dot joins it to the token before."""

    text: str
    kind: TokenKind
    low: str
    stem: str
    dotted: bool = False

    @property
    def capitalised(self) -> bool:
        return self.kind == "word" and (self.text[0].isupper() or self.text[0].isdigit())


@dataclass(slots=True)
class Sentence:
    """The tokens of a question, which of them are `used`, and the ids of the tables that it names with their schema (`qualified`)."""

    tokens: list[Token]
    used: set[int] = field(default_factory=set)
    qualified: set[tuple[str, str]] = field(default_factory=set)

    def match(self, start: int, phrase: str) -> int | None:
        """Return the end of `phrase` at `start`, or None. `a|b` are alternatives, `c?` is optional; used and quoted words do not match."""
        at = start
        for part in phrase.split():
            optional = part.endswith("?") and len(part) > 1
            if self._matches(at, part.removesuffix("?") if optional else part):
                at += 1
            elif not optional:
                return None
        return at if at > start else None

    def search(self, *phrases: str) -> tuple[int, int] | None:
        """Return the first place where one of `phrases`, tried in order, matches unused words."""
        for phrase in phrases:
            for start in range(len(self.tokens)):
                end = self.match(start, phrase)
                if end is not None:
                    return start, end
        return None

    def take(self, *phrases: str) -> tuple[int, int] | None:
        """Search for `phrases` and mark the match as used."""
        span = self.search(*phrases)
        if span:
            self.use(*span)
        return span

    def use(self, start: int, end: int) -> None:
        self.used.update(range(start, end))

    def free(self, at: int) -> bool:
        return 0 <= at < len(self.tokens) and at not in self.used

    def leftover(self) -> list[str]:
        """Return the words with a meaning that are not used."""
        return [
            token.text
            for at, token in enumerate(self.tokens)
            if at not in self.used and token.low not in FILLER and token.kind != "symbol"
        ]

    def _matches(self, at: int, alternatives: str) -> bool:
        if not self.free(at):
            return False
        token = self.tokens[at]
        if token.kind == "quoted":
            return False
        options = alternatives.split("|")
        return token.low in options or token.stem in options


def sentence_of(question: str) -> Sentence:
    """Return the tokens of `question`, without control characters and cut at `LONGEST_QUESTION`."""
    return Sentence(tokens=list(_tokens(clean(question[:LONGEST_QUESTION]))))


def clean(text: str) -> str:
    """Return `text` in NFC without control characters, lone surrogates and invisible characters."""
    return "".join(c for c in unicodedata.normalize("NFC", text) if c in "\n\t" or unicodedata.category(c)[0] != "C")


def _tokens(text: str) -> Iterable[Token]:
    text = re.sub(r"n['\u2019]t\b", " not", text)
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        raw = match.group()
        if kind == "quoted":
            raw = raw[1:-1].strip()
        elif kind == "word":
            raw = re.sub(r"['\u2019]s?$", "", raw) or raw
        low = raw.lower()
        dotted = bool(re.fullmatch(r"\w\.", text[max(match.start() - 2, 0) : match.start()]))
        yield Token(raw, kind, low, stem(low), dotted)  # type: ignore[arg-type]  # the group names are the kinds


def stem(word: str) -> str:
    """Return roughly the singular of a lower-case word."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    return word.removesuffix("s")


def words_of(identifier: str) -> tuple[str, ...]:
    """Return the stems of a name, value or comment; `orderItems`, `order_items` and `Order Items` give the same."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", identifier)
    return tuple(stem(word.lower()) for word in re.findall(r"[^\W_]+", spaced))


def number_of(token: Token) -> str | None:
    """Return a token's number as SQL writes it ("1200" for `1,200` and `1.2k`), or None."""
    if token.kind == "word":
        return str(_NUMBER_WORDS[token.low]) if token.low in _NUMBER_WORDS else None
    if token.kind != "number":
        return None
    text = token.text.lstrip("#$€£").rstrip("%").replace(",", "").lower()
    factor = {"k": 1_000, "m": 1_000_000}.get(text[-1:], 1)
    if factor == 1:
        return text
    return f"{float(text[:-1]) * factor:.10g}"


def count_of(token: Token) -> int | None:
    """Return a token's number when it can be a count, or None."""
    number = number_of(token)
    return int(number) if number is not None and re.fullmatch(r"\d{1,6}", number) else None
