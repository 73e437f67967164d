"""The UI sync agent: the state of components, the same for everybody who shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import uuid4

import agent.integration.ui_sync.components as components
from agent.errors import InvalidInput, StateChanged
from agent.integration.base import BaseIntegrationAgent, Task
from agent.integration.events import IntegrationEvent
from agent.integration.ui_sync.components import Outcome
from agent.runtime import Runtime

_TRIES = 5


class UISyncAgent(BaseIntegrationAgent):
    """Keeps the state of components."""

    name = "ui_sync"
    summary = "State of components: partial updates, optimistic mutations with rebase and rollback, reconciliation."
    capabilities = ("state management", "real-time updates", "optimistic updates", "partial updates", "reconciliation")

    def tasks(self) -> Mapping[str, Task]:
        """Return what it can do."""
        return {
            "update_frontend": self._update, "sync_data": self._sync, "get_state": self._get, "mutate": self._mutate,
            "reconcile": self._reconcile, "cleanup": self._cleanup,
        }  # fmt: skip

    async def _process_integration_event(self, event: IntegrationEvent, *, runtime: Runtime) -> None:
        """Show what other agents ask to be shown: an event of the type `show`, with `component` and `state`."""
        if event.event_type == "show":
            await self._update(event.data, runtime=runtime)

    async def _update(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        """Make `state` the state of `component`, and tell everybody who shows it."""
        component, state = str(parameters.get("component") or ""), parameters.get("state")
        outcome = await _replaced(component, state, str(parameters.get("mutation_id") or uuid4()), runtime)
        return {"component": component, "version": outcome.version, "changed": bool(outcome.patch)}

    async def _sync(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        """Show data that another platform sent: one component for each platform that sends."""
        data = parameters.get("data")
        if not isinstance(data, Mapping):
            raise InvalidInput("The data to synchronise is a JSON object.")
        component = str(parameters.get("component") or f"sync:{parameters.get('source_platform', 'backend')}")
        return await self._update({"component": component, "state": dict(data)}, runtime=runtime)

    async def _get(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        return asdict(await components.get(str(parameters.get("component") or ""), runtime=runtime))

    async def _mutate(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        base = parameters.get("base_version", 0)
        if type(base) is not int or base < 0:
            raise InvalidInput("base_version is the version that you saw.")
        outcome = await components.mutate(
            str(parameters.get("component") or ""), parameters.get("patch") or [],
            mutation_id=str(parameters.get("mutation_id") or uuid4()), base_version=base, runtime=runtime,
        )  # fmt: skip
        return asdict(outcome)

    async def _reconcile(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        after = parameters.get("version", 0)
        if type(after) is not int or after < 0:
            raise InvalidInput("version is the version that the client has.")
        return asdict(await components.missed(str(parameters.get("component") or ""), after, runtime=runtime))

    async def _cleanup(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        del parameters
        return {"forgotten": await components.forget_changes(runtime=runtime)}


async def _replaced(component: str, state: Any, mutation_id: str, runtime: Runtime) -> Outcome:
    """Replace a state, also while others change it: what is wanted is the whole state, so it is made from the newest one."""
    for _ in range(_TRIES):
        outcome = await components.replace(component, state, mutation_id=mutation_id, runtime=runtime)
        if outcome.status == "applied":
            return outcome
    raise StateChanged(f"The component {component[:100]!r} is changed all the time: try again.")
