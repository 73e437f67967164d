"""Discovers the structure of the application's database and what changed in it, and stores both.

    catalogs -> fingerprint -> equal:   nothing to do
                            -> changed: catalog snapshot -> structure -> differences -> agent memory, agents.discovered_databases

The structure is cached in the process for each tenant and database. A question uses the cache; the catalogs are checked
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
from agent.learning.discovery.structure_builder import FORMAT, Rules, assemble, lookup_tables, time_columns
from agent.learning.memory import NewMemory, agent_memory
from agent.privacy.sensitive import DenyList
from agent.runtime import Runtime, current_runtime
from agent.settings import Settings

Progress = Callable[[str, int, int], None]

# The fingerprint does not cover statistics: profiles older than this are read again.
PROFILE_AGE = timedelta(hours=1)
# Seconds for which a question uses the cache without checking the catalogs.
CHECK_EVERY = 5.0
_MEMORY_BATCH = 500
# The number of an object's last changes that are kept with it.
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
    """Discovers the application's structure and keeps it up to date. It caches structures and holds no connection."""

    def __init__(self) -> None:
        self._cache: dict[_Key, _Cached] = {}
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, asyncio.Lock]] = WeakKeyDictionary()

    async def discover_app_structure(
        self, *, progress: Progress | None = None, runtime: Runtime | None = None
    ) -> AppStructure:
        """Discover the whole structure and return it; save only objects that changed since the last discovery to memory.

        `progress(step, done, total)` is called as parts are finished. Raises `DatabaseUnavailable` and `SetupRequired`.
        """
        runtime = runtime or await current_runtime()
        async with self._lock(runtime):
            return await self._discover(runtime, progress or _ignore_progress, profile_age=PROFILE_AGE)

    async def get_cached_structure(self, *, runtime: Runtime | None = None) -> AppStructure:
        """Return the structure as any process discovered it last; `{}` when nothing was discovered yet."""
        return await self._stored(runtime or await current_runtime())

    async def current_structure(self, *, runtime: Runtime | None = None) -> AppStructure:
        """Return the structure for a question: from the cache while it is fresh, else from a new discovery."""
        runtime = runtime or await current_runtime()
        if cached := self._fresh(runtime):
            return cached
        async with self._lock(runtime):
            if cached := self._fresh(runtime):
                return cached
            return await self._discover(runtime, _ignore_progress, profile_age=timedelta.max)

    async def refresh_if_changed(self, *, runtime: Runtime | None = None) -> bool:
        """Check the catalogs now, discover again if they changed, and return whether they did.

        Call it when a statement failed on a missing object.
        """
        runtime = runtime or await current_runtime()
        async with self._lock(runtime):
            before = (await self._stored(runtime)).get("fingerprint")
            after = await self._discover(runtime, _ignore_progress, profile_age=timedelta.max)
            return after["fingerprint"] != before

    async def has_changed(self, *, runtime: Runtime | None = None) -> bool:
        """Return whether the catalogs differ from the last discovery, or nothing was discovered yet. Stores nothing."""
        runtime = runtime or await current_runtime()
        known = await self._stored(runtime)
        return known.get("catalogs") != await catalog.read_fingerprint(runtime)

    async def has_other_rules(self, *, runtime: Runtime | None = None) -> bool:
        """Return whether the settings would now keep another part of the catalogs than at the last discovery."""
        runtime = runtime or await current_runtime()
        known = await self._stored(runtime)
        return bool(known) and known["rules"] != await rules_of(runtime)

    async def _discover(self, runtime: Runtime, progress: Progress, *, profile_age: timedelta) -> AppStructure:
        known = await self._stored(runtime)
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

    async def _stored(self, runtime: Runtime) -> AppStructure:
        """Return the stored structure; read it in full only when the cache does not hold it yet."""
        cached = self._cache.get(_key(runtime))
        async with runtime.transaction() as conn:
            head = await fetch_one(conn, _QUERIES["structure_head"], _scope(runtime))
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
    """Return the tables that look empty to the agent: it may read them, but row-level security hides every row."""
    return [name for name, hides_all in (await rls_hiding_tables(runtime=runtime)).items() if hides_all]


async def rls_hiding_tables(*, runtime: Runtime | None = None) -> dict[str, bool]:
    """Return the readable tables of which row-level security hides rows from the agent, each with whether it hides all."""
    runtime = runtime or await current_runtime()
    deny = DenyList.parse(runtime.settings.deny)
    rows = await catalog.read_hiding_tables(runtime)
    return {
        qualified(row["schema"], row["name"]): row["hides_all"]
        for row in rows
        if not deny.table(row["schema"], row["name"])
    }


def memories_of(structure: AppStructure) -> dict[str, NewMemory]:
    """Return the memory of each object by its qualified name, without row counts: they are not worth a new embedding."""
    items = [
        _memory(item["qualified"], relation_text(item, counts=False), item["kind"]) for item in relations(structure)
    ]
    items += [_memory(item["signature"], function_text(item), item["kind"]) for item in structure.get("functions", [])]
    data_types = [*structure.get("enums", []), *structure.get("types", [])]
    items += [_memory(item["qualified"], type_text(item), item["kind"]) for item in data_types]
    history = structure.get("history", {})
    with_history = [
        replace(item, content="\n".join([item.content, *history.get(item.subject or "", ())])) for item in items
    ]
    return {item.subject: item for item in with_history if item.subject}


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
    newest = await catalog.read_newest(time_columns(structure), runtime=runtime)
    labels = await catalog.read_labels(lookup_tables(structure), runtime=runtime)
    by_table = {(column.schema, column.table): value for column, value in newest.items()}
    earlier = {item["qualified"]: item for item in relations(known)}
    for table in relations(structure):
        table["profile"]["newest"] = by_table.get((table["schema"], table["name"]))
        table["profile"]["labels"] = labels.get(table["qualified"], [])
        table["profile"]["labels_on"] = datetime.now(UTC).date().isoformat()
        _add_earlier_rows(table, earlier.get(table["qualified"]), known)
    progress("catalogs", 2, 2)
    # A busy object was read incompletely: this fingerprint equals no other, so the next check reads the catalogs again.
    structure["catalogs"] = f"{'busy ' if rows.busy else ''}{rows.fingerprint}"
    structure["fingerprint"] = _fingerprint(structure["catalogs"], order, runtime)
    structure["rules"] = await rules_of(runtime)
    structure["discovered_at"] = datetime.now(UTC).isoformat()
    structure["kept"] = hashlib.sha256(_content_settings(settings).encode()).hexdigest()
    _add_changes(structure, known)
    return structure


def _add_changes(structure: AppStructure, known: AppStructure) -> None:
    """Add the differences from `known` to the structure; none where other settings kept other parts of the catalogs."""
    same_rules = known.get("kept") == structure["kept"]
    changes = changed_objects(known["parts"], structure["parts"]) if same_rules else {}
    # A relation that was busy at its first discovery had no parts then: it is not new now.
    unread = {item["qualified"] for item in relations(known)} - known.get("parts", {}).keys()
    changes = {name: lines for name, lines in changes.items() if name not in unread}
    day = structure["discovered_at"][:10]
    history = {
        name: lines for name, lines in known.get("history", {}).items() if same_rules and name in structure["parts"]
    }
    for name, lines in changes.items():
        if name in structure["parts"] and name in known["parts"]:
            dated = [f"changed {day}: {line.removeprefix(f'{name}: ')}" for line in lines]
            history[name] = [*history.get(name, ()), *dated][-_HISTORY:]
    structure["history"] = history
    structure["changes"] = [line for lines in changes.values() for line in lines]


def _add_earlier_rows(table: Relation, earlier: Relation | None, known: AppStructure) -> None:
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
        await runtime.execute(_QUERIES["close_removed"], subjects=list(after), **_scope(runtime))


def _batches(items: Sequence[NewMemory]) -> Iterator[Sequence[NewMemory]]:
    for start in range(0, len(items), _MEMORY_BATCH):
        yield items[start : start + _MEMORY_BATCH]


async def _store(structure: AppStructure, runtime: Runtime) -> None:
    await runtime.execute(
        _QUERIES["store"], name=runtime.database_name, fingerprint=structure["fingerprint"], structure=Jsonb(structure),
        discovered_at=_discovered_at(structure), **_scope(runtime),
    )  # fmt: skip


async def order_of(runtime: Runtime) -> Order:
    """Return the order of schemas in which a plain name is looked up, as the reading login does."""
    path = (await runtime.app.facts("agent_reader")).search_path
    return Order(path=path, chosen=runtime.settings.chosen_schemas)


def _fingerprint(catalogs: str, order: Order, runtime: Runtime) -> str:
    """Return a hash of the catalogs and of the settings and the search path that decide what is kept of them."""
    parts = (str(FORMAT), catalogs, _content_settings(runtime.settings), *order.path)
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()


def _content_settings(settings: Settings) -> str:
    """Return the settings that decide which parts of the catalogs are kept, as one text."""
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
    return runtime.tenant_id, runtime.database_id, _content_settings(runtime.settings)


def _scope(runtime: Runtime) -> dict[str, Any]:
    return {"tenant_id": runtime.tenant_id, "database_id": runtime.database_id}


def _ignore_progress(step: str, done: int, total: int) -> None:
    """Do nothing: for callers that show no progress."""
