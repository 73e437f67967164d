"""Learns the application's database by itself: what is there, what changed, and remembers it.

    catalogs -> fingerprint -> equal? nothing to do
                            -> other? catalog snapshot -> structure -> what differs -> agent memory, agents.discovered_databases

The structure is cached in the process for each tenant and database. A question uses the cache; the catalogs are asked
again at most every few seconds, and at once when a statement failed because the schema may have changed.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from weakref import WeakKeyDictionary

import structlog
from psycopg.types.json import Jsonb

from agent.db import load_queries
from agent.db.queries import fetch_one
from agent.learning.discovery import catalog
from agent.learning.discovery.deny_list_check import rules_of
from agent.learning.discovery.drift import changed_objects
from agent.learning.discovery.identifiers import qualified
from agent.learning.discovery.namesakes import Order
from agent.learning.discovery.rendering import function_text, relation_text, type_text
from agent.learning.discovery.secret_columns import SecretRules
from agent.learning.discovery.structure import AppStructure, Relation, relations
from agent.learning.discovery.structure_builder import FORMAT, Rules, assemble, time_columns
from agent.learning.memory import NewMemory, agent_memory
from agent.privacy.sensitive import DenyList
from agent.runtime import Runtime, current_runtime
from agent.settings import Settings

Progress = Callable[[str, int, int], None]

# Statistics change without a trace in the catalogs: profiles older than this are read again.
PROFILE_AGE = timedelta(hours=1)
# A question trusts the cache for so long before it asks the catalogs again.
CHECK_EVERY = 5.0
_MEMORIES_AT_ONCE = 500
# So many of an object's last changes are told with it.
_HISTORY = 5
_CACHED_DATABASES = 64

_log = structlog.get_logger(__name__)
_QUERIES = load_queries(__package__)

_Key = tuple[str, str, str]


@dataclass(slots=True)
class _Cached:
    structure: AppStructure
    checked: float


class AutoDiscovery:
    """Discovers the application's structure and keeps it up to date. Holds structures, no connection."""

    def __init__(self) -> None:
        self._cache: dict[_Key, _Cached] = {}
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, asyncio.Lock]] = WeakKeyDictionary()

    async def discover_app_structure(
        self, *, progress: Progress | None = None, runtime: Runtime | None = None
    ) -> AppStructure:
        """Everything that the catalogs hold; only objects that changed since the last time are saved to memory.

        `progress(what, done, total)` is called as parts are finished. Raises `DatabaseUnavailable` and `SetupRequired`.
        """
        runtime = runtime or await current_runtime()
        async with self._lock(runtime):
            return await self._discover(runtime, progress or _silent, profile_age=PROFILE_AGE)

    async def get_cached_structure(self, *, runtime: Runtime | None = None) -> AppStructure:
        """The structure as last discovered by any process; `{}` when nothing was discovered yet."""
        runtime = runtime or await current_runtime()
        return await self._known(runtime)

    async def current_structure(self, *, runtime: Runtime | None = None) -> AppStructure:
        """The structure for a question: from the cache while it is fresh, discovered when it is not."""
        runtime = runtime or await current_runtime()
        if cached := self._fresh(runtime):
            return cached
        async with self._lock(runtime):
            if cached := self._fresh(runtime):
                return cached
            return await self._discover(runtime, _silent, profile_age=timedelta.max)

    async def refresh_if_changed(self, *, runtime: Runtime | None = None) -> bool:
        """Ask the catalogs now and discover again if they changed: after a statement failed on a missing object."""
        runtime = runtime or await current_runtime()
        async with self._lock(runtime):
            before = (await self._known(runtime)).get("fingerprint")
            after = await self._discover(runtime, _silent, profile_age=timedelta.max)
            return after["fingerprint"] != before

    async def has_changed(self, *, runtime: Runtime | None = None) -> bool:
        """Whether the catalogs differ from what was discovered last; also when nothing was. Stores nothing."""
        runtime = runtime or await current_runtime()
        known = await self._known(runtime)
        return known.get("catalogs") != await catalog.read_fingerprint(runtime)

    async def has_other_rules(self, *, runtime: Runtime | None = None) -> bool:
        """Whether the settings keep something else of the catalogs than they did when these were discovered last."""
        runtime = runtime or await current_runtime()
        known = await self._known(runtime)
        return bool(known) and known["rules"] != await rules_of(runtime)

    async def _discover(self, runtime: Runtime, progress: Progress, *, profile_age: timedelta) -> AppStructure:
        known = await self._known(runtime)
        fingerprint = _fingerprint(await catalog.read_fingerprint(runtime), await order_of(runtime), runtime)
        if known.get("fingerprint") == fingerprint and datetime.now(UTC) - _discovered_at(known) < profile_age:
            self._remember(runtime, known)
            return AppStructure(**{**known, "changed": [], "removed": [], "changes": []})
        started = time.perf_counter()
        structure = await _read_structure(runtime, known, progress)
        await _save_memories(structure, known, runtime, progress)
        await _store(structure, runtime)
        self._remember(runtime, structure)
        _log.info(
            "structure_discovered",
            database=runtime.database_id,
            tables=len(structure["tables"]),
            changed=len(structure["changed"]),
            removed=len(structure["removed"]),
            parts=len(structure["changes"]),
            seconds=round(time.perf_counter() - started, 3),
        )
        return structure

    async def _known(self, runtime: Runtime) -> AppStructure:
        """What is stored, read in full only when the process does not hold it yet."""
        cached = self._cache.get(_key(runtime))
        async with runtime.transaction() as conn:
            head = await fetch_one(conn, _QUERIES["known"], _scope(runtime))
            if head is None:
                self._cache.pop(_key(runtime), None)
                return AppStructure()
            if (
                cached
                and cached.structure["fingerprint"] == head["fingerprint"]
                and (_discovered_at(cached.structure) == head["discovered_at"])
            ):
                return cached.structure
            row = await fetch_one(conn, _QUERIES["structure"], _scope(runtime))
        structure = cast("AppStructure", row["structure"]) if row else AppStructure()
        return structure if structure.get("format") == FORMAT else AppStructure()

    def _fresh(self, runtime: Runtime) -> AppStructure | None:
        cached = self._cache.get(_key(runtime))
        return cached.structure if cached and time.monotonic() - cached.checked < CHECK_EVERY else None

    def _remember(self, runtime: Runtime, structure: AppStructure) -> None:
        self._cache.pop(_key(runtime), None)
        self._cache[_key(runtime)] = _Cached(structure, time.monotonic())
        while len(self._cache) > _CACHED_DATABASES:
            del self._cache[next(iter(self._cache))]

    def _lock(self, runtime: Runtime) -> asyncio.Lock:
        locks = self._locks.setdefault(asyncio.get_running_loop(), {})
        return locks.setdefault(_key(runtime), asyncio.Lock())


auto_discovery = AutoDiscovery()


async def rls_blind_tables(*, runtime: Runtime | None = None) -> list[str]:
    """Tables that the agent may read but that look empty to it: row security is on and no policy is about its login."""
    return [name for name, hides_all in (await rls_hiding_tables(runtime=runtime)).items() if hides_all]


async def rls_hiding_tables(*, runtime: Runtime | None = None) -> dict[str, bool]:
    """Tables that the agent may read but of which row-level security hides rows from it, and whether it hides every row."""
    runtime = runtime or await current_runtime()
    deny = DenyList.parse(runtime.settings.deny)
    rows = await catalog.read_hiding_tables(runtime)
    return {
        qualified(row["schema"], row["name"]): row["hides_all"]
        for row in rows
        if not deny.table(row["schema"], row["name"])
    }


def memories_of(structure: AppStructure) -> dict[str, NewMemory]:
    """What is remembered of each object, by its qualified name. Row counts stay out: they are not worth a new embedding."""
    items = [
        _memory(item["qualified"], relation_text(item, counts=False), item["kind"]) for item in relations(structure)
    ]
    items += [_memory(item["signature"], function_text(item), item["kind"]) for item in structure.get("functions", [])]
    data_types = [*structure.get("enums", []), *structure.get("types", [])]
    items += [_memory(item["qualified"], type_text(item), item["kind"]) for item in data_types]
    history = structure.get("history", {})
    told = [replace(item, content="\n".join([item.content, *history.get(item.subject or "", ())])) for item in items]
    return {item.subject: item for item in told if item.subject}


def _memory(subject: str, content: str, kind: str) -> NewMemory:
    return NewMemory(
        content=content, kind="schema", subject=subject, trust="database", metadata={"object": kind.lower()}
    )


async def _read_structure(runtime: Runtime, known: AppStructure, progress: Progress) -> AppStructure:
    progress("catalogs", 0, 2)
    rows = await catalog.read_catalog(runtime)
    settings = runtime.settings
    order = await order_of(runtime)
    rules = Rules(
        deny=DenyList.parse(settings.deny), mask=settings.mask_personal, secrets=SecretRules.of(settings),
        order=order,
    )  # fmt: skip
    structure = assemble(rows, rules, known)
    progress("catalogs", 1, 2)
    places = time_columns(structure)
    newest = await catalog.read_newest(places, runtime=runtime)
    by_table = {(place.schema, place.table): value for place, value in newest.items()}
    earlier = {item["qualified"]: item for item in relations(known)}
    for table in relations(structure):
        table["profile"]["newest"] = by_table.get((table["schema"], table["name"]))
        _note_growth(table, earlier.get(table["qualified"]), known)
    progress("catalogs", 2, 2)
    # What was busy is incomplete or old: a fingerprint that equals no other has it read again at the next check.
    structure["catalogs"] = f"{'busy ' if rows.busy else ''}{rows.fingerprint}"
    structure["fingerprint"] = _fingerprint(structure["catalogs"], order, runtime)
    structure["rules"] = await rules_of(runtime)
    structure["discovered_at"] = datetime.now(UTC).isoformat()
    structure["kept"] = hashlib.sha256(_kept(settings).encode()).hexdigest()
    _note_changes(structure, known)
    return structure


def _note_changes(structure: AppStructure, known: AppStructure) -> None:
    """Say what differs from what was `known`; nothing where other settings kept other things of the same catalogs."""
    same_rules = known.get("kept") == structure["kept"]
    found = changed_objects(known["parts"], structure["parts"]) if same_rules else {}
    # What was being changed when it was found first could not be read then, and is not new now.
    unread = {item["qualified"] for item in relations(known)} - known.get("parts", {}).keys()
    found = {name: lines for name, lines in found.items() if name not in unread}
    day = structure["discovered_at"][:10]
    history = {
        name: lines for name, lines in known.get("history", {}).items() if same_rules and name in structure["parts"]
    }
    for name, lines in found.items():
        if name in structure["parts"] and name in known["parts"]:
            news = [f"changed {day}: {line.removeprefix(f'{name}: ')}" for line in lines]
            history[name] = [*history.get(name, ()), *news][-_HISTORY:]
    structure["history"] = history
    structure["changes"] = [line for lines in found.values() for line in lines]


def _note_growth(table: Relation, earlier: Relation | None, known: AppStructure) -> None:
    if earlier is not None:
        table["profile"]["rows_before"] = earlier["rows"]
        table["profile"]["before"] = known["discovered_at"]


async def _save_memories(structure: AppStructure, known: AppStructure, runtime: Runtime, progress: Progress) -> None:
    before, after = memories_of(known), memories_of(structure)
    changed = [item for subject, item in after.items() if before.get(subject) != item]
    structure["changed"] = [str(item.subject) for item in changed]
    structure["removed"] = sorted(before.keys() - after.keys())
    progress("memories", 0, len(changed))
    done = 0
    for batch in _batches(changed):
        await agent_memory.save_many(batch, runtime=runtime)
        done += len(batch)
        progress("memories", done, len(changed))
    if structure["removed"] or not known:
        async with runtime.transaction() as conn:
            await conn.execute(_QUERIES["close_removed"], {**_scope(runtime), "subjects": list(after)})


def _batches(items: Sequence[NewMemory]) -> Iterator[Sequence[NewMemory]]:
    for start in range(0, len(items), _MEMORIES_AT_ONCE):
        yield items[start : start + _MEMORIES_AT_ONCE]


async def _store(structure: AppStructure, runtime: Runtime) -> None:
    values = {
        **_scope(runtime),
        "name": runtime.database_name,
        "fingerprint": structure["fingerprint"],
        "structure": Jsonb(structure),
        "discovered_at": _discovered_at(structure),
    }
    async with runtime.transaction() as conn:
        await conn.execute(_QUERIES["store"], values)


async def order_of(runtime: Runtime) -> Order:
    """Where the reading login looks plain names up."""
    path = (await runtime.app.facts("agent_reader")).search_path
    return Order(path=path, chosen=runtime.settings.chosen_schemas)


def _fingerprint(catalogs: str, order: Order, runtime: Runtime) -> str:
    """Of the catalogs, and of the settings and the path that decide what is kept of them."""
    parts = (str(FORMAT), catalogs, _kept(runtime.settings), *order.path)
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()


def _kept(settings: Settings) -> str:
    rules = (
        ",".join(settings.chosen_schemas),
        settings.deny,
        str(settings.mask_personal),
        settings.secret_columns,
        settings.open_columns,
    )
    return "\x00".join(rules)


def _discovered_at(structure: AppStructure) -> datetime:
    return datetime.fromisoformat(structure["discovered_at"])


def _key(runtime: Runtime) -> _Key:
    return runtime.tenant_id, runtime.database_id, _kept(runtime.settings)


def _scope(runtime: Runtime) -> dict[str, Any]:
    return {"tenant_id": runtime.tenant_id, "database_id": runtime.database_id}


def _silent(what: str, done: int, total: int) -> None:
    """The progress of whoever does not look."""
