"""The endpoints as rows. A process keeps a table of them, and looks at most once a second whether it is still that of the rows."""

from __future__ import annotations

from datetime import datetime
from time import monotonic
from typing import Any

from agent.db import load_queries
from agent.errors import InvalidInput, NotFound, StateChanged
from agent.integration.gateway.endpoints import Endpoint, NewEndpoint, Options, Table
from agent.runtime import Cache, Runtime

_QUERIES = load_queries(__package__)
_LOOK_SECONDS = 1.0
_MOST_ENDPOINTS = 1_000


class _Kept:
    """A table, the change that it is of, and when it was looked at."""

    def __init__(self, table: Table, change: int) -> None:
        self.table, self.change, self.looked_at = table, change, monotonic()


_KEPT: Cache[_Kept] = Cache()


async def table(*, runtime: Runtime) -> Table:
    """Return the endpoints of the runtime's tenant; those of a second ago, at most."""
    kept = _KEPT.get(runtime, runtime.tenant_id)
    if kept is not None and monotonic() - kept.looked_at < _LOOK_SECONDS:
        return kept.table
    change = int((await runtime.one(_QUERIES["change"]) or {"change": 0})["change"])
    if kept is not None and kept.change == change:
        kept.looked_at = monotonic()
        return kept.table
    rows = await runtime.all(_QUERIES["list"])
    made = Table(_endpoint(row) for row in rows)
    _KEPT.put(runtime, _Kept(made, change), runtime.tenant_id)
    return made


async def create(new: NewEndpoint, *, runtime: Runtime) -> None:
    """Store an endpoint. Raises `StateChanged` if one answers at its address, and `InvalidInput` if there are too many."""
    if int((await runtime.one(_QUERIES["count"]) or {"n": 0})["n"]) >= _MOST_ENDPOINTS:
        raise InvalidInput(f"There are {_MOST_ENDPOINTS} endpoints: remove one first.")
    options = new.options.model_dump_json(exclude_defaults=True)
    values = {"version": new.version, "path": new.path, "method": new.method, "agent": new.agent, "task": new.task, "role": new.role}  # fmt: skip
    if await runtime.one(_QUERIES["create"], **values, options=options, user=runtime.user) is None:
        raise StateChanged(f"{new.method} /{new.version}{new.path} answers already: remove it first, or make it in another version.")  # fmt: skip
    await _changed(runtime)


async def deprecate(
    version: str, path: str, method: str, *, deprecated_at: datetime | None, sunset_at: datetime | None, successor: str | None, runtime: Runtime
) -> None:  # fmt: skip
    """Say that an endpoint should not be used any more, and when it ends. Raises `NotFound`."""
    values: dict[str, Any] = {"version": version, "path": path, "method": method}
    more = {"deprecated_at": deprecated_at, "sunset_at": sunset_at, "successor": successor}
    if not await runtime.execute(_QUERIES["deprecate"], **values, **more):
        raise _nothing(version, path, method)
    await _changed(runtime)


async def remove(version: str, path: str, method: str, *, runtime: Runtime) -> None:
    """End an endpoint. Raises `NotFound`."""
    if not await runtime.execute(_QUERIES["remove"], version=version, path=path, method=method):
        raise _nothing(version, path, method)
    await _changed(runtime)


async def forget(*, days: int, runtime: Runtime) -> int:
    """Delete the rows of endpoints that were removed long ago."""
    gone = await runtime.execute(_QUERIES["forget"], days=days)
    if gone:
        await _changed(runtime)
    return gone


async def _changed(runtime: Runtime) -> None:
    await runtime.execute(_QUERIES["changed"])
    _KEPT.pop(runtime, runtime.tenant_id)


def _endpoint(row: dict[str, Any]) -> Endpoint:
    return Endpoint(**{**row, "options": Options.model_validate(row["options"])})


def _nothing(version: str, path: str, method: str) -> NotFound:
    return NotFound(f"No endpoint answers at {method[:10]} /{version[:10]}{path[:200]}: the task list_endpoints lists them.")  # fmt: skip
