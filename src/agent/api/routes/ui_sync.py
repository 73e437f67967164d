"""`/api/v1/integration/ui`: the state of components, their changes as they come, and the client for browsers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import datetime
from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse
from sse_starlette.event import ServerSentEvent

import agent.integration.ui_sync.components as components
from agent.access import keys
from agent.access.identity import Identity
from agent.api.callers import Acting, Caller, needs
from agent.integration.ui_sync.components import Component, Missed, Outcome
from agent.integration.ui_sync.following import follow
from agent.runtime import Runtime
from agent.sync.views import Viewer, viewer_of

router = APIRouter(prefix="/api/v1/integration/ui", tags=["integration"])
_SEND_TIMEOUT = 30.0
_CHECKED_EVERY = 20
_BIG = 2**62
ComponentId = Annotated[str, Path(min_length=1, max_length=200, description="Id of the component.")]
After = Annotated[int, Query(ge=0, lt=_BIG, description="The version that the client has.")]


class ComponentSummary(BaseModel):
    """A component without its state."""

    component_id: str
    version: int
    updated_by: str
    updated_at: datetime


class Mutation(BaseModel):
    """A change of a component, as its author saw it in `base_version`. `patch` is a JSON Patch (RFC 6902)."""

    mutation_id: str = Field(min_length=1, max_length=200)
    base_version: int = Field(ge=0, lt=_BIG)
    patch: list[dict[str, Any]] = Field(max_length=1_000)
    own: list[str] = Field([], max_length=100, description="Mutations of the same author after `base_version`.")


class NewState(BaseModel):
    """The whole state that a component is to have."""

    mutation_id: str = Field(min_length=1, max_length=200)
    state: Any


class JavaScript(Response):
    """A module of JavaScript."""

    media_type = "text/javascript"


@router.get("/client.js", response_class=JavaScript, **needs("viewer"))
async def client_script() -> JavaScript:
    """Return the JavaScript client, a module: `import { UISync } from ".../client.js"`."""
    text = files("agent.integration.ui_sync").joinpath("client/ui_sync.js").read_text(encoding="utf-8")
    return JavaScript(text)


@router.get("/components", **needs("viewer"))
async def list_components(runtime: Acting) -> list[ComponentSummary]:
    """List the components, the newest change first."""
    return [ComponentSummary(**row) for row in await components.every(runtime=runtime)]


@router.get("/components/{component_id}", **needs("viewer"))
async def get_component(component_id: ComponentId, runtime: Acting) -> Component:
    """Get a component's state."""
    found = await components.get(component_id, runtime=runtime)
    viewer = await viewer_of(runtime)
    return Component(found.component_id, found.version, viewer.data(found.state))


@router.put("/components/{component_id}", **needs("operator"))
async def replace_component(component_id: ComponentId, body: NewState, runtime: Acting) -> Outcome:
    """Make a state the present one, by the changes that it takes."""
    return await components.replace(component_id, body.state, mutation_id=body.mutation_id, runtime=runtime)


@router.delete("/components/{component_id}", status_code=204, **needs("operator"))
async def delete_component(component_id: ComponentId, runtime: Acting) -> None:
    """Forget a component."""
    await components.remove(component_id, runtime=runtime)


@router.post(
    "/components/{component_id}/mutations",
    responses={409: {"model": Outcome, "description": "It was rejected: roll it back, or make it from this state."}},
    response_model=Outcome,
    **needs("operator"),
)
async def mutate_component(component_id: ComponentId, body: Mutation, runtime: Acting) -> Any:
    """Change a component. What others changed meanwhile is kept: the mutation is put on top of it, or rejected.

    The same mutation id again gives the first answer.
    """
    outcome = await components.mutate(
        component_id,
        body.patch,
        mutation_id=body.mutation_id,
        base_version=body.base_version,
        own=body.own,
        runtime=runtime,
    )
    if outcome.status == "applied":
        return outcome
    viewer = await viewer_of(runtime)
    return JSONResponse(asdict(outcome) | {"state": viewer.data(outcome.state)}, status_code=409)


@router.get("/components/{component_id}/changes", **needs("viewer"))
async def changes_of_component(component_id: ComponentId, runtime: Acting, after: After = 0) -> Missed:
    """Get what was changed after a version, or the whole state where that is not kept any more (`reset`)."""
    found = await components.missed(component_id, after, runtime=runtime)
    return await _seen(found, await viewer_of(runtime), component_id, runtime)


# A stream has no answer that the document could describe; docs/integration.md names it.
@router.get("/components/{component_id}/stream", include_in_schema=False, **needs("viewer"))
async def stream_component(
    component_id: ComponentId, runtime: Acting, caller: Caller, after: After = 0
) -> EventSourceResponse:
    """Get a component's changes as they come."""
    await components.get(component_id, runtime=runtime)  # so that what is wrong is an answer, not a broken stream
    stream = _sse(component_id, after, caller, await viewer_of(runtime), runtime)
    return EventSourceResponse(stream, send_timeout=_SEND_TIMEOUT, ping=15)


async def _sse(
    component_id: str, after: int, caller: Identity, viewer: Viewer, runtime: Runtime
) -> AsyncIterator[ServerSentEvent]:
    count = 0
    async for found in follow(component_id, after, runtime=runtime):
        count += 1
        if count % _CHECKED_EVERY == 0 and not await keys.still_valid(caller, runtime=runtime):
            return
        if found is not None:
            shown = await _seen(found, viewer, component_id, runtime)
            yield ServerSentEvent(data=json.dumps(asdict(shown)), event="changes", id=str(shown.version))


async def _seen(found: Missed, viewer: Viewer, component_id: str, runtime: Runtime) -> Missed:
    """Return what was missed as the viewer may see it: who sees no personal values gets a masked state in place of changes."""
    if viewer.sees_personal or not (found.changes or found.reset):
        return found
    present = await components.get(component_id, runtime=runtime)
    return Missed(present.version, [], reset=True, state=viewer.data(present.state))
