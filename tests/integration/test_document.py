"""Each example of the requirements, as a request of a real server would make it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from tests.integration.served import serving

from agent.integration import integration_manager
from agent.runtime import Runtime
from agent.testing.cluster import Cluster
from agent.testing.openai_server import OpenAIServer, text
from agent.testing.running import running
from agent.testing.served import served
from agent.testing.studio import FakeStudio

AGENTS = {"api_gateway", "database_sync", "ui_sync", "realtime_update", "studio_bridge", "schema_validator"}


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """Run Debian's Redis."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(["redis-server", "--port", str(port), "--dir", str(tmp_path), "--save", ""], stdout=subprocess.DEVNULL)  # fmt: skip
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.02)
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait(10)


@pytest.fixture
async def client(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(runtime) as client:
        yield client


async def test_each_curl_of_the_document_is_answered(client: httpx.AsyncClient) -> None:
    status = (await client.get("/status")).json()
    assert set(status["agents"]) == AGENTS
    assert (status["initialized"], status["overall_health"]) == (True, "healthy")
    assert {one["status"] for one in status["agents"].values()} == {"healthy"}
    assert status["timestamp"]
    listed = (await client.get("/agents")).json()["agents"]
    assert "validate" in listed["schema_validator"]["tasks"]
    schema = {
        "schema_name": "lesson_content", "schema_type": "json_schema", "platform": "backend", "version": "1.0.0",
        "definition": {
            "type": "object", "properties": {"lesson_id": {"type": "string"}, "title": {"type": "string"}, "content": {"type": "string"}},
            "required": ["lesson_id", "title"],
        },
    }  # fmt: skip
    registered = await client.post("/schema/register", json=schema)
    assert (registered.status_code, registered.json()["new"]) == (201, True)
    synced = await client.post("/sync/trigger", json={"source_platform": "backend", "target_platform": "frontend", "data": {"user_id": "123", "preferences": {"theme": "dark"}}})  # fmt: skip
    assert (synced.status_code, synced.json()["agent"]) == (200, "ui_sync")
    templates = {one["name"]: one["tasks"] for one in (await client.post("/workflow/templates")).json()["templates"]}
    assert templates == {
        "content_generation": ["validate_input", "generate_content", "store_in_database", "update_frontend", "sync_to_roblox"],
        "user_sync": ["fetch_user_data", "validate_data", "update_database", "broadcast_update"],
        "roblox_deployment": ["prepare_scripts", "validate_scripts", "deploy_to_studio", "verify_deployment"],
    }  # fmt: skip
    assert (await client.post("/event/broadcast", json={"channel": "check", "event": "ping", "data": {"x": 1}})).status_code == 200  # fmt: skip
    for level in ("basic", "deep", "metrics"):
        checked = (await client.post("/health/check", json={"level": level})).json()
        assert (checked["level"], checked["metrics"] is not None) == (level, level == "metrics")
    figures = (await client.get("/metrics")).json()["agents"]["schema_validator"]
    assert (figures["total_requests"], figures["success_rate"]) == (1, 1.0)
    assert (await client.post("/maintenance/cleanup", json={})).status_code == 200
    unknown = await client.post("/sync/trigger", json={"source_platform": "backend", "target_platform": "mars", "data": {}})  # fmt: skip
    assert (unknown.status_code, "roblox" in unknown.json()["detail"]) == (422, True)


async def test_content_generation_leaves_what_each_task_promises(cluster: Cluster, redis_url: str) -> None:
    settings = cluster.database(cluster.template("blank")).model_copy(update={"redis_url": _secret(redis_url)})
    async with OpenAIServer([text("# Loops\nA loop repeats.")]) as server:
        settings = settings.model_copy(update={"model": "openai:own", "openai_base_url": server.url, "openai_api_key": _secret("k")})  # fmt: skip
        async with running(settings) as runtime, serving(runtime) as client:
            body = {"name": "content_generation", "description": "Generate and sync educational content", "parameters": {"topic": "Python Basics", "grade_level": 9}}  # fmt: skip
            answer = await client.post("/workflow/create", json=body)
            run = answer.json()
            assert run["status"] == "completed", run
            lesson = run["tasks"]["generate_content"]["result"]
            assert (lesson["title"], lesson["content"], lesson["grade_level"]) == ("Loops", "A loop repeats.", 9)
            row = await runtime.one("SELECT value FROM agents.cached_records WHERE tenant_id = %(tenant_id)s AND key = %(key)s", key=lesson["key"])  # fmt: skip
            assert row is not None
            assert row["value"]["title"] == "Loops"
            async with Redis.from_url(redis_url) as redis:
                assert [key async for key in redis.scan_iter(f"*{lesson['key']}*")]
            assert {name for name, one in run["tasks"].items() if one["success"]} == {
                "validate_input", "generate_content", "store_in_database", "update_frontend", "sync_to_roblox",
            }  # fmt: skip


async def test_user_sync_stores_the_user_and_tells_every_client(client: httpx.AsyncClient, runtime: Runtime) -> None:
    run = (await client.post("/workflow/create", json={"name": "user_sync", "description": "check", "parameters": {"user_id": "123", "data": {"theme": "dark"}}})).json()  # fmt: skip
    assert run["status"] == "completed", run
    assert run["tasks"]["broadcast_update"]["result"]["published"] is True
    read = await integration_manager.execute("database_sync", "read", {"kind": "users", "key": "123"}, runtime=runtime)
    assert read["value"] == {"theme": "dark"}


async def test_roblox_deployment_reaches_a_paired_studio(runtime: Runtime) -> None:
    async with served(runtime) as http:
        refused = (await http.post("/api/v1/integration/workflow/create", json={"name": "roblox_deployment"})).json()
        assert (refused["status"], "pairings" in refused["tasks"]["deploy_to_studio"]["error"]) == ("failed", True)
        code = (await http.post("/api/v1/integration/studio/pairings", json={})).json()["code"]
        studio = FakeStudio(str(http.base_url))
        assert (await studio.pair(code)).is_success
        studio.follow()
        scripts = [{"path": "ServerScriptService/Main", "source": "print(1)\n"}]
        body = {"name": "roblox_deployment", "parameters": {"scripts": scripts}}
        run = (await http.post("/api/v1/integration/workflow/create", json=body)).json()
        await studio.close()
    assert (run["status"], run["tasks"]["verify_deployment"]["result"]["verified"]) == ("completed", True)
    assert studio.scripts == {"ServerScriptService/Main": "print(1)\n"}
    assert any("/plugin" in one or "deployments" in one for one in studio.requests)
    await integration_manager.shutdown(runtime=runtime)


async def test_the_variables_of_the_document_are_read(tmp_path: Path) -> None:
    from agent.settings import Settings

    named = {
        "DATABASE_URL": "postgresql://eduplatform:eduplatform2024@localhost/educational_platform_dev", "REDIS_URL": "redis://localhost:6379",
        "PUSHER_APP_ID": "your-app-id", "PUSHER_KEY": "your-key", "PUSHER_SECRET": "your-secret", "PUSHER_CLUSTER": "your-cluster",
        "SKIP_INTEGRATION_AGENTS": "false",
    }  # fmt: skip
    os.environ.update(named)
    try:
        settings = Settings(_env_file=None)
    finally:
        for name in named:
            del os.environ[name]
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://localhost:6379"
    assert (settings.pusher_app_id, settings.pusher_cluster, settings.skip_integration_agents) == ("your-app-id", "your-cluster", False)  # fmt: skip
    assert "your-secret" not in repr(settings)


def _secret(value: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(value)
