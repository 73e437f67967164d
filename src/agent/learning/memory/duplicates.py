"""Gives statements that say the same in other words the same signature. Pure, without a model.

What is merged is lost as a statement of its own, so a signature holds everything that can change what is said: numbers, names,
dates, codes, negations, modal verbs, tenses, and who does what to whom. It leaves out articles, fillers, the order of phrases, and
which of two close words was taken ("client", "customer"). Two statements with another noun never have the same signature.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent.text.calendar_words import DAYS, MONTHS
from agent.text.words import stem, word_set

_DEFINES, _IS, _QUOTE = "\x01", "\x02", "\x03"
_LEAD = re.compile(
    r"^\W*(?:(?:please|kindly)?,? ?(?:remember|note|keep in mind|bear in mind|be aware|know|fyi|for your information|just so you know|as a (?:rule|reminder))"
    r"(?: that)?|(?:the|our) (?:rule|policy) is(?: that)?|(?:it is|it's) (?:true|a fact) that|(?:that|this) means(?: that)?)\b[,:]? *",
    re.I,
)
_REWRITES = tuple(
    (re.compile(pattern, re.I), by)
    for pattern, by in (
        (r"\b(?:can ?not|can['\u2019]t)\b", " can not "),
        (r"\b(do|does|did|is|are|was|were|has|have|had|wo|would|could|should|must)n['\u2019]t\b", r" \1 not "),
        (r"\bno longer\b|\bnot any ?more\b", " nolonger "),
        (r"\b(?:prior to)\b", " before "),
        (r"\b(?:has|have|needs?) to\b", " must "),
        (r"\be-mail", "email"),
        (r"\bfinancial year\b", " fiscal year "),
        (r"\bon hold\b", " paused "),
        (r"\b(?:stands? for|is short for|is defined as|is called|is known as|refers? to|counts? as|means?|denotes?|represents?|signif(?:y|ies)|equals?)\b|(?<![<>!=])==?(?!=)", f" {_DEFINES} "),
        (r"^(.+?) (?:is|are) what (.+?) \x01\W*$", rf"\2 {_DEFINES} \1"),
        (r"\b(\w+) of (\d+)\b", r"\1 \2"),
        (r"\b(?:more than|greater than|larger than|exceeding|in excess of|over)\b(?! the\b)", " above "),
        (r"\b(?:less than|smaller than|fewer than|under(?= \d))\b", " below "),
        (r"\b(\w+(?: \d+)?) of (?:the |a |an |our |each |every )?(\w+)\b", r"\2 \1"),
        (r"(\w)['\u2019]s\b", r"\1"),
        (r"\b(?:every|each) (?=(?:mon|tues|wednes|thurs|fri|satur|sun)day|month|week|year|quarter|day\b)", " on "),
    )
)  # fmt: skip
_TOKEN = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|https?://\S+|[<>]=?|!=|[%$\u20ac\u00a3\x01,;]|\d+(?:[.,:/-]\d+)*|\w+(?:[-.:/]\w+)*"
)
_QUOTED = re.compile(r"""["'`\u201c\u2018\u00ab](?=\w)([^"'`\u201d\u2019\u00bb]{1,60})["'`\u201d\u2019\u00bb](?!\w)""")
_THOUSANDS = re.compile(r"(?<=\d)[, '\u2019\u00a0\u202f](?=\d{3}(?!\d))")
_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ]
    )
} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "ninety": "90", "hundred": "100"}
_DROPPED = word_set("a an the our we us that please just note also so then do does code value")
_PREPOSITIONS = word_set(
    """
    to from in on at by for with without after before within until till since over under above below between against per via into than as
    during except unless if when while because instead of about
    """
)
_DAYS = frozenset(name for one in {*DAYS, *MONTHS} - {"may"} for name in (one, f"{one}s"))
_SAME = {
    word: words.split()[0]
    for words in (
        "client customer", "must need require", "employee staff", "begin start", "begins starts", "end finish", "buy purchase", "bought purchased", "invoice bill", "due payable",
        "ship deliver dispatch", "shipped delivered dispatched", "go sent send mailed emailed", "until till", "firm company business", "must shall", "not never",
        "large big", "usually normally", "quick fast", "approve approval", "biggest largest",
    )
    for word in words.split()
}  # fmt: skip
_COPULAS = word_set("is are be")
_CURRENCIES = word_set("EUR USD GBP CHF JPY PLN")
# Says nothing more where the order of words is not looked at.
_AROUND = {"in", "on", "at", "by", "of", ",", ";", _DEFINES, _IS}
_LONGEST = 1_000


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a statement: what stands in it, in order, and its phrases, in any order."""

    core: tuple[str, ...]
    phrases: tuple[tuple[str, ...], ...]

    @property
    def has_value(self) -> bool:
        """Whether a number or a code stands in it."""
        return any(any(map(str.isdigit, word)) or word.startswith(_QUOTE) for word in self.core)


def signature(text: str) -> bytes | None:
    """Return the signature of a statement; None for a text of which no other wording is recognised."""
    if len(text) > _LONGEST or not text.strip().isprintable():
        return None
    words = list(statement_words(text))
    while words and words[-1] in {",", ";"}:
        words.pop()
    if len([word for word in words if word not in {",", ";"}]) < 2:
        return None
    return hashlib.sha256(repr(_unordered(words) or _ordered(words)).encode()).digest()


def statement_words(text: str) -> Iterator[str]:
    """Yield the words of a statement in their plain form: numbers in digits, negations as "not", names as they are written."""
    yield from _words(_LEAD.sub("", unicodedata.normalize("NFC", text).strip()))


def _unordered(words: Sequence[str]) -> tuple[str, ...] | None:
    """Return the words in alphabetical order where their order says little; None where it may say who does what to whom.

    It says little beside one number or day and at most one name; the number keeps the words around it.
    """
    names = [
        word for word in words if word[:1] == _QUOTE or "@" in word or (word[:1].isupper() and word not in _CURRENCIES)
    ]
    values = [word for word in words if is_value(word)]
    days = [word for word in values if word.casefold() in _DAYS]
    if not values or len(days) > 1 or len(values) - len(days) > 1 or len(names) > 1:
        return None
    found: list[str] = []
    for place, word in enumerate(words):
        before, after = words[place - 1] if place else "", words[place + 1] if place + 1 < len(words) else ""
        if is_value(word):
            bound = before if before in _PREPOSITIONS or before == "not" else ""
            noun = after if after.isalpha() and after not in _PREPOSITIONS else before.removeprefix(bound)
            found.append(f"{bound} {word} {'' if word in days else stem(noun)}")
        elif word.endswith("ed") and before not in {_IS, _DEFINES, "be", "must", "not"}:
            found.append(f"{stem(word)} past")
        elif word not in _AROUND and not (word in _PREPOSITIONS and is_value(after)):
            found.append(stem(word) if word.islower() else word)
    return tuple(sorted({*found}))


def is_value(word: str) -> bool:
    """Return whether a word is a number, a date or the name of a day or month."""
    return word.casefold() in _DAYS or (any(map(str.isdigit, word)) and word[:1] != _QUOTE and "@" not in word)


def _ordered(words: Sequence[str]) -> object:
    at = next((place for place, word in enumerate(words) if word == _DEFINES), None)
    explicit = at is not None
    if at is None:
        at = next((place for place, word in enumerate(words) if word == _IS), None)
    if at is None:
        whole = _side(words)
        return whole.core, whole.phrases
    left, right = _side(words[:at]), _side(word for word in words[at + 1 :] if word not in {_DEFINES, _IS})
    if (
        left.has_value != right.has_value
        and not (left.phrases or right.phrases)
        and min(len(left.core), len(right.core)) > 0
    ):
        first, second = (left, right) if left.has_value else (right, left)
        return "defines", first.core, second.core
    if not explicit and right.core and _is_participle(right.core[0]):
        return left.core + right.core, tuple(sorted(left.phrases + right.phrases))
    return left.core + ((_DEFINES,) if explicit else (_IS,)) + right.core, tuple(sorted(left.phrases + right.phrases))


def _is_participle(word: str) -> bool:
    return word.endswith("ed") or word in {"go", "bought", "paid", "sold", "made", "done", "kept", "held", "begun"}


def _side(words: Iterable[str]) -> _Side:
    core: list[str] = []
    phrases: list[list[str]] = []
    into = core
    for word in words:
        if word in {",", ";"}:
            into = core
        elif word in _PREPOSITIONS:
            into = [into.pop(), word] if into and into[-1] == "not" else [word]
            phrases.append(into)
        else:
            into.append(word)
            if into is not core and word in _DAYS:
                into = core
    return _Side(tuple(core), tuple(sorted(map(tuple, phrases))))


def _words(text: str) -> Iterator[str]:
    first = text.partition(" ")[0]
    text = first.lower() + text[len(first) :] if first.istitle() else text
    plain = _THOUSANDS.sub("", _QUOTED.sub(lambda match: f" {_QUOTE}{match[1].replace(' ', '_')}{_QUOTE} ", text))
    for pattern, by in _REWRITES:
        plain = pattern.sub(by, plain)
    for place, match in enumerate(re.finditer(rf"\x03[^\x03]*\x03|{_TOKEN.pattern}", plain)):
        word = match.group()
        if word.startswith(_QUOTE) or not word.isalpha():
            yield word if word.startswith(_QUOTE) else word.strip("-.:/")
            continue
        folded = word.casefold()
        if folded in _COPULAS:
            yield _IS
        elif len(word) > 1 and word.isupper():
            yield word  # a code or a short name: IT, US, PAUSED
        elif folded in _DROPPED and (place == 0 or not word[0].isupper()):
            continue
        elif place > 0 and word[0].isupper() and folded not in _DAYS:
            yield word
        else:
            yield _plain_form(folded)


def _plain_form(word: str) -> str:
    if word in _NUMBERS:
        return _NUMBERS[word]
    if word in _SAME:
        return _SAME[word]
    singular = word
    if word.endswith("ies") and len(word) > 4:
        singular = f"{word[:-3]}y"
    elif word.endswith(("sses", "shes", "ches", "xes", "oes")):
        singular = word[:-2]
    elif word.endswith("s") and len(word) > 3 and not word.endswith(("ss", "us", "is")):
        singular = word[:-1]
    return _SAME.get(singular, singular)
