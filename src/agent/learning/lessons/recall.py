"""Chooses which worked examples go into a prompt: those whose question resembles the new one, while their tables are as they were. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent.learning.discovery.structure import AppStructure
from agent.learning.lessons.statement import is_current
from agent.learning.memory import Memory
from agent.text.words import related, stems

FOUND = 24
_SHOWN = 3
# The part of the words of both questions that must be in both.
_ALIKE = 0.35


def is_learned(memory: Memory) -> bool:
    """Return whether the learner made a memory."""
    return "learned" in memory.metadata


def examples_to_show(question: str, found: Sequence[Memory], structure: AppStructure) -> list[Memory]:
    """Return the worked examples for a question, the most alike first, each SQL once."""
    by_likeness = sorted(
        (
            (_alike(question, str(memory.metadata.get("question", ""))), memory)
            for memory in found
            if is_learned(memory)
        ),
        key=lambda one: -one[0],
    )
    chosen: dict[str, Memory] = {}
    for likeness, memory in by_likeness:
        sql = str(memory.metadata.get("sql", ""))
        if likeness >= _ALIKE and is_current(sql, str(memory.metadata.get("digest", "")), structure):
            chosen.setdefault(sql, memory)
    return list(chosen.values())[:_SHOWN]


def _alike(question: str, earlier: str) -> float:
    first, second = ({word for word in stems(text) if not word.isdigit()} for text in (question, earlier))
    shared = {word for word in first if word in second or related(word) & second}
    return len(shared) / max(min(len(first), len(second)), 1) * min(1.0, 0.5 + len(shared) / 4)
