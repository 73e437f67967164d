"""Where requests go: by routes and settings, elsewhere when a service is down, not in quiet hours, and to nobody twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.messaging.conftest import (
    ANA,
    ask,
    changed,
    link,
    messaging,
    posted_in_slack,
    until,
    with_slack,
    with_telegram,
)

from agent.errors import AgentError
from agent.messaging import routes
from agent.messaging.routing import Asked, Reach, Route, Target, instead, not_before, quiet_until, targets
from agent.operations import approvals
from agent.runtime import Runtime
from agent.testing.slack_server import SlackFailure, SlackServer
from agent.testing.telegram_server import TelegramServer

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SLACK = Reach(service="slack", accounts=(("U7", "ana"), ("U8", "bo")))
TELEGRAM = Reach(service="telegram", accounts=(("7", "ana"), ("9", "cy")))
ALERTS = Reach(service="webhook", places=("alerts",), asks=False)


def asked(**values: object) -> Asked:
    given = {
        "risk": "HIGH", "tool": "execute_sql", "environment": "production", "deciders": ("ana", "bo", "cy"),
        "expires_at": NOW + timedelta(hours=1),
    }  # fmt: skip
    return Asked(**{**given, **values})


def route(service: str, place: str, **values: object) -> Route:
    return Route(service=service, place=place, **values)


def names(found: Sequence[Target]) -> list[str]:
    return [one.name for one in found]


@pytest.mark.parametrize(
    ("routes_", "request_", "expected"),
    [
        ([], asked(), ["slack/U7", "slack/U8", "telegram/9", "webhook/alerts"]),  # ana has two accounts and one request
        ([], asked(deciders=("cy",)), ["telegram/9", "webhook/alerts"]),
        ([route("slack", "C9", risks=("CRITICAL",))], asked(risk="CRITICAL"), ["slack/C9", "webhook/alerts"]),
        ([route("slack", "C9", risks=("CRITICAL",))], asked(deciders=("bo",)), ["slack/U8", "webhook/alerts"]),
        ([route("slack", "C9", tools=("send_*",))], asked(tool="send_email"), ["slack/C9", "webhook/alerts"]),
        ([route("slack", "C9", environments=("staging",))], asked(deciders=("bo",)), ["slack/U8", "webhook/alerts"]),
        ([route("telegram", "people"), route("slack", "people")], asked(), ["telegram/7", "telegram/9", "slack/U8", "webhook/alerts"]),
        ([route("slack", "C9"), route("slack", "C9", risks=("HIGH",))], asked(), ["slack/C9", "webhook/alerts"]),
        ([route("matrix", "room")], asked(deciders=("bo",)), ["slack/U8", "webhook/alerts"]),  # gone: nobody must be forgotten
        ([route("slack", "C9", backup=True)], asked(deciders=("bo",)), ["slack/U8", "webhook/alerts"]),
    ],
)  # fmt: skip
def test_where_a_request_goes(routes_: list[Route], request_: Asked, expected: list[str]) -> None:
    assert names(targets(request_, routes_, (SLACK, TELEGRAM, ALERTS))) == expected


def test_what_takes_over_is_the_person_elsewhere_then_a_backup_then_another_service() -> None:
    reaches, backup = (SLACK, TELEGRAM, ALERTS), [route("telegram", "-5", backup=True)]

    def after(failed: str, *tried: str, routes_: Sequence[Route] = ()) -> str | None:
        service, place = failed.split("/")
        found = instead(asked(), routes_, reaches, failed=Target(service, place), tried=tried)
        return found.name if found else None

    assert after("slack/U7") == "telegram/7"
    assert after("slack/C1", routes_=backup) == "telegram/-5"
    assert after("slack/C1", "telegram/-5", routes_=backup) == "telegram/7"
    everything = ("slack/C1", "slack/U7", "slack/U8", "telegram/7", "telegram/9")
    assert after("slack/C1", *everything) is None


@given(
    st.permutations((SLACK, TELEGRAM)),
    st.lists(st.builds(route, st.sampled_from(("slack", "telegram")), st.sampled_from(("people", "C1", "U7", "7"))), max_size=4),
    st.lists(st.sampled_from(("ana", "bo", "cy")), min_size=1).map(tuple),
)  # fmt: skip
def test_no_place_and_no_person_is_asked_twice(reaches: list[Reach], routes_: list[Route], deciders: tuple) -> None:
    found = targets(asked(deciders=deciders), routes_, reaches)
    people = [one.person for one in found if one.person]
    assert len(found) == len(set(found))
    assert len(people) == len(set(people))
    assert found


@pytest.mark.parametrize(
    ("clock", "hours", "zone", "end"),
    [
        ("23:30", "22:00-07:00", "UTC", "+1 07:00"), ("06:59", "22:00-07:00", "UTC", "+0 07:00"),
        ("07:00", "22:00-07:00", "UTC", None), ("21:59", "22:00-07:00", "UTC", None), ("12:30", "12:00-13:00", "UTC", "+0 13:00"),
        ("20:30", "22:00-07:00", "Europe/Berlin", "+1 05:00"), ("12:00", "", "UTC", None),
    ],
)  # fmt: skip
def test_when_quiet_hours_end(clock: str, hours: str, zone: str, end: str | None) -> None:
    now = datetime.fromisoformat(f"2026-06-01T{clock}:00+00:00")
    found = quiet_until(now, hours, zone)
    if end is None:
        assert found is None
        return
    days, at = end.split(" ")
    assert found is not None
    assert found.astimezone(UTC) == datetime.fromisoformat(f"2026-06-0{1 + int(days)}T{at}:00+00:00")


def test_what_cannot_wait_is_asked_in_quiet_hours() -> None:
    assert not_before(asked(expires_at=NOW + timedelta(hours=9)), "11:00-13:00", "UTC", now=NOW) is not None
    assert not_before(asked(expires_at=NOW + timedelta(minutes=30)), "11:00-13:00", "UTC", now=NOW) is None
    assert not_before(asked(risk="CRITICAL"), "11:00-12:30", "UTC", now=NOW) is None


async def test_a_service_that_is_down_is_taken_over_by_another_and_nobody_is_asked_twice(
    notes: Runtime, slack: SlackServer, telegram: TelegramServer
) -> None:
    runtime = with_slack(with_telegram(notes, telegram, telegram_chats=""), slack, slack_channels="")
    for service, account in (("slack", "U7"), ("telegram", ANA)):
        await link(runtime, service, account, "ana")
    slack.failures["chat.postMessage"] = [SlackFailure(error="account_inactive"), *[SlackFailure(status=503)] * 4]
    async with messaging(runtime):
        await ask(runtime)  # the app is not in the workspace any more
        message = await until(lambda: next((one for one in telegram.chats.get(str(ANA), []) if one.buttons), None))
        await ask(runtime, "UPDATE notes SET text = text || '!' WHERE id = 20")  # three attempts, then
        await until(lambda: len(telegram.chats[str(ANA)]) == 2)
        slack.failures.clear()
        telegram.tap(user=ANA, message=message, button="Approve")
        await until(lambda: "Done: 7 rows" in message.text)
        await ask(runtime, "UPDATE notes SET text = text || '!' WHERE id = 21")
        await posted_in_slack(slack, "D7")  # it works again
    assert (len(slack.channels["D7"]), len(telegram.chats[str(ANA)]), changed(runtime)) == (1, 2, 7)


async def test_quiet_hours_and_routes_of_an_admin_hold_and_reminders_come_once_where_the_request_is(
    notes: Runtime, slack: SlackServer, telegram: TelegramServer
) -> None:
    runtime = with_slack(with_telegram(notes, telegram, telegram_chats=""), slack, slack_channels="C1")
    for service, account, person in (("telegram", ANA, "ana"), ("slack", "U8", "bo")):
        await link(runtime, service, account, person)
    now = datetime.now(UTC)
    quiet = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(minutes=2):%H:%M}"
    with pytest.raises(AgentError, match="Only an admin"):
        await routes.add(route("slack", "C1"), runtime=replace(runtime, user="ana"))
    for wrong in (route("matrix", "x"), route("slack", ""), route("slack", "C1", quiet="25:00-1"), route("slack", "C1", risks=("BAD",))):  # fmt: skip
        with pytest.raises(AgentError):
            await routes.add(wrong, runtime=runtime)
    made = await routes.add(route("telegram", "people", tools=("execute_*",), quiet=quiet), runtime=runtime)
    async with messaging(runtime):
        first = await ask(runtime)
        await until(lambda: places(runtime, first))
        assert slack.channels.get("C1", []) == telegram.chats.get(str(ANA), []) == []
        await routes.remove(made.id, runtime=runtime)
        second = await ask(runtime, "UPDATE notes SET text = text || '!' WHERE id = 20")
        await posted_in_slack(slack)
        await runtime.execute(
            "update agents.human_approval_queue set created_at = now() - interval '85 s', expires_at = now() + interval '15 s'"
            " where tenant_id = %(tenant_id)s and id = %(id)s", id=second,
        )  # fmt: skip
        for _ in range(3):
            await approvals.list_requests(runtime=runtime)
        bo = await until(lambda: [one for one in slack.channels.get("D8", []) if "Still waits" in one.text])
        ana = await until(lambda: len(telegram.chats.get(str(ANA), [])) > 1 and telegram.chats[str(ANA)])
        admin = await until(lambda: [one for one in slack.channels["C1"] if "Nobody has decided yet" in one.text])
        await until(lambda: not_sent(runtime))
    assert (len(bo), len(ana), len(admin)) == (1, 2, 1)  # ana: the second request, and its reminder
    assert f"approve {second}" in ana[1].text.replace("\u2060", "")
    assert admin[0].thread in {one.ts for one in slack.channels["C1"] if "id: 20" in one.text}
    assert ("telegram", str(ANA), None) in await places(runtime, first)


async def places(runtime: Runtime, number: int) -> list[tuple[str, str, str | None]]:
    rows = await runtime.all(
        "select service, place, message_id from agents.messages where tenant_id = %(tenant_id)s and approval_id = %(n)s",
        n=number,
    )
    return [tuple(row.values()) for row in rows]


async def not_sent(runtime: Runtime) -> bool:
    rows = await runtime.all("select 1 from agents.messaging_texts where tenant_id = %(tenant_id)s and sent_at is null")
    return not rows
