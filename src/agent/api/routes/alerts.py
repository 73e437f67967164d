"""`/api/alerts`: what is wrong, who takes care of it, and what is muted."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.api.pages import Cursor, Limit, Page, number_in, page_of
from agent.monitoring import alerts
from agent.monitoring.records import Alert

router = APIRouter(prefix="/api/alerts", tags=["alerts"], route_class=IdempotentRoute)


class Comment(BaseModel):
    """Why, or what is done about it."""

    comment: str = Field("", max_length=1_000)


class Mute(Comment):
    """For how many hours nobody is told; 0 ends it."""

    hours: float = Field(24.0, ge=0, le=8_760)


@router.get("", **needs("viewer"))
async def list_alerts(
    runtime: Acting,
    limit: Limit = 50,
    cursor: Cursor = None,
    every: Annotated[bool, Query(alias="all", description="Also those that are over.")] = False,  # noqa: FBT002  # as FastAPI wants it
) -> Page[Alert]:
    """List what is wrong now, the newest first."""
    found = await alerts.newest_alerts(limit + 1, before=number_in(cursor), every=every, runtime=runtime)
    return page_of(found, limit=limit, key=lambda one: one.id)


@router.get("/{alert_id}", **needs("viewer"))
async def get_alert(alert_id: int, runtime: Acting) -> Alert:
    """Return one alert with its evidence."""
    return await alerts.get(alert_id, runtime=runtime)


@router.post("/{alert_id}/acknowledge", **needs("operator"))
async def acknowledge(alert_id: int, body: Comment, runtime: Acting) -> Alert:
    """Say that the caller takes care of an alert: nobody is told of this episode again."""
    return await alerts.acknowledge(alert_id, comment=body.comment, runtime=runtime)


@router.post("/{alert_id}/mute", **needs("operator"))
async def mute(alert_id: int, body: Mute, runtime: Acting) -> Alert:
    """Tell nobody about an alert for some hours, also if it comes back."""
    return await alerts.mute(alert_id, hours=body.hours, comment=body.comment, runtime=runtime)
