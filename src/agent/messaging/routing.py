"""Decides where a request is asked, where instead if a place does not work, and when. Pure.

Routes come first; where none matches, the places of the settings count, and without any the people who may decide. One person
is asked in one service.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

PEOPLE = "people"
_AT_LEAST_OPEN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Requests of these risks, tools and environments go to a place of a service; an empty condition means every one.

    The place `people` stands for each linked person who may decide. A `backup` is used when another place does not work.
    """

    service: str
    place: str
    risks: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    quiet: str = ""
    backup: bool = False
    id: int = 0
    created_by: str = ""

    def matches(self, asked: Asked) -> bool:
        """Return whether the route is for a request."""
        return (
            (not self.risks or asked.risk in self.risks)
            and (not self.tools or any(fnmatchcase(asked.tool, glob) for glob in self.tools))
            and (not self.environments or asked.environment in self.environments)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What routing needs to know of a request. Without `deciders`, everybody may decide."""

    risk: str
    tool: str
    environment: str
    deciders: tuple[str, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """A service that is set up: its places, and the accounts of people as (account, person)."""

    service: str
    places: tuple[str, ...] = ()
    accounts: tuple[tuple[str, str], ...] = ()
    asks: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """A place of a service. `person` is whose place it is, '' for a group; `quiet` are its quiet hours."""

    service: str
    place: str
    person: str = field(default="", compare=False)
    quiet: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """Return service/place."""
        return f"{self.service}/{self.place}"


def targets(asked: Asked, routes: Sequence[Route], reaches: Sequence[Reach]) -> list[Target]:
    """Return where a request goes: each place once, each person in one service, and every service that only tells."""
    asking = [reach for reach in reaches if reach.asks]
    chosen = list(_routed(asked, [route for route in routes if not route.backup], asking))
    chosen = chosen or [one for reach in asking for one in _settled(asked, reach)]
    telling = [Target(reach.service, place) for reach in reaches if not reach.asks for place in reach.places]
    found: list[Target] = []
    people: set[str] = set()
    for target in (*chosen, *telling):
        if target not in found and target.person not in people:
            found.append(target)
            people |= {target.person} - {""}
    return found


def instead(
    asked: Asked, routes: Sequence[Route], reaches: Sequence[Reach], *, failed: Target, tried: Collection[str]
) -> Target | None:
    """Return where to ask in place of `failed`, which is none of `tried`: that person elsewhere, a backup, another service."""
    asking = [reach for reach in reaches if reach.asks]
    candidates = [
        *_elsewhere(failed, asking),
        *_routed(asked, [route for route in routes if route.backup], asking),
        *(one for reach in asking if reach.service != failed.service for one in _settled(asked, reach)),
        *(one for reach in asking for one in _people(asked, reach)),
    ]
    return next((one for one in candidates if one != failed and one.name not in tried), None)


def quiet_until(now: datetime, hours: str, zone: str) -> datetime | None:
    """Return when the quiet hours end in which `now` is, or None."""
    if not hours:
        return None
    begin, end = (time.fromisoformat(text) for text in hours.split("-"))
    here = now.astimezone(ZoneInfo(zone))
    clock = here.time().replace(tzinfo=None)
    inside = begin <= clock < end if begin <= end else clock >= begin or clock < end
    if not inside:
        return None
    day = here.date() if clock < end else here.date() + timedelta(days=1)
    return datetime.combine(day, end, tzinfo=here.tzinfo)


def not_before(asked: Asked, hours: str, zone: str, *, now: datetime) -> datetime | None:
    """Return until when a request waits for quiet hours to end; None if it is critical or would expire by then."""
    end = quiet_until(now, hours, zone)
    if end is None or asked.risk.upper() == "CRITICAL" or asked.expires_at < end + _AT_LEAST_OPEN:
        return None
    return end


def _routed(asked: Asked, routes: Sequence[Route], reaches: Sequence[Reach]) -> Iterator[Target]:
    by_name = {reach.service: reach for reach in reaches}
    for route in routes:
        reach = by_name.get(route.service)
        if reach is None or not route.matches(asked):
            continue
        if route.place != PEOPLE:
            yield Target(route.service, route.place, _person_of(route.place, reach), route.quiet)
            continue
        for one in _people(asked, reach):
            yield Target(one.service, one.place, one.person, route.quiet)


def _settled(asked: Asked, reach: Reach) -> list[Target]:
    """Return the places of the settings, or those who may decide where there are none."""
    if reach.places:
        return [Target(reach.service, place, _person_of(place, reach)) for place in reach.places]
    return _people(asked, reach)


def _people(asked: Asked, reach: Reach) -> list[Target]:
    return [
        Target(reach.service, account, person)
        for account, person in reach.accounts
        if not asked.deciders or person in asked.deciders
    ]


def _elsewhere(failed: Target, reaches: Sequence[Reach]) -> list[Target]:
    """Return the other accounts of the person whose place failed."""
    own = next((reach for reach in reaches if reach.service == failed.service), None)
    person = failed.person or (_person_of(failed.place, own) if own else "")
    return [
        Target(reach.service, account, owner)
        for reach in reaches
        for account, owner in reach.accounts
        if person and owner == person
    ]


def _person_of(place: str, reach: Reach) -> str:
    return dict(reach.accounts).get(place, "")
