"""Compares what a lesson finds with what was learned before, and stores the difference.

Each learned memory has its lesson, key, support, confidence and the digest of its schema parts in its metadata, and links to what
it was concluded from. Nothing is deleted here: what is wrong or out of date ends, and comes back if it holds again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from psycopg.types.json import Jsonb

from agent.db import load_queries
from agent.learning.discovery.structure import AppStructure
from agent.learning.lessons.lesson import SAID_WRONG, Finding, Findings, LessonKind
from agent.learning.lessons.statement import is_current
from agent.learning.memory import Memory, NewMemory, agent_memory
from agent.learning.memory.embeddings import scope
from agent.runtime import Runtime
from agent.text.storable import storable_json

_QUERIES = load_queries(__package__)
_REPLACED = "another example took its place"
_OUT_OF_DATE = "the schema has changed"
_SHOWN, _QUOTE = 200, 500


@dataclass(slots=True)
class Kept:
    """What a run learned and dropped; each entry names the lesson, its memory and the reason."""

    learned: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    id: int
    content: str
    metadata: Mapping[str, Any]
    evidence_count: int
    valid: bool

    @property
    def ended(self) -> str:
        """Why the learner ended it; '' if it did not."""
        return str(self.metadata.get("ended", ""))


async def keep(lesson: str, kind: LessonKind, findings: Findings, structure: AppStructure, *, runtime: Runtime) -> Kept:
    """Store what is new, end what is wrong or out of date, and return both."""
    return await _Keeper(lesson, kind, structure, runtime=runtime).keep(findings)


async def end_concluded(turns: list[int], *, runtime: Runtime) -> None:
    """End what was learned from turns that a human calls wrong, and what they were answered by. It takes effect at once."""
    if turns:
        await runtime.execute(_QUERIES["end_concluded"], ids=turns, reason=SAID_WRONG, **scope(runtime))


class _Keeper:
    """Keeps the memories of one lesson."""

    def __init__(self, lesson: str, kind: LessonKind, structure: AppStructure, *, runtime: Runtime) -> None:
        self._lesson, self._kind, self._structure, self._runtime = lesson, kind, structure, runtime
        self._kept = Kept()

    async def keep(self, findings: Findings) -> Kept:
        rows = await self._runtime.all(_QUERIES["learned"], lesson=self._lesson, **scope(self._runtime))
        known = {str(row["metadata"].get("key")): _Known(**row) for row in rows}
        rows = await self._runtime.all(_QUERIES["forgotten"], lesson=self._lesson, **scope(self._runtime))
        forgotten = {row["key"] for row in rows}
        found = {one.key: one for one in findings.known if one.key not in forgotten}
        for key, finding in found.items():
            before = known.get(key)
            if before is None or before.content != finding.content:
                await self._learn(finding, before)
            elif _metadata(self._lesson, finding) != before.metadata or not before.valid:
                await self._renew(finding, before)
        for key, before in known.items():
            if key not in found:
                await self._look_again(before, findings.wrong.get(key, ""))
        return self._kept

    async def _learn(self, finding: Finding, before: _Known | None) -> None:
        if before is not None:  # another example stands for it now
            await self._note(before, {**before.metadata, "ended": _REPLACED}, valid=False)
        metadata = _metadata(self._lesson, finding)
        item = NewMemory(content=finding.content, kind=self._kind, trust="agent", metadata=metadata, **_source(finding))
        saved = await self._saved(item, finding)
        if saved is None:
            return
        known = _Known(
            id=saved.id, content=saved.content, metadata=metadata, evidence_count=finding.support, valid=True
        )
        await self._note(known, metadata, valid=True)
        why = (
            f"{finding.said.speaker or 'somebody'} said it"
            if finding.said
            else f"seen in {finding.support} conversations"
        )
        self._kept.learned.append(self._entry(known, why))

    async def _saved(self, item: NewMemory, finding: Finding) -> Memory | None:
        """Save a finding. What somebody said stands only where no human says otherwise, and is no second memory where it is known."""
        if finding.said is None:
            (saved,) = await agent_memory.save_many([item], derived_from=finding.sources, runtime=self._runtime)
            return saved
        taught = await agent_memory.teach(item, runtime=self._runtime)
        if taught.memory is not None and taught.memory.metadata.get("key") == finding.key:
            return taught.memory
        await self._runtime.execute(_QUERIES["settle"], lesson=self._lesson, key=finding.key, **scope(self._runtime))
        if taught.stands is not None:
            entry = {
                "lesson": self._lesson,
                "memory": taught.stands.id,
                "what": finding.content[:_SHOWN],
                "why": taught.message,
            }
            self._kept.dropped.append(entry)
        return None

    async def _renew(self, finding: Finding, before: _Known) -> None:
        if not before.valid and before.ended in ("", SAID_WRONG):
            return  # a human ended it, and `agent memory restore` brings it back
        await self._note(replace(before, evidence_count=finding.support), _metadata(self._lesson, finding), valid=True)
        await self._runtime.execute(
            _QUERIES["derive"], id=before.id, sources=list(finding.sources), **scope(self._runtime)
        )
        if not before.valid:
            self._kept.learned.append(self._entry(before, "it holds again"))

    async def _look_again(self, before: _Known, wrong: str) -> None:
        """End a lesson that is wrong or whose parts of the schema changed; bring one back whose parts are as they were."""
        sql, digest = str(before.metadata.get("sql", "")), str(before.metadata.get("digest", ""))
        known = bool(sql and digest and self._structure.get("parts"))
        reason = wrong or (_OUT_OF_DATE if known and not is_current(sql, digest, self._structure) else "")
        if before.valid and reason:
            await self._note(before, {**before.metadata, "ended": reason}, valid=False)
            self._kept.dropped.append(self._entry(before, reason))
        elif not before.valid and not reason and before.ended == _OUT_OF_DATE:
            await self._note(before, {name: v for name, v in before.metadata.items() if name != "ended"}, valid=True)
            self._kept.learned.append(self._entry(before, "the schema is as it was"))

    async def _note(self, known: _Known, metadata: Mapping[str, Any], *, valid: bool) -> None:
        await self._runtime.execute(
            _QUERIES["note"], id=known.id, metadata=Jsonb(dict(metadata)), valid=valid, evidence=known.evidence_count,
            **scope(self._runtime),
        )  # fmt: skip

    def _entry(self, known: _Known, why: str) -> dict[str, Any]:
        flat = " ".join(known.content.split())
        what = flat[:_SHOWN] + ("…" if len(flat) > _SHOWN else "")
        return {"lesson": self._lesson, "memory": known.id, "what": what, "why": why}


def _source(finding: Finding) -> dict[str, Any]:
    """Return where a finding was said."""
    said = finding.said
    if said is None:
        return {}
    return {
        "source_thread": said.thread,
        "source_turn": said.turn,
        "source_quote": said.text[:_QUOTE],
        "speaker": said.speaker or None,
    }


def _metadata(lesson: str, finding: Finding) -> dict[str, Any]:
    """Return what is stored beside the text of a finding."""
    noted = {
        "learned": lesson, "key": finding.key, "support": finding.support, "against": finding.against,
        "confidence": finding.confidence, "objects": list(finding.objects), "digest": finding.digest, **finding.detail,
    }  # fmt: skip
    return dict(storable_json(noted))
