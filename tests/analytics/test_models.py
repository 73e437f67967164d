"""Models: calibrated, promoted only when no worse, rolled back by hand, and never more than data; recommendations with propensities."""

from __future__ import annotations

import json
import random
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from agent.access import keys
from agent.analytics import AnalyticsService, models
from agent.errors import NotFound
from agent.runtime import Runtime
from agent.testing.served import served


def world(seed: int, count: int, **rates: float) -> list[dict[str, Any]]:
    """Runs of agents that succeed at these rates, in a random order."""
    choose = random.Random(seed)
    names = list(rates)
    return [
        {
            "agent_name": name, "task_id": str(uuid4()), "task_type": "t", "success": choose.random() < rates[name],
            "execution_time": choose.lognormvariate(0, 0.4),
        }
        for name in (choose.choice(names) for _ in range(count))
    ]  # fmt: skip


async def test_a_model_is_trained_promoted_when_no_worse_and_rolled_back(runtime: Runtime) -> None:
    service = AnalyticsService(runtime)
    assert {one["status"] for one in await service.train()} == {"not enough data"}
    await service.log_runs(world(1, 400, good=0.9, bad=0.3))
    first = {one["model"]: one for one in await service.train()}
    assert (first["success"]["status"], first["time"]["status"], first["cost"]["status"]) == (
        "active",
        "active",
        "not enough data",
    )
    card = first["success"]["card"]
    assert (card["runs"], card["agents"], card["tested_on"]) == (400, 2, 80)
    assert card["held_out_loss"] < 0.2 < 0.25, "a guess of one half loses .25"
    assert sum(point["n"] for point in card["calibration"]) == 80
    assert 0.8 <= first["time"]["card"]["coverage"] <= 1
    again = {one["model"]: one for one in await service.train()}
    assert (again["success"]["status"], again["success"]["version"]) == ("skipped", None)
    assert "new runs" in again["success"]["reason"], "the present one has seen all of these"
    await service.log_runs(world(8, 60, good=0.9, bad=0.3))
    await service.train()
    known = [
        (one["model_name"], one["version"], one["status"])
        for one in await service.models()
        if one["model_name"] == "success"
    ]
    assert known == [("success", "2", "active"), ("success", "1", "retired")]
    assert (await service.roll_back("success"))["version"] == "1"
    with pytest.raises(NotFound, match="go back"):
        await service.roll_back("success")
    assert (await service.roll_back("success", "2"))["version"] == "2"
    for name, version in (("success", "9"), ("pickle", None)):
        with pytest.raises(NotFound):
            await service.roll_back(name, version)


async def test_a_model_that_is_worse_on_the_same_runs_does_not_predict(runtime: Runtime) -> None:
    service = AnalyticsService(runtime)
    await service.log_runs(world(2, 600, good=0.95, bad=0.05))
    await service.train()
    # Older runs say the opposite now; the newest fifth is as the present model expects.
    await service.log_runs(
        [
            {**one, "success": not one["success"], "task_id": str(uuid4())}
            for one in world(3, 1_500, good=0.95, bad=0.05)
        ]
    )
    await service.log_runs(world(4, 500, good=0.95, bad=0.05))
    trained = {one["model"]: one for one in await service.train()}
    assert trained["success"]["status"] == "refused"
    assert "worse" in trained["success"]["reason"]
    predicted = await service.predict("good", "t")
    assert predicted["success_rate"] > 0.9
    assert predicted["models"]["success"]["version"] == "1"


async def test_a_planted_pickle_or_other_text_in_model_data_is_never_run_and_predicts_nothing(runtime: Runtime) -> None:
    service = AnalyticsService(runtime)
    await service.log_runs(world(5, 60, good=0.9))
    await service.train()
    update = (
        "update agents.ml_models set model_data = %(data)s where tenant_id = %(tenant_id)s and model_name = 'success'"
    )
    with pytest.raises(psycopg.errors.CheckViolation):
        await runtime.execute(update, data=b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    for text in ('{"target": "success"}', "{[", '{"agents": 3, "between": [1], "offsets": null}'):
        models._MODELS.pop(runtime, runtime.tenant_id)
        await runtime.execute(update, data=text.encode())
        assert await models.active("success", runtime=runtime) is None
    assert (await service.predict("good", "t"))["success_rate"] is None


async def test_recommendations_rank_explore_with_noted_propensities_and_use_what_is_similar_for_new_agents(
    runtime: Runtime,
) -> None:
    service = AnalyticsService(runtime)
    assert (await service.recommend("t"))["recommended"] is None
    await service.log_runs(world(6, 300, good=0.9, bad=0.2))
    for name in ("good", "bad"):
        await service.register_agent(name, capabilities=["t", f"only {name}"])
    await service.register_agent("twin", capabilities=["t", "only good"])
    ranked = await service.recommend("t")
    assert ranked["recommended"] == "good"
    by_name = {one["agent_name"]: one for one in ranked["recommendations"]}
    assert by_name["good"]["success_interval"][0] > by_name["bad"]["success_interval"][1]
    assert sum(one["probability_best"] for one in ranked["recommendations"]) == pytest.approx(1, abs=1e-3)
    assert by_name["twin"]["based_on"]["agent"] == 0
    drawn = [await service.recommend("t", explore=True) for _ in range(30)]
    assert {one["recommended"] for one in drawn} >= {"good", "twin"}, "what is not known is tried"
    rows = await runtime.all("select * from agents.agent_recommendations where tenant_id = %(tenant_id)s")
    assert len(rows) == 30
    for row in rows:
        assert row["propensities"][row["agent_name"]] == pytest.approx(row["propensity"])
        assert sum(row["propensities"].values()) == pytest.approx(1)


async def test_similar_agents_are_those_with_the_same_work(runtime: Runtime) -> None:
    service = AnalyticsService(runtime)
    for name, words in (
        ("a", ["write sql", "read tables"]),
        ("b", ["write sql", "read tables"]),
        ("c", ["draw pictures"]),
    ):
        await service.register_agent(name, capabilities=words)
    found = {one["agent_name"]: one for one in await service.similar_agents("a")}
    assert found["b"]["similar"] is True
    assert found["c"]["similar"] is False
    row = await runtime.one(
        "select count(*) as n, min(vector_dims(embedding)) as d from agents.agent_embeddings where tenant_id = %(tenant_id)s".replace(
            "vector_dims", "public.vector_dims"
        )
    )
    assert row == {"n": 3, "d": 256}


async def test_upkeep_trains_measures_and_finds_without_being_asked_and_repeats_nothing(runtime: Runtime) -> None:
    service = AnalyticsService(runtime)
    await service.log_runs(world(7, 200, good=0.9, bad=0.3))
    for _ in range(2):
        await service.upkeep()
    assert [one["version"] for one in await service.models() if one["model_name"] == "success"] == ["1"]
    rows = await runtime.all(
        "select agent_name, success_rate, source from agents.performance_metrics where tenant_id = %(tenant_id)s order by 1"
    )
    performance = {one["agent_name"]: one["success_rate"] for one in (await service.performance())["agents"]}
    assert {row["agent_name"]: pytest.approx(row["success_rate"], rel=1e-4) for row in rows} == performance
    assert [row["source"] for row in rows] == ["measured", "measured"]
    training = await service.last_training()
    assert training["accuracy"] is not None
    assert training["accuracy"] > 0.6
    assert training["seconds"] is not None


async def test_who_may_not_see_personal_values_gets_no_texts_of_errors(runtime: Runtime) -> None:
    service = AnalyticsService(runtime)
    error = "duplicate key anna@example.com"
    await service.log_runs(
        [{"agent_name": "a", "task_type": "t", "success": False, "error_message": error} for _ in range(20)]
    )
    plain = (await keys.create("plain", role="viewer", runtime=runtime)).secret
    personal = (await keys.create("personal", role="viewer", personal=True, runtime=runtime)).secret
    paths = (
        "/analytics/patterns",
        "/analytics/insights",
        "/ml/test/patterns",
        "/analytics/export?format=csv",
        "/analytics/export?format=json",
    )
    for secret, seen in ((plain, False), (personal, True)):
        async with served(runtime, key=secret) as client:
            for path in paths:
                answer = await client.get(path)
                assert answer.status_code == 200, answer.text
                assert ("anna@example.com" in answer.text) is seen, path
            assert (await client.post("/analytics/executions", json={"agent_name": "a"})).status_code == 403


async def test_an_export_is_complete_and_no_spreadsheet_runs_it(runtime: Runtime) -> None:
    service = AnalyticsService(runtime)
    await service.log_runs([{"agent_name": "=cmd()", "task_id": f"t{n}", "success": True} for n in range(2_500)])
    personal = (await keys.create("personal", role="viewer", personal=True, runtime=runtime)).secret
    async with served(runtime, key=personal) as client:
        lines = (await client.get("/analytics/export?format=json")).text.splitlines()
        table = (await client.get("/analytics/export?format=csv")).text.splitlines()
    assert {json.loads(line)["task_id"] for line in lines} == {f"t{n}" for n in range(2_500)}
    assert len(table) == 2_501
    assert all(",'=cmd()," in line for line in table[1:])
