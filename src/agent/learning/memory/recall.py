"""Chooses which memories that a search found go into a prompt. Pure.

What was stated (facts, feedback, skills, patterns) and earlier turns are chosen apart, each by a floor and by their distance to
the best. So no number of similar turns hides a fact, and a question about something else recalls nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.learning.memory.embeddings import LEXICAL_BACKGROUND
from agent.learning.memory.records import STATED, Memory
from agent.learning.memory.turns import alike, names_another, near_equal, question_of, statements_of
from agent.text.words import stems

__all__ = ["STATED", "STATED_FOUND", "TURNS_FOUND", "stated_to_show", "turns_to_show"]

# So many of each are looked at, and shown at most.
STATED_FOUND, STATED_SHOWN = 12, 6
TURNS_FOUND, TURNS_SHOWN = 24, 3


@dataclass(frozen=True, slots=True)
class _Bar:
    """What a memory must reach: its strength, the part of the best one's strength, the part of the question's words, and how much
    these say: words that many memories have say little."""

    strength: float
    near: float
    words: float
    information: float


_STATED, _NOT_BY_PEOPLE, _TURN = _Bar(7.0, 0.6, 0.2, 3.6), _Bar(7.0, 0.75, 0.2, 3.6), _Bar(10.0, 0.6, 0.45, 3.6)
# The part of both questions' words that an earlier turn must share: what it ran is an example only for such a question.
_ALIKE = 0.5
# In place of words: so many standard deviations nearer than unrelated memories, if the embedder knows meanings.
_SAME_MEANING = 4.0
# The most that importance moves a memory; evidence counts up to 2^5, age up to so many years.
_WEIGHT, _MOST_EVIDENCE, _OLD_YEARS = 0.1, 5, 3
# Such a question says nothing outside of its conversation.
_FOLLOW_UP = re.compile(
    r"^\W*(?:and|or|but|no|nope|wrong|what about|how about|the same|same|now|then|again|why)\b", re.IGNORECASE
)


def stated_to_show(question: str, found: Sequence[Memory], *, semantic: bool) -> list[Memory]:
    """Return the statements to show, those of people first, and the best of each first."""
    fitting = [memory for memory in found if not names_another(question, memory.content)]
    near = [
        *_reaching(fitting, lambda memory: _STATED if memory.trust == "human" else _NOT_BY_PEOPLE, semantic=semantic)
    ]
    shown = sorted(near, key=lambda memory: -_strength(memory, semantic=semantic) * _importance(memory))[:STATED_SHOWN]
    return sorted(shown, key=lambda memory: memory.trust != "human")


def turns_to_show(
    question: str, found: Sequence[Memory], *, shown: tuple[str, int] | None, semantic: bool
) -> list[Memory]:
    """Return the earlier turns to show: those that asked nearly this and whose SQL succeeded, each question once.

    The conversation itself shows the turns of the thread `shown`, from that turn on.
    """
    useful = [
        memory
        for memory in found
        if _stands_alone(memory) and not _is_shown(memory, shown) and _asks_nearly(question, memory, semantic=semantic)
    ]
    chosen: list[Memory] = []
    for memory in _reaching(useful, lambda _: _TURN, semantic=semantic):
        if not any(_asks_the_same(memory, other) for other in chosen):
            chosen.append(memory)
    return chosen[:TURNS_SHOWN]


def _reaching(found: Sequence[Memory], bar_of: Callable[[Memory], _Bar], *, semantic: bool) -> Iterator[Memory]:
    strengths = {memory.id: _strength(memory, semantic=semantic) for memory in found}
    best = max(strengths.values(), default=0)
    for memory in found:
        bar, strength = bar_of(memory), strengths[memory.id]
        says_enough = (memory.word_share or 0) >= bar.words and (memory.information or 0) >= bar.information
        by_words = says_enough and strength >= bar.strength
        by_meaning = semantic and (memory.nearness or 0) >= _SAME_MEANING
        if (by_words or by_meaning) and strength >= bar.near * best:
            yield memory


def _strength(memory: Memory, *, semantic: bool) -> float:
    """Return how much a memory says about the question, on the scale of a search's scores.

    Vectors that are made from letters are compared with those of any two texts, however alike the memories are.
    """
    mean, deviation = LEXICAL_BACKGROUND
    nearness = (memory.nearness or 0) if semantic else ((memory.similarity or mean) - mean) / deviation
    return 12 * (memory.word_share or 0) + nearness


def _importance(memory: Memory) -> float:
    """Return by how much a memory is moved up or down among those that fit: how often it was said or seen, and how long ago.

    It never decides whether a memory is found: no memory is lost because it is old or was said once.
    """
    evidence = min(math.log2(memory.evidence_count), _MOST_EVIDENCE) / _MOST_EVIDENCE
    years = max((datetime.now(UTC) - memory.valid_from).days, 0) / 365
    return 1 + _WEIGHT * evidence - _WEIGHT * min(years / _OLD_YEARS, 1)


def _stands_alone(memory: Memory) -> bool:
    """Return whether a turn helps in other conversations: its SQL succeeded, and its question says what it is about."""
    asked = question_of(memory.content, memory.metadata)
    says_what = not _FOLLOW_UP.match(asked) and bool(stems(asked))
    return says_what and bool(statements_of(memory.content, memory.metadata))


def _is_shown(memory: Memory, shown: tuple[str, int] | None) -> bool:
    thread, turn = shown or (None, 0)
    return thread is not None and memory.source_thread == thread and (memory.source_turn or 0) >= turn


def _asks_nearly(question: str, memory: Memory, *, semantic: bool) -> bool:
    by_meaning = semantic and (memory.nearness or 0) >= _SAME_MEANING
    asked = question_of(memory.content, memory.metadata)
    # What corrected it stands in brackets after a question.
    return by_meaning or max(alike(question, asked), alike(question, asked.partition(" (")[0])) >= _ALIKE


def _asks_the_same(one: Memory, other: Memory) -> bool:
    return near_equal(question_of(one.content, one.metadata), question_of(other.content, other.metadata))
