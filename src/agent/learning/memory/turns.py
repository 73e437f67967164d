"""Reads the memory of an earlier turn: what was asked, which SQL succeeded, and whether two turns asked the same. Pure.

A prompt shows a turn as its question and its SQL. Its answer is old by then, and may have been wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agent.text.calendar_words import DAYS, MONTHS
from agent.text.words import STOP_WORDS, stem, stems

_ASKED, _RAN = "Asked: ", "Ran: "
_NEAR_EQUAL = 0.8
_LONGEST_NAME = 60
_NUMBERED = re.compile(r"\b([^\W\d_]{3,}) (?:= ?)?'?(\d+[A-Z]?|[A-Z]{1,2}\d*)\b")
_DATES = frozenset(map(stem, (*MONTHS, *DAYS, "today", "yesterday", "tomorrow")))
_REFUSAL = re.compile(
    r"^\W*(?:(?:i'?m |i am )?(?:very )?(?:sorry|afraid)\b|unfortunately\b|(?:(?:i|we|i'?m|i am|we are) )(?:still |really )*(?:can'?t|can ?not|could ?n[o']t|could not|"
    r"(?:am |was )?not able|(?:am |was )?unable|do(?:es)? ?n[o']t (?:know|understand|have)|do not (?:know|understand|have)|did ?n[o']t understand|did not understand|"
    r"have no (?:tool|way|data|information|access|idea))\b|there is no answer\b|i stopped:|the model gave no answer)",
    re.IGNORECASE,
)


def question_of(content: str, metadata: Mapping[str, Any]) -> str:
    """Return the question of a turn's memory."""
    return str(metadata.get("question") or next(iter(_lines(content, _ASKED)), ""))


def statements_of(content: str, metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the SQL of a turn that succeeded; older memories do not tell it apart, unless their turn failed."""
    if "statements" in metadata:
        return tuple(str(sql) for sql in metadata["statements"])
    return () if metadata.get("failed") else tuple(_lines(content, _RAN))


def turn_text(content: str, metadata: Mapping[str, Any]) -> str:
    """Return what a prompt shows of a turn: its question and the SQL that succeeded."""
    asked = question_of(content, metadata)
    if not asked:
        return content
    return "; ".join([f"{_ASKED}{asked}", *(f"{_RAN}{sql}" for sql in statements_of(content, metadata))])


def near_equal(one: str, other: str) -> bool:
    """Return whether two questions ask the same in nearly the same words."""
    first, second = set(stems(one)), set(stems(other))
    return len(first & second) >= _NEAR_EQUAL * len(first | second)


def alike(question: str, earlier: str) -> float:
    """Return which part of the words of both questions is in both; 0 if they ask about other numbers, days or months."""
    first, second = set(stems(question)), set(stems(earlier))
    values = [{word for word in words if word in _DATES or any(map(str.isdigit, word))} for words in (first, second)]
    if values[0] != values[1] and values[0] and values[1]:
        return 0.0
    return len(first & second) / max(len(first | second), 1)


def names_another(question: str, text: str) -> bool:
    """Return whether a text is about another one of what a question names by number or letter: "status 4", not "status 3"."""
    asked, said = _numbered(question), _numbered(text)
    return any(said[noun].isdisjoint(values) for noun, values in asked.items() if noun in said)


def _numbered(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for noun, value in _NUMBERED.findall(text):
        if noun.casefold() not in STOP_WORDS:
            found.setdefault(stem(noun.casefold()), set()).add(value)
    return found


def is_refusal(answer: str) -> bool:
    """Return whether an answer says that there is none."""
    return bool(_REFUSAL.match(" ".join(answer.replace("\u2019", "'").split())))


def plain_name(name: str) -> str:
    """Return the name of a person without the punctuation that ends its place in a line."""
    return " ".join(re.sub(r"[\[\](),\s]+", " ", name).split())[:_LONGEST_NAME]


def _lines(content: str, start: str) -> Sequence[str]:
    return [line.removeprefix(start) for line in content.splitlines() if line.startswith(start)]
