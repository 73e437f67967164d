"""`/console/improve`: the ledger of experiments: what was proposed from which evidence, tested how, applied or taken back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from agent.console.rendering import ConsoleRoute, done, page
from agent.console.visits import ROOT, Form, Visitor, needs
from agent.errors import NotFound
from agent.optimization import AutoConfigGenerationService, SelfLearningOrchestrationService

router = APIRouter(prefix=f"{ROOT}/improve", route_class=ConsoleRoute)
_MOST = 100
Id = Annotated[str, Path(min_length=1, max_length=100)]


@router.get("", dependencies=needs("viewer"))
async def ledger(request: Request, visit: Visitor) -> Response:
    """Show proposed changes, patterns, configurations, campaigns and sessions, the newest first."""
    service, configs = SelfLearningOrchestrationService(visit.runtime), AutoConfigGenerationService(visit.runtime)
    return await page(
        request, visit, "improve.html", optimizations=(await service.list_optimizations())[:_MOST], patterns=(await service.list_patterns())[:_MOST],
        campaigns=(await service.list_research_campaigns())[:_MOST], sessions=(await service.list_learning_sessions())[:_MOST],
        configs=(await configs.list_configs())[:_MOST],
    )  # fmt: skip


@router.get("/{optimization_id}", dependencies=needs("viewer"))
async def one(request: Request, optimization_id: Id, visit: Visitor) -> Response:
    """Show one proposed change with its test."""
    found = await SelfLearningOrchestrationService(visit.runtime).get_optimization(optimization_id)
    return await page(request, visit, "optimization.html", found=found)


@router.post("/{optimization_id}/{what}", dependencies=needs("operator"))
async def act(request: Request, optimization_id: Id, what: str, visit: Visitor, form: Form) -> Response:
    """Test a change as it was registered, apply it, or take it back."""
    service = SelfLearningOrchestrationService(visit.runtime)
    if what == "test":
        await service.test_optimization(optimization_id)
        return done(request, form, "It was tested as it was registered.")
    if what not in {"apply", "rollback"}:
        raise NotFound("There is no such action.")
    act_on = service.apply_optimization if what == "apply" else service.roll_back_optimization
    found = await act_on(optimization_id)
    return done(request, form, f"Its status is {found.status} now.")
