"""`/console/alerts`: what is wrong, since when, what to do about it, and who takes care of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from agent.api.pages import number_in
from agent.console.rendering import ConsoleRoute, done, page
from agent.console.visits import ROOT, Form, Visitor, needs
from agent.errors import InvalidInput
from agent.monitoring import alerts
from agent.monitoring.continuous_monitor import continuous_monitor

router = APIRouter(prefix=f"{ROOT}/alerts", route_class=ConsoleRoute)
_PER_PAGE = 50
AlertId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("", dependencies=needs("viewer"))
async def newest(
    request: Request, visit: Visitor, show: Annotated[str, Query(max_length=10)] = "open",
    cursor: Annotated[str | None, Query(max_length=30)] = None,
) -> Response:  # fmt: skip
    """Show what is wrong now, or also what is over."""
    found = await alerts.newest_alerts(
        _PER_PAGE + 1, before=number_in(cursor or None), every=show == "all", runtime=visit.runtime
    )
    more = str(found[_PER_PAGE - 1].id) if len(found) > _PER_PAGE else None
    return await page(
        request, visit, "alerts.html", found=found[:_PER_PAGE], show="all" if show == "all" else "open", next=more,
        health=await continuous_monitor.health(runtime=visit.runtime), runs=(await continuous_monitor.runs(runtime=visit.runtime))[:10],
    )  # fmt: skip


@router.post("/look", dependencies=needs("operator"))
async def look(request: Request, visit: Visitor, form: Form) -> Response:
    """Look once, now."""
    run = await continuous_monitor.run_once(runtime=visit.runtime)
    if run.status == "skipped":
        return done(request, form, "Another monitor looks at this moment.")
    return done(request, form, f"{len(run.checks)} checks looked. {run.opened} alerts opened, {run.resolved} are over.")


@router.get("/{alert_id}", dependencies=needs("viewer"))
async def one(request: Request, alert_id: AlertId, visit: Visitor) -> Response:
    """Show one alert with its evidence and what people did about it."""
    alert = await alerts.get(alert_id, runtime=visit.runtime)
    decisions = await alerts.decisions_of(alert_id, runtime=visit.runtime)
    return await page(request, visit, "alert.html", alert=alert, decisions=decisions)


@router.post("/{alert_id}/acknowledge", dependencies=needs("operator"))
async def acknowledge(request: Request, alert_id: AlertId, visit: Visitor, form: Form) -> Response:
    """Say that you take care of it."""
    await alerts.acknowledge(alert_id, comment=form.get("comment", "")[:1_000], runtime=visit.runtime)
    return done(request, form, "You take care of it: nobody is told of it again.")


@router.post("/{alert_id}/mute", dependencies=needs("operator"))
async def mute(request: Request, alert_id: AlertId, visit: Visitor, form: Form) -> Response:
    """Tell nobody for some hours."""
    hours = form.get("hours", "")
    if not hours.isdecimal() or len(hours) > 5:
        raise InvalidInput("Hours are a whole number; 0 ends it.")
    await alerts.mute(alert_id, hours=float(hours), comment=form.get("comment", "")[:1_000], runtime=visit.runtime)
    return done(request, form, f"Nobody is told for {hours} hours." if int(hours) else "People are told again.")
