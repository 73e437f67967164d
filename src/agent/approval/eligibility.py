"""Decides who may decide a request, how many votes it needs, and when people are reminded of it. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from agent.approval.records import Approval, Decision

# The roles of people, API keys and tokens, each with the rights of those before it.
AccessRole = Literal["viewer", "operator", "approver", "admin"]
ACCESS_ROLES: tuple[AccessRole, ...] = ("viewer", "operator", "approver", "admin")
# What a person can be given: the roles, and beside them the right to see personal columns.
Role = Literal["viewer", "operator", "approver", "admin", "personal"]
ROLES: tuple[Role, ...] = (*ACCESS_ROLES, "personal")
_REMIND_AT, _ESCALATE_AT = 0.5, 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person with roles: `viewer` reads, `operator` also asks and proposes, `approver` decides, `admin` also names people.

    `personal` is a right beside them: to see personal columns.
    """

    name: str
    roles: tuple[Role, ...] = ()
    active: bool = True

    @property
    def access_role(self) -> AccessRole:
        """Return the highest of their roles; a person without one may ask, as everybody could before there were roles."""
        held = [role for role in ACCESS_ROLES if role in self.roles]
        return held[-1] if held else "operator"

    @property
    def is_admin(self) -> bool:
        """Return whether they name people, and decide what was delegated to another."""
        return self.active and "admin" in self.roles

    @property
    def decides(self) -> bool:
        """Return whether they decide requests."""
        return self.active and ("approver" in self.roles or self.is_admin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Who `name` is in a tenant. Where nobody is named (`several` is False), one user decides everything.

    `masked` says that they came with a key or token that shows no personal values, whoever they are.
    """

    name: str
    several: bool = False
    person: Person | None = None
    masked: bool = False

    @property
    def sees_personal(self) -> bool:
        """Return whether they see personal columns."""
        if self.masked:
            return False
        return not self.several or (self.person is not None and self.person.active and "personal" in self.person.roles)


def why_not(approval: Approval, decision: Decision, who: Membership) -> str:
    """Return why `who` may not take this decision, as a sentence; '' when they may."""
    return _why_not(approval.requested_by, approval.delegated_to, decision, who)


def _why_not(requested_by: str, delegated_to: str | None, decision: Decision, who: Membership) -> str:
    if not who.several:
        return ""
    if who.person is None or not who.person.active:
        return f"{who.name!r} is not one of the people who are known here (`agent people list`)."
    if same_name(who.name, requested_by):
        # To reject one's own request is harmless.
        return "" if decision == "reject" else f"{who.name!r} asked for this; another person must decide it."
    if not who.person.decides:
        return f"{who.name!r} does not have the role to decide (`agent people list`)."
    if delegated_to and not same_name(who.name, delegated_to) and not who.person.is_admin:
        return f"This was delegated to {delegated_to!r}; they or an admin decide it."
    return ""


def who_may_approve(approval: Approval, known: Sequence[Person]) -> tuple[str, ...]:
    """Return the names of the people who may approve a request and have not yet."""
    deciders = deciders_of(approval.requested_by, known, delegated_to=approval.delegated_to)
    return tuple(name for name in deciders if name not in approval.approved_by)


def deciders_of(requested_by: str, known: Sequence[Person], *, delegated_to: str | None = None) -> tuple[str, ...]:
    """Return the names of the people who may approve what `requested_by` asks for."""
    return tuple(
        person.name
        for person in known
        if not _why_not(
            requested_by, delegated_to, "approve", Membership(name=person.name, several=True, person=person)
        )
    )


def why_not_delegate(approval: Approval, who: Membership) -> str:
    """Return why the request cannot be delegated to `who`, as a sentence; '' when it can."""
    if not who.several:
        return "Delegating needs people: name them with `agent people add`."
    if who.person is None or not who.person.decides:
        return f"{who.name!r} cannot decide this: name somebody of `agent people list` with the role approver."
    if same_name(who.name, approval.requested_by):
        return f"{who.name!r} asked for this and cannot decide it."
    return ""


def votes_missing(approval: Approval, *, several: bool) -> int:
    """Return how many people must still approve."""
    needed = approval.votes_needed if several else 1
    return max(needed - len(approval.approved_by), 0)


def due(
    now: datetime, *, requested: datetime, expires: datetime, reminded: bool, escalated: bool
) -> tuple[Literal["reminder", "escalation"], ...]:
    """Return the notices that are due now for a request that waits; all times are the database's."""
    if not requested <= now < expires:
        return ()
    passed = (now - requested) / (expires - requested)
    notices: list[Literal["reminder", "escalation"]] = []
    if passed >= _REMIND_AT and not reminded:
        notices.append("reminder")
    if passed >= _ESCALATE_AT and not escalated:
        notices.append("escalation")
    return tuple(notices)


def same_name(first: str, second: str) -> bool:
    """Return whether two names are one person's: "Ann" cannot approve what "ann" asked for."""
    return _folded(first) == _folded(second)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().casefold()


def last_admin(people: Sequence[Person], name: str) -> bool:
    """Return whether `name` is the only admin."""
    return [person.name for person in people if person.is_admin] == [name]
