"""States of agents: numbered versions, their differences, and the reconciliation of changes that were made apart."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

import agent.sync.agents as agents
import agent.sync.clocks as clocks
import agent.sync.merging as merging
from agent.db import Connection, load_queries
from agent.db.queries import fetch_all, fetch_one
from agent.errors import AlreadyDecided, InvalidInput, NotFound, StateChanged
from agent.runtime import Runtime
from agent.sync.payloads import checked_object, json_text
from agent.sync.records import Conflict, Difference, PathDecision, Reconciled, Snapshot, Strategy

_QUERIES = load_queries(__package__, "states.sql")
_WRAPPED = frozenset({"theirs", "state", "base", "base_version", "clock", "clocks"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """The present version of a state; version 0 is the empty state before the first snapshot."""

    version: int = 0
    state: Mapping[str, Any]
    clocks: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A state that was changed apart: what it came from, what it is now, and when its paths were changed.

    Without a `base`, `theirs` are values that replace some of the present state.
    """

    base: Mapping[str, Any] | None
    theirs: Mapping[str, Any]
    clock: str
    clocks: Mapping[str, str]


async def snapshot(
    agent_id: str, state: Mapping[str, Any], *, expected_version: int | None, runtime: Runtime,
    connection: Connection | None = None,
) -> Snapshot:  # fmt: skip
    """Keep a state as the next version. Raises `StateChanged` where another version than `expected_version` is the present one."""
    _checked_state(state, runtime)
    await agents.ensure([agent_id], runtime=runtime)
    if connection is not None:
        return await _snapshot(connection, agent_id, state, expected_version, runtime)
    async with runtime.transaction() as conn:
        return await _snapshot(conn, agent_id, state, expected_version, runtime)


async def _snapshot(
    conn: Connection, agent_id: str, state: Mapping[str, Any], expected: int | None, runtime: Runtime
) -> Snapshot:
    present = await _present(conn, agent_id, runtime)
    _check_version(present, expected, agent_id)
    changed = [one.path for one in merging.differences(present.state, state)]
    stamped = _stamped(present.clocks, changed, clocks.clock_at(_now_ms(), agent_id, after=present.clocks.values()))
    return await _save(conn, agent_id, replace(present, state=state, clocks=stamped), "snapshot", runtime)


async def current(agent_id: str, *, version: int | None = None, runtime: Runtime) -> Snapshot:
    """Return an agent's present state, or one version of it. Raises `NotFound`."""
    await agents.require([agent_id], runtime=runtime)
    if version is None:
        row = await runtime.one(_QUERIES["latest"], agent_id=agent_id)
    else:
        row = await runtime.one(_QUERIES["version"], agent_id=agent_id, version=min(version, 2**62))
    if row is None:
        what = "no state yet: create a snapshot" if version is None else f"no version {version} any more"
        raise NotFound(f"The agent {agent_id!r} has {what}.")
    return Snapshot.from_row(row)


async def versions(agent_id: str, *, limit: int, runtime: Runtime) -> list[Snapshot]:
    """Return the newest versions of an agent's state. Raises `NotFound` for an agent that is not known."""
    await agents.require([agent_id], runtime=runtime)
    return [Snapshot.from_row(row) for row in await runtime.all(_QUERIES["versions"], agent_id=agent_id, limit=limit)]


async def diff(agent_id: str, before: int, after: int | None, *, runtime: Runtime) -> list[Difference]:
    """Return how two versions differ; without `after`, the present one."""
    first = await current(agent_id, version=before, runtime=runtime)
    second = await current(agent_id, version=after, runtime=runtime)
    return merging.differences(first.state, second.state)


async def reconcile(agent_id: str, strategy: str, conflict_data: Mapping[str, Any], *, runtime: Runtime) -> Reconciled:
    """Bring a state that was changed apart together with the present one. See docs/sync.md for the forms of `conflict_data`."""
    if strategy not in get_args(Strategy):
        raise InvalidInput(f"There is no strategy {strategy!r}: use one of {', '.join(get_args(Strategy))}.")
    _checked_state(conflict_data, runtime)
    await agents.ensure([agent_id], runtime=runtime)
    async with runtime.transaction() as conn:
        present = await _present(conn, agent_id, runtime)
        incoming = await _incoming(conn, agent_id, conflict_data, present, runtime)
        state, decisions = decided(strategy, present, incoming)
        undecided = [one for one in decisions if one.took == "undecided"]
        changed = not merging.same(state, present.state)
        if changed:
            _checked_state(state, runtime)
            taken = [one.path for one in decisions if one.took == "theirs"]
            stamped = _stamped(present.clocks, taken, incoming.clock, incoming.clocks)
            after = replace(present, state=state, clocks=stamped)
            source = "latest_wins" if strategy == "latest_wins" else "merge"
            present = replace(after, version=(await _save(conn, agent_id, after, source, runtime)).version)
        conflicts = await _kept(conn, agent_id, strategy, present.version, undecided, runtime=runtime)
    return Reconciled(
        agent_id=agent_id, strategy=cast("Strategy", strategy), version=present.version, changed=changed,
        state=dict(present.state), decisions=decisions, conflicts=conflicts,
    )  # fmt: skip


def decided(strategy: str, present: Present, incoming: Incoming) -> tuple[Any, list[PathDecision]]:
    """Return the state after a reconciliation, and what was decided for each path. Pure."""
    if strategy == "latest_wins":
        return merging.latest_wins(
            merging.MISSING if incoming.base is None else incoming.base, present.state, incoming.theirs, our_clocks=present.clocks, their_clocks=incoming.clocks,
            their_clock=incoming.clock,
        )  # fmt: skip
    state, decisions = merging.three_way(
        present.state if incoming.base is None else incoming.base, present.state, incoming.theirs
    )
    if strategy == "merge":
        return state, decisions
    return present.state, [replace(one, took="undecided") if one.took == "theirs" else one for one in decisions]


async def _incoming(
    conn: Connection, agent_id: str, given: Mapping[str, Any], present: Present, runtime: Runtime
) -> Incoming:
    wrapped = _WRAPPED.issuperset(given) and len({"theirs", "state"} & given.keys()) == 1
    parts: Mapping[str, Any] = given if wrapped else {"theirs": given}
    theirs, base = parts.get("theirs", parts.get("state")), parts.get("base")
    version = parts.get("base_version")
    if version is not None:
        base = await _base(conn, agent_id, version, runtime)
    if not isinstance(theirs, Mapping) or not (base is None or isinstance(base, Mapping)):
        raise InvalidInput("In conflict_data the states (theirs, base) must be JSON objects.")
    if base is None:  # values that replace those of the present version; what they do not name is kept
        theirs = merging.overlaid(present.state, theirs)
    their_clocks = parts.get("clocks", {})
    clock = parts.get("clock") or clocks.clock_at(_now_ms(), agent_id, after=present.clocks.values())
    if not isinstance(their_clocks, Mapping):
        raise InvalidInput("In conflict_data, clocks must be an object of paths and clocks.")
    for one in (clock, *their_clocks.values()):
        clocks.check_not_ahead(one, _now_ms())
    return Incoming(base=base, theirs=theirs, clock=clock, clocks=their_clocks)


async def _base(conn: Connection, agent_id: str, version: Any, runtime: Runtime) -> Mapping[str, Any]:
    if type(version) is not int or not 0 <= version < 2**62:
        raise InvalidInput("base_version must be the number of a version.")
    if version == 0:
        return {}
    values = {"tenant_id": runtime.tenant_id, "agent_id": agent_id, "version": version}
    row = await fetch_one(conn, _QUERIES["version"], values)
    if row is None:
        raise NotFound(f"Version {version} of {agent_id!r} is not kept: send the base itself as `base`, or use manual.")
    return cast("Mapping[str, Any]", row["state"])


async def _kept(
    conn: Connection, agent_id: str, strategy: str, version: int, undecided: Sequence[PathDecision], *, runtime: Runtime
) -> list[Conflict]:
    where = {"tenant_id": runtime.tenant_id, "agent_id": agent_id}
    for one in undecided:
        sides = json.dumps(one.sides, ensure_ascii=False)
        values = {**where, "path": one.path, "sides": sides, "strategy": strategy, "version": version}
        await conn.execute(_QUERIES["save_conflict"], values)
    if not undecided:
        return []
    paths = {one.path: one.sides for one in undecided}
    rows = await fetch_all(conn, _QUERIES["conflicts"], where)
    return [
        Conflict.from_row(row)
        for row in rows
        if row["path"] in paths and merging.same(row["sides"], paths[row["path"]])
    ]


async def conflicts(*, agent_id: str | None, runtime: Runtime) -> list[Conflict]:
    """Return what waits for a decision, the oldest first."""
    return [Conflict.from_row(row) for row in await runtime.all(_QUERIES["conflicts"], agent_id=agent_id)]


async def resolve(
    conflict_id: int, take: str, *, value: Any = merging.MISSING, expected_version: int, runtime: Runtime
) -> Snapshot | None:
    """Decide a conflict: keep what the state has (`ours`), take `theirs`, or a `value`. Return the new version, if there is one.

    Raises `StateChanged` where another version than the one that was looked at is the present one, `AlreadyDecided`, `NotFound`.
    """
    if take not in ("ours", "theirs", "value") or (take == "value") != (value is not merging.MISSING):
        raise InvalidInput("Take ours, theirs, or value together with the value.")
    if take == "value":
        json_text(value, what="The value")
    where = {"tenant_id": runtime.tenant_id, "conflict_id": min(conflict_id, 2**62)}
    async with runtime.transaction() as conn:
        row = await fetch_one(conn, _QUERIES["conflict"], where)
        if row is None:
            raise NotFound(f"There is no conflict {conflict_id}: `agent sync conflicts` lists them.")
        conflict = Conflict.from_row(row)
        present = await _present(conn, conflict.agent_id, runtime)
        done = await conn.execute(_QUERIES["close_conflict"], {**where, "resolution": take, "by": runtime.user})
        if not done.rowcount:
            raise AlreadyDecided(f"Conflict {conflict_id} has been decided already.")
        _check_version(present, expected_version, conflict.agent_id)
        if take == "ours":
            return None
        chosen = value if take == "value" else conflict.sides.get("theirs", merging.MISSING)
        state = merging.with_value(present.state, merging.keys_of(conflict.path), chosen)
        _checked_state(state, runtime)
        clock = clocks.clock_at(_now_ms(), conflict.agent_id, after=present.clocks.values())
        stamped = _stamped(present.clocks, [conflict.path], clock)
        return await _save(conn, conflict.agent_id, replace(present, state=state, clocks=stamped), "resolved", runtime)


def _stamped(
    known: Mapping[str, str], paths: Sequence[str], clock: str, own: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the clocks after some paths changed at `clock`, or at their own one. What is below a path goes with it. Pure."""
    stamped = dict(known)
    for path in paths:
        for below in [one for one in stamped if one.startswith(f"{path}/")]:
            del stamped[below]
        stamped[path] = merging.clock_of(merging.keys_of(path), own or {}, default=clock)
    return stamped


async def _present(conn: Connection, agent_id: str, runtime: Runtime) -> Present:
    """Lock an agent's state until the transaction ends, and return it."""
    where = {"tenant_id": runtime.tenant_id, "agent_id": agent_id}
    await conn.execute(_QUERIES["lock_agent"], where)
    row = await fetch_one(conn, _QUERIES["latest"], where)
    if row is None:
        return Present(state={}, clocks={})
    return Present(version=row["version"], state=row["state"], clocks=row["clocks"])


async def _save(conn: Connection, agent_id: str, after: Present, source: str, runtime: Runtime) -> Snapshot:
    values = {
        "tenant_id": runtime.tenant_id, "agent_id": agent_id, "version": after.version + 1, "source": source, "by": runtime.user,
        "state": json.dumps(after.state, ensure_ascii=False), "clocks": json.dumps(dict(after.clocks), ensure_ascii=False),
        "kept": runtime.settings.sync_keep_snapshots,
    }  # fmt: skip
    row = await fetch_one(conn, _QUERIES["save_version"], values)
    assert row is not None  # noqa: S101  # an insert returns its row
    return Snapshot.from_row(row)


def _check_version(present: Present, expected: int | None, agent_id: str) -> None:
    if expected is not None and expected != present.version:
        raise StateChanged(
            f"The state of {agent_id!r} is at version {present.version} now, not {expected}: read it again."
        )


def _checked_state(state: Any, runtime: Runtime) -> None:
    most = runtime.settings.sync_most_state_bytes
    checked_object(state, what="A state", most_bytes=most, setting="AGENT_SYNC_MOST_STATE_BYTES")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
