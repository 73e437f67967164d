"""Keeps the routes of a tenant. Only admins change them, because a route can take a request away from who should see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from agent.approval.people import people
from agent.audit.sealing import seal_soon
from agent.db import load_queries
from agent.errors import DecisionRefused, InvalidInput, NotFound
from agent.messaging.routing import Route
from agent.messaging.services import ASKING
from agent.runtime import Runtime
from agent.settings.messaging import check_hours
from agent.types import RISK_LEVELS

_QUERIES = load_queries(__package__)
_MOST_ROUTES, _MOST_CHARS = 200, 200
_log = structlog.get_logger(__name__)


async def routes(*, runtime: Runtime) -> list[Route]:
    """Return the routes in the order in which they were made."""
    return [_route(row) for row in await runtime.all(_QUERIES["routes"])]


async def add(route: Route, *, runtime: Runtime) -> Route:
    """Make a route; one to a service that is not set up counts once it is. Raises `InvalidInput`, or `DecisionRefused` unless an admin calls."""
    await _check_admin(runtime)
    if route.service not in ASKING:
        raise InvalidInput(f"{route.service[:50]!r} asks nobody; the services that ask are {', '.join(ASKING)}.")
    if wrong := [risk for risk in route.risks if risk not in RISK_LEVELS]:
        raise InvalidInput(f"{wrong[0][:50]!r} is no risk: the risks are {', '.join(RISK_LEVELS)}.")
    texts = (route.place, *route.tools, *route.environments)
    if not all(0 < len(text) <= _MOST_CHARS and text.isprintable() for text in texts):
        raise InvalidInput(f"A place, tool or environment has 1 to {_MOST_CHARS} printable characters.")
    try:
        check_hours(route.quiet)
    except ValueError as error:
        raise InvalidInput(f"The quiet hours {error}.") from None
    if len(await routes(runtime=runtime)) >= _MOST_ROUTES:
        raise InvalidInput(f"There are {_MOST_ROUTES} routes already: remove some with `agent messaging route remove`.")
    row = await runtime.one(
        _QUERIES["add_route"], service=route.service, place=route.place, risks=list(route.risks), tools=list(route.tools),
        environments=list(route.environments), quiet=route.quiet, backup=route.backup, created_by=runtime.user,
    )  # fmt: skip
    assert row is not None  # noqa: S101  # an insert returns its row
    seal_soon(runtime)
    _log.warning("messaging_route_added", route=row["id"], service=route.service, place=route.place)
    return _route(row)


async def remove(route_id: int, *, runtime: Runtime) -> Route:
    """End a route. Raises `NotFound`, or `DecisionRefused` unless an admin calls."""
    await _check_admin(runtime)
    row = await runtime.one(_QUERIES["remove_route"], id=route_id, revoked_by=runtime.user)
    if row is None:
        raise NotFound(f"There is no route {route_id}. `agent messaging route` lists them.")
    seal_soon(runtime)
    _log.warning("messaging_route_removed", route=route_id)
    return _route(row)


async def _check_admin(runtime: Runtime) -> None:
    me = await people.membership(runtime=runtime)
    if me.several and not (me.person and me.person.is_admin):
        raise DecisionRefused(f"Only an admin changes where requests go, and {me.name!r} is none.")


def _route(row: Mapping[str, Any]) -> Route:
    return Route(
        id=row["id"], service=row["service"], place=row["place"], risks=tuple(row["risks"]), tools=tuple(row["tools"]),
        environments=tuple(row["environments"]), quiet=row["quiet"], backup=row["backup"], created_by=row["created_by"],
    )  # fmt: skip
