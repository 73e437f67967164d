"""Define a memory as it is saved and as it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal

from agent.learning.memory.turns import plain_name, turn_text
from agent.types import MemoryKind, Trust

# What people and models state; the other kinds are what was discovered and what was asked.
STATED: tuple[MemoryKind, ...] = ("fact", "feedback", "skill", "pattern")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMemory:
    """A memory to save."""

    content: str
    kind: MemoryKind = "fact"
    subject: str | None = None
    trust: Trust = "agent"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source_thread: str | None = None
    source_turn: int | None = None
    source_quote: str | None = None
    speaker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A stored memory; `score` is set where a search found it. Fields can be read as `memory["content"]` too."""

    id: int
    kind: MemoryKind
    content: str
    trust: Trust
    subject: str | None
    metadata: Mapping[str, Any]
    source_thread: str | None
    source_turn: int | None
    source_quote: str | None
    evidence_count: int
    embedding_model: str | None
    valid_from: datetime
    valid_until: datetime | None
    created_at: datetime
    use_count: int = 0  # always 0 in the result of a save
    last_used_at: datetime | None = None
    speaker: str | None = None
    score: float | None = None
    word_share: float | None = None
    information: float | None = None
    similarity: float | None = None
    nearness: float | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Memory:
        """Return the memory in a row of one of this package's queries."""
        return cls(**{name: row[name] for name in FIELDS if name in row})

    def __getitem__(self, name: str) -> Any:
        if name not in FIELDS:
            raise KeyError(name)
        return getattr(self, name)

    @property
    def line(self) -> str:
        """The memory as a line of a prompt: kind, trust, when and by whom, text, id. Of a turn it shows question and SQL, no answer."""
        text = turn_text(self.content, self.metadata) if self.kind == "interaction" else self.content
        if self.kind == "skill" and self.metadata.get("confirmed"):
            text = re.sub("^Worked example", "Confirmed example", text)
        by = f" by {plain_name(self.speaker)}" if self.speaker else ""
        said = f"{self.valid_from:%Y-%m-%d}{by}"
        return f"- [{self.kind}, {self.trust}, {said}] {' '.join(text.split())} (memory {self.id})"


FIELDS = tuple(item.name for item in fields(Memory))


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a memory has to do with the memory `other`, which came `later` than it or before."""

    relation: Literal["derived", "corrects", "replaces"]
    other: int
    later: bool
