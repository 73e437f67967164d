"""The gateway: endpoints are made, answer, are limited, deprecated and removed while the server runs, each for its own tenant."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
from limits import parse
from tests.integration.served import serving

from agent.access import keys
from agent.integration import integration_manager
from agent.integration.gateway import store
from agent.integration.gateway.endpoints import Endpoint, Options, Table
from agent.integration.gateway.rates import Rates
from agent.runtime import Runtime
from agent.testing.processes import served_process

LEVEL = {"type": "object", "properties": {"data": {}, "definition": {"type": "object"}, "schema_type": {"type": "string"}}, "required": ["data"], "additionalProperties": False}  # fmt: skip


async def create(runtime: Runtime, **endpoint: Any) -> Any:
    return await integration_manager.execute("api_gateway", "create_endpoint", endpoint, runtime=runtime)


def checks(path: str, **more: Any) -> dict[str, Any]:
    """Return an endpoint that validates what stands in its path as a number of one digit."""
    return {
        "path": path, "method": "GET", "agent": "schema_validator", "task": "validate", "role": "viewer", "parameters": LEVEL,
        "request": {"keep": ["level"], "rename": {"level": "data"}, "cast": {"data": "integer"}, "set": {"definition": {"maximum": 9}}},
        "response": {"keep": ["valid"], "rename": {"valid": "is_level"}, "case": "camel"}, **more,
    }  # fmt: skip


async def test_an_endpoint_lives_from_its_creation_to_its_end(runtime: Runtime) -> None:
    async with serving(runtime) as client:
        assert (await client.get("/gateway/v1/levels/7")).status_code == 404
        made = await client.post("/agents/api_gateway/tasks/create_endpoint", json=checks("/levels/{level}"))
        assert made.status_code == 200, made.text
        answer = await client.get("/gateway/v1/levels/7?ignored=1")
        assert (answer.status_code, answer.json()) == (200, {"isLevel": True})
        assert (await client.get("/gateway/v1/levels/12")).json() == {"isLevel": False}
        assert (await client.get("/gateway/v1/levels/ten")).status_code == 422
        wrong = await client.delete("/gateway/v1/levels/7")
        assert (wrong.status_code, "it answers to GET" in wrong.json()["detail"]) == (404, True)
        assert (await client.post("/agents/api_gateway/tasks/create_endpoint", json=checks("/levels/{level}"))).status_code == 409  # fmt: skip

        document = (await client.get("/gateway/openapi.json")).json()
        operation = document["paths"]["/v1/levels/{level}"]["get"]
        assert (operation["x-role"], [one["name"] for one in operation["parameters"] if one["in"] == "path"]) == ("viewer", ["level"])  # fmt: skip

        await create(runtime, **checks("/levels/{level}", version="v2"))
        sunset = datetime.now(UTC) + timedelta(seconds=2)
        told = {"version": "v1", "path": "/levels/{level}", "method": "GET", "sunset_at": sunset.isoformat(), "successor": "v2/levels/{level}"}  # fmt: skip
        assert (await client.post("/agents/api_gateway/tasks/deprecate_endpoint", json=told)).status_code == 200
        old = await client.get("/gateway/v1/levels/7")
        assert old.status_code == 200
        assert abs(int(old.headers["deprecation"].removeprefix("@")) - datetime.now(UTC).timestamp()) < 60
        assert parsedate_to_datetime(old.headers["sunset"]) == sunset.replace(microsecond=0)
        assert old.headers["link"] == '</api/v1/integration/gateway/v2/levels/{level}>; rel="successor-version"'
        assert "deprecation" not in (await client.get("/gateway/v2/levels/7")).headers
        assert (await client.get("/gateway/openapi.json")).json()["paths"]["/v1/levels/{level}"]["get"]["deprecated"]
        await asyncio.sleep(max(0.0, (sunset - datetime.now(UTC)).total_seconds()) + 0.01)
        assert (await client.get("/gateway/v1/levels/7")).status_code == 410
        assert list((await client.get("/gateway/openapi.json")).json()["paths"]) == ["/v2/levels/{level}"]

        gone = {"version": "v2", "path": "/levels/{level}", "method": "GET"}
        assert (await client.post("/agents/api_gateway/tasks/remove_endpoint", json=gone)).status_code == 200
        assert (await client.get("/gateway/v2/levels/7")).status_code == 410
        assert (await client.post("/agents/api_gateway/tasks/remove_endpoint", json=gone)).status_code == 404
        await create(runtime, **checks("/levels/{level}", version="v2"))
        assert (await client.get("/gateway/v2/levels/7")).status_code == 200


async def test_each_endpoint_has_its_own_rate(runtime: Runtime) -> None:
    await create(runtime, **checks("/few/{level}", rate_limit="3/minute"))
    await create(runtime, **checks("/many/{level}"))
    async with serving(runtime) as client:
        answers = await asyncio.gather(*(client.get("/gateway/v1/few/1") for _ in range(10)))
        assert sorted(one.status_code for one in answers) == [200] * 3 + [429] * 7
        refused = next(one for one in answers if one.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert (await client.get("/gateway/v1/many/1")).status_code == 200


async def test_who_may_not_is_refused_and_tenants_see_only_their_own(runtime: Runtime) -> None:
    await create(runtime, **checks("/ours/{level}", role="approver"))
    await create(runtime, path="/clean", agent="api_gateway_", task="cleanup", role="viewer")
    await create(runtime, path="/sweep", agent="schema_validator", task="cleanup", role="viewer")
    viewer = (await keys.create("viewer", role="viewer", runtime=runtime)).secret
    stranger = (await keys.create("stranger", role="admin", runtime=runtime.for_tenant("other"))).secret
    async with serving(runtime) as client:

        async def ask(key: str, method: str, path: str, **more: Any) -> httpx.Response:
            return await client.request(method, path, headers={"Authorization": f"Bearer {key}"}, **more)

        assert (await ask(viewer, "GET", "/gateway/v1/ours/1")).status_code == 403
        assert (await ask(viewer, "POST", "/agents/api_gateway/tasks/create_endpoint", json=checks("/x"))).status_code == 403  # fmt: skip
        assert (await ask(viewer, "POST", "/gateway/v1/sweep")).status_code == 403  # a task of admins stays one
        assert (await ask(viewer, "POST", "/maintenance/cleanup", json={})).status_code == 403
        assert (await ask(stranger, "GET", "/gateway/v1/ours/1")).status_code == 404
        assert (await ask(stranger, "GET", "/gateway/openapi.json")).json()["paths"] == {}


@pytest.mark.parametrize("wrong", [
    {"path": "levels"}, {"path": "/a/../b"}, {"path": "/{a}/{a}"}, {"path": "/a b"}, {"path": "/" + "a" * 400}, {"version": "1"}, {"method": "TRACE"},
    {"rate_limit": "often"}, {"parameters": {"$ref": "file:///etc/passwd"}}, {"request": {"eval": "1"}}, {"agent": "api_gateway"}, {"role": "root"}, {"agent": "\x00"}, {"task": "\x00"},
])  # fmt: skip
async def test_a_wrong_endpoint_is_refused(runtime: Runtime, wrong: dict[str, Any]) -> None:
    async with serving(runtime) as client:
        answer = await client.post("/agents/api_gateway/tasks/create_endpoint", json={**checks("/fine"), **wrong})
    assert (answer.status_code, "Traceback" in answer.text) == (422, False)


async def test_another_process_sees_a_change_within_a_second(runtime: Runtime) -> None:
    assert (await store.table(runtime=runtime)).endpoints == ()
    # As another process writes it: without this one's knowledge.
    await runtime.execute("INSERT INTO agents.integration_endpoints (version, path, method, agent, task, role, created_by) VALUES ('v1', '/x', 'GET', 'a', 't', 'viewer', 'u') RETURNING %(tenant_id)s::text")  # fmt: skip
    await runtime.execute("INSERT INTO agents.integration_endpoint_changes (change) VALUES (1) RETURNING %(tenant_id)s::text")  # fmt: skip
    await asyncio.sleep(1.05)
    assert [one.path for one in (await store.table(runtime=runtime)).endpoints] == ["/x"]


async def test_what_the_document_of_the_endpoints_says_is_so(runtime: Runtime) -> None:
    number = {
        "type": "object",
        "properties": {"data": {"type": "integer"}, "definition": {"type": "object"}},
        "required": ["data"],
    }
    request = {"rename": {"page": "data"}, "set": {"definition": {"maximum": 9}}}
    typed = {
        "agent": "schema_validator",
        "task": "validate",
        "role": "viewer",
        "parameters": number,
        "request": request,
    }
    await create(runtime, path="/rows/by", method="GET", **typed)
    await create(runtime, path="/rows/{page}", method="GET", **typed)
    await create(runtime, path="/rows", method="POST", **typed)
    async with serving(runtime) as client:
        document = (await client.get("/gateway/openapi.json")).json()
        for path in ("/rows/by?page=7", "/rows/7"):
            assert (await client.get(f"/gateway/v1{path}")).json()["valid"] is True
        for wrong in ("/rows/by", "/rows/by?page=x", "/rows/by?page=7.5", "/rows/by?page=", "/rows/1e3"):
            assert (await client.get(f"/gateway/v1{wrong}")).status_code == 422, wrong
        assert (await client.post("/gateway/v1/rows", json={"page": 7})).json()["valid"] is True
        assert (await client.post("/gateway/v1/rows", json={"page": "7"})).status_code == 422
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == 3
    by = document["paths"]["/v1/rows/by"]["get"]["parameters"]
    assert {"name": "page", "in": "query", "required": True, "schema": {"type": "integer"}} in by
    assert document["paths"]["/v1/rows/{page}"]["get"]["parameters"][0]["schema"] == {"type": "integer"}
    assert document["paths"]["/v1/rows"]["post"]["requestBody"]["required"] is True
    assert "Problem" in document["components"]["schemas"]


@pytest.mark.parametrize(("kind", "text", "value"), [
    ("integer", "-3", -3), ("integer", "9" * 19, "9" * 19), ("integer", "3.0", "3.0"), ("number", "-0.5", -0.5), ("number", "nan", "nan"),
    ("number", "1e9", "1e9"), ("boolean", "true", True), ("boolean", "1", "1"), ("string", "7", "7"), (["integer"], "7", "7"), ("integer", "٣", "٣"),
])  # fmt: skip
def test_what_stands_in_an_address_gets_the_type_that_the_schema_names(kind: Any, text: str, value: Any) -> None:
    options = Options(parameters={"properties": {"x": {"type": kind}}})
    endpoint = Endpoint(version="v1", path="/a", method="GET", agent="a", task="t", options=options, role="viewer")
    found = endpoint.typed({"x": text, "y": "1"})
    assert (found, type(found["x"])) == ({"x": value, "y": "1"}, type(value))


def test_what_is_written_out_comes_before_a_parameter() -> None:
    def endpoint(path: str) -> Endpoint:
        return Endpoint(version="v1", path=path, method="GET", agent="a", task=path, options=Options(), role="viewer")

    table = Table([endpoint("/a/{x}"), endpoint("/a/b"), endpoint("/{y}/b/c"), endpoint("/a/{x}/d")])
    found = {path: table.find("v1", path, "GET") for path in ("/a/b", "/a/z", "/a/b/c", "/a/b/d", "/a", "/a//d")}
    assert {path: None if one is None else (one.endpoint.task, dict(one.values)) for path, one in found.items()} == {
        "/a/b": ("/a/b", {}), "/a/z": ("/a/{x}", {"x": "z"}), "/a/b/c": ("/{y}/b/c", {"y": "a"}), "/a/b/d": ("/a/{x}/d", {"x": "b"}), "/a": None, "/a//d": None,
    }  # fmt: skip


async def test_a_rate_holds_over_processes_and_what_one_does_not_use_another_gets(
    runtime: Runtime, tmp_path: Path
) -> None:
    await create(runtime, **checks("/few/{level}", rate_limit="30/minute"))
    path = "/gateway/v1/few/1"
    async with served_process(runtime.settings, folder=tmp_path) as (_, other), serving(runtime) as own:
        asked = [ask for _ in range(30) for ask in (own.get(path), other.get(f"/api/v1/integration{path}"))]
        answers = await asyncio.gather(*asked)
    statuses = [one.status_code for one in answers]
    assert (statuses.count(200), statuses.count(429)) == (30, 30)
    waits = [int(one.headers["retry-after"]) for one in answers if one.status_code == 429]
    assert 1 <= min(waits) <= max(waits) <= 64


async def test_in_no_period_there_are_more_requests_than_the_rate_and_a_lease_is_not_lost(runtime: Runtime) -> None:
    rate, period, passed = parse("40/second"), 1.0, []
    processes = [Rates() for _ in range(3)]

    async def ask_on(rates: Rates, pause: float) -> None:
        while monotonic() < until:
            before = monotonic()
            if await rates.retry_after("r/u", rate, runtime=runtime) is None:
                passed.append((before, monotonic()))
            await asyncio.sleep(pause)

    until = monotonic() + 3.5
    await asyncio.gather(*(ask_on(rates, pause) for rates, pause in zip(processes, (0.001, 0.004, 0.03), strict=True)))
    latest = [after for _, after in passed]
    for began, _ in passed:  # those that surely passed within one period
        assert sum(1 for before, after in passed if began <= before and after < began + period) <= 40
    assert len(latest) >= 100  # of about 140 at this rate
    # Another tenant and another user have their own.
    assert await processes[0].retry_after("r/other", rate, runtime=runtime) is None
    assert await processes[0].retry_after("r/u", rate, runtime=runtime.for_tenant("other")) is None
