"""`/console/agents`: agents and tasks with their figures and intervals, trends, predictions that held, and findings."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from markupsafe import Markup

from agent.analytics import AnalyticsService
from agent.analytics.views import shown
from agent.concurrency import gather_or_cancel
from agent.console import plots
from agent.console.rendering import ConsoleRoute, page
from agent.console.visits import ROOT, Visitor, needs

router = APIRouter(prefix=f"{ROOT}/agents", route_class=ConsoleRoute)
_MOST_AGENTS, _MOST_TASKS, _MOST_INSIGHTS = 200, 20, 20


@router.get("", dependencies=needs("viewer"))
async def every(request: Request, visit: Visitor) -> Response:
    """Show every agent, the matrix of agents and tasks, the models, and what was found."""
    service = AnalyticsService(visit.runtime)
    (known, cells), (patterns, models) = await gather_or_cancel(
        gather_or_cancel(service.list_agents(), service.matrix()),
        gather_or_cancel(service.patterns(), service.models()),
    )
    found = await shown(patterns, runtime=visit.runtime)
    tasks = sorted({cell["task_type"] or "" for cell in cells})[:_MOST_TASKS]
    matrix = {(cell["agent_name"], cell["task_type"] or ""): cell for cell in cells}
    return await page(
        request, visit, "agents.html", known=known[:_MOST_AGENTS], total=len(known), tasks=tasks, matrix=matrix,
        names=sorted({cell["agent_name"] for cell in cells})[:_MOST_AGENTS], models=[_card(one) for one in models],
        insights=(found.get("insights") or [])[:_MOST_INSIGHTS],
    )  # fmt: skip


@router.get("/{name}", dependencies=needs("viewer"))
async def one(request: Request, name: Annotated[str, Path(max_length=200)], visit: Visitor) -> Response:
    """Show one agent: its figures over all, by task and by day."""
    service = AnalyticsService(visit.runtime)
    status = await service.agent_status(name)
    figures = await service.agent_performance(name)
    return await page(
        request, visit, "agent.html", name=name, known=status, figures=figures, plots=_plots(list(reversed(figures.get("trend") or [])))
    )  # fmt: skip


# What a model card holds; one of an earlier version may lack some of it.
_CARD = ("runs", "agents", "task_types", "data_from", "data_to", "tested_on", "coverage", "calibration", "between", "method", "reason", "richer_model", "training_seconds")  # fmt: skip


def _card(model: dict[str, Any]) -> dict[str, Any]:
    """Return a model with its card, and how well it predicted as a plot."""
    card = dict.fromkeys(_CARD) | (model["card"] or {})
    bins = [plots.Bin(predicted=one["predicted"], observed=one["observed"], low=one["interval"][0], high=one["interval"][1], count=one["n"]) for one in card["calibration"] or ()]  # fmt: skip
    return {**model, "card": card, "plot": plots.calibration(bins) if bins else ""}


def _plots(days: list[dict[str, Any]]) -> list[tuple[str, Markup]]:
    if len(days) < 2:
        return []
    labels = [str(day.get("day", "")) for day in days]

    def values(key: str) -> list[float | None]:
        return [None if day.get(key) is None else float(day[key]) for day in days]

    return [
        ("Runs", plots.bars(labels, [plots.Line(name="runs", values=values("runs"))], unit="runs")),
        (
            "Success rate",
            plots.curves(labels, [plots.Line(name="success rate", values=values("success_rate"))], unit="share of 1"),
        ),
    ]
