"""Runs: stored once, completed late, refused when they cannot be; totals follow every change of them."""

from __future__ import annotations

import asyncio
import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from agent.analytics import AnalyticsService, totals, upkeep
from agent.errors import InvalidInput, NotFound
from agent.runtime import Runtime
from agent.sync import AgentSyncService


def run(agent: str = "a", **more: Any) -> dict[str, Any]:
    return {
        "agent_name": agent,
        "task_id": str(uuid4()),
        "task_type": "t",
        "execution_time": 1.0,
        "success": True,
        **more,
    }


async def recounted(runtime: Runtime) -> Any:
    """Totals by agent and task type, counted from the runs themselves."""
    query = """select agent_name, coalesce(task_type, '') as task_type, count(*) as runs, count(success) as known,
      count(*) filter (where success) as succeeded, count(execution_time) as timed, round(sum(execution_time)::numeric, 4) as seconds
      from agents.execution_log where tenant_id = %(tenant_id)s group by 1, 2 order by 1, 2"""
    return [{**row, "seconds": float(row["seconds"] or 0)} for row in await runtime.all(query)]


async def kept(runtime: Runtime) -> Any:
    """The same from the totals."""
    await totals.fold(runtime=runtime)
    names = ("agent_name", "task_type", "runs", "known", "succeeded", "timed")
    rows = await totals.rows("cell", runtime=runtime)
    return [{**{name: row[name] for name in names}, "seconds": round(row["seconds"], 4)} for row in rows]


async def test_totals_are_those_of_the_runs_whatever_comes_twice_late_out_of_order_or_at_once(runtime: Runtime) -> None:
    service, choose = AnalyticsService(runtime), random.Random(3)
    now = datetime.now(UTC)
    sent = [
        run(
            choose.choice("abc"), task_type=choose.choice(["x", "y", None]), success=choose.choice([True, False, None]),
            execution_time=choose.choice([None, 0.0, 0.5, 20.0]), timestamp=now - timedelta(days=choose.randrange(200)),
        )
        for _ in range(120)
    ]  # fmt: skip
    for start in range(0, 120, 40):  # three senders at once, each repeating the others' runs
        part = sent[start : start + 40]
        await asyncio.gather(*(service.log_runs(choose.sample(part, 40)) for _ in range(3)))
    assert await kept(runtime) == await recounted(runtime)
    assert sum(row["runs"] for row in await kept(runtime)) == 120
    late = [{**one, "success": False} for one in sent if one["success"] is None]
    done = await service.log_runs(late)
    assert (done.stored, done.completed, done.duplicates) == (0, len(late), 0)
    done = await service.log_runs([{**one, "success": True, "execution_time": 9.0} for one in late])
    assert done.stored == 0, "an outcome that is known stays"
    assert await kept(runtime) == await recounted(runtime)
    known = {row["agent_name"]: row for row in (await service.performance())["agents"]}
    assert all(one["outcomes_missing"] == 0 for one in known.values())
    await runtime.execute("delete from agents.execution_log where tenant_id = %(tenant_id)s and agent_name = 'a'")
    assert await kept(runtime) == await recounted(runtime)
    assert {row["agent_name"] for row in await kept(runtime)} == {"b", "c"}
    assert await service.clear() == sum(row["runs"] for row in await recounted(runtime)) or await kept(runtime) == []


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"execution_time": -1}, "from 0"),
        ({"execution_time": math.inf}, "from 0"),
        ({"execution_time": math.nan}, "from 0"),
        ({"execution_time": "12"}, "from 0"),
        ({"execution_time": True}, "from 0"),
        ({"execution_time": 10**400}, "from 0"),
        ({"success": "yes"}, "true, false, or null"),
        ({"agent_name": "register"}, "choose another name"),
        ({"agent_name": "a\nb"}, "printable"),
        ({"agent_name": None}, "printable"),
        ({"task_id": "x" * 300}, "printable"),
        ({"timestamp": "soon"}, "ISO 8601"),
        ({"timestamp": 1e300}, "1970"),
        ({"timestamp": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}, "clock"),
        ({"timestamp": "0001-01-01T00:00:00"}, "clock"),
        ({"resource_usage": {"x": math.nan}}, "JSON"),
        ({"resource_usage": {"x": "a\x00"}}, "NUL"),
        ({"resource_usage": [1]}, "object"),
        ({"steps": ["a", 3]}, "printable"),
        ({"steps": ["a"] * 201}, "at most 200"),
        ({"cost_usd": -0.1}, "from 0"),
        ({"propensity": 0}, "above 0"),
        ({"speed": 3}, "no field"),
    ],
)
async def test_what_no_run_can_be_is_refused_with_what_to_do_and_stores_nothing_beside_it(
    runtime: Runtime, bad: Any, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        await AnalyticsService(runtime).log_runs([run(), run(**bad)])
    assert await kept(runtime) == []


async def test_sql_is_held_to_the_same_rules(runtime: Runtime) -> None:
    for columns, value in (
        ("execution_time", "'nan'"),
        ("execution_time", "-1"),
        ("execution_time", "'infinity'"),
        ("agent_name", "'list'"),
    ):
        values = {"agent_name": "'a'", columns: value}
        with pytest.raises(psycopg.errors.CheckViolation):
            await runtime.execute(
                f"insert into agents.execution_log ({', '.join(values)}) values ({', '.join(values.values())})"  # type: ignore[arg-type]  # the test's own
            )
    await runtime.execute(
        "insert into agents.execution_log (agent_name, task_id) values ('a', '5f0ed1c4-6d0b-4b62-9d4c-0f6c1b7f8a21')"
    )
    with pytest.raises(psycopg.errors.UniqueViolation):
        await runtime.execute(
            "insert into agents.execution_log (agent_name, task_id) values ('a', '5f0ed1c4-6d0b-4b62-9d4c-0f6c1b7f8a21')"
        )


async def test_names_of_tasks_that_are_no_uuids_count_once_too_and_come_back(runtime: Runtime) -> None:
    service = AnalyticsService(runtime)
    for task in ("ticket-7", "ticket-7", 7, "7"):
        await service.log_run(run(task_id=task))
    exported = [row async for page in service.export() for row in page]
    assert [row["task_id"] for row in exported] == ["ticket-7", "7"]


async def test_a_renamed_agent_keeps_its_figures_and_an_unknown_one_is_not_invented(runtime: Runtime) -> None:
    service = AnalyticsService(runtime)
    await service.log_run(run("old-hand"))
    await service.register_agent("old-hand", display_name="The New Name", capabilities=["t"])
    status = await service.agent_status("old-hand")
    assert (status["name"], status["runs"], status["online"]) == ("The New Name", 1, True)
    assert [one.agent_id for one in await AgentSyncService(runtime).list_agents()] == ["old-hand"], "one registry"
    for ask in (service.agent_status, service.agent_performance, service.similar_agents):
        with pytest.raises(NotFound):
            await ask("nobody")
    predicted = await service.predict("nobody", "t")
    assert (predicted["status"], predicted["success_rate"]) == ("not enough data", None)
    assert "20 runs" in predicted["reason"]


async def test_percentiles_are_those_of_the_times_within_the_width_of_a_place(runtime: Runtime) -> None:
    service, choose = AnalyticsService(runtime), random.Random(5)
    times = sorted(choose.lognormvariate(0, 1) for _ in range(2_000))
    await service.log_runs([run(execution_time=one) for one in times])
    figures = await service.agent_performance("a")
    for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99")):
        assert figures[f"{name}_execution_time"] == pytest.approx(times[int(share * 2_000)], rel=0.1)
    assert figures["avg_execution_time"] == pytest.approx(sum(times) / 2_000, rel=1e-4)


async def test_old_partitions_go_with_what_was_counted_from_them(runtime: Runtime, settings: Any) -> None:
    service = AnalyticsService(runtime)
    await service.log_runs([run(timestamp="2020-01-01T00:00:00Z"), run("b")])
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute(
            "create table agents.execution_log_2026w01 partition of agents.execution_log for values from ('2026-01-01') to ('2026-01-08')"
        )
        conn.execute(
            "insert into agents.execution_log (tenant_id, agent_name, task_id, logged_at) select t, 'old', gen_random_uuid(), '2026-01-02' from unnest(array['default', 'other']) t"
        )
    assert {row["agent_name"] for row in await kept(runtime)} == {"a", "b", "old"}
    await service.upkeep()
    assert {row["agent_name"] for row in await kept(runtime)} == {"a", "b"}, (
        "kept by when it came, not by when it says it ran"
    )
    assert await kept(runtime.for_tenant("other")) == []
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as conn:
        assert conn.execute("select to_regclass('agents.execution_log_2026w01')").fetchone() == (None,)
        assert conn.execute("select count(*) from agents.execution_keys").fetchone() == (2,)


async def test_own_executions_are_runs_too_each_once(demo_runtime: Runtime) -> None:
    from agent.execution.safe_executor import safe_executor

    await safe_executor.execute("execute_sql", {"sql": "select 1"}, runtime=demo_runtime)
    assert await upkeep.take_over_own_executions(runtime=demo_runtime) == 1
    assert await upkeep.take_over_own_executions(runtime=demo_runtime) == 0
    figures = await AnalyticsService(demo_runtime).agent_performance(upkeep.OWN_NAME)
    assert (figures["runs"], figures["success_rate"]) == (1, 1.0)
    assert figures["task_types"][0]["task_type"] == "execute_sql"
    assert await AnalyticsService(demo_runtime).clear() == 1
    assert await upkeep.take_over_own_executions(runtime=demo_runtime) == 0, "what was cleared does not come back"
    row = await demo_runtime.one("select count(*) as n from agents.agent_execution_log where tenant_id = %(tenant_id)s")
    assert row == {"n": 1}, "the sealed log is as it was"
