"""Components: their state, the mutations that change it, and what a client missed.

A mutation says which version its author saw. What others changed since then is looked at: if it touches nothing that the mutation
speaks of, the mutation is put on top (rebased), else it is rejected, and its author rolls it back or makes it anew from the state that the
answer holds. The same mutation id again gives the first answer.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Literal

import agent.integration.schemas.boundaries as boundaries
import agent.integration.ui_sync.patches as patches
from agent.db import load_queries
from agent.db.queries import fetch_all, fetch_one
from agent.errors import InvalidInput, NotFound
from agent.integration.sync_channels import sync_channel
from agent.integration.ui_sync.patches import Operation, PatchFailed
from agent.runtime import Runtime
from agent.sync import AgentSyncService
from agent.sync.payloads import checked_name, json_text

_QUERIES = load_queries(__package__)
CHANNEL: Final = "ui"
KEPT: Final = 1_000  # changes of a component, for clients that come back
_MOST_STATE_BYTES = 1_048_576
_MOST_PATCH_BYTES = 200_000


@dataclass(frozen=True, slots=True)
class Component:
    """A component's state in one version; version 0 is a component that nobody has made."""

    component_id: str
    version: int
    state: Any


@dataclass(frozen=True, slots=True)
class Change:
    """What made a version out of the one before."""

    version: int
    mutation_id: str
    patch: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutation. A rejected one says why; `state` is then the present one."""

    status: Literal["applied", "rejected"]
    version: int
    patch: list[Any]
    rebased: bool = False
    duplicate: bool = False
    reason: str | None = None
    state: Any = None


@dataclass(frozen=True, slots=True)
class Missed:
    """What a client missed: the changes, or the whole state where they are not kept any more (`reset`)."""

    version: int
    changes: list[Change]
    reset: bool = False
    state: Any = None


async def get(component_id: str, *, runtime: Runtime) -> Component:
    """Return a component. Raises `NotFound`."""
    row = await runtime.one(_QUERIES["component"], component_id=checked_name(component_id, what="component_id"))
    if row is None:
        raise NotFound(f"There is no component {component_id[:100]!r}: its first mutation makes it.")
    return Component(row["component_id"], row["version"], row["state"])


async def every(*, limit: int = 1_000, runtime: Runtime) -> list[dict[str, Any]]:
    """Return the components without their states, the newest change first."""
    return await runtime.all(_QUERIES["components"], limit=limit)


async def mutate(
    component_id: str,
    patch: list[Any],
    *,
    mutation_id: str,
    base_version: int,
    own: Collection[str] = (),
    runtime: Runtime,
) -> Outcome:
    """Change a component as its author saw it in `base_version` (0: it was not there). Raises `InvalidInput` for what is no patch.

    `own` names mutations that the author made after that version and before this one: they are no conflict.
    """
    checked_name(component_id, what="component_id")
    checked_name(mutation_id, what="mutation_id")
    _check_patch(patch)
    values = {"tenant_id": runtime.tenant_id, "component_id": component_id, "by": runtime.user}
    channel = await sync_channel(CHANNEL, runtime=runtime)
    demand = await boundaries.demanded("component", component_id, runtime=runtime)
    service = AgentSyncService(runtime)
    async with service.transaction() as conn:
        fresh = (await conn.execute(_QUERIES["make_component"], values)).rowcount == 1
        row = await fetch_one(conn, _QUERIES["lock_component"], values)
        assert row is not None  # noqa: S101  # it was made, or was there
        before = await fetch_one(conn, _QUERIES["change_of"], {**values, "mutation_id": mutation_id})
        if before is not None:
            return Outcome("applied", before["version"], before["patch"], duplicate=True)
        current = Component(component_id, 0 if fresh else row["version"], row["state"])
        since = await fetch_all(conn, _QUERIES["changes"], {**values, "after": base_version, "limit": KEPT})
        outcome, state = decided(current, patch, base_version, [Change(**one) for one in since], own=own)
        if outcome.status == "rejected":
            if fresh:
                await conn.execute(_QUERIES["delete_component"], values)
            return outcome
        if demand is not None:
            await demand.check(state)
        text = json_text(state, what="The state of a component")
        if len(text.encode()) > _MOST_STATE_BYTES:
            raise InvalidInput("The state of a component has at most 1 MiB of JSON.")
        await conn.execute(_QUERIES["save_component"], {**values, "state": text, "version": outcome.version})
        change = {"version": outcome.version, "mutation_id": mutation_id, "patch": json.dumps(patch)}
        await conn.execute(_QUERIES["add_change"], {**values, **change})
        data = {"component_id": component_id, "version": outcome.version, "mutation_id": mutation_id, "patch": patch}
        await service.broadcast_to_channel(channel, {"event_type": "ui_changed", "data": data}, connection=conn)
    return outcome


async def replace(component_id: str, state: Any, *, mutation_id: str, runtime: Runtime) -> Outcome:
    """Make a state the present one, by the changes that it takes."""
    try:
        present = await get(component_id, runtime=runtime)
    except NotFound:
        present = Component(component_id, 0, None)
    patch = patches.difference(present.state, state)
    return await mutate(component_id, patch, mutation_id=mutation_id, base_version=present.version, runtime=runtime)


async def missed(component_id: str, after: int, *, runtime: Runtime) -> Missed:
    """Return what a client that has the version `after` missed. Raises `NotFound`."""
    present = await get(component_id, runtime=runtime)
    rows = await runtime.all(_QUERIES["changes"], component_id=component_id, after=after, limit=KEPT)
    changes = [Change(**row) for row in rows]
    whole = after <= present.version and [one.version for one in changes] == list(range(after + 1, after + 1 + len(changes)))  # fmt: skip
    if whole and after + len(changes) >= present.version:
        return Missed(after + len(changes), changes)
    return Missed(present.version, [], reset=True, state=present.state)


async def remove(component_id: str, *, runtime: Runtime) -> None:
    """Forget a component. Raises `NotFound`."""
    name = checked_name(component_id, what="component_id")
    if not await runtime.execute(_QUERIES["delete_component"], component_id=name):
        raise NotFound(f"There is no component {component_id[:100]!r}.")


async def forget_changes(*, runtime: Runtime) -> int:
    """Forget changes that nobody comes back for, and return how many."""
    return await runtime.execute(_QUERIES["forget_changes"], kept=KEPT)


def decided(
    current: Component, patch: list[Operation], base: int, since: list[Change], *, own: Collection[str] = ()
) -> tuple[Outcome, Any]:
    """Return what becomes of a mutation, and the state after it. Pure."""

    def rejected(reason: str) -> tuple[Outcome, Any]:
        return Outcome("rejected", current.version, list(patch), reason=reason, state=current.state), None

    if base > current.version:
        return rejected("It was made for a version that there is not: begin from this one.")
    if base < current.version:
        if [one.version for one in since] != list(range(base + 1, current.version + 1)):
            return rejected("It was made for a version that is too old: begin from this one.")
        others = [one for one in since if one.mutation_id not in own]
        if any(patches.disturbs(one.patch, patch, current.state) for one in others):
            return rejected("Others changed the same meanwhile.")
    try:
        state = patches.applied(current.state, patch)
    except PatchFailed as failed:
        return rejected(str(failed))
    return Outcome("applied", current.version + 1, list(patch), rebased=base < current.version), state


def _check_patch(patch: Any) -> None:
    if not isinstance(patch, list) or len(patch) > patches.MOST_OPERATIONS:
        raise InvalidInput(f"A patch is a list of at most {patches.MOST_OPERATIONS:,} operations.")
    if len(json_text(patch, what="A patch").encode()) > _MOST_PATCH_BYTES:
        raise InvalidInput("A patch has at most 200 kB of JSON: send it in parts.")
    for operation in patch:
        if not isinstance(operation, dict):
            raise InvalidInput("An operation of a patch is a JSON object.")
        patches.path_of(operation.get("path"))
        if operation.get("op") in ("move", "copy"):
            patches.path_of(operation.get("from"))
