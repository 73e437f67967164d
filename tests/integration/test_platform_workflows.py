"""The document's workflows on real platforms: each leaves a row, a key in Redis, an event at a client of Pusher, scripts at a Studio."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from redis.asyncio import Redis
from tests.integration.redis_server import RedisServer
from websockets.asyncio.client import connect

import agent.integration.realtime.apps as apps
from agent.integration import integration_manager
from agent.integration.database_sync.records import name_of
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.running import running
from agent.testing.scripted_model import scripted_client
from agent.testing.served import served
from agent.testing.studio import FakeStudio

LESSON = "Fractions\nA half and a half are one."


async def run(name: str, parameters: dict[str, Any], runtime: Runtime) -> Any:
    done = await integration_manager.coordinator.run(name, parameters, runtime=runtime)
    assert (done.status, [one.error for one in done.tasks.values() if one.error]) == ("completed", []), name
    return {task: one.result for task, one in done.tasks.items()}


async def test_each_workflow_of_the_document_reaches_its_platforms(settings: Settings, redis: RedisServer) -> None:
    named = Settings(_env_file=None, REDIS_URL=redis.url)  # type: ignore[call-arg]  # by its environment variable
    changed = settings.model_copy(update={"redis_url": named.redis_url})
    async with running(changed, model=scripted_client([LESSON])) as runtime, served(runtime) as http:
        studio = FakeStudio(str(http.base_url))
        code = (await http.post("/api/v1/integration/studio/pairings", json={})).json()["code"]
        await studio.pair(code)
        studio.follow()
        app = await apps.default(runtime=runtime)
        address = f"ws://127.0.0.1:{http.base_url.port}/app/{app.app_key}?protocol=7"
        async with connect(address) as client, Redis.from_url(redis.url) as cache:
            await client.send(json.dumps({"event": "pusher:subscribe", "data": {"channel": "users"}}))
            while "subscription_succeeded" not in await client.recv():
                pass
            content = await run("content_generation", {"topic": "Fractions", "grade_level": 5}, runtime)
            key = content["generate_content"]["key"]
            assert b"A half and a half" in (await cache.get(name_of(runtime.tenant_id, "records", key)))
            component = await http.get("/api/v1/integration/ui/components/lesson")
            assert component.json()["state"]["title"] == "Fractions"
            async with asyncio.timeout(20):
                while content["sync_to_roblox"]["path"] not in studio.scripts:
                    await asyncio.sleep(0.05)
            assert "A half and a half are one." in studio.scripts[content["sync_to_roblox"]["path"]]

            await run("user_sync", {"user_id": "7", "data": {"theme": "dark"}}, runtime)
            async with asyncio.timeout(20):
                message = json.loads(await client.recv())
            assert (message["event"], json.loads(message["data"])) == ("user-updated", {"user_id": "7"})
            row = await runtime.one(
                "select value, version from agents.cached_records where tenant_id = %(tenant_id)s and kind = 'users' and key = '7'"
            )
            assert row == {"value": {"theme": "dark"}, "version": 1}

            main = {"path": "ServerScriptService/Main", "source": 'print("Hello")\n'}
            deployed = await run("roblox_deployment", {"scripts": [main]}, runtime)
            assert deployed["verify_deployment"]["verified"] is True
            assert studio.scripts[main["path"]] == main["source"]
        await studio.close()
        await integration_manager.shutdown(runtime=runtime)
