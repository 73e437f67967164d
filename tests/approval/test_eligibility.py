"""The pure rules of approvals: who may decide, when it is decided, when people are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.approval.eligibility import (
    ROLES,
    Membership,
    Person,
    due,
    last_admin,
    same_name,
    votes_missing,
    who_may_approve,
    why_not,
    why_not_delegate,
)
from agent.approval.records import DECISIONS, Approval
from agent.errors import ConfigurationError
from agent.settings import Settings
from agent.types import RISK_LEVELS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = Approval(
    id=7, database_id="d", action="execute_sql", arguments={}, risk_level="HIGH", reasons=(), summary="", preview=None,
    policy_version="1", binding="", executable=True, status="pending", requested_by="Asker", decided_by=None,
    decided_via=None, comment=None, thread_id=None, turn=None, round=None, ordinal=None, created_at=NOW, expires_at=NOW,
    decided_at=None,
)  # fmt: skip


def membership(name: str, *roles: Any, active: bool = True) -> Membership:
    return Membership(name=name, several=True, person=Person(name=name, roles=roles, active=active))


names = st.sampled_from(["asker", "Asker", " ASKER ", "ann", "bo", "cy"])
roles = st.lists(st.sampled_from(ROLES), unique=True).map(tuple)
people = st.builds(Person, name=names, roles=roles, active=st.booleans())


@given(names, st.sampled_from(DECISIONS), st.none() | names)
def test_one_user_decides_everything(name: str, decision: Any, delegated_to: str | None) -> None:
    assert why_not(replace(REQUEST, delegated_to=delegated_to), decision, Membership(name=name)) == ""


def test_who_may_approve_are_the_others_who_decide_and_have_not_yet() -> None:
    known = [
        Person(name="ann", roles=("admin",)), Person(name="Asker", roles=("approver",)), Person(name="bo", roles=("approver",)),
        Person(name="cy", roles=("approver",)), Person(name="di", roles=("personal",)),
        Person(name="ed", roles=("approver",), active=False),
    ]  # fmt: skip
    assert who_may_approve(REQUEST, known) == ("ann", "bo", "cy")
    assert who_may_approve(replace(REQUEST, approved_by=("bo",)), known) == ("ann", "cy")
    assert who_may_approve(replace(REQUEST, delegated_to="cy"), known) == ("ann", "cy")
    assert who_may_approve(REQUEST, []) == ()


@given(people, st.sampled_from(DECISIONS), st.none() | names)
def test_only_known_active_deciders_decide_and_never_what_they_asked_for(
    person: Person, decision: Any, delegated_to: str | None
) -> None:
    request = replace(REQUEST, delegated_to=delegated_to)
    if why_not(request, decision, Membership(name=person.name, several=True, person=person)):
        return
    assert person.active
    if same_name(person.name, "asker"):
        assert decision == "reject"
    else:
        assert person.decides
        assert delegated_to is None or same_name(person.name, delegated_to) or person.is_admin


@given(names, st.sampled_from(DECISIONS))
def test_who_is_not_known_decides_nothing(name: str, decision: Any) -> None:
    assert why_not(REQUEST, decision, Membership(name=name, several=True))


def test_a_request_is_delegated_to_who_may_decide_it() -> None:
    assert "people" in why_not_delegate(REQUEST, Membership(name="ann"))
    assert why_not_delegate(REQUEST, Membership(name="ann", several=True))
    assert why_not_delegate(REQUEST, membership("ann", "personal"))
    assert why_not_delegate(REQUEST, membership("ann", "approver", active=False))
    assert why_not_delegate(REQUEST, membership("ASKER", "admin"))
    assert why_not_delegate(REQUEST, membership("ann", "approver")) == ""


@given(st.integers(1, 5), st.lists(names, unique=True), st.booleans())
def test_nobody_is_missing_only_when_as_many_as_needed_have_said_yes(
    needed: int, voters: list[str], several: bool
) -> None:
    missing = votes_missing(replace(REQUEST, votes_needed=needed, approved_by=tuple(voters)), several=several)
    assert missing == max((needed if several else 1) - len(voters), 0)


@given(st.integers(1, 10_000), st.integers(-100, 20_000), st.booleans(), st.booleans())
def test_people_are_told_at_half_and_at_eighty_percent_and_never_twice_or_too_late(
    life: int, passed: int, reminded: bool, escalated: bool
) -> None:
    found = due(
        NOW + timedelta(seconds=passed), requested=NOW, expires=NOW + timedelta(seconds=life), reminded=reminded,
        escalated=escalated,
    )  # fmt: skip
    waits = 0 <= passed < life
    assert ("reminder" in found) == (waits and not reminded and 2 * passed >= life)
    assert ("escalation" in found) == (waits and not escalated and 10 * passed >= 8 * life)


@given(st.lists(people, unique_by=lambda person: person.name.strip().lower()))
def test_the_last_admin_is_the_only_active_one(known: list[Person]) -> None:
    admins = [person.name for person in known if person.active and "admin" in person.roles]
    assert [person.name for person in known if last_admin(known, person.name)] == (admins if len(admins) == 1 else [])


def test_a_quorum_and_a_time_are_set_by_risk() -> None:
    settings = Settings(_env_file=None, approval_timeouts="HIGH=900, CRITICAL=60", quorum="HIGH=3")
    assert [settings.seconds_to_approve(risk) for risk in RISK_LEVELS] == [300, 300, 900, 60]
    assert [settings.votes_to_approve(risk) for risk in RISK_LEVELS] == [1, 1, 3, 1]
    assert Settings(_env_file=None).votes_to_approve("CRITICAL") == 2


@pytest.mark.parametrize(
    "text", ["HIGH", "high=2", "HIGH=0", "HIGH=-1", "HIGH=2.5", "HUGE=2", "HIGH=٢", "HIGH=1000000000"]
)
@pytest.mark.parametrize("name", ["quorum", "approval_timeouts"])
def test_a_quorum_or_a_time_that_is_none_is_refused(name: str, text: str) -> None:
    example = {"quorum": "HIGH=2, CRITICAL=3", "approval_timeouts": "HIGH=900, CRITICAL=1800"}[name]
    with pytest.raises(ConfigurationError, match=example):
        Settings.load(**{name: text})
