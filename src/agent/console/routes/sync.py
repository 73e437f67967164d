"""`/console/sync`: channels and who follows them, who is online, what is stuck, and conflicts that wait for somebody."""

from __future__ import annotations

import json
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from agent.console.rendering import ConsoleRoute, done, page
from agent.console.visits import ROOT, Form, Visitor, needs
from agent.errors import InvalidInput
from agent.sync import merging
from agent.sync.service import AgentSyncService
from agent.sync.views import viewer_of

router = APIRouter(prefix=f"{ROOT}/sync", route_class=ConsoleRoute)
_CHOICES = ("ours", "theirs", "value")


@router.get("", dependencies=needs("viewer"))
async def every(request: Request, visit: Visitor) -> Response:
    """Show channels, agents, outlets and conflicts."""
    service, viewer = AgentSyncService(visit.runtime), await viewer_of(visit.runtime)
    conflicts = [viewer.conflict(one) for one in await service.list_conflicts()]
    # A decision is about the state as it is now: another conflict of the same state may have been decided since this one came up.
    versions = {name: (await service.get_current_state(name)).version for name in {one.agent_id for one in conflicts}}
    return await page(
        request, visit, "sync.html", channels=await service.list_sync_channels(), agents=await service.list_agents(),
        outlets=await service.list_outlets(), conflicts=conflicts, versions=versions, figures=await service.get_sync_statistics(None),
    )  # fmt: skip


@router.get("/channels/{channel_id}", dependencies=needs("viewer"))
async def channel(request: Request, channel_id: Annotated[str, Path(max_length=100)], visit: Visitor) -> Response:
    """Show one channel with who follows it."""
    service = AgentSyncService(visit.runtime)
    return await page(
        request, visit, "channel.html", channel=await service.get_sync_channel(channel_id),
        subscriptions=await service.list_subscriptions(channel_id=channel_id), figures=await service.get_sync_statistics(channel_id),
    )  # fmt: skip


@router.post("/conflicts/{number}/resolve", dependencies=needs("operator"))
async def resolve(
    request: Request, number: Annotated[int, Path(ge=1, le=2**62)], visit: Visitor, form: Form
) -> Response:
    """Decide a conflict, for the version of the state that was looked at."""
    take, version = form.get("take", ""), form.get("version", "")
    if take not in _CHOICES or not version.isdecimal() or len(version) > 18:
        raise InvalidInput("Choose which side counts.")
    value = merging.MISSING
    if take == "value":
        try:
            value = json.loads(form.get("value", ""))
        except ValueError:
            raise InvalidInput('The value is JSON, such as 3 or "three".') from None
    await AgentSyncService(visit.runtime).resolve_conflict(
        number, cast("Literal['ours', 'theirs', 'value']", take), value=value, expected_version=int(version)
    )
    return done(request, form, f"Conflict {number} is decided.")
