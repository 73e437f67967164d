"""Batches of scripts for a plugin: kept, announced, fetched by the plugin, and what became of each script.

The announcement is an event of a sync channel for that plugin alone. It comes again until the plugin said what became of the batch, so a
plugin that was closed gets it when it is back; a batch is applied once, because the plugin's first word counts.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID, uuid4

import agent.integration.studio.pairing as pairing
import agent.integration.studio.scripts as scripts
from agent.db import load_queries
from agent.errors import InvalidInput, NotFound, StateChanged
from agent.integration.studio.pairing import CHANNEL, StudioSession
from agent.integration.studio.scripts import Script
from agent.integration.sync_channels import sync_channel
from agent.runtime import Runtime
from agent.sync import AgentSyncService

_QUERIES = load_queries(__package__)
OUTCOMES: Final = ("applied", "kept_both", "declined", "failed")
_LOOK_SECONDS = 0.1
_MOST_MESSAGES, _MOST_TOGETHER = 200, 200


async def deploy(given: Sequence[Script], *, project: str, runtime: Runtime) -> dict[str, Any]:
    """Send scripts to the plugin of a project that was paired last. Raises `InvalidInput` where none is paired."""
    session = next((one for one in await pairing.every(runtime=runtime) if one.project == project), None)
    if session is None:
        raise InvalidInput(f"No Roblox Studio is paired with the project {project!r}: make a code with POST /api/v1/integration/studio/pairings, and give it to the plugin.")  # fmt: skip
    if not 0 < len(given) <= scripts.MOST_SCRIPTS:
        raise InvalidInput(f"A batch has 1 to {scripts.MOST_SCRIPTS:,} scripts.")
    places = [{"path": one.path, "version": await scripts.save(one, project=project, runtime=runtime)} for one in given]
    deployment = uuid4()
    channel = await sync_channel(CHANNEL, runtime=runtime)
    service = AgentSyncService(runtime)
    async with service.transaction() as conn:
        values = {"tenant_id": runtime.tenant_id, "project": project, "session_id": session.session_id}
        batch = {"deployment_id": deployment, "scripts": json.dumps(places), "by": runtime.user}
        await conn.execute(_QUERIES["add_deployment"], {**values, **batch})
        event = {"event_type": "deployment", "data": {"deployment_id": str(deployment)}, "target_agents": [session.agent_id]}  # fmt: skip
        await service.broadcast_to_channel(channel, event, connection=conn)
    return {"deployment_id": str(deployment), "session_id": str(session.session_id), "scripts": places}


async def get(deployment_id: Any, *, runtime: Runtime) -> dict[str, Any]:
    """Return a batch. Raises `NotFound`."""
    row = await runtime.one(_QUERIES["deployment"], deployment_id=_uuid(deployment_id))
    if row is None:
        raise NotFound(f"There is no deployment {str(deployment_id)[:50]!r}.")
    return row


async def waiting(session: StudioSession, *, runtime: Runtime) -> dict[str, Any]:
    """Return the batches that a plugin has not spoken of, and their scripts with their texts: of each script the newest only."""
    rows = await runtime.all(_QUERIES["waiting"], session_id=session.session_id, limit=_MOST_TOGETHER)
    newest: dict[str, int] = {}
    taken: list[str] = []
    for row in rows:
        newer = {one["path"]: max(one["version"], newest.get(one["path"], 0)) for one in row["scripts"]}
        if taken and len(newest | newer) > scripts.MOST_SCRIPTS:
            break
        newest |= newer
        taken.append(str(row["deployment_id"]))
    places = json.dumps([{"path": path, "version": version} for path, version in newest.items()])
    found = await runtime.all(_QUERIES["sources"], project=session.project, scripts=places)
    return {"deployments": taken, "scripts": found}


async def finish(
    session: StudioSession, deployment_ids: Sequence[str], results: Sequence[Mapping[str, Any]], *, runtime: Runtime
) -> dict[str, str]:
    """Keep what became of the scripts of batches, and return the status of each. Raises `NotFound`, and `InvalidInput` for a wrong result."""
    rows = [await get(one, runtime=runtime) for one in deployment_ids]
    for row in rows:
        if row["session_id"] != session.session_id:
            raise NotFound(f"There is no deployment {str(row['deployment_id'])!r}.")
    kept = _checked(results, {one["path"] for row in rows for one in row["scripts"]})
    found: dict[str, str] = {}
    for row in rows:
        own = [kept[one["path"]] for one in row["scripts"] if one["path"] in kept]
        status = found[str(row["deployment_id"])] = status_of([one["status"] for one in own], len(row["scripts"]))
        values = {"deployment_id": row["deployment_id"], "session_id": session.session_id}
        await runtime.execute(_QUERIES["end_deployment"], **values, status=status, results=json.dumps(own))
    await _acknowledge(session, found, runtime)
    return found


def _checked(results: Sequence[Mapping[str, Any]], known: set[str]) -> dict[str, dict[str, str]]:
    kept = {}
    for one in results:
        if one.get("path") not in known or one.get("status") not in OUTCOMES:
            raise InvalidInput(f"A result names a path of the batch, and is one of {', '.join(OUTCOMES)}.")
        kept[one["path"]] = {"path": one["path"], "status": one["status"], "detail": str(one.get("detail") or "")[:500]}
    return kept


async def _acknowledge(session: StudioSession, finished: Mapping[str, str], runtime: Runtime) -> None:
    """Acknowledge the announcements of batches that a plugin spoke of, and of no other: it can speak of a later one first."""
    channel = await sync_channel(CHANNEL, runtime=runtime)
    service = AgentSyncService(runtime)
    reading = await service.get_agent_events(session.agent_id, channel_id=channel, limit=1_000)
    done = [event.sequence for event in reading.events if event.data.get("deployment_id") in finished]
    if done:
        await service.fetch_events(session.agent_id, channel, limit=1_000)
        await service.acknowledge_events(session.agent_id, channel, done)


def status_of(found: Sequence[str], count: int) -> str:
    """Return the status of a batch of `count` scripts. Pure."""
    if len(found) >= count and all(one == "applied" for one in found):
        return "applied"
    if found and all(one == "declined" for one in found):
        return "declined"
    return "partly" if any(one in ("applied", "kept_both") for one in found) else "failed"


async def verify(deployment_id: Any, *, seconds: float, runtime: Runtime) -> dict[str, Any]:
    """Wait until a plugin said what became of a batch, and return that; after `seconds` it is still `sent`."""
    row = await get(deployment_id, runtime=runtime)
    end = asyncio.get_running_loop().time() + seconds
    while row["status"] == "sent" and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(_LOOK_SECONDS)
        row = await get(deployment_id, runtime=runtime)
    return {
        "deployment_id": str(row["deployment_id"]), "status": row["status"], "verified": row["status"] == "applied",
        "results": row["results"],
    }  # fmt: skip


async def take_scripts(session: StudioSession, given: Sequence[Any], *, runtime: Runtime) -> list[dict[str, Any]]:
    """Keep what was changed in Studio. Where it was changed here too, both are kept: the answer holds the one from here."""
    found = []
    for one in given:
        script = scripts.checked(one)
        base = one.get("base_version", 0)
        if type(base) is not int or not 0 <= base < 2**62:
            raise InvalidInput("base_version is the version that the plugin had.")
        try:
            version = await scripts.save(
                script,
                project=session.project,
                expected_version=base,
                by=f"studio:{session.paired_by}",
                runtime=runtime,
            )
            found.append({"path": script.path, "status": "kept", "version": version})
        except StateChanged:
            present = await scripts.get(script.path, project=session.project, runtime=runtime)
            found.append({"path": script.path, "status": "conflict", "version": present.version, "source": present.source})  # fmt: skip
    return found


async def take_messages(session: StudioSession, given: Sequence[Any], *, runtime: Runtime) -> list[dict[str, Any]]:
    """Keep messages of a plugin, and return them as they were kept. Raises `InvalidInput`."""
    if not 0 < len(given) <= _MOST_MESSAGES:
        raise InvalidInput(f"1 to {_MOST_MESSAGES} messages are sent together.")
    kept = [_message(one) for one in given]
    await runtime.execute(_QUERIES["add_messages"], session_id=session.session_id, messages=json.dumps(kept))
    return kept


async def messages(*, limit: int, runtime: Runtime) -> list[dict[str, Any]]:
    """Return what plugins sent, the newest first."""
    return await runtime.all(_QUERIES["messages"], limit=limit)


async def forget_messages(*, runtime: Runtime) -> int:
    """Forget old messages, and return how many."""
    return await runtime.execute(_QUERIES["forget_messages"])


def _message(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping) or given.get("level") not in ("debug", "info", "warning", "error"):
        raise InvalidInput("A message has a level (debug, info, warning or error) and a text.")
    text, script, line = given.get("text"), given.get("script"), given.get("line")
    if not isinstance(text, str) or not isinstance(script, str | None) or not isinstance(line, int | None):
        raise InvalidInput("The text and the script of a message are texts, and its line is a number.")
    plain = text.replace("\x00", "").encode(errors="replace").decode()
    where = None if script is None else "".join(one for one in script if one.isprintable())[:500]
    return {"level": given["level"], "text": plain[:4_000], "script": where, "line": None if line is None else max(0, min(line, 10**6))}  # fmt: skip


def _uuid(text: Any) -> UUID:
    try:
        return text if isinstance(text, UUID) else UUID(str(text))
    except ValueError:
        raise NotFound(f"There is no deployment {str(text)[:50]!r}.") from None
