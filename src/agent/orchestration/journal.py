"""Writes what the plans of this process do. What waits goes to the server in one transaction: many plans share one commit.

What nobody waits for waits for a moment, so that it goes along with something else. Up to three transactions are on their way at the same
time, and of one run only one: what happens to it is stored, and numbered, in the order in which it happened. Rows of plans are locked in
the order of their ids, by everybody, so that no two wait for each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from agent.errors import AgentError
from agent.runtime import Cache, Runtime

_MOST_TOGETHER = 200
_LATER_SECONDS = 0.02
_MOST_WRITERS = 3
Statement = tuple[LiteralString, Mapping[str, Any]]
Written = asyncio.Future[list[int]]


class PlanLost(AgentError):
    """Another process has taken this plan over, and goes on with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """Statements that belong together, and who waits for the numbers of their rows."""

    run_id: UUID
    statements: Sequence[Statement]
    fenced: bool
    done: Written


class Journal:
    """Writes for the runs of one tenant."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._waiting: dict[UUID, list[_Entry]] = {}
        self._storing: set[UUID] = set()
        self._urgent = False
        self._writers: set[asyncio.Task[None]] = set()
        self._later: asyncio.TimerHandle | None = None

    def write(self, run_id: UUID, *statements: Statement, fenced: bool = False, urgent: bool = True) -> Written:
        """Store what happened to a run, behind what happened to it before. The future has how many rows each statement wrote.

        The statements are stored together or not at all, and also if nobody waits. `fenced`: who waits gets `PlanLost` if the first
        statement wrote nothing, because the run belongs to another process. What is not `urgent` may wait for a moment.
        """
        done: Written = asyncio.get_running_loop().create_future()
        done.add_done_callback(_looked_at)
        entry = _Entry(run_id=run_id, statements=statements, fenced=fenced, done=done)
        self._waiting.setdefault(run_id, []).append(entry)
        if urgent:
            self._store_now()
        elif self._later is None:
            self._later = asyncio.get_running_loop().call_later(_LATER_SECONDS, self._store_now)
        return done

    async def close(self) -> None:
        """Store what waits."""
        self._store_now()
        if self._writers:
            await asyncio.wait(self._writers)

    def _store_now(self) -> None:
        self._urgent = True
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if len(self._writers) < _MOST_WRITERS:
            self._writers.add(asyncio.create_task(self._drain()))

    async def _drain(self) -> None:
        while batch := self._next():
            runs = {entry.run_id for entry in batch}
            self._storing |= runs
            try:
                await self._finish(batch)
            finally:
                self._storing -= runs
        self._writers -= {asyncio.current_task()}  # at once: whoever writes next needs to know

    def _next(self) -> list[_Entry]:
        """Take what waits, in the order of the runs' ids, but nothing of a run of which something is on its way."""
        if not self._urgent:
            return []
        batch: list[_Entry] = []
        for run_id in [one for one in self._waiting if one not in self._storing]:
            entries, room = self._waiting.pop(run_id), _MOST_TOGETHER - len(batch)
            batch += entries[:room]
            if room < len(entries):
                self._waiting[run_id] = entries[room:]
                break
        self._urgent = bool(self._waiting)
        batch.sort(key=lambda entry: entry.run_id)  # a run keeps its own order
        return batch

    async def _finish(self, batch: Sequence[_Entry]) -> None:
        """Store a batch, and tell who waits."""
        try:
            counts = await self._stored_at_last(batch)
        except (
            AgentError,
            psycopg.OperationalError,
        ) as error:  # there is no server: nobody's statement is to blame
            _fail(batch, error)
        except Exception as error:  # whoever waits is told, and the others go on
            await self._one_by_one(batch, error)
        else:
            for entry, count in zip(batch, counts, strict=True):
                _tell(entry, count)

    async def _one_by_one(self, batch: Sequence[_Entry], error: Exception) -> None:
        if len(batch) == 1:
            _fail(batch, error)
            return
        for entry in batch:
            try:
                (count,) = await self._stored([entry])
            except Exception as failure:  # as above
                _fail([entry], failure)
            else:
                _tell(entry, count)

    async def _stored_at_last(self, batch: Sequence[_Entry]) -> list[list[int]]:
        """Store a batch, once more if somebody held rows in another order."""
        try:
            return await self._stored(batch)
        except psycopg.errors.DeadlockDetected:
            return await self._stored(batch)

    async def _stored(self, batch: Sequence[_Entry]) -> list[list[int]]:
        """Run the statements of a batch in one round trip, which the server makes one transaction."""
        tenant = {"tenant_id": self._runtime.tenant_id}
        async with self._runtime.connection() as conn, conn.pipeline():
            cursors = [
                [await conn.execute(query, {**values, **tenant}) for query, values in entry.statements]
                for entry in batch
            ]
        return [[cursor.rowcount for cursor in of_entry] for of_entry in cursors]


def _tell(entry: _Entry, count: list[int]) -> None:
    if entry.fenced and not count[0]:
        _fail([entry], PlanLost())
    elif not entry.done.done():
        entry.done.set_result(count)


def _fail(batch: Sequence[_Entry], error: Exception) -> None:
    for entry in batch:
        if not entry.done.done():
            entry.done.set_exception(error)


def _looked_at(done: Written) -> None:
    if not done.cancelled():
        done.exception()  # so that nobody is told that it was never looked at


_JOURNALS: Cache[Journal] = Cache()


def journal_of(runtime: Runtime) -> Journal:
    """Return the journal of the runtime's tenant in this process."""
    found = _JOURNALS.get(runtime, runtime.tenant_id)
    if found is None:
        found = _JOURNALS.put(runtime, Journal(runtime), runtime.tenant_id)
        runtime.at_close.append(found.close)
    return found
