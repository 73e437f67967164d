"""Finds corrections in what a user says: "No, that is wrong: we never ship to Malta". Pure, without a model."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.text.words import stems, word_set

# These words alone say that something was wrong.
_WRONG = (
    r"(?:(?:no|nope|sorry|well|hm+|but|hey|ok(?:ay)?|oh)[,.!;:]? +)*"
    r"(?:(?:(?:that|this|it|you|your (?:answer|number|result)|the (?:answer|number|result|sql|query))(?:'s| is| was|'re| are|s)?(?: still| simply| just| all| completely)?"
    r" (?:wrong|incorrect|false|mistaken|not (?:right|correct|true|what i (?:asked|meant|said))))"
    r"|(?:that|this|it) (?:isn't|wasn't) (?:right|correct|true|what i (?:asked|meant|said))"
    r"|wrong(?! )|wrong(?= (?:answer|again))(?: answer| again)?|incorrect|not (?:true|correct|right)|correction|you misunderstood(?: me)?)"
)
_EXPLICIT = re.compile(rf"^\W*{_WRONG}(?P<end>[\s,.:;!\u2013\u2014-]+|$)", re.I)
# After these a statement must follow, for they also begin other things.
_SOFT = re.compile(
    r"^\W*(?:(?:no|nope)(?:[,.:;!]+\s+| [-\u2013\u2014] |\s+(?=(?:we|it|they|he|she|you)\b))|(?:actually|on the contrary|i (?:already )?(?:told you|said)(?: that)?)"
    r"(?:[,.:;!]+\s+|\s+))",
    re.I,
)
_NO_STATEMENT = word_set(
    """
    show list give tell find get use count include exclude take make set send delete remove add update change create try do don't dont
    please only just what which who whom whose when where why how is are was were can could would should will may did does have has
    leave stop wait cancel never mind thanks thank sorry let lets i
    """
)
_SAYS = re.compile(
    r"\b(?:is|are|was|were|means?|has|have|never|always|not|no longer|only|must|should|cannot|can't|don't|doesn't|costs?|starts?|ends?|"
    r"belongs?|stands? for|goes|go|counts?|ships?|needs?|\w+s)\b|=", re.I
)  # fmt: skip
_POINTS_BACK = re.compile(r"^\W*(?:it|they|that|this|these|those|he|she|we mean|there)\b", re.I)
_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Correction:
    """A user says that an answer was wrong; `statement` is what holds instead, or '' if nothing was said."""

    statement: str = ""


def correction_in(text: str) -> Correction | None:
    """Return the correction that a user's message begins with, or None."""
    said = " ".join(text.replace("\u2019", "'").split())
    explicit = _EXPLICIT.match(said)
    if explicit:
        following = said[explicit.end() :]
        soft = _SOFT.match(following)
        return Correction(_statement(following[soft.end() :] if soft else following))
    soft = _SOFT.match(said)
    statement = _statement(said[soft.end() :]) if soft else ""
    is_one = statement and _first_word(statement) not in _NO_STATEMENT and _SAYS.search(statement)
    return Correction(statement) if is_one and len(statement.split()) >= 3 else None


def in_context(statement: str, question: str) -> str:
    """Return a statement that can be understood by itself: one that points back gets the question that it is about."""
    if question and (_POINTS_BACK.match(statement) or len(stems(statement)) < 2):
        return f"About {' '.join(question.split())!r}: {statement}"
    return statement


def _statement(text: str) -> str:
    """Return the sentences before the first question, without the last full stop."""
    sentences = re.split(r"(?<=[.!?])\s+", text.strip())
    kept: list[str] = []
    for sentence in sentences:
        if sentence.endswith("?"):
            break
        kept.append(sentence)
    return " ".join(kept)[:_LONGEST].strip(" .!;,:-")


def _first_word(text: str) -> str:
    return text.split(maxsplit=1)[0].strip(",.:;!").casefold() if text.split() else ""
