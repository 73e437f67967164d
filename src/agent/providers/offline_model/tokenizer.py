"""A question as words: split, lower-cased and reduced to stems, with a record of which words are understood.

The record is what keeps the offline model honest: a question is answered only when every word that carries meaning has been used.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

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

# Words that shape a sentence without adding a condition to it.
FILLER = frozenset(
    """
    a an the this these those that which who whom whose what where when is are was were be been
    being do does did have has had having there their they them it its our we us my mine me i you
    your of for from in on at to with and or by as into about please can could would will shall show
    list give get display find fetch see print tell return want need like know let look up just all
    any some every each one ones also then so now currently hey hi hello thanks thank kindly exist
    exists existing record records row rows entry entries table tables view database db system data
    value values information info details detail belong belongs belonging made make makes placed
    place places got really overall altogether together many much only yet how kind
    """.split()  # noqa: SIM905  # a word a line would fill ten screens
)


# Words of the grammar itself: no comment may turn them into a name.
GRAMMAR_WORDS = frozenset(
    """
    sum total count number average avg mean maximum max minimum min most least fewest top highest
    lowest largest smallest last first latest oldest newest per group sort order date time day week
    month year not no without over under more less than
    """.split()  # noqa: SIM905  # a word a line would fill ten screens
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word, number or sign: as written, lower-cased, and its stem; `dotted` where a dot joins it to what is before it."""

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
    """Tokens and which of them are used; `named` are the tables whose schema they name."""

    tokens: list[Token]
    used: set[int] = field(default_factory=set)
    named: set[tuple[str, str]] = field(default_factory=set)

    def match(self, start: int, pattern: str) -> int | None:
        """The end of `pattern` at `start`, or None. `a|b` are alternatives, `c?` may be missing, used words do not match."""
        at = start
        for part in pattern.split():
            optional = part.endswith("?") and len(part) > 1
            if self._is(at, part.removesuffix("?") if optional else part):
                at += 1
            elif not optional:
                return None
        return at if at > start else None

    def search(self, *patterns: str) -> tuple[int, int] | None:
        """The first place where one of `patterns` (tried in order) matches unused words."""
        for pattern in patterns:
            for start in range(len(self.tokens)):
                end = self.match(start, pattern)
                if end is not None:
                    return start, end
        return None

    def take(self, *patterns: str) -> tuple[int, int] | None:
        """Search, and mark what is found as used."""
        found = self.search(*patterns)
        if found:
            self.use(*found)
        return found

    def use(self, start: int, end: int) -> None:
        self.used.update(range(start, end))

    def free(self, at: int) -> bool:
        return 0 <= at < len(self.tokens) and at not in self.used

    def leftover(self) -> list[str]:
        """The words that carry meaning and are not used."""
        return [
            token.text
            for at, token in enumerate(self.tokens)
            if at not in self.used and token.low not in FILLER and token.kind != "symbol"
        ]

    def _is(self, at: int, alternatives: str) -> bool:
        if not self.free(at):
            return False
        token = self.tokens[at]
        if token.kind == "quoted":
            return False
        options = alternatives.split("|")
        return token.low in options or token.stem in options


def sentence_of(question: str) -> Sentence:
    """The tokens of `question`; control characters are dropped, and a text that is too long is cut."""
    return Sentence(tokens=list(_tokens(clean(question[:LONGEST_QUESTION]))))


def clean(text: str) -> str:
    """`text` without NUL, lone surrogates and other characters that no question needs."""
    return "".join(c for c in unicodedata.normalize("NFC", text) if c in "\n\t" or unicodedata.category(c)[0] != "C")


def _tokens(text: str) -> Iterable[Token]:
    text = re.sub(r"n['\u2019]t\b", " not", text)
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        written = match.group()
        if kind == "quoted":
            written = written[1:-1].strip()
        elif kind == "word":
            written = re.sub(r"['\u2019]s?$", "", written) or written
        low = written.lower()
        dotted = bool(re.fullmatch(r"\w\.", text[max(match.start() - 2, 0) : match.start()]))
        yield Token(written, kind, low, stem(low), dotted)  # type: ignore[arg-type]  # the group names are the kinds


def stem(word: str) -> str:
    """The singular of a lower-case word, roughly; the same for both sides of every comparison."""
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
    """The stems in a table or column name, a value or a comment: `orderItems`, `order_items` and `Order Items` are alike."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", identifier)
    return tuple(stem(word.lower()) for word in re.findall(r"[^\W_]+", spaced))


def number_of(token: Token) -> str | None:
    """The number that a token writes, as SQL writes it (`"1200"` for `1,200` and `1.2k`), or None."""
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
    """A whole number that says how many, or None."""
    number = number_of(token)
    return int(number) if number is not None and re.fullmatch(r"\d{1,6}", number) else None
