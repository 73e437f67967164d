"""Chooses which memories that a search found go into a prompt. Pure.

What was stated (facts, feedback, skills, patterns) and earlier turns are chosen apart, each by a floor and by their distance to
the best. So no number of similar turns hides a fact, and a question about something else recalls nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from agent.learning.memory.embeddings import LEXICAL_BACKGROUND
from agent.learning.memory.records import STATED, Memory
from agent.learning.memory.turns import near_equal, question_of, statements_of
from agent.text.words import stems

__all__ = ["STATED", "STATED_FOUND", "TURNS_FOUND", "stated_to_show", "turns_to_show"]

# So many of each are looked at, and shown at most.
STATED_FOUND, STATED_SHOWN = 12, 6
TURNS_FOUND, TURNS_SHOWN = 24, 3


@dataclass(frozen=True, slots=True)
class _Bar:
    """What a memory must reach: its strength, the part of the best one's strength, and the part of the question's words."""

    strength: float
    near: float
    words: float


_STATED, _NOT_BY_PEOPLE, _TURN = _Bar(7.0, 0.55, 0.2), _Bar(7.0, 0.75, 0.2), _Bar(10.0, 0.6, 0.45)
# In place of words: so many standard deviations nearer than unrelated memories, if the embedder knows meanings.
_SAME_MEANING = 4.0
# Such a question says nothing outside of its conversation.
_FOLLOW_UP = re.compile(
    r"^\W*(?:and|or|but|no|nope|wrong|what about|how about|the same|same|now|then|again|why)\b", re.IGNORECASE
)


def stated_to_show(found: Sequence[Memory], *, semantic: bool) -> list[Memory]:
    """Return the statements to show, those of people first, and the best of each first."""
    near = [*_reaching(found, lambda memory: _STATED if memory.trust == "human" else _NOT_BY_PEOPLE, semantic=semantic)]
    return sorted(near[:STATED_SHOWN], key=lambda memory: memory.trust != "human")


def turns_to_show(found: Sequence[Memory], *, thread_id: str | None, semantic: bool) -> list[Memory]:
    """Return the earlier turns to show: of other threads, each question once, and only turns whose SQL succeeded."""
    useful = [
        memory for memory in found if _stands_alone(memory) and (thread_id is None or memory.source_thread != thread_id)
    ]
    shown: list[Memory] = []
    for memory in _reaching(useful, lambda _: _TURN, semantic=semantic):
        if not any(_asks_the_same(memory, other) for other in shown):
            shown.append(memory)
    return shown[:TURNS_SHOWN]


def _reaching(found: Sequence[Memory], bar_of: Callable[[Memory], _Bar], *, semantic: bool) -> Iterator[Memory]:
    strengths = {memory.id: _strength(memory, semantic=semantic) for memory in found}
    best = max(strengths.values(), default=0)
    for memory in found:
        bar, strength = bar_of(memory), strengths[memory.id]
        by_words = (memory.word_share or 0) >= bar.words and strength >= bar.strength
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


def _stands_alone(memory: Memory) -> bool:
    """Return whether a turn helps in other conversations: its SQL succeeded, and its question says what it is about."""
    asked = question_of(memory.content, memory.metadata)
    says_what = not _FOLLOW_UP.match(asked) and bool(stems(asked))
    return says_what and bool(statements_of(memory.content, memory.metadata))


def _asks_the_same(one: Memory, other: Memory) -> bool:
    return near_equal(question_of(one.content, one.metadata), question_of(other.content, other.metadata))
