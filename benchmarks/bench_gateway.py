"""Measure an endpoint of the gateway beside a route that is written in code: the same caller, the same task, the same server."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import httpx

from agent.api import create_app
from agent.api.callers import Acting, Caller
from agent.integration import integration_manager
from agent.runtime import Runtime
from agent.testing.cluster import Cluster
from agent.testing.running import running
from benchmarks.report import Report

ROUNDS, REQUESTS = 12, 60
DATA = {
    "definition": {"type": "object", "properties": {"level": {"type": "integer", "maximum": 9}}},
    "data": {"level": 7},
}
ENDPOINT = {
    "path": "/levels", "agent": "schema_validator", "task": "validate", "role": "viewer", "rate_limit": "1000000/minute",
    "parameters": {"type": "object", "required": ["data"]}, "request": {"remove": ["ignored"]}, "response": {"case": "camel"},
}  # fmt: skip


async def measure(report: Report) -> None:
    """Measure the gateway's bar."""
    cluster = Cluster()
    try:
        settings = cluster.database(cluster.template("blank")).model_copy(update={"rate_limit": "10000000/minute"})
        async with running(settings) as runtime:
            await _measure(runtime, report)
    finally:
        cluster.close()


async def _measure(runtime: Runtime, report: Report) -> None:
    app = create_app(runtime, jobs=False)

    @app.post("/static/levels")
    async def static(body: dict[str, Any], caller: Caller, acting: Acting) -> Any:
        caller.require("viewer")
        return await integration_manager.execute("schema_validator", "validate", body, runtime=acting)

    async with app.router.lifespan_context(app):
        await integration_manager.execute("api_gateway", "create_endpoint", ENDPOINT, runtime=runtime)
        transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

            async def spent(path: str) -> float:
                began = time.perf_counter()
                for _ in range(REQUESTS):
                    (await client.post(path, json=DATA)).raise_for_status()
                return (time.perf_counter() - began) / REQUESTS * 1000

            paths = "/static/levels", "/api/v1/integration/gateway/v1/levels"
            for path in paths:
                await spent(path)
            pairs = [[await spent(path) for path in paths] for _ in range(ROUNDS)]
    ratio = median(made / written for written, made in pairs)
    plain, dynamic = (median(column) for column in zip(*pairs, strict=True))
    report.bar("an endpoint of the gateway beside a route in code", bar="<= 1.5x", reached=f"{ratio:.2f}x ({dynamic:.2f} ms, {plain:.2f} ms)", ok=ratio <= 1.5)  # fmt: skip
