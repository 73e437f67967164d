"""The Python and SQL of the requirements' part on analytics, as written there, against `agent serve` in another process.

Two of its examples cannot run as they are printed and are mended: `await httpx.get(...)` awaits what is no awaitable, and the
functions that take `client` call it with paths alone, so they need a client with a base URL.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from tests.analytics.conftest import Service

from learning_system_client import AgentPerformanceTracker, LearningSystemClient


def runs(agent: str, task: str, successes: int, failures: int, **more: Any) -> list[dict[str, Any]]:
    """Runs of an agent, the last ones failed."""
    return [
        {"agent_name": agent, "task_id": str(uuid4()), "task_type": task, "execution_time": 2.0 + n / 10, "success": n < successes, **more}
        for n in range(successes + failures)
    ]  # fmt: skip


async def test_the_first_checks_of_the_guide(service: Service) -> None:
    service.http.post("/agents/register", json={"agent_name": "director", "capabilities": ["strategic_planning"]})
    health = service.http.get("/health").json()
    assert (health["status"], health["service"], health["database"]) == ("healthy", "learning-agent", "connected")
    assert health["agents_registered"] >= 1
    assert health["ml_models"] == dict.fromkeys(
        ("pattern_recognition", "performance_prediction", "anomaly_detection"), "active"
    )
    assert service.http.get("/api/docs").status_code == 200
    listed = service.http.get("/agents/list").json()
    assert "director" in [one["agent_name"] for one in listed["agents"]]
    assert listed["total"] == health["agents_registered"]
    status = service.http.get("/agents/director/status").json()
    assert status["capabilities"] == ["strategic_planning"]
    assert status["online"] is True
    assert service.http.get("/status").json()["environment"] == "docker"


async def test_core_api_endpoints(service: Service) -> None:
    async def get_system_status(client: httpx.AsyncClient) -> Any:
        response = await client.get("/status")
        return response.json()

    async def get_agent_performance(client: httpx.AsyncClient, agent_name: str) -> Any:
        response = await client.get(f"/agents/{agent_name}/performance")
        return response.json()

    async def register_agent(client: httpx.AsyncClient, agent_data: Any) -> Any:
        response = await client.post("/agents/register", json=agent_data)
        return response.json()

    async def get_performance_metrics(client: httpx.AsyncClient) -> Any:
        response = await client.get("/analytics/performance")
        return response.json()

    async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
        assert (await register_agent(client, {"agent_name": "core", "capabilities": ["x"]}))["agent_name"] == "core"
        before = (await get_performance_metrics(client))["overall"]["runs"]
        await client.post("/analytics/executions/batch", json={"runs": runs("core", "audit", 6, 2)})
        one = await get_agent_performance(client, "core")
        assert (one["runs"], one["successes"], one["success_rate"], one["avg_execution_time"]) == (8, 6, 0.75, 2.35)
        assert one["success_interval"][0] < 0.75 < one["success_interval"][1]
        assert [kind["task_type"] for kind in one["task_types"]] == ["audit"]
        overall = (await get_performance_metrics(client))["overall"]
        assert overall["runs"] == before + 8
        status = await get_system_status(client)
        assert status["learning_system"] == "operational"
        for _ in range(30):
            await client.get("/agents/core/status")
        loaded = await get_system_status(client)
        assert loaded["performance"]["queries_per_sec"] > status["performance"]["queries_per_sec"]
        assert loaded["performance"]["avg_latency_ms"] > 0


async def test_direct_database_integration(service: Service, login: str) -> None:
    parts = conninfo_to_dict(login)

    class DatabaseIntegration:
        async def connect(self) -> Any:
            self.conn = await asyncpg.connect(
                host=parts["host"], user="claude_user", password="password", database=parts["dbname"]
            )
            return self.conn

        async def get_agent_performance(self, agent_name: str) -> Any:
            query = """
            SELECT agent_name, avg_execution_time, success_rate, last_updated
            FROM agents.performance_metrics
            WHERE agent_name = $1
            ORDER BY last_updated DESC
            LIMIT 10
            """
            return await self.conn.fetch(query, agent_name)

        async def log_agent_execution(
            self, agent_name: str, task_id: Any, execution_time: float, success: bool
        ) -> None:
            query = """
            INSERT INTO agents.execution_log (agent_name, task_id, execution_time, success, timestamp)
            VALUES ($1, $2, $3, $4, NOW())
            """
            await self.conn.execute(query, agent_name, task_id, execution_time, success)

    database = DatabaseIntegration()
    await database.connect()
    for n in range(4):
        await database.log_agent_execution("by-sql", uuid4(), 3.0, n < 3)
    figures = service.http.get("/agents/by-sql/performance").json()
    assert (figures["runs"], figures["success_rate"], figures["avg_execution_time"]) == (4, 0.75, 3.0)
    assert service.http.get("/agents/by-sql/status").status_code == 200, "who logs by SQL is registered"
    service.http.post("/agents/by-sql/metrics", json={"response_time": 1.25, "success_rate": 0.5})
    (row,) = await database.get_agent_performance("by-sql")
    assert (row["agent_name"], row["avg_execution_time"], row["success_rate"]) == ("by-sql", 1.25, 0.5)
    # Whatever it sets, this login reaches its own tenant only.
    await database.conn.execute("""select set_config('request.jwt.claims', '{"tenant_id": "other"}', false)""")
    with pytest.raises(asyncpg.PostgresError):
        await database.log_agent_execution("by-sql", uuid4(), 3.0, True)
    assert await database.get_agent_performance("by-sql") == []
    await database.conn.close()


async def test_the_library_and_its_tracker(service: Service) -> None:
    async with LearningSystemClient(base_url=service.url) as client:
        tracker = AgentPerformanceTracker(client)
        for n in range(40):
            task = {"id": str(uuid4()), "type": "summary"}
            result = {
                "execution_time": 1.0 + n / 100,
                "success": n % 4 != 0,
                "resource_usage": {"cpu": 20.0, "memory": 64},
            }
            stored = await tracker.track_agent_performance("tracked", task, result)
            again = await tracker.track_agent_performance("tracked", task, result)
            assert (stored["stored"], again["duplicates"]) == (1, 1)
        figures = await client.get_agent_performance("tracked")
        assert (figures["runs"], figures["success_rate"], figures["resource_cpu"], figures["resource_memory"]) == (
            40,
            0.75,
            20.0,
            64.0,
        )
        wanted = await tracker.get_agent_recommendations("summary")
        assert wanted["recommended"] == "tracked"
        assert any("40 runs of this type" in reason for reason in wanted["recommendations"][0]["reasons"])


async def test_collecting_metrics(service: Service) -> None:
    class PerformanceCollector:
        def __init__(self, learning_client: LearningSystemClient) -> None:
            self.learning_client = learning_client

        async def collect_agent_metrics(self, agent_name: str) -> Any:
            metrics = {
                "response_time": 1.5, "throughput": 12.0, "resource_usage": {"cpu": 7.0, "memory": 300.0}, "success_rate": 0.93,
                "coordination_effectiveness": 0.4,
            }  # fmt: skip
            await self.learning_client.submit_metrics(agent_name, metrics)
            return metrics

    async with LearningSystemClient(service.url) as client:
        sent = await PerformanceCollector(client).collect_agent_metrics("measured")
        kept = (await client.get_agent_performance("measured"))["submitted"]
    usage = sent.pop("resource_usage")
    assert {name: kept[name] for name in sent} == sent
    assert (kept["cpu"], kept["memory"]) == (usage["cpu"], usage["memory"])


async def test_pattern_analyzer_and_predictive_analytics(service: Service) -> None:
    class PatternAnalyzer:
        def __init__(self, learning_client: LearningSystemClient) -> None:
            self.learning_client = learning_client

        async def analyze_task_patterns(self) -> Any:
            patterns = await self.learning_client.get_patterns()
            return {
                "collaboration_patterns": patterns.get("collaboration", []),
                "performance_patterns": patterns.get("performance", []),
                "resource_patterns": patterns.get("resources", []),
                "failure_patterns": patterns.get("failures", []),
            }

    class PredictiveAnalytics:
        def __init__(self, learning_client: LearningSystemClient) -> None:
            self.learning_client = learning_client

        async def predict_agent_performance(self, agent_name: str, task_type: str) -> Any:
            prediction = await self.learning_client.predict_performance(agent_name=agent_name, task_type=task_type)
            return {
                "predicted_execution_time": prediction.get("execution_time"),
                "predicted_success_rate": prediction.get("success_rate"),
                "confidence_score": prediction.get("confidence"),
                "recommended_resources": prediction.get("resources"),
            }

    async with LearningSystemClient(service.url) as client:
        failing = {"error_message": "Timeout after 30 s on 'orders'", "steps": ["read", "call_api"]}
        await client.log_many(runs("good", "export", 45, 5, resource_usage={"cpu": 11, "memory": 512}))
        await client.log_many(runs("bad", "export", 5, 45, **failing))
        await client.client.post("/analytics/models/train")
        found = await PatternAnalyzer(client).analyze_task_patterns()
        best = {one["task_type"]: one["best_agent"] for one in found["performance_patterns"]}
        assert best["export"] == "good"
        (worst, *_) = found["failure_patterns"]
        assert (worst["task_type"], worst["steps"], worst["error"]) == (
            "export",
            "read > call_api",
            "Timeout after # s on '...'",
        )
        assert worst["failures"] == 45
        assert any(one["agent_name"] == "good" and one["memory"] == 512 for one in found["resource_patterns"])
        predictor = PredictiveAnalytics(client)
        good, bad = [await predictor.predict_agent_performance(name, "export") for name in ("good", "bad")]
        assert 0.8 < good["predicted_success_rate"] < 0.95
        assert 0.05 < bad["predicted_success_rate"] < 0.25
        assert 3.0 < good["predicted_execution_time"] < 6.0, "from 2.0 to 6.9 s, evenly"
        assert 0.5 < good["confidence_score"] < 1
        assert good["recommended_resources"]["memory"] == 512
        insights = (await client.get_learning_insights())["insights"]
        said = next(one for one in insights if one["kind"] == "failures")
        assert "export" in said["insight"]
        assert str(said["evidence"]["runs"][0]) in said["action"]
        assert any("good" in one["action"] for one in insights if one["kind"] == "choice")


async def test_monitors(service: Service) -> None:
    alerts: list[str] = []

    class HealthMonitor:
        def __init__(self, learning_client: LearningSystemClient) -> None:
            self.learning_client = learning_client

        async def monitor_learning_system_health(self) -> None:
            health = await self.learning_client.get_health()
            if health["status"] != "healthy":
                alerts.append("unhealthy")
            if health.get("database", "unknown") != "connected":
                alerts.append("database")
            alerts.extend(model for model, status in health.get("ml_models", {}).items() if status != "active")

    class PerformanceMonitor:
        async def collect_learning_system_metrics(self) -> Any:
            async with httpx.AsyncClient() as client:
                metrics = (await client.get(f"{service.url}/metrics")).json()
            return {
                "query_performance": metrics.get("queries_per_sec", 0),
                "prediction_accuracy": metrics.get("prediction_accuracy", 0),
                "model_training_time": metrics.get("training_time", 0),
                "agent_response_time": metrics.get("agent_response_time", 0),
                "memory_usage": metrics.get("memory_usage_mb", 0),
                "cpu_usage": metrics.get("cpu_usage_percent", 0),
            }

    async with LearningSystemClient(service.url) as client:
        await client.log_many(runs("director", "strategic_planning", 30, 3))
        await client.client.post("/analytics/models/train")
        await HealthMonitor(client).monitor_learning_system_health()
    assert alerts == []
    measured = await PerformanceMonitor().collect_learning_system_metrics()
    assert all(value is not None and value >= 0 for value in measured.values()), measured
    assert measured["model_training_time"] > 0


async def test_ml_models(service: Service) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        response = await client.get(f"{service.url}/ml/test/patterns")
        assert (response.json()["status"], response.json()["pattern_recognition"]) == ("ok", "active")
        response = await client.post(
            f"{service.url}/ml/test/prediction", json={"agent": "director", "task": "strategic_planning"}
        )
        body = response.json()
        assert body["status"] == "ok"
        assert 0.7 < body["prediction"]["success_rate"] < 1


def test_the_guides_sql_for_monitoring_and_recovery(service: Service, login: str) -> None:
    service.http.post("/analytics/executions", json={"agent_name": "gone", "success": True})
    assert service.http.get("/agents/gone/performance").json()["runs"] == 1
    with psycopg.connect(login, autocommit=True) as conn:
        seen = conn.execute(
            """
SELECT schemaname,tablename,n_tup_ins,n_tup_upd,n_tup_del
FROM (SELECT *, relname AS tablename FROM pg_stat_user_tables) t
WHERE schemaname = 'agents'
ORDER BY n_tup_ins DESC;"""
        ).fetchall()
        assert "performance_metrics" in [row[1] for row in seen]
        conn.execute("TRUNCATE agents.performance_metrics, agents.execution_log, agents.agent_embeddings;")
    assert service.http.get("/agents/gone/performance").json()["runs"] == 0
    assert service.http.get("/analytics/performance").json()["overall"]["runs"] == 0
    with psycopg.connect(service.database, autocommit=True) as conn:
        conn.execute("insert into agents.tenants (tenant_id) values ('another')")
    with (
        psycopg.connect(login, autocommit=True) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="every tenant"),
    ):
        conn.execute("TRUNCATE agents.execution_log")


def test_the_tables_have_the_columns_and_the_index_of_the_guide(service: Service) -> None:
    with psycopg.connect(service.database) as conn:
        (index,) = conn.execute(
            "select indexdef from pg_indexes where indexname = 'agent_embeddings_idx'"
        ).fetchone() or ("",)
        assert "USING ivfflat" in index
        assert "vector_cosine_ops" in index
        (kind,) = conn.execute(
            "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'agents.agent_embeddings'::regclass and attname = 'embedding'"
        ).fetchone() or ("",)
        assert kind.endswith("vector(256)")
        stored = conn.execute("select model_data, hyperparameters from agents.ml_models").fetchall()
        assert stored
        assert all(isinstance(json.loads(bytes(data)), dict) for data, _ in stored), "no pickle"


async def test_what_the_client_raises_says_what_to_do(service: Service) -> None:
    from learning_system_client import LearningSystemError

    async with LearningSystemClient(service.url) as client:
        with pytest.raises(LearningSystemError, match="choose another name") as refused:
            await client.register_agent({"agent_name": "list"})
        assert refused.value.status == 422
        with pytest.raises(LearningSystemError, match="register it first"):
            await client.get_agent_performance("nobody")
        await asyncio.sleep(0)
