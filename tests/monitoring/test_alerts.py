"""Alerts are episodes: opened once, updated, resolved by themselves, opened again, acknowledged, muted; and runs of the monitor."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from agent.errors import AgentError, InvalidInput, NotFound
from agent.monitoring import alerts
from agent.monitoring.continuous_monitor import ContinuousMonitor
from agent.monitoring.records import AlertDict, Check, Finding
from agent.monitoring.watch import Watch
from agent.runtime import Runtime


def finding(subject: str = "one", **other: Any) -> Finding:
    values = {"severity": "MEDIUM", "message": "Something is wrong.", "action": "Look at it."}
    return Finding(subject=subject, **(values | other))


class Scripted:
    """A check that finds what the test says."""

    def __init__(self, **options: Any) -> None:
        self.now: list[Finding] = []
        self.check = Check(name="scripted", about="What the test says", look=self.look, **options)

    async def look(self, watch: Watch) -> list[Finding]:
        del watch
        return self.now


async def of_owner(runtime: Runtime, statement: str) -> None:
    await asyncio.to_thread(_of_owner, runtime, statement)


def _of_owner(runtime: Runtime, statement: str) -> None:
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute(statement)


async def test_an_alert_opens_once_is_updated_resolves_and_opens_again(runtime: Runtime) -> None:
    scripted = Scripted()
    heard: list[list[AlertDict]] = []

    async def receiver(found: list[AlertDict]) -> None:
        heard.append(found)
        raise RuntimeError("a receiver must not end the monitor")

    monitor = ContinuousMonitor(checks=[scripted.check])
    monitor.on_alerts(receiver)
    scripted.now = [finding(), finding("one", message="twice the same")]
    assert (await monitor.run_once()).opened == 1
    scripted.now = [
        finding(message="It is worse.\x1b[31m", severity="HIGH", evidence={"password": "hunter2", "n": float("nan")})
    ]
    assert (await monitor.run_once()).opened == 0
    [alert] = await alerts.list_alerts()
    assert (alert.severity, alert.seen, alert.episode, alert.status) == ("HIGH", 2, 1, "open")
    assert "\x1b" not in alert.message
    assert "hunter2" not in str(alert.evidence)
    scripted.now = []
    assert (await monitor.run_once()).resolved == 0  # once is no proof
    assert (await monitor.run_once()).resolved == 1
    assert await alerts.list_alerts() == []
    scripted.now = [finding()]
    assert (await monitor.run_once()).opened == 1
    [again] = await alerts.list_alerts()
    assert (again.id, again.episode, again.seen) == (alert.id, 2, 1)
    assert [[one["severity"] for one in each] for each in heard] == [["MEDIUM"], ["MEDIUM"]]
    assert heard[0][0]["message"] == "twice the same"


async def test_what_must_be_seen_twice_is_not_told_before(runtime: Runtime) -> None:
    scripted = Scripted(opens_after=2)
    monitor = ContinuousMonitor(checks=[scripted.check])
    scripted.now = [finding()]
    assert (await monitor.run_once()).opened == 0
    scripted.now = []
    await monitor.run_once()
    assert await alerts.list_alerts(every=True) == []
    scripted.now = [finding()]
    assert [(await monitor.run_once()).opened for _ in range(3)] == [0, 1, 0]


async def test_people_acknowledge_and_mute_and_that_is_on_record(runtime: Runtime) -> None:
    scripted = Scripted()
    scripted.now = [finding()]
    monitor = ContinuousMonitor(checks=[scripted.check])
    await monitor.run_once()
    [alert] = await alerts.list_alerts()
    assert (await alerts.acknowledge(alert.id, comment="on it")).acknowledged_by == runtime.user
    assert (await alerts.mute(alert.id, hours=2)).muted_until is not None
    assert (await alerts.mute(alert.id, hours=0)).muted_until is None
    assert [one["decision"] for one in await alerts.decisions_of(alert.id)] == ["acknowledge", "mute", "unmute"]
    for wrong in (0, -1, 2**70, alert.id + 1):
        with pytest.raises(NotFound):
            await alerts.get(wrong)
    for hours in (-1, 1e9, float("nan")):
        with pytest.raises(InvalidInput):
            await alerts.mute(alert.id, hours=hours)
    scripted.now = []
    await monitor.run_once()
    await monitor.run_once()
    scripted.now = [finding()]
    await monitor.run_once()
    assert (await alerts.get(alert.id)).acknowledged_by is None  # a new episode is new


async def test_a_check_that_fails_or_crashes_stops_no_other_and_is_told(runtime: Runtime) -> None:
    async def broken(watch: Watch) -> list[Finding]:
        await watch.read("SELECT * FROM nowhere.at_all")
        return []

    async def crashing(watch: Watch) -> list[Finding]:
        raise ZeroDivisionError

    async def gone(watch: Watch) -> list[Finding]:
        raise AgentError("It is away.")

    scripted = Scripted()
    scripted.now = [finding(str(n), severity="LOW") for n in range(80)]
    looks = {"broken": broken, "crashing": crashing, "gone": gone}
    monitor = ContinuousMonitor(
        checks=[*(Check(name=name, about=name, look=look) for name, look in looks.items()), scripted.check]
    )
    first = await monitor.run_once()
    assert {one.name for one in first.checks if one.error} == set(looks)
    assert first.opened == 51  # as many as somebody reads, and one for the rest
    second = await monitor.run_once()
    assert second.opened == 3
    told = {one.key for one in await alerts.list_alerts() if one.check_name == "monitor"}
    assert told == {f"monitor:{name}" for name in looks}


async def test_two_monitors_at_once_are_one_and_a_dead_one_is_replaced(runtime: Runtime) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(watch: Watch) -> list[Finding]:
        started.set()
        await go_on.wait()
        return []

    one = asyncio.create_task(
        ContinuousMonitor(checks=[Check(name="slow", about="slow", look=slow)]).run_once(runtime=runtime)
    )
    await started.wait()
    assert (await ContinuousMonitor(checks=[]).run_once()).status == "skipped"
    go_on.set()
    assert (await one).status == "done"
    await of_owner(runtime, "alter table agents.monitor_runs no force row level security")
    for started_at in ("now() - interval '1 hour'", "now() + interval '1 year'"):  # it died; its clock was wrong
        await of_owner(
            runtime,
            f"insert into agents.monitor_runs (tenant_id, database_id, started_at) values ('{runtime.tenant_id}', '{runtime.database_id}', {started_at})",
        )
        assert (await ContinuousMonitor(checks=[]).run_once()).status == "done"


async def test_start_returns_at_once_works_in_a_script_and_a_stopped_monitor_is_noticed(runtime: Runtime) -> None:
    looked = asyncio.Event()

    async def look(watch: Watch) -> list[Finding]:
        looked.set()
        return []

    monitor = ContinuousMonitor(interval_minutes=0.01, checks=[Check(name="look", about="look", look=look)])
    await monitor.start()
    await monitor.start()
    await asyncio.wait_for(looked.wait(), 10)
    looked.clear()
    await asyncio.wait_for(looked.wait(), 10)
    assert (await monitor.health()).problem == ""
    await monitor.stop()
    await of_owner(runtime, "alter table agents.monitor_runs no force row level security")
    await of_owner(
        runtime,
        "update agents.monitor_runs set every = '1 minute', finished_at = now() - interval '1 hour', started_at = now() - interval '1 hour'",
    )
    assert "has not run since" in (await monitor.health()).problem
    await of_owner(runtime, "update agents.monitor_runs set every = null")
    assert (await monitor.health()).problem == ""


@pytest.mark.parametrize("minutes", [0, -1, 1e9])
def test_an_interval_that_makes_no_sense_is_refused(minutes: float) -> None:
    with pytest.raises(InvalidInput):
        ContinuousMonitor(interval_minutes=minutes)


async def test_a_schedule_of_several_processes_looks_once_in_its_time(runtime: Runtime) -> None:
    monitor = ContinuousMonitor(checks=[])
    every = timedelta(minutes=5)
    runs = await asyncio.gather(*(monitor.run_scheduled(every, runtime=runtime) for _ in range(4)))
    assert sorted(one.status for one in runs) == ["done", "skipped", "skipped", "skipped"]
