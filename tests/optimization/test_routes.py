"""The endpoints of configurations and learning: the whole way over HTTP, and what they refuse."""

from __future__ import annotations

from uuid import uuid4

from tests.optimization.conftest import logged

from agent.analytics import AnalyticsService
from agent.optimization import Workflow
from agent.runtime import Runtime
from agent.testing.served import served

BASE = "/api/agent-sync"


async def test_the_whole_way_over_http(runtime: Runtime, shop: Workflow) -> None:
    await AnalyticsService(runtime).log_runs(logged(400))
    async with served(runtime) as client:

        async def post(path: str, body: dict[str, object] | None = None) -> dict[str, object]:
            answer = await client.post(BASE + path, json=body)
            assert answer.status_code in (200, 201), (path, answer.text)
            return answer.json()

        session = await post(
            "/learning/sessions",
            {"agent_id": "director", "focus_area": "x", "learning_budget": {"time_ms": 60_000, "cost_usd": 1.0}},
        )
        campaign = await post("/learning/research", {"topic": "shop", "mining_depth": 1})
        patterns = await post("/learning/patterns/mine", {"campaign_id": campaign["campaign_id"]})
        pattern = patterns[0]  # type: ignore[index]  # a list
        assert (await client.get(f"{BASE}/learning/patterns/{pattern['pattern_id']}")).json() == pattern
        done = (await client.get(f"{BASE}/learning/research/{campaign['campaign_id']}")).json()
        assert (done["status"], done["findings"][0]["parameters"]) == ("done", {"depth": 2})
        optimization = await post("/learning/optimize", {"pattern_id": pattern["pattern_id"]})
        tested = await post(f"/learning/optimizations/{optimization['optimization_id']}/test")
        assert tested["verdict"] == "better"
        applied = await post(f"/learning/optimizations/{optimization['optimization_id']}/apply")
        assert applied["status"] == "waiting"
        config = await post("/configs/generate", {"workflow_type": "shop", "options": {"min_success_rate": 0.1}})
        assert config["generated_config"] == {"depth": 2}
        test = await post(f"/configs/{config['config_id']}/test", {"test_input": {"url": "x"}})
        assert not test["success"]  # every case was looked at by the optimization's test
        await post(f"/configs/{config['config_id']}/improve", {"target_metric": "accuracy"})
        ended = await post(f"/learning/sessions/{session['session_id']}/end")
        assert ended["status"] == "ended"
        assert 0 < ended["spent_usd"] <= 1  # type: ignore[operator]  # a number
        metrics = (await client.get(f"{BASE}/learning/metrics/director")).json()
        assert (metrics["proposed"], metrics["tested"], metrics["total_optimizations"]) == (1, 1, 0)
        assert (await client.get(f"{BASE}/learning/statistics")).json()["mined_patterns"] == len(patterns)
        assert (await client.get(f"{BASE}/configs/statistics")).json()["total_tests"] == 1


async def test_what_is_not_there_and_what_cannot_be_is_refused(runtime: Runtime) -> None:
    async with served(runtime) as client:
        for path in ("/learning/research/x", f"/learning/patterns/{uuid4()}", "/configs/best?workflow_type=x"):
            assert (await client.get(BASE + path)).status_code == 404, path
        bad = (
            ("/learning/sessions", {"agent_id": "a", "learning_budget": {"usd": 1}}),
            ("/learning/research", {"topic": "x", "data_sources": ["the_web"]}),
            ("/learning/research", {"topic": "x", "mining_depth": 4}),
            ("/configs/generate", {"workflow_type": "x", "max_cost": -1}),
        )
        for path, body in bad:
            assert (await client.post(BASE + path, json=body)).status_code == 422, (path, body)
        pattern = (await client.post(f"{BASE}/learning/research", json={"topic": "x"})).json()
        patterns = (
            await client.post(f"{BASE}/learning/patterns/mine", json={"campaign_id": pattern["campaign_id"]})
        ).json()
        change = (await client.post(f"{BASE}/learning/optimize", json={"pattern_id": patterns[0]["pattern_id"]})).json()
        refused = await client.post(f"{BASE}/learning/optimizations/{change['optimization_id']}/apply")
        assert refused.status_code == 403
        assert "Test it" in refused.json()["detail"]
