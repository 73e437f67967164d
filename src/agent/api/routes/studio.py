"""`/api/v1/integration/studio`: pair plugins of Roblox Studio, send them scripts, see what they say; and what a plugin calls.

A plugin proves itself by its own token, not by an API key. It never sends an Origin header, so whatever does is a page, and refused.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from importlib.resources import files
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import PlainTextResponse
from limits import parse
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse
from sse_starlette.event import ServerSentEvent
from starlette.exceptions import HTTPException

import agent.integration.studio.deployments as deployments
import agent.integration.studio.pairing as pairing
import agent.integration.studio.scripts as scripts
from agent.api.callers import Acting, Callers, needs
from agent.errors import AccessDenied, NotAuthenticated
from agent.integration import IntegrationEvent, integration_manager
from agent.integration.studio.pairing import CHANNEL, StudioSession
from agent.integration.sync_channels import sync_channel
from agent.runtime import Runtime
from agent.sync import AgentSyncService

router = APIRouter(prefix="/api/v1/integration/studio", tags=["integration"])
_SEND_TIMEOUT, _POLL_SECONDS = 30.0, 25.0
_CHECKED_EVERY = 10
# As Roblox allows a server; what asks more often is slowed down before it harms others.
_PLUGIN_LIMIT = parse("500/minute")
_PAIRING_LIMIT = parse("20/minute")
_BIG = 2**62
Project = Annotated[str, Query(min_length=1, max_length=100, description="Name of the project.")]
ScriptPath = Annotated[str, Path(min_length=3, max_length=500, description="Path of the script, such as ServerScriptService/Main.")]  # fmt: skip


class NewPairing(BaseModel):
    """The project that a plugin is to work on."""

    project: str = Field("default", min_length=1, max_length=100)


class PairingCode(BaseModel):
    """A code that pairs one plugin, once."""

    code: str
    project: str
    expires_at: datetime


class PairedStudio(BaseModel):
    """A plugin that is paired."""

    session_id: UUID
    project: str
    place: str
    paired_by: str
    paired_at: datetime
    seen_at: datetime


class StudioScript(BaseModel):
    """A script with its text; one that was removed has none."""

    path: str
    kind: scripts.Kind
    version: int
    source: str | None


class NewSource(BaseModel):
    """A text for a script; with `expected_version` only if that is the present one."""

    source: str | None = Field(max_length=scripts.MOST_CHARACTERS)
    kind: scripts.Kind | None = None
    expected_version: int | None = Field(None, ge=0, lt=_BIG)


class Restored(BaseModel):
    """The version to restore."""

    version: int = Field(ge=1, lt=_BIG)


class StudioMessage(BaseModel):
    """What a plugin sent."""

    id: int
    session_id: UUID
    level: str
    text: str
    script: str | None
    line: int | None
    at: datetime


class Deployment(BaseModel):
    """A batch of scripts, and what became of it."""

    deployment_id: UUID
    status: str
    verified: bool
    results: list[dict[str, Any]]


@router.post("/pairings", status_code=201, **needs("operator"))
async def begin_pairing(body: NewPairing, runtime: Acting) -> PairingCode:
    """Make a code for one plugin. Type it into the plugin within AGENT_STUDIO_PAIRING_MINUTES."""
    made = await pairing.begin(body.project, runtime=runtime)
    return PairingCode(code=made.code, project=made.project, expires_at=made.expires_at)


@router.get("/sessions", **needs("viewer"))
async def list_sessions(runtime: Acting) -> list[PairedStudio]:
    """List the plugins that are paired."""
    return [_shown(one) for one in await pairing.every(runtime=runtime)]


@router.delete("/sessions/{session_id}", **needs("operator"))
async def end_session(session_id: UUID, runtime: Acting) -> PairedStudio:
    """End a pairing; its token is refused at once."""
    return _shown(await pairing.end(session_id, runtime=runtime))


@router.get("/scripts", **needs("viewer"))
async def list_scripts(runtime: Acting, project: Project = scripts.DEFAULT) -> list[dict[str, Any]]:
    """List the scripts of a project, without their texts."""
    return await scripts.every(project=project, runtime=runtime)


@router.get("/script/{path:path}", **needs("viewer"))
async def get_script(path: ScriptPath, runtime: Acting, project: Project = scripts.DEFAULT) -> StudioScript:
    """Get a script."""
    found = await scripts.get(path, project=project, runtime=runtime)
    return StudioScript(path=found.path, kind=found.kind, version=found.version, source=found.source)


@router.put("/script/{path:path}", **needs("operator"))
async def put_script(path: ScriptPath, body: NewSource, runtime: Acting, project: Project = scripts.DEFAULT) -> StudioScript:  # fmt: skip
    """Keep a text as a script's next version. A deployment brings it to Studio."""
    script = scripts.checked({"path": path, "source": body.source, "kind": body.kind})
    await scripts.save(script, project=scripts.project_of(project), expected_version=body.expected_version, runtime=runtime)  # fmt: skip
    return await get_script(script.path, runtime, project)


@router.get("/versions/{path:path}", **needs("viewer"))
async def list_versions(path: ScriptPath, runtime: Acting, project: Project = scripts.DEFAULT) -> list[dict[str, Any]]:
    """List the versions of a script, the newest first."""
    return await scripts.versions(path, project=project, runtime=runtime)


@router.post("/versions/{path:path}", **needs("operator"))
async def restore_version(path: ScriptPath, body: Restored, runtime: Acting, project: Project = scripts.DEFAULT) -> StudioScript:  # fmt: skip
    """Make an earlier version the newest one."""
    await scripts.restore(path, body.version, project=project, runtime=runtime)
    return await get_script(path, runtime, project)


@router.get("/deployments/{deployment_id}", **needs("viewer"))
async def get_deployment(deployment_id: UUID, runtime: Acting) -> Deployment:
    """Get what became of a batch."""
    return Deployment(**await deployments.verify(deployment_id, seconds=0, runtime=runtime))


@router.get("/messages", **needs("viewer"))
async def list_messages(runtime: Acting, limit: Annotated[int, Query(ge=1, le=1_000)] = 100) -> list[StudioMessage]:
    """List what plugins sent, the newest first."""
    return [StudioMessage(**row) for row in await deployments.messages(limit=limit, runtime=runtime)]


@router.get("/plugin.luau", response_class=PlainTextResponse, **needs("viewer"))
async def plugin_source() -> PlainTextResponse:
    """Return the plugin, a file for Studio's folder of plugins."""
    text = files("agent.integration.studio").joinpath("plugin/AgentBridge.luau").read_text(encoding="utf-8")
    return PlainTextResponse(text)


def _shown(one: StudioSession) -> PairedStudio:
    return PairedStudio(
        session_id=one.session_id, project=one.project, place=one.place, paired_by=one.paired_by,
        paired_at=one.paired_at, seen_at=one.seen_at,
    )  # fmt: skip


# What a plugin calls. It is no part of our own document: its caller is the plugin that comes with it.


class PluginPair(BaseModel):
    """A code, and what the place is called."""

    code: str = Field(min_length=1, max_length=700)
    place: str = Field("", max_length=200)


class PluginResult(BaseModel):
    """What became of the scripts of batches."""

    deployments: list[str] = Field(max_length=200)
    results: list[dict[str, Any]] = Field(max_length=scripts.MOST_SCRIPTS)


class PluginScripts(BaseModel):
    """Scripts that were changed in Studio, with the version that they were made from."""

    scripts: list[dict[str, Any]] = Field(min_length=1, max_length=scripts.MOST_SCRIPTS)


class PluginMessages(BaseModel):
    """Messages."""

    messages: list[dict[str, Any]] = Field(min_length=1, max_length=200)


class Plugin:
    """A plugin that calls, and the runtime that acts for it."""

    def __init__(self, session: StudioSession, runtime: Runtime) -> None:
        self.session = session
        self.runtime = runtime.for_tenant(session.tenant_id, user=session.paired_by, masked=True)


async def _plugin(request: Request) -> Plugin:
    _no_page(request)
    callers: Callers = request.app.state.callers
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise NotAuthenticated("A plugin sends its token as Authorization: Bearer.")
    session = await pairing.of_token(token.strip(), runtime=callers.runtime)
    if not await callers.limiter.hit(_PLUGIN_LIMIT, f"studio/{session.session_id}"):
        raise HTTPException(429, "A plugin asks at most 500 times a minute: wait.", {"Retry-After": "10"})
    return Plugin(session, callers.runtime)


def _no_page(request: Request) -> None:
    if "origin" in request.headers:
        raise AccessDenied("Only a plugin calls this, and no page.")


Calling = Annotated[Plugin, Depends(_plugin)]


@router.post("/plugin/pair", include_in_schema=False)
async def pair_plugin(body: PluginPair, request: Request) -> dict[str, Any]:
    """Pair a plugin by its code."""
    _no_page(request)
    callers: Callers = request.app.state.callers
    host = request.client.host if request.client else ""
    if not await callers.limiter.hit(_PAIRING_LIMIT, f"studio-pair/{host}"):
        raise HTTPException(429, "Too many codes were tried: wait a minute.", {"Retry-After": "60"})
    session, token = await pairing.pair(body.code, body.place, runtime=callers.runtime)
    return {"token": token, "session_id": str(session.session_id), "project": session.project}


@router.get("/plugin/poll", include_in_schema=False)
async def poll(plugin: Calling, request: Request, wait: Annotated[float, Query(ge=0, le=_POLL_SECONDS)] = 0) -> dict[str, Any]:  # fmt: skip
    """Return the batches that the plugin has not spoken of, as soon as there is one, or after `wait` seconds."""
    leaving: asyncio.Event = request.app.state.leaving
    end = asyncio.get_running_loop().time() + wait
    async for found in _batches(plugin):
        if found or leaving.is_set() or asyncio.get_running_loop().time() >= end:
            return {"deployments": found}
    return {"deployments": []}


@router.get("/plugin/stream", include_in_schema=False)
async def stream(plugin: Calling) -> EventSourceResponse:
    """Send the batches that the plugin has not spoken of, as they come."""
    return EventSourceResponse(_sse(plugin), send_timeout=_SEND_TIMEOUT, ping=15)


@router.get("/plugin/deployments", include_in_schema=False)
async def get_batches(plugin: Calling) -> dict[str, Any]:
    """Return the batches that wait for the plugin, and their scripts with their texts."""
    return await deployments.waiting(plugin.session, runtime=plugin.runtime)


@router.post("/plugin/deployments", include_in_schema=False)
async def finish_batches(body: PluginResult, plugin: Calling) -> dict[str, Any]:
    """Keep what became of batches."""
    return {
        "statuses": await deployments.finish(plugin.session, body.deployments, body.results, runtime=plugin.runtime)
    }


@router.get("/plugin/scripts", include_in_schema=False)
async def plugin_scripts(plugin: Calling) -> dict[str, Any]:
    """Return the scripts of the plugin's project, without their texts."""
    return {"scripts": await scripts.every(project=plugin.session.project, runtime=plugin.runtime)}


@router.post("/plugin/scripts", include_in_schema=False)
async def take_scripts(body: PluginScripts, plugin: Calling) -> dict[str, Any]:
    """Keep scripts that were changed in Studio."""
    return {"scripts": await deployments.take_scripts(plugin.session, body.scripts, runtime=plugin.runtime)}


@router.post("/plugin/messages", include_in_schema=False)
async def take_messages(body: PluginMessages, plugin: Calling) -> dict[str, Any]:
    """Keep messages of a plugin, and tell the other agents of errors."""
    kept = await deployments.take_messages(plugin.session, body.messages, runtime=plugin.runtime)
    errors = [one for one in kept if one["level"] == "error"]
    if errors and integration_manager.is_initialized(plugin.runtime):
        data = {"channel": "private-studio", "event": "studio-errors", "data": {"errors": errors[:10]}}
        told = IntegrationEvent(event_type="broadcast", source="studio_bridge", data=data)
        await integration_manager.tell(told, runtime=plugin.runtime)
    return {"kept": len(kept)}


async def _batches(plugin: Plugin) -> AsyncIterator[list[str]]:
    """Yield the batches that the plugin has not spoken of yet, then those that come."""
    channel = await sync_channel(CHANNEL, runtime=plugin.runtime)
    service = AgentSyncService(plugin.runtime)
    async for reading in service.follow_agent_events(plugin.session.agent_id, channel_id=channel):
        yield [str(event.data["deployment_id"]) for event in reading.events if "deployment_id" in event.data]


async def _sse(plugin: Plugin) -> AsyncIterator[ServerSentEvent]:
    count = 0
    yield ServerSentEvent(data=json.dumps({"project": plugin.session.project}), event="paired")
    async for found in _batches(plugin):
        count += 1
        if count % _CHECKED_EVERY == 0 and not await _still_paired(plugin):
            return
        for deployment in found:
            yield ServerSentEvent(data=json.dumps({"deployment_id": deployment}), event="deployment")


async def _still_paired(plugin: Plugin) -> bool:
    return any(one.session_id == plugin.session.session_id for one in await pairing.every(runtime=plugin.runtime))
