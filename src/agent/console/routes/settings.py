"""`/console/settings`: the switches, the guards and who asks whom; people, keys, channels, permissions, created tools, settings."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from agent.access import accounts, keys
from agent.approval.people import people
from agent.console.rendering import ConsoleRoute, done, page
from agent.console.visits import ROOT, Form, Visitor, needs
from agent.errors import AgentError
from agent.execution.created_tools.store import created_tools
from agent.operations import controls, doctor, permissions, settings
from agent.runtime import Cache, Runtime

router = APIRouter(prefix=f"{ROOT}/settings", route_class=ConsoleRoute)
# To look at every guard takes a fifth of a second, because a process of the sandbox is started: it is done twice a minute at most.
_KEEP_SECONDS = 30.0
_KEPT: Cache[tuple[float, doctor.Diagnosis]] = Cache()
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("", dependencies=needs("viewer"))
async def show(request: Request, visit: Visitor) -> Response:
    """Show how the agent is set up, and what is missing."""
    runtime = visit.runtime
    courier = getattr(request.app.state, "courier", None)
    known = []
    if visit.identity.allows("admin"):
        try:
            known = await keys.list_keys(runtime=runtime)
        except AgentError:  # the person is no admin, whatever their key says
            known = []
    return await page(
        request, visit, "settings.html", switches=await controls.current(runtime=runtime), diagnosis=await _diagnosis(runtime),
        people=await people.list_people(runtime=runtime), keys=known, permissions=await permissions.list_permissions(50, runtime=runtime),
        tools=await created_tools.versions(None, runtime=runtime), settings=settings.in_force(runtime),
        accounts=await accounts.linked(runtime=runtime), services=[service.name for service in courier.services] if courier else [],
    )  # fmt: skip


@router.post("/stop", dependencies=needs("operator"))
async def stop(request: Request, visit: Visitor, form: Form) -> Response:
    """Stop the agent, or let it only read, in every process at once."""
    only_read = form.get("what") == "read-only"
    await controls.stop(form.get("reason", "")[:1_000], read_only=only_read, runtime=visit.runtime)
    _KEPT.pop(visit.runtime, _key(visit.runtime))
    return done(request, form, "The agent only reads now." if only_read else "The agent is stopped.")


@router.post("/resume", dependencies=needs("approver"))
async def resume(request: Request, visit: Visitor, form: Form) -> Response:
    """Lift both switches."""
    await controls.resume(runtime=visit.runtime)
    _KEPT.pop(visit.runtime, _key(visit.runtime))
    return done(request, form, "The agent runs again.")


@router.post("/permissions/{number}/revoke", dependencies=needs("approver"))
async def revoke_permission(request: Request, number: Id, visit: Visitor, form: Form) -> Response:
    """Revoke a permission in every process."""
    await permissions.revoke(number, runtime=visit.runtime)
    _KEPT.pop(visit.runtime, _key(visit.runtime))
    return done(request, form, f"Permission {number} is revoked.")


@router.post("/keys/{number}/revoke", dependencies=needs("admin"))
async def revoke_key(request: Request, number: Id, visit: Visitor, form: Form) -> Response:
    """End a key at once."""
    await keys.revoke(number, runtime=visit.runtime)
    _KEPT.pop(visit.runtime, _key(visit.runtime))
    return done(request, form, f"Key {number} is revoked.")


@router.post("/tools/{name}/{what}", dependencies=needs("approver"))
async def switch_tool(
    request: Request, name: Annotated[str, Path(max_length=100)], what: str, visit: Visitor, form: Form
) -> Response:
    """Put a created tool out of use, or into use again."""
    if what == "disable":
        await created_tools.disable(name, runtime=visit.runtime)
        _KEPT.pop(visit.runtime, _key(visit.runtime))
    return done(request, form, f"{name} is out of use.")
    await created_tools.activate(name, None, runtime=visit.runtime)
    _KEPT.pop(visit.runtime, _key(visit.runtime))
    return done(request, form, f"{name} is in use again.")


async def _diagnosis(runtime: Runtime) -> doctor.Diagnosis:
    """Return the guards as they were within the last seconds. What is changed on this page is looked at anew."""
    kept = _KEPT.get(runtime, _key(runtime))
    if kept is None or time.monotonic() - kept[0] > _KEEP_SECONDS:
        kept = _KEPT.put(runtime, (time.monotonic(), await doctor.doctor(runtime=runtime)), _key(runtime))
    return kept[1]


def _key(runtime: Runtime) -> str:
    return f"{runtime.tenant_id}/{runtime.user}/{runtime.masked}"
