"""Forgets a memory with what says the same and what was concluded from it, so that no search returns its words again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.db import Connection, load_queries
from agent.db.queries import fetch_all
from agent.errors import NotFound
from agent.learning.memory.contradiction import holds, says_the_same
from agent.learning.memory.embeddings import scope
from agent.learning.memory.records import Memory
from agent.learning.memory.turns import near_equal, statements_of
from agent.runtime import Runtime

_QUERIES, _UPKEEP = load_queries(__package__), load_queries(__package__, "consolidation.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """A memory that is gone, and those that went with it: some `say_the_same`, some were `concluded` from it."""

    memory: Memory
    say_the_same: tuple[Memory, ...] = ()
    concluded: tuple[Memory, ...] = ()

    @property
    def ids(self) -> list[int]:
        """Return the numbers of all memories that are gone."""
        return [memory.id for memory in (self.memory, *self.say_the_same, *self.concluded)]


async def forget(memory: Memory, runtime: Runtime) -> Forgotten:
    """Delete `memory` and what goes with it. Raises `NotFound` when somebody else has just forgotten it."""
    async with runtime.transaction() as conn:
        gone = await _with_memory(memory, conn, runtime)
        await conn.execute(_UPKEEP["drop_derived"], {**scope(runtime), "ids": gone.ids})
        done = await conn.execute(_QUERIES["forget"], {**scope(runtime), "ids": gone.ids})
        if not done.rowcount:
            raise NotFound(f"There is no memory {memory.id!r}. `agent memory list` shows what there is.")
    return gone


async def what_goes(memory: Memory, runtime: Runtime) -> Forgotten:
    """Return what `forget` would delete now. Nothing is deleted."""
    async with runtime.transaction() as conn:
        return await _with_memory(memory, conn, runtime)


async def _with_memory(memory: Memory, conn: Connection, runtime: Runtime) -> Forgotten:
    """Return a memory with what says the same, and what was concluded from these."""
    place = {"id": memory.id, "thread": memory.source_thread, "turn": memory.source_turn, **scope(runtime)}
    alike = [Memory.from_row(row) for row in await fetch_all(conn, _QUERIES["with_words"], place)]
    same = {one.id: one for one in alike if repeats(one, memory.content)}
    said = [Memory.from_row(row) for row in await fetch_all(conn, _QUERIES["of_saying"], place)]
    concluded = {one.id: one for one in [*said, *await concluded_from([memory, *same.values()], conn, runtime)]}
    concluded = {number: one for number, one in concluded.items() if number not in same}
    return Forgotten(memory=memory, say_the_same=tuple(same.values()), concluded=tuple(concluded.values()))


async def concluded_from(sources: Sequence[Memory], conn: Connection, runtime: Runtime) -> list[Memory]:
    """Return what was concluded from `sources`, and from that in turn."""
    known, latest = {source.id: source for source in sources}, {source.id: source for source in sources}
    while latest:
        rows = await fetch_all(conn, _QUERIES["concluded"], {**scope(runtime), "ids": list(latest)})
        found = [(Memory.from_row(row), latest[row["earlier_id"]]) for row in rows]
        latest = {one.id: one for one, source in found if one.id not in known and _follows(one, source)}
        known |= latest
    return [known[number] for number in sorted(known.keys() - {source.id for source in sources})]


def _follows(turn: Memory, source: Memory) -> bool:
    """Return whether a turn was concluded from `source`. Of an earlier turn it saw the SQL, so it must have run nearly the same."""
    theirs = statements_of(source.content, source.metadata) if source.kind == "interaction" else ()
    own = statements_of(turn.content, turn.metadata)
    return not (own and theirs) or any(near_equal(one, other) for one in own for other in theirs)


def repeats(memory: Memory, statement: str) -> bool:
    """Return whether a memory repeats a statement. What a human stated in other words is a statement of its own."""
    if memory.kind != "interaction" and memory.trust == "human":
        return says_the_same(memory.content, statement)
    return any(holds(line, statement) for line in memory.content.splitlines())
