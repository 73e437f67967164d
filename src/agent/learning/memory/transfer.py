"""Writes memories to a file, and reads such a file: JSON lines, with a first line that says what it is and a last one that seals it.

An import reads and checks the whole file before it stores anything, and stores all of it or nothing. A file that was sealed with
this installation's key keeps who said what; in any other file nothing is believed to be said by a human.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from agent.audit.sealing import key_ring
from agent.db import Connection, load_queries
from agent.db.queries import fetch_all
from agent.errors import ConfigurationError, InvalidInput
from agent.learning.memory.content import prepare
from agent.learning.memory.embeddings import scope
from agent.privacy.typed_secrets import without_typed_secrets
from agent.runtime import Runtime
from agent.text.faults import fault
from agent.text.storable import storable, storable_json
from agent.types import Trust

_QUERIES = load_queries(__package__, "transfer.sql")
_FORMAT = "agent memories"
_BATCH = 500
# Characters that end a line for some readers.
_LINE_ENDS = {number: f"\\u{number:04x}" for number in (0x85, 0x2028, 0x2029)}
MOST_LINE_BYTES = 300_000
_MOST_MEMORIES = 2_000_000
_MOST_DEPTH = 50


class _Link(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    earlier: int = Field(ge=1, lt=2**63)
    relation: Literal["derived", "corrects", "replaces"]


class _Line(BaseModel):
    """One memory in a file."""

    model_config = ConfigDict(extra="forbid")
    id: int = Field(ge=1, lt=2**63, strict=True)
    kind: Literal["interaction", "fact", "pattern", "skill", "feedback"]
    subject: str | None = Field(max_length=1_000)
    content: str = Field(min_length=1, max_length=100_000)
    metadata: dict[str, Any]
    trust: Trust
    speaker: str | None = Field(max_length=200)
    source_thread: str | None = Field(max_length=200)
    source_turn: int | None = Field(ge=0, lt=2**31)
    source_quote: str | None = Field(max_length=100_000)
    evidence_count: int = Field(ge=1, le=1_000_000)
    valid_from: AwareDatetime
    valid_until: AwareDatetime | None
    created_at: AwareDatetime
    links: list[_Link] = Field(max_length=10_000)

    def row(self, *, trusted: bool) -> dict[str, Any]:
        """Return the values of the query `import`. Raises `InvalidInput` if no text is left."""
        text = prepare(without_typed_secrets(self.content))
        values = self.model_dump(mode="json", exclude={"links", "id"})
        safe: dict[str, Any] = {name: storable_json(value) for name, value in values.items()}
        doubted = {} if trusted else {"trust": "external", "evidence_count": 1, "metadata": {}}
        return {**safe, "content": text.text, "content_hash": text.digest.hex(), **doubted}


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did: memories `added`, those that were `known`, and whether the file was sealed by this installation."""

    added: int
    known: int
    trusted: bool


async def export_lines(runtime: Runtime) -> AsyncIterator[str]:
    """Yield the lines of an export, read as of one moment."""
    seal = _Seal(_keys(runtime))
    yield seal.add({"format": _FORMAT, "version": 1})
    count = 0
    async with runtime.transaction() as conn, conn.cursor(name="exported_memories") as cursor:
        await cursor.execute(_QUERIES["exported"], scope(runtime))
        async for row in cursor:
            count += 1
            yield seal.add(
                {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
            )
    yield seal.end(count)


async def import_lines(lines: Iterable[bytes], *, again: Iterable[bytes], runtime: Runtime) -> Imported:
    """Store the memories of a file. `lines` and `again` both read it from its beginning. Raises `InvalidInput`; nothing is stored then."""
    trusted = _check(lines, runtime)
    added = read = 0
    numbers: dict[int, int] = {}
    links: list[dict[str, Any]] = []
    async with runtime.transaction() as conn:
        for batch in _batches(_memories(again)):
            found = await _store(batch, conn, runtime, trusted=trusted)
            added += found.pop("added")
            read += len(batch)
            numbers |= found
            links += [{"later": one.id, **link.model_dump()} for one in batch for link in one.links]
        there = [
            {"later": numbers[link["later"]], "earlier": numbers[link["earlier"]], "relation": link["relation"]}
            for link in links
            if link["later"] in numbers and link["earlier"] in numbers
        ]
        for start in range(0, len(there), _BATCH):
            await conn.execute(
                _QUERIES["import_links"], {**scope(runtime), "rows": json.dumps(there[start : start + _BATCH])}
            )
    return Imported(added=added, known=read - added, trusted=trusted)


async def _store(batch: Sequence[_Line], conn: Connection, runtime: Runtime, *, trusted: bool) -> dict[Any, int]:
    """Store memories, and return the new number of each by its old one, and how many were `added`."""
    rows = [one.row(trusted=trusted) for one in batch]
    first = {(row["content_hash"], row["valid_until"]): row for row in rows}
    stored = await fetch_all(conn, _QUERIES["import"], {**scope(runtime), "rows": json.dumps([*first.values()])})
    hashes = [row["content_hash"] for row in rows]
    there = await fetch_all(conn, _QUERIES["known"], {**scope(runtime), "hashes": hashes})
    valid = {row["content_hash"]: row["id"] for row in there}
    ended = {row["content_hash"]: row["id"] for row in stored if not row["valid"]}
    numbers: dict[Any, int] = {"added": len(stored)}
    for one, row in zip(batch, rows, strict=True):
        place = (ended if one.valid_until else valid).get(row["content_hash"])
        if place is not None:
            numbers[one.id] = place
    return numbers


def _check(lines: Iterable[bytes], runtime: Runtime) -> bool:
    """Read a whole file; return whether this installation sealed it. Raises `InvalidInput` naming the first line that is wrong."""
    seal, count, ids, last = _Seal(_keys(runtime)), 0, set[int](), b""
    for number, line in enumerate(lines, start=1):
        if last:
            if number == 2:
                _check_head(_parsed(last, 1))
            else:
                one = _line(last, number - 1)
                count += 1
                if one.id in ids:
                    raise InvalidInput(
                        f"Line {number - 1} has a memory {one.id} that is in the file already. Nothing was imported."
                    )
                ids.add(one.id)
            seal.add_text(last)
        if count > _MOST_MEMORIES:
            raise InvalidInput(f"The file has more than {_MOST_MEMORIES:,} memories: split it. Nothing was imported.")
        last = line.rstrip(b"\r\n") if len(line) <= MOST_LINE_BYTES else line
        if len(line) > MOST_LINE_BYTES or not last:
            raise InvalidInput(
                f"Line {number} is {'empty' if not last else 'too long'}: no export has such a line. Nothing was imported."
            )
    end = _parsed(last, 0) if last else {}
    if end.get("end") != count or end.get("sha256") != seal.digest or not count + ("end" in end):
        raise InvalidInput(
            "The file is not whole: its last line does not fit what comes before it. Export it again. Nothing was imported."
        )
    return seal.fits(str(end.get("seal", "")))


def _check_head(head: Mapping[str, Any]) -> None:
    if head.get("format") != _FORMAT:
        raise InvalidInput(
            "This is no export of memories: name a file that `agent memory export` wrote. Nothing was imported."
        )
    if head.get("version") != 1:
        raise InvalidInput(
            "The file was written by a newer version of the agent: upgrade this one. Nothing was imported."
        )


def _memories(lines: Iterable[bytes]) -> Iterator[_Line]:
    """Yield the memories of a file that was checked."""
    held: bytes | None = None
    for number, line in enumerate(lines, start=1):
        if held is not None:
            yield _line(held, number - 1)
        held = line.rstrip(b"\r\n") if number > 1 else None


def _line(text: bytes, number: int) -> _Line:
    parsed = _parsed(text, number)
    try:
        one = _Line.model_validate(parsed)
    except ValidationError as error:
        where, what = fault(error)
        raise InvalidInput(
            f"Line {number} is no memory: {where or 'the line'}: {what}. Nothing was imported."
        ) from None
    if not storable(one.content).strip():
        raise InvalidInput(f"Line {number} has no text. Nothing was imported.")
    return one


def _parsed(text: bytes, number: int) -> dict[str, Any]:
    try:
        value = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or _depth(value) > _MOST_DEPTH:
        where = f"Line {number}" if number else "The last line"
        raise InvalidInput(
            f"{where} is no JSON object: this is no export of memories, or it is damaged. Nothing was imported."
        )
    return value


def _depth(value: Any, at: int = 0) -> int:
    if at > _MOST_DEPTH or not isinstance(value, dict | list):
        return at
    return max((_depth(one, at + 1) for one in (value.values() if isinstance(value, dict) else value)), default=at)


def _batches(memories: Iterator[_Line]) -> Iterator[list[_Line]]:
    batch: list[_Line] = []
    for one in memories:
        batch.append(one)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


class _Seal:
    """Digests lines, and seals them with the installation's key if it has one."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._lines = hashlib.sha256()
        self._keys = keys

    @property
    def digest(self) -> str:
        return self._lines.hexdigest()

    def add(self, value: Mapping[str, Any]) -> str:
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).translate(_LINE_ENDS)
        self.add_text(line.encode())
        return line

    def add_text(self, line: bytes) -> None:
        self._lines.update(line + b"\n")

    def end(self, count: int) -> str:
        seal = self._sealed(self._keys[0]) if self._keys else ""
        return json.dumps({"end": count, "sha256": self.digest, "seal": seal})

    def fits(self, seal: str) -> bool:
        return any(hmac.compare_digest(self._sealed(key).encode(), seal.encode()) for key in self._keys)

    def _sealed(self, key: bytes) -> str:
        return hmac.digest(key, b"exported memories\n" + self._lines.digest(), "sha256").hex()


def _keys(runtime: Runtime) -> list[bytes]:
    try:
        return [key_ring(runtime.settings).current]
    except ConfigurationError:
        return []
