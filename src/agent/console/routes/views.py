"""`/console/views`: a person's own names for pages with their filters."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from agent.console.rendering import ConsoleRoute, done
from agent.console.visits import ROOT, Form, Visitor, local_path, needs
from agent.errors import InvalidInput
from agent.operations import saved_views

router = APIRouter(prefix=f"{ROOT}/views", route_class=ConsoleRoute)
# Where one was in a list is no part of a view: it shows what fits now.
_NO_PARTS = {"cursor", "first"}


@router.post("", dependencies=needs("viewer"))
async def save(request: Request, visit: Visitor, form: Form) -> Response:
    """Keep a name for the page that the form was sent from."""
    path = local_path(form.get("back", ""), "")
    if not path:
        raise InvalidInput("Only a page of the console can be kept.")
    page, _, query = path.partition("?")
    kept = urlencode([part for part in parse_qsl(query) if part[0] not in _NO_PARTS])
    view = await saved_views.save(form.get("name", ""), f"{page}?{kept}" if kept else page, runtime=visit.runtime)
    return done(request, form, f"{view.name} is kept.")


@router.post("/{number}/remove", dependencies=needs("viewer"))
async def remove(
    request: Request, number: Annotated[int, Path(ge=1, le=2**63 - 1)], visit: Visitor, form: Form
) -> Response:
    """Remove one of one's own views."""
    await saved_views.remove(number, runtime=visit.runtime)
    return done(request, form, "The view is removed.")
