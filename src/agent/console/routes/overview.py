"""`/console`: what needs attention first, and how the agent does over time."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from agent.concurrency import gather_or_cancel
from agent.console import plots
from agent.console.rendering import ConsoleRoute, page
from agent.console.visits import ROOT, Visitor, needs
from agent.execution.log import executions
from agent.monitoring import alerts
from agent.operations import approvals
from agent.operations.overview import RANGES, Overview, Range, overview
from agent.runtime import Cache, Runtime

router = APIRouter(prefix=ROOT, route_class=ConsoleRoute)
_MOST_WAITING, _KEEP_SECONDS = 5, 60.0
_KEPT: Cache[tuple[float, Overview]] = Cache()


@router.get("", dependencies=needs("viewer"))
async def show(request: Request, visit: Visitor, over: Annotated[Range, Query(alias="range")] = "24h") -> Response:
    """Show the overview."""
    found, waiting = await gather_or_cancel(
        _figures(over, visit.runtime), approvals.list_requests(_MOST_WAITING, runtime=visit.runtime)
    )
    return await page(
        request, visit, "overview.html", found=found, over=over, ranges=list(RANGES), waiting=waiting.approvals, plots=_plots(found, over)
    )  # fmt: skip


async def _figures(over: Range, runtime: Runtime) -> Overview:
    """Return the figures; those of more than a day are at most a minute old, because they are read from all that happened in it."""
    if over == "24h":
        return await overview(over, runtime=runtime)
    key = f"{runtime.tenant_id}/{over}"
    kept = _KEPT.get(runtime, key)
    if kept is None or time.monotonic() - kept[0] > _KEEP_SECONDS:
        kept = _KEPT.put(runtime, (time.monotonic(), await overview(over, runtime=runtime)), key)
    wrong_now = tuple(await alerts.newest_alerts(_MOST_WAITING, runtime=runtime))
    return replace(kept[1], alerts=wrong_now, unknown=await executions.unknown(runtime=runtime))


def _plots(found: Overview, over: Range) -> list[tuple[str, object]]:
    form = "%H:%M" if over == "24h" else "%d %b"
    labels = [f"{start.astimezone(UTC):{form}}" for start in found.starts]

    def drawn(name: str, *, curve: bool = False) -> object:
        lines = [plots.Line(name=one.name, values=one.values) for one in found.series[name]]
        return (plots.curves if curve else plots.bars)(labels, lines, unit=found.series[name][0].unit)

    return [
        ("Questions", drawn("turns")),
        ("Seconds to an answer", drawn("latency", curve=True)),
        ("Actions", drawn("executions")),
        ("Tokens", drawn("tokens")),
        ("New memories", drawn("memories")),
    ]
