"""docs/embedding.md: every snippet runs as it stands, with a model over HTTP and the demo as the application."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

import agent
from agent.demo.application import load_demo
from agent.settings import Settings
from agent.testing.openai_server import OpenAIServer, text, tool_calls

PAGE = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text(encoding="utf-8")
OPEN, TENANTS, MODELS, WEB, CREATE_AGENT = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    load_demo(Settings(_env_file=None, home=tmp_path))
    return tmp_path


async def printed(snippet: str, home: Path, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", snippet, cwd=home, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "AGENT_HOME": str(home), **environment},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_a_runtime_is_opened_asked_and_closed(home: Path) -> None:
    first, *events = (await printed(OPEN, home)).splitlines()
    assert first.startswith("done ")
    assert events[-1] == "Answered"


async def test_tenants_do_not_see_each_others_memories(home: Path) -> None:
    assert (await printed(TENANTS, home)).split() == ["1", "0"]


async def test_a_model_of_ones_own_answers(home: Path) -> None:
    async with OpenAIServer([text("Nineteen.")]) as server:
        said = await printed(MODELS, home, OPENAI_API_KEY="none", OPENAI_BASE_URL=server.url)
    assert said == "Nineteen.\n"


async def test_an_agent_of_ones_own_asks_by_an_interrupt(home: Path) -> None:
    change = tool_calls(("execute_sql", {"sql": "update clients set status = 'paused' where id = 3"}))
    async with OpenAIServer(
        [change, text("Paused.")],
    ) as server:
        said = await printed(
            CREATE_AGENT, home, OPENAI_API_KEY="none", OPENAI_BASE_URL=server.url, AGENT_EMBEDDER="hashing:384"
        )
    assert "update clients set status = 'paused' where id = 3" in said
    assert said.endswith("Paused.\n")


class FastAPI(Starlette):
    """As much of FastAPI as the page uses; FastAPI itself is no dependency."""

    def post(self, path: str, method: str = "POST") -> Callable[[Any], Any]:
        def register(handler: Any) -> Any:
            async def respond(request: Request) -> Response:
                return Response(json.dumps(await handler(request), default=str), media_type="application/json")

            self.add_route(path, respond, methods=[method])
            return handler

        return register

    def get(self, path: str) -> Callable[[Any], Any]:
        return self.post(path, "GET")


async def test_a_web_application_asks_shows_requests_and_takes_decisions(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = ModuleType("fastapi")
    module.FastAPI, module.HTTPException, module.Request = FastAPI, HTTPException, Request
    monkeypatch.setitem(sys.modules, "fastapi", module)
    monkeypatch.setenv("AGENT_HOME", str(home))
    page: dict[str, Any] = {}
    exec(WEB, page)
    app = page["app"]
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://app", headers={"x-user": "ana"}) as client,
    ):
        question = {"question": "Set the status of client Quartz Health to paused"}
        asked = (await client.post("/questions", json=question)).json()
        (request,) = asked["approvals"]
        assert asked["status"] == "waiting"
        (listed,) = (await client.get("/approvals")).json()["approvals"]
        assert (listed["id"], listed["binding"]) == (request["id"], request["binding"])
        where = f"/approvals/{request['id']}"
        other = await client.post(where, json={"decision": "approve", "binding": "of another request"})
        assert other.status_code == 409
        yes = (await client.post(where, json={"decision": "approve", "binding": request["binding"]})).json()
        assert (yes["status"], yes["result"]["success"]) == ("approved", True)
        assert (await client.post(where, json={"decision": "reject", "binding": request["binding"]})).status_code == 409
        ended = (await client.post(f"/threads/{asked['thread_id']}/continue")).json()
        assert ended["status"] == "done"
        assert "paused" in ended["text"].lower()


def test_the_page_names_every_public_name_and_no_other() -> None:
    table = PAGE.partition("| name |")[2]
    named = {
        name for row in table.splitlines() if row.startswith("|") for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert named == set(agent.__all__)
