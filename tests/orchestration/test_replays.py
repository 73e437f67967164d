"""Runs again, many at once and side by side; runs in time; plans that begin by themselves; large inputs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from agent.access import keys
from agent.audit.log import audit_log
from agent.errors import InvalidInput, NotFound
from agent.orchestration import AgentOrchestrator, BaseAgent, read_plan, schedules, store, views
from agent.orchestration.definitions import digests_of, joined, split
from agent.orchestration.records import PlanEvent, StepRecord
from agent.orchestration.timeline import state_at, timeline
from agent.runtime import Runtime
from agent.testing.served import served

BEGAN = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Flaky(BaseAgent):
    """Fails until it is mended."""

    limits = None
    mended = False

    def __init__(self, agent_id: str) -> None:
        super().__init__(agent_id)
        self.did: list[str] = []

    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002
        self.did.append(context["step_id"])
        if action == "flaky" and not self.mended:
            raise OSError("down")
        return input


async def test_what_failed_is_replayed_in_bulk_and_shown_beside_what_it_was(runtime: Runtime) -> None:
    orchestrator, agent = AgentOrchestrator(runtime), Flaky("f")
    await orchestrator.register_agent(agent)
    steps = [{"id": "first", "input": {"n": 1}}, {"id": "flaky", "dependencies": ["first"], "input": {"n": 2}}]
    for _ in range(3):
        await orchestrator.orchestrate({"id": "p", "agentId": "f", "steps": steps})
    saved = {"id": "p", "agentId": "f", "steps": steps, "fallbackPlan": {"steps": [{"id": "else"}]}}
    assert (await orchestrator.orchestrate(saved)).success
    agent.mended, agent.did = True, []
    batch, runs = await orchestrator.submit_replays(plan_id="p", from_step="flaky", input={"n": 3})
    assert len(runs) == 3
    await asyncio.gather(*(orchestrator.result(one, wait=True) for one in runs))
    assert agent.did == ["flaky"] * 3
    found = await views.batch(batch, runtime=runtime)
    assert {one.after for one in found} == set(runs)
    for one in found:
        assert (one.status, list(one.changed)) == (("failed", "succeeded"), ["flaky"])
        first, flaky = one.steps
        assert (first.redone, first.same) == (False, True)
        assert (flaky.redone, flaky.error, flaky.output) == (True, ("down", None), (None, {"n": 3}))
    assert (await orchestrator.submit_replays(plan_id="nobody"))[1] == []
    with pytest.raises(InvalidInput, match="is no replay"):
        await views.comparison(str(found[0].before), runtime=runtime)
    masked = await views.batch(batch, runtime=runtime.for_tenant(runtime.tenant_id, user="eve", masked=True))
    assert "'n': 3" not in str(masked)
    assert await views.batch(batch, runtime=runtime.for_tenant("another")) == []


def step(name: str, start: float | None, end: float | None, *needs: str) -> StepRecord:
    at = [None if one is None else BEGAN + timedelta(seconds=one) for one in (start, end)]
    return StepRecord(id=name, agent_id="w", action="act", dependencies=needs, status="succeeded" if end else "waiting", started_at=at[0], finished_at=at[1])  # fmt: skip


def test_a_run_in_time_has_its_critical_path_and_no_idle_times() -> None:
    steps = [step("a", 0, 1), step("b", 0, 2), step("c", 2.1, 3, "a", "b"), step("human", 3, 63, "c"), step("late", 100, 101, "human"), step("x", None, None, "late")]  # fmt: skip
    found = timeline(steps, BEGAN, BEGAN + timedelta(seconds=200))
    assert list(found.critical_path) == ["b", "c", "human", "late"]
    assert found.critical_ms == 63_900
    assert [(gap.start, gap.end) for gap in found.gaps] == [(63_000, 100_000)]
    late = found.bars[-1]
    assert (late.id, late.drawn_start, late.drawn_end, late.critical) == ("late", 63_200, 64_200, True)
    assert [bar.waited for bar in found.bars if bar.id == "c"] == [100]
    assert not timeline([], BEGAN, BEGAN).bars
    running = timeline([step("a", 0, None)], BEGAN, BEGAN + timedelta(seconds=5))
    assert (running.bars[0].end, list(running.critical_path)) == (5_000, ["a"])


def test_the_log_of_events_leads_back_to_any_moment() -> None:
    kinds = [
        ("step:started", "a"),
        ("step:started", "b"),
        ("step:completed", "a"),
        ("step:failed", "b"),
        ("plan:completed", None),
    ]
    events = [
        PlanEvent(id=at, kind=kind, step_id=name, payload={}, at=BEGAN)
        for at, (kind, name) in enumerate(kinds, start=1)
    ]
    steps = [step("a", 0, 1), step("b", 0, 1), step("c", None, None)]
    assert [list(state_at(steps, events, until).values()) for until in (0, 2, 3, 9)] == [
        ["waiting"] * 3, ["running", "running", "waiting"], ["succeeded", "running", "waiting"], ["succeeded", "failed", "waiting"],
    ]  # fmt: skip


async def test_a_plan_begins_by_itself_once_at_each_time_for_who_scheduled_it(runtime: Runtime) -> None:
    asker = runtime.for_tenant(runtime.tenant_id, user="ana")
    made = await schedules.schedule(
        "daily", {"id": "p", "steps": [{"id": "a", "agentId": "w"}]}, "0 6 * * *", runtime=asker
    )
    assert (made.next_at.hour, made.next_at > datetime.now(UTC)) == (6, True)
    assert await schedules.begin_due(runtime=runtime) == 0
    await runtime.execute(
        "update agents.plan_schedules set next_at = now() - interval '3 days' where tenant_id = %(tenant_id)s"
    )
    began = await asyncio.gather(*(schedules.begin_due(runtime=runtime) for _ in range(5)))
    assert sum(began) == 1
    (row,) = await runtime.all("select requested_by, epoch from agents.plans where tenant_id = %(tenant_id)s")
    assert row == {"requested_by": "ana", "epoch": 0}
    (now,) = await schedules.listed(runtime=runtime)
    assert (now.error, now.last_run is not None, now.next_at > datetime.now(UTC)) == (None, True, True)
    assert await schedules.listed(runtime=runtime.for_tenant("another")) == []
    await schedules.unschedule("daily", runtime=runtime)
    with pytest.raises(NotFound):
        await schedules.unschedule("daily", runtime=runtime)


@pytest.mark.parametrize(("cron", "zone", "after", "expected"), [
    ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["29 01:30", "30 00:30"]),  # 02:30 is not there on the 29th: 03:30
    ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["25 00:30", "26 01:30"]),  # 02:30 is there twice on the 25th
    ("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00", ["25 00:30", "25 01:00", "25 01:30", "25 02:00"]),
    ("0 * * * *", "Europe/Berlin", "2026-03-28T23:30", ["29 00:00", "29 01:00", "29 02:00"]),
    ("0 6 * * *", "America/New_York", "2026-03-07T00:00", ["07 11:00", "08 10:00"]),
    ("15 2 * * *", "Australia/Lord_Howe", "2026-04-04T00:00", ["04 15:45", "05 15:45"]),  # half an hour is put back
    ("0 0 29 2 *", "UTC", "2026-03-01T00:00", ["29 00:00"]),
])  # fmt: skip
def test_a_schedule_follows_the_clocks_of_its_time_zone(cron: str, zone: str, after: str, expected: list[str]) -> None:
    found, at = [], datetime.fromisoformat(after).replace(tzinfo=UTC)
    for _ in expected:
        at = schedules.next_time(cron, at, zone)
        found.append(f"{at:%d %H:%M}")
    assert found == expected


@pytest.mark.parametrize("zone", ["", "Mars/Base", "../etc/passwd", "/etc/localtime", "Europe", "x" * 300, "\0"])
def test_a_time_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(InvalidInput, match="no time zone"):
        schedules.next_time("0 6 * * *", BEGAN, zone)


async def test_schedules_and_limits_are_audited_and_their_runs_are_not(runtime: Runtime) -> None:
    plan = {"id": "p", "steps": [{"id": "a", "agentId": "w"}]}
    name = "n" * 200
    await schedules.schedule(
        name, plan, "0 6 * * *", time_zone="Asia/Tokyo", runtime=runtime.for_tenant(runtime.tenant_id, user="ana")
    )
    for _ in range(2):  # a long name hides no time
        await runtime.execute(
            "update agents.plan_schedules set next_at = next_at - interval '3 days' where tenant_id = %(tenant_id)s"
        )
        assert await schedules.begin_due(runtime=runtime) == 1
    await schedules.schedule(name, {**plan, "id": "q"}, "0 7 * * *", runtime=runtime)
    await schedules.unschedule(name, runtime=runtime)
    orchestrator = AgentOrchestrator(runtime)
    await orchestrator.limit_agent("w", 3)
    await orchestrator.limit_agent("w", None)
    rows = await runtime.all(
        "select subject, event, key, content from agents.audit_unsealed where subject like %(subject)s order by id",
        subject="plan%",
    )
    assert [(row["subject"], row["event"]) for row in rows] == [
        ("plan_schedules", "inserted"), ("plan_schedules", "updated"), ("plan_schedules", "deleted"),
        ("plan_agent_limits", "inserted"), ("plan_agent_limits", "deleted"),
    ]  # fmt: skip
    first, second = rows[0]["content"], rows[1]["content"]
    assert (rows[0]["key"], first["requested_by"], first["time_zone"], second["cron"]) == (
        [name],
        "ana",
        "Asia/Tokyo",
        "0 7 * * *",
    )
    assert set(first["definition"]) == {"sha256"}  # a plan's inputs are nobody's to read there
    assert first["definition"] != second["definition"]
    assert (await audit_log.verify(runtime=runtime)).whole


@pytest.mark.parametrize("cron", ["", "* * * *", "* * * * * *", "61 * * * *", "@daily", "0 0 31 2 *", "x" * 300, "; drop table", "*/0 * * * *"])  # fmt: skip
def test_a_time_that_is_none_is_refused(cron: str) -> None:
    with pytest.raises(InvalidInput):
        schedules.next_time(cron, BEGAN)


async def test_a_large_input_is_stored_once_for_all_runs_and_forgotten_with_the_last(runtime: Runtime) -> None:
    orchestrator, agent = AgentOrchestrator(runtime), Flaky("f")
    await orchestrator.register_agent(agent)
    text = "x" * 500_000
    large = {"id": "big", "agentId": "f", "input": {"text": text}}
    plan = {
        "id": "p",
        "steps": [large, {**large, "id": "flaky", "action": "flaky"}],
        "fallbackPlan": {"steps": [large]},
    }
    result = await orchestrator.orchestrate(plan)
    assert result.results["big"].data == {"text": text}
    agent.mended = True
    again = await orchestrator.replay(UUID(result.run_id))
    assert again.results["flaky"].data == {"text": text}
    (row,) = await runtime.all(
        "select count(*)::int as n, max(length(value::text)) as length from agents.plan_values where tenant_id = %(tenant_id)s"
    )
    assert (row["n"], row["length"] > len(text)) == (1, True)
    sizes = await runtime.all("select length(definition::text) as n from agents.plans where tenant_id = %(tenant_id)s")
    assert max(one["n"] for one in sizes) < 2_000
    await runtime.execute(
        "update agents.plan_values set created_at = now() - interval '1 day' where tenant_id = %(tenant_id)s"
    )
    await store.forget_old(days=1, runtime=runtime)
    assert await runtime.one("select 1 from agents.plan_values where tenant_id = %(tenant_id)s") is not None
    await runtime.execute(
        "update agents.plans set finished_at = now() - interval '9 days' where tenant_id = %(tenant_id)s"
    )
    await store.forget_old(days=1, runtime=runtime)
    assert await runtime.one("select 1 from agents.plan_values where tenant_id = %(tenant_id)s") is None


def test_what_is_split_is_joined_again_and_a_caller_names_nothing_stored() -> None:
    plan = {"id": "p", "steps": [{"id": "a", "input": {"t": "y" * 40_000}}, {"id": "b", "input": {"t": "short"}}]}
    definition, values = split(plan)
    assert len(str(definition)) < 500
    assert joined(definition, {digest: {"t": "y" * 40_000} for digest in digests_of(definition)}) == plan
    assert len(values) == 1
    with pytest.raises(InvalidInput, match="stored"):
        read_plan({**plan, "$stored": {"0/0": "f" * 64}})


async def test_runs_are_paused_compared_and_scheduled_over_http(runtime: Runtime) -> None:
    viewer = (await keys.create("v", role="viewer", runtime=runtime.for_tenant(runtime.tenant_id, user="eve"))).secret
    read = {
        "id": "read",
        "agentId": "speech-agent-1",
        "action": "analyze_speech",
        "input": {"text": "a", "spoken": "a"},
    }
    plan = {"id": "speech", "steps": [read, {**read, "id": "bad", "input": {}}]}
    async with served(runtime) as client:

        async def ended(run_id: str) -> dict[str, Any]:
            async with asyncio.timeout(15):
                while (run := (await client.get(f"/api/plans/{run_id}")).json())["run"]["status"] == "running":
                    await asyncio.sleep(0.05)
            return dict(run)

        run_id = (await client.post("/api/plans", json=plan)).json()["run_id"]
        await ended(run_id)
        drawn = (await client.get(f"/api/plans/{run_id}/timeline", params={"until": 2**62})).json()
        assert drawn["states"] == {"read": "succeeded", "bad": "failed"}
        assert len(drawn["timeline"]["bars"]) == 2
        many = {"plan_id": "speech", "from_step": "bad", "input": {"text": "a", "spoken": "b"}}
        batch = (await client.post("/api/plans/replays", json=many)).json()
        await ended(batch["run_ids"][0])
        (pair,) = (await client.get(f"/api/plans/replays/{batch['batch']}")).json()
        assert (pair["status"], pair["changed"]) == (["failed", "succeeded"], ["bad"])
        assert (await client.get(f"/api/plans/{batch['run_ids'][0]}/comparison")).json() == pair
        assert (await client.post(f"/api/plans/{run_id}/pause")).json() == {"changed": False}
        assert (await client.post(f"/api/plans/{uuid4()}/resume")).status_code == 404
        scheduled = await client.put(
            "/api/plans/schedules/nightly", json={"plan": plan, "cron": "0 3 * * *", "time_zone": "Europe/Rome"}
        )
        assert scheduled.json()["plan_id"] == "speech"
        assert (await client.put("/api/plans/schedules/x", json={"plan": plan, "cron": "never"})).status_code == 422
        assert (await client.put("/api/plans/limits/speech-agent-1", json={"most": 2})).status_code == 204
        state = (await client.get("/api/plans/state", headers={"Authorization": f"Bearer {viewer}"})).json()
        assert [one["name"] for one in state["schedules"]] == ["nightly"]
        assert state["limits"] == [{"agent_id": "speech-agent-1", "most": 2, "taken": 0}]
        assert (await client.put("/api/plans/limits/x", json={"most": 1}, headers={"Authorization": f"Bearer {viewer}"})).status_code == 403  # fmt: skip
        assert (await client.delete("/api/plans/schedules/nightly")).status_code == 204
