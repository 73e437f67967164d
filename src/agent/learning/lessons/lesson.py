"""Define what lessons are made from, and what they find."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.learning.discovery.structure import AppStructure

SAID_WRONG = "a human said that it is wrong"
LessonKind = Literal["skill", "pattern", "fact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTurn:
    """A turn that was remembered. `examples` is the SQL that ran and that the model wrote before it had read any text of data.

    `digest` is that of the schema's parts that the first example relied on then (see `statement.digest_of`).
    `corrected` says that a human said it was wrong, `confirmed` that it followed a human's correction. `repeats` says that the
    turn was shown a skill and ran its SQL, so it is no evidence of its own.
    """

    memory: int
    question: str
    examples: tuple[str, ...] = ()
    digest: str = ""
    thread: str = ""
    corrected: bool = False
    confirmed: bool = False
    repeats: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A statement that the database refused, and the next one of the same turn, which ran."""

    memory: int
    failed: str
    error: str
    worked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTurn:
    """A turn without an answer, and why."""

    question: str
    error: str
    thread: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What a person wrote in a turn."""

    text: str
    speaker: str
    thread: str
    turn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What happened in one application, and its structure now."""

    structure: AppStructure
    turns: Sequence[PastTurn] = ()
    repairs: Sequence[Repair] = ()
    failures: Sequence[FailedTurn] = ()
    sayings: Sequence[Saying] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that should be known. `key` says what it is about; a newer finding with the same key takes its place.

    `sources` are the memories that it was concluded from, `said` where somebody said it. `objects` and `digest` are the parts of the schema that it depends on.
    """

    key: str
    content: str
    sources: tuple[int, ...]
    support: int
    against: int = 0
    objects: tuple[str, ...] = ()
    digest: str = ""
    said: Saying | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def confidence(self) -> float:
        """How likely it holds, by how often it was right and wrong; 0 to 1."""
        return round((self.support + 1) / (self.support + self.against + 2), 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a lesson found, and the keys of what it knows to be wrong, each with the reason."""

    known: Sequence[Finding] = ()
    wrong: Mapping[str, str] = field(default_factory=dict)


def key_of(*parts: str) -> str:
    """Return a short digest of the parts."""
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
