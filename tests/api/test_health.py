"""Health, status and metrics: the keys that clients of the documents read, honest when the database is away."""

from __future__ import annotations

from agent.runtime import Runtime
from agent.testing.served import served


async def test_the_keys_of_the_documents_are_there_and_prometheus_gets_text(runtime: Runtime) -> None:
    async with served(runtime) as client:
        health = (await client.get("/health")).json()
        assert {"status", "service", "database", "agents_registered", "ml_models", "timestamp"} <= set(health)
        assert (health["status"], health["database"], health["agents_registered"]) == ("healthy", "connected", 0)
        status = (await client.get("/status")).json()
        assert {"learning_system", "database", "agents_registered", "performance", "ml_models"} <= set(status)
        keys = "queries_per_sec prediction_accuracy training_time agent_response_time memory_usage_mb cpu_usage_percent"
        metrics = await client.get("/metrics", headers={"Accept": "*/*"})
        assert set(keys.split()) == set(metrics.json())
        for accept in ("text/plain", "application/openmetrics-text; version=1.0.0, */*;q=0.1"):
            text = (await client.get("/metrics", headers={"Accept": accept})).text
            assert 'agent_http_requests_total{method="GET",route="/health",status="200"} 1.0' in text
        await client.get("/api/threads/some-id-of-a-client")
        assert "some-id" not in (await client.get("/metrics", headers={"Accept": "text/plain"})).text
        deep = (await client.get("/health?level=deep")).json()
        assert deep["status"] == "degraded", "no process runs jobs here"
        assert {name: part["status"] for name, part in deep["parts"].items()} == {
            "database": "healthy", "model": "healthy", "embedder": "healthy", "workers": "unhealthy", "monitor": "healthy",
        }  # fmt: skip


async def test_documents_of_the_api_load_nothing_from_elsewhere(runtime: Runtime) -> None:
    async with served(runtime) as client:
        for path in ("/docs", "/api/docs"):
            page = await client.get(path)
            assert page.status_code == 200
            assert "https://" not in page.text
            assert "http://" not in page.text
