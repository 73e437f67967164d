"""Forgets a memory with what says the same and what was concluded from it, so that no search returns its words again."""

from __future__ import annotations

from dataclasses import dataclass

from agent.db import load_queries
from agent.errors import NotFound
from agent.learning.memory.contradiction import holds, says_the_same
from agent.learning.memory.embeddings import scope
from agent.learning.memory.records import Memory
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)


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
        place = {"id": memory.id, "thread": memory.source_thread, "turn": memory.source_turn, **scope(runtime)}
        rows = [await (await conn.execute(_QUERIES[name], place)).fetchall() for name in ("with_words", "concluded")]
        alike, concluded = ([Memory.from_row(row) for row in found] for found in rows)
        same = tuple(one for one in alike if repeats(one, memory.content))
        known = {one.id for one in same}
        gone = Forgotten(
            memory=memory, say_the_same=same, concluded=tuple(one for one in concluded if one.id not in known)
        )
        done = await conn.execute(_QUERIES["forget"], {**scope(runtime), "ids": gone.ids})
        if not done.rowcount:
            raise NotFound(f"There is no memory {memory.id!r}. `agent memory list` shows what there is.")
    return gone


def repeats(memory: Memory, statement: str) -> bool:
    """Return whether a memory repeats a statement. What a human stated in other words is a statement of its own."""
    if memory.kind != "interaction" and memory.trust == "human":
        return says_the_same(memory.content, statement)
    return any(holds(line, statement) for line in memory.content.splitlines())
