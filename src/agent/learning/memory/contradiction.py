"""Decides whether two statements are about the same thing and say different things, or say the same. Pure, without a model.

A statement is read as subject, verb and rest: "status 3 | means | paused". Only close forms count: what is taken for a
contradiction closes a memory, so two statements that may both hold must both stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agent.text.words import STOP_WORDS, stem, word_set, words

_DEFINES = re.compile(
    r"\b(?:means?|stands? for|equals?|denotes?|refers? to|counts? as|is short for)\b|(?<![<>!])=", re.I
)
_STATES = re.compile(
    r"\b(?:is|are|was|were|be|has|have|costs?|starts?|begins?|ends?|closes?|opens?|runs?|lives?|takes?|lasts?|needs?|gets?|goes|go|belongs?|"
    r"arrives?|delivers?|reports?|pays?|earns?|uses?|works?|stays?|amounts?|requires?|expires?|renews?)\b",
    re.I,
)
_NEGATION = re.compile(r"\b(?:not|never|no longer|no more|cannot|neither|nor|no)\b|n't\b", re.I)
# ", not paused", "instead of paused": says what the statement corrects, not what it says.
_INSTEAD = re.compile(
    r"(?:,| -|;)? \(?(?:instead of|rather than)\b[^,;]*|(?:,| -|;) (?:and )?(?:not|no longer)\b[^,;]*$", re.I
)
_SINCE = re.compile(
    r"^\W*(?:from now on|(?:since|as of|starting|from) (?:now|today|(?:last |next |this )?\w+(?: \d{1,4})?)(?: on)?),?\s+",
    re.I,
)
_TOKEN = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|https?://\S+|\d+(?:[.,:/-]\d+)*|[^\W\d_]+")
_FILLER = word_set(
    "actually now note remember please that today henceforth currently still always really just correct right"
)
_VALUES = word_set(
    """
    monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays saturdays sundays
    january february march april may june july august september october november december spring summer autumn winter
    one two three four five six seven eight nine ten eleven twelve twenty thirty hundred thousand first second third fourth
    daily weekly monthly quarterly yearly morning noon evening midnight yes no true false
    """
)
_MANY_WORDS = 3
_PREPOSITION = (
    r"(?:after|before|within|to|at|by|on|from|until|till|in|into|over|under|above|below|for|with|than|via|as)"
)
_PLACED = re.compile(rf"\b{_PREPOSITION} (?=\S)", re.I)
_LEAD = re.compile(rf"\W*({_PREPOSITION})\b", re.I)
_QUOTED_AT_END = re.compile(r"[\"'`\u201d]\s*$")
_DEFINITE = re.compile(r"^\W*(?:in [^,]+, )?(?:the|our|my|your|his|her|their|its|this)\b|\w's\b", re.I)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A statement: the stems of its subject and of the rest, its words that are values, and whether it denies.

    `placed` are the values after a preposition, and `lead` is the preposition with which the rest begins.
    """

    subject: frozenset[str]
    rest: frozenset[str]
    order: tuple[str, ...]
    values: frozenset[str]
    placed: frozenset[str]
    lead: str
    verb: str  # "defines", "states" or ""
    denies: bool
    definite: bool

    @property
    def stems(self) -> frozenset[str]:
        return frozenset(self.order)


def contradicts(new: str, old: str) -> bool:
    """Return whether `new` says something else about the same thing than `old`."""
    one, other = _parts(new), _parts(old)
    if one.denies != other.denies:
        fewer = min(one.stems, other.stems, key=len)
        return len(fewer) >= 2 and (one.stems <= other.stems or other.stems <= one.stems)
    if one.stems == other.stems:
        return False
    if one.verb and other.verb:
        return _same_subject(one, other) and _differs(one, other)
    return _ends_in_other_values(one, other)


def says_the_same(one: str, other: str) -> bool:
    """Return whether two statements have the same words in the same order, but for case, forms and fillers."""
    first, second = _parts(one), _parts(other)
    return bool(first.order) and (first.order, first.denies) == (second.order, second.denies)


def holds(text: str, statement: str) -> bool:
    """Return whether a longer text says the same among other things: it has all words of the statement, few ones side by side."""
    wanted, there = _parts(statement).order, _parts(text).order
    if len({*wanted}) >= _MANY_WORDS:
        return {*wanted} <= {*there}
    return bool(wanted) and any(there[at : at + len(wanted)] == wanted for at in range(len(there)))


def _same_subject(one: _Parts, other: _Parts) -> bool:
    """Return whether two subjects are the same; one may be more exact: "status 3" and "campaign status 3"."""
    if one.subject == other.subject:
        return bool(one.subject)
    fewer = min(one.subject, other.subject, key=len)
    exact = len(fewer) >= 2 and bool(fewer & (one.values | other.values))
    return exact and (one.subject < other.subject or other.subject < one.subject)


def _differs(one: _Parts, other: _Parts) -> bool:
    """Return whether what is said of the subject cannot hold twice."""
    if one.rest <= other.rest or other.rest <= one.rest:
        return False  # the same, more or less exactly
    if "defines" in (one.verb, other.verb) or one.rest & other.rest:
        return True
    by_values = (one.rest <= one.values, other.rest <= other.values)
    if by_values[0] != by_values[1]:
        return False
    exact = (
        (one.definite and other.definite) or bool(one.subject & one.values) or bool(one.lead and one.lead == other.lead)
    )
    return by_values[0] or (exact and len(one.rest) == len(other.rest) == 1)


def _ends_in_other_values(one: _Parts, other: _Parts) -> bool:
    """Return whether two statements begin alike, and all that differs after that are values: an address, a number, a name."""
    same = 0
    for left, right in zip(one.order, other.order, strict=False):
        if left != right:
            break
        same += 1
    only_one, only_other = one.stems - other.stems, other.stems - one.stems
    return same >= 2 and bool(only_one and only_other) and only_one <= one.placed and only_other <= other.placed


def _parts(text: str) -> _Parts:
    sentence = _SINCE.sub("", _INSTEAD.sub("", " ".join(text.split()).rstrip(".!")))
    denials = len(_NEGATION.findall(sentence))
    positive = _NEGATION.sub(" ", sentence)
    verb = next((match for form in (_DEFINES, _STATES) for match in form.finditer(positive) if match.start() > 2), None)
    split = (positive[: verb.start()], positive[verb.end() :]) if verb else (positive, "")
    subject, rest = (tuple(_stems(part)) for part in split)
    defines = verb and (_DEFINES.fullmatch(verb.group()) or _QUOTED_AT_END.search(split[0]))
    lead = _LEAD.match(split[1])
    values = frozenset(word for word, is_value in (*subject, *rest) if is_value)
    return _Parts(
        subject=frozenset(word for word, _ in subject),
        rest=frozenset(word for word, _ in rest),
        order=tuple(word for word, _ in (*subject, *rest)),
        values=values,
        placed=values
        & {word for match in _PLACED.finditer(positive) for word, _ in list(_stems(" " + positive[match.end() :]))[:1]},
        lead=lead[1].casefold() if lead else "",
        verb="" if verb is None else "defines" if defines else "states",
        denies=denials % 2 == 1,
        definite=bool(_DEFINITE.match(positive)),
    )


def _stems(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the stem of each word that says something, and whether it is a value: a number, a day, an address, a name."""
    for match in _TOKEN.finditer(text):
        token = match.group()
        folded = token.casefold()
        if not token.isalpha():
            yield folded, True
        elif folded not in _FILLER and (folded not in STOP_WORDS or (folded in _VALUES and folded != "no")):
            named = token[0].isupper() and match.start() > 0
            yield stem(next(iter(words(token)), folded)), named or folded in _VALUES
