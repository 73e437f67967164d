"""Splits a question into tokens that know where they stand in it, so that a value is taken exactly as it was written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

TokenKind = Literal["word", "number", "quoted", "email", "date", "symbol"]

_TOKEN = re.compile(
    r"""
      (?P<quoted>"[^"\n]{1,200}"|(?<!\w)'(?:[^'\n]|(?<=\w)'(?=\w)){1,200}'(?!\w)|[\u201c\u201e][^\u201c\u201d\n]{1,200}[\u201c\u201d]|\u2018[^\u2018\n]{1,200}\u2019(?!\w))
    | (?P<email>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)
    | (?P<date>\d{4}-\d{1,2}-\d{1,2}(?![\w-]))
    | (?P<number>[#$€£]?(?<![\w.,])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w,%])|[#$€£]?-?\d+(?:\.\d+)?[kKmM]?(?![\w%-]))
    | (?P<word>[^\W_]+(?:[-'\u2019_][^\W_]+)*)
    | (?P<owner>['\u2019]s(?!\w))
    | (?P<symbol>[<>!]=|\S)
    """,
    re.VERBOSE,
)
_NUMBER_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_IRREGULAR = {
    "people": "person", "persons": "person", "children": "child", "men": "man", "women": "woman", "mice": "mouse",
    "statuses": "status", "addresses": "address", "has": "have", "media": "media", "series": "series", "data": "data",
    "analyses": "analysis", "diagnoses": "diagnosis", "movies": "movie", "caches": "cache", "buses": "bus", "cookies": "cookie",
    "bonuses": "bonus", "viruses": "virus", "campuses": "campus", "aliases": "alias", "calories": "calorie",
}  # fmt: skip
LONGEST_QUESTION = 2_000  # a longer text is no simple question
LONGEST_PARSED = 60  # tokens


@dataclass(frozen=True, slots=True)
class Token:
    """One word, number or sign from `start` to `end` of the question, in lower case, and its stem; `dotted`: after a dot."""

    text: str
    kind: TokenKind
    low: str
    stem: str
    start: int
    end: int
    dotted: bool = False


@dataclass(frozen=True, slots=True)
class Sentence:
    """The tokens of a question."""

    text: str
    tokens: tuple[Token, ...]

    def match(self, start: int, phrase: str) -> int | None:
        """Return the end of `phrase` at `start`, or None. `a|b` are alternatives, `c?` is optional; quoted words do not match."""
        at = start
        for part in phrase.split():
            optional = part.endswith("?") and len(part) > 1
            if self._matches(at, part.removesuffix("?") if optional else part):
                at += 1
            elif not optional:
                return None
        return at if at > start else None

    def free(self, at: int) -> bool:
        """Return whether there is a token at `at`."""
        return 0 <= at < len(self.tokens)

    def span(self, start: int, end: int) -> str:
        """Return the text of the tokens from `start` to `end` (exclusive), exactly as it was written."""
        return self.text[self.tokens[start].start : self.tokens[end - 1].end]

    def without(self, start: int, end: int) -> Sentence:
        """Return the sentence without these tokens."""
        return Sentence(self.text, self.tokens[:start] + self.tokens[end:])

    def _matches(self, at: int, alternatives: str) -> bool:
        if not self.free(at) or self.tokens[at].kind == "quoted":
            return False
        return self.tokens[at].low in alternatives.split("|")


def sentence_of(question: str) -> Sentence:
    """Return the tokens of `question`, cut at `LONGEST_QUESTION`."""
    text = question[:LONGEST_QUESTION]
    return Sentence(text, tuple(_tokens(text)))


def clean(text: str) -> str:
    """Return `text` in NFC without control characters, lone surrogates and invisible characters."""
    return "".join(c for c in unicodedata.normalize("NFC", text) if c in "\n\t" or unicodedata.category(c)[0] != "C")


def is_plain(text: str) -> bool:
    """Return whether `text` has no control characters and lone surrogates, which no server would store as they stand."""
    return all(unicodedata.category(c) not in ("Cc", "Cs") for c in text)


def _tokens(text: str) -> Iterator[Token]:
    for match in _TOKEN.finditer(text):
        kind, raw, start, end = match.lastgroup, match.group(), match.start(), match.end()
        if kind == "owner":
            continue  # "client 5's email"
        if raw == "." and re.fullmatch(r"\w\.\w", text[max(start - 1, 0) : end + 1]):
            continue  # the dot of schema.table
        if kind == "word" and re.search(r"n['\u2019]t$", raw, re.I):
            yield _token(raw[:-3], "word", start, end)
            raw = "not"
        yield _token(raw, kind, start, end, dotted=bool(re.fullmatch(r"\w\.", text[max(start - 2, 0) : start])))


def _token(raw: str, kind: str | None, start: int, end: int, *, dotted: bool = False) -> Token:
    shown = raw
    if kind == "quoted":
        shown = raw[1:-1]
    elif kind == "word":
        shown = re.sub(r"(?i)['\u2019]s?$", "", raw) or raw
    low = clean(shown).lower().replace("e-mail", "email")
    return Token(shown, kind, low, stem(low), start, end, dotted)  # type: ignore[arg-type]  # the group names are the kinds


def stem(word: str) -> str:
    """Return roughly the singular of a lower-case word."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zzes")):
        return word[:-2]
    return word.removesuffix("s")


def words_of(identifier: str) -> tuple[str, ...]:
    """Return the stems of a name, value or comment; `orderItems`, `order_items` and `Order Items` give the same."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", clean(identifier))
    return tuple(stem(word.lower()) for word in re.findall(r"[^\W_]+", spaced))


def number_of(token: Token) -> str | None:
    """Return a token's number as SQL writes it ("1200" for `1,200` and `1.2k`), or None."""
    if token.kind == "word":
        return str(_NUMBER_WORDS.index(token.low)) if token.low in _NUMBER_WORDS else None
    if token.kind != "number":
        return None
    text = token.text.lstrip("#$€£").replace(",", "").lower()
    factor = {"k": 1_000, "m": 1_000_000}.get(text[-1:], 1)
    return text if factor == 1 else format((Decimal(text[:-1]) * factor).normalize(), "f")


def count_of(token: Token) -> int | None:
    """Return a token's number when it can be a count, or None."""
    number = number_of(token)
    return int(number) if number is not None and re.fullmatch(r"\d{1,6}", number) else None
