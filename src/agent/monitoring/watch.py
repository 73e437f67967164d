"""What a check looks with: the agent's own tables, the application in a read-only window, measurements, and a memory of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from agent.db import Connection, load_queries
from agent.db.failures import operator_errors
from agent.db.logins import PLATFORM_SCHEMAS
from agent.db.queries import Query, fetch_all
from agent.learning.auto_discover import auto_discovery
from agent.learning.discovery.structure import Relation
from agent.privacy.sensitive import DenyList, looks_secret
from agent.runtime import Runtime
from agent.statistics.anomalies import Direction, Episode, find_episodes
from agent.text.storable import storable_json

_QUERIES = load_queries(__package__)
_LOCK_MS = 200
_SESSION = """
SELECT set_config('default_transaction_read_only', 'on', false), set_config('statement_timeout', %s, false),
       set_config('lock_timeout', %s, false), set_config('search_path', 'pg_catalog, pg_temp', false)
"""
_BASELINE = timedelta(days=21)


@dataclass(slots=True, kw_only=True)
class Watch:
    """What one run gives to each of its checks. `now` is the time of the agent's database."""

    runtime: Runtime
    now: datetime
    statement_ms: float = 0.0
    written: set[str] = field(default_factory=set)  # tables that were written to since the last run
    state: dict[str, Any] = field(default_factory=dict)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    _noted: list[tuple[str, str, float]] = field(default_factory=list)
    _conn: Connection | None = None
    _open: AsyncExitStack = field(default_factory=AsyncExitStack)

    def begin(self, check: str) -> None:
        """Hand the check its memory: what it left in `state` in its last run."""
        self.state = self.states.setdefault(check, {})

    async def own(self, query: Query, /, **values: Any) -> list[dict[str, Any]]:
        """Run a named query on the agent's own tables, about this database."""
        return await self.runtime.all(query, database_id=self.runtime.database_id, **values)  # type: ignore[arg-type]  # named queries

    async def read(self, query: Query, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run one statement on the application: read-only, as agent_reader, with short patience."""
        conn = await self._session()
        began = time.perf_counter()
        try:
            with operator_errors(ours=False):
                return await fetch_all(conn, query, values)
        finally:
            self.statement_ms += (time.perf_counter() - began) * 1_000

    async def _session(self) -> Connection:
        """Return the run's session on the application. To set one up costs more than most statements, so all checks share it."""
        if self._conn is None or self._conn.closed:
            await self.close()
            conn = await self._open.enter_async_context(self.runtime.app.connection("agent_reader"))
            await conn.execute(
                _SESSION, [str(int(self.runtime.settings.monitor_statement_seconds * 1_000)), str(_LOCK_MS)]
            )
            self._conn = conn
        return self._conn

    async def close(self) -> None:
        """Give the session back, which forgets its settings."""
        self._conn = None
        await self._open.aclose()

    @property
    def scope(self) -> dict[str, Any]:
        """Return which schemas of the application are watched, as parameters of queries."""
        chosen = list(self.runtime.settings.chosen_schemas)
        return {"schemas": chosen or None, "platform": list(PLATFORM_SCHEMAS)}

    def hidden(self, schema: str, table: str) -> bool:
        """Return whether AGENT_DENY keeps a table from everybody."""
        return DenyList.parse(self.runtime.settings.deny).table(schema, table)

    async def tables(self) -> list[Relation]:
        """Return the application's tables that the agent may read, as it discovered them last; none before that."""
        structure = await auto_discovery.get_cached_structure(runtime=self.runtime)
        return [one for one in structure.get("tables", []) if one["readable"] and one["row_security"] != "blind"]

    def open_columns(self, table: Relation) -> list[str]:
        """Return the columns of a table whose values may be looked at: neither denied nor secret by their names."""
        deny = DenyList.parse(self.runtime.settings.deny)
        return [
            one["name"]
            for one in table["columns"]
            if not looks_secret(one["name"]) and not deny.column(table["schema"], table["name"], one["name"])
        ]

    def note(self, metric: str, value: float, subject: str = "") -> None:
        """Measure something; it is stored when the run ends."""
        self._noted.append((metric, subject, float(value)))

    async def store(self) -> None:
        """Store what was measured and what the checks remember."""
        if self._noted:
            await self.own(
                _QUERIES["measure"],
                metrics=[one[0] for one in self._noted],
                subjects=[one[1] for one in self._noted],
                values=[one[2] for one in self._noted],
            )
            self._noted.clear()
        states = {name: storable_json(state) for name, state in self.states.items() if state}
        if states:
            await self.own(_QUERIES["remember"], states=Jsonb(states, dumps=lambda one: json.dumps(one, default=str)))

    async def unusual(
        self, metric: str, *, subject: str = "", direction: Direction = "up", least: float = 0.0
    ) -> tuple[Episode, Sequence[float]] | None:
        """Return the episode that is open now in a metric's measurements, with them; None if nothing is unusual."""
        rows = await self.own(_QUERIES["series"], metric=metric, subject=subject, age=_BASELINE)
        facts = await self.runtime.db.facts()
        found = find_episodes(
            [row["at"] for row in rows], [row["value"] for row in rows], zone=zone_of(facts.time_zone), direction=direction, least=least,
        )  # fmt: skip
        if found and found[-1].open:
            return found[-1], [row["value"] for row in rows]
        return None


def zone_of(name: str) -> Any:
    """Return a time zone by the server's name of it, UTC if Python does not know it."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")
