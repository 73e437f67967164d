"""Schemas refer to others, and data at a boundary fits the schema that its name is bound to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.integration.served import serving

import agent.integration.schemas.boundaries as boundaries
from agent.audit.log import audit_log
from agent.errors import AccessDenied, AgentError, InvalidInput, NotFound, StateChanged
from agent.integration import integration_manager, service
from agent.integration.realtime import apps, publishing
from agent.runtime import Runtime

HEADLINE = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}


@pytest.fixture
async def client(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(runtime) as client:
        yield client


async def ask(runtime: Runtime, task: str, **parameters: Any) -> Any:
    return await integration_manager.execute("schema_validator", task, parameters, runtime=runtime)


async def do(client: httpx.AsyncClient, task: str, agent: str = "schema_validator", **parameters: Any) -> httpx.Response:  # fmt: skip
    return await client.post(f"/agents/{agent}/tasks/{task}", json=parameters)


async def test_schemas_refer_to_others_also_by_way_of_others(runtime: Runtime) -> None:
    unit = 'syntax = "proto3"; package shop; enum Unit { PIECE = 0; }'
    line = (
        'syntax = "proto3"; package shop; import "shop/unit.proto"; message Line { uint32 count = 1; Unit unit = 2; }'
    )
    order = 'syntax = "proto3"; package shop; import "shop/line.proto"; message Order { repeated Line lines = 1; }'
    await ask(runtime, "register", schema_name="unit", schema_type="protobuf", definition=unit)
    to_unit = [{"name": "shop/unit.proto", "subject": "unit", "version": 1}]  # as clients of other registries write it
    await ask(runtime, "register", schema_name="line", schema_type="protobuf", definition=line, references=to_unit)
    to_line = {"shop/line.proto": {"schema_name": "line", "platform": "backend", "version": "1"}}
    await ask(runtime, "register", schema_name="order", schema_type="protobuf", definition=order, references=to_line)
    found = await ask(runtime, "validate", schema="order", data={"lines": [{"count": 1, "unit": "YARD"}]})
    assert found["errors"] == ["lines[0].unit: shop.Unit has no such value"]

    address = {"type": "record", "name": "crm.Address", "fields": [{"name": "street", "type": "string"}]}
    user = {"type": "record", "name": "crm.User", "fields": [{"name": "home", "type": "crm.Address"}]}
    await ask(runtime, "register", schema_name="address", schema_type="avro", definition=address)
    to_address = [{"name": "crm.Address", "subject": "address", "version": "1"}]
    await ask(runtime, "register", schema_name="user", schema_type="avro", definition=user, references=to_address)
    assert (await ask(runtime, "validate", schema="user", data={"home": {"street": "a"}}))["valid"]

    for wrong in (
        [{"name": "crm.Address", "subject": "unit", "version": "1"}], [{"name": "crm.Address", "subject": "address", "version": "9"}],
        [{"name": "", "subject": "address", "version": "1"}], [{"subject": "address", "version": "1"}], [*to_address, *to_address],
        [{"name": "crm.Address", "version": "1"}], [],
    ):  # fmt: skip
        with pytest.raises((InvalidInput, NotFound)):
            await ask(runtime, "register", schema_name="user2", schema_type="avro", definition=user, references=wrong)
    with pytest.raises(NotFound):  # another tenant's schemas are none of ours
        await ask(runtime.for_tenant("other"), "register", schema_name="user", schema_type="avro", definition=user, references=to_address)  # fmt: skip


async def test_a_chain_of_references_ends(runtime: Runtime) -> None:
    async def chained(at: int) -> None:
        uri = f"https://example.com/{at - 1}"
        references = {uri: {"schema_name": f"s{at - 1}", "platform": "backend", "version": "1"}}
        await ask(runtime, "register", schema_name=f"s{at}", definition={"$ref": uri}, references=references)

    await ask(runtime, "register", schema_name="s0", definition={"type": "string"})
    for at in range(1, 11):
        await chained(at)
    with pytest.raises(InvalidInput, match="levels deep"):
        await chained(11)


async def test_a_version_that_is_used_is_not_removed(runtime: Runtime) -> None:
    await ask(runtime, "register", schema_name="name", version="1.0", definition={"type": "string"})
    references = {"https://example.com/name": {"schema_name": "name", "platform": "backend", "version": "1.0"}}
    definition = {"properties": {"name": {"$ref": "https://example.com/name"}}}
    await ask(runtime, "register", schema_name="person", version="1.0", definition=definition, references=references)
    await ask(runtime, "bind", boundary="event", subject="hired", schema_name="person")
    with pytest.raises(StateChanged, match="used by the schema person of backend"):
        await ask(runtime, "remove", schema_name="name", version="1.0")
    with pytest.raises(StateChanged, match="used by the event hired"):  # it is the newest, and the only one
        await ask(runtime, "remove", schema_name="person", version="1.0")
    await ask(runtime, "unbind", boundary="event", subject="hired")
    await ask(runtime, "remove", schema_name="person", version="1.0")
    await ask(runtime, "remove", schema_name="name", version="1.0")
    with pytest.raises(NotFound):
        await ask(runtime, "remove", schema_name="name", version="1.0")
    with pytest.raises(StateChanged, match="was removed"):
        await ask(runtime, "register", schema_name="name", version="1.0", definition={"type": "string"})
    again = await ask(runtime, "register", schema_name="name", definition={"type": "integer"})
    assert (again["number"], again["version"]) == (2, "2")
    with pytest.raises(AccessDenied):
        await service.run_task("schema_validator", "remove", {"schema_name": "name", "version": "2"}, role="operator", runtime=runtime)  # fmt: skip
    assert (await audit_log.verify(runtime=runtime)).whole


async def test_whoever_refers_to_a_version_while_it_is_removed_loses_nothing(runtime: Runtime) -> None:
    references = {"https://example.com/name": {"schema_name": "name", "platform": "backend", "version": "1"}}
    for at in range(6):
        await ask(runtime, "register", schema_name="name", version="1" if at == 0 else f"{at}x", definition={"maxLength": 9 + at})  # fmt: skip
        if at:
            references = {"https://example.com/name": {"schema_name": "name", "platform": "backend", "version": f"{at}x"}}  # fmt: skip
        version = references["https://example.com/name"]["version"]
        outcomes = await asyncio.gather(
            ask(runtime, "register", schema_name=f"person{at}", definition={"$ref": "https://example.com/name"}, references=references),
            ask(runtime, "remove", schema_name="name", version=version),
            return_exceptions=True,
        )  # fmt: skip
        assert sum(isinstance(one, AgentError) for one in outcomes) == 1
        if isinstance(outcomes[1], AgentError):
            assert (await ask(runtime, "validate", schema=f"person{at}", data="a" * 20))["valid"] is False


async def test_what_does_not_fit_is_refused_at_every_boundary(client: httpx.AsyncClient, runtime: Runtime) -> None:
    await do(client, "register", schema_name="headline", definition=HEADLINE)
    for boundary, subject in (("event", "headline"), ("record", "news"), ("component", "ticker"), ("sync", "frontend"), ("sync", "studio")):  # fmt: skip
        assert (await do(client, "bind", boundary=boundary, subject=subject, schema_name="headline")).status_code == 200
    good, bad = {"title": "It works"}, {"title": 5}

    async def send(data: Any) -> list[httpx.Response]:
        sent = {"channel": "news", "event": "headline", "data": data}
        moved = {"source_platform": "backend", "data": data}
        return [
            await client.post("/event/broadcast", json=sent),
            await do(client, "broadcast_update", "realtime_update", **sent),
            await client.post("/sync/trigger", json={**moved, "target_platform": "frontend"}),
            await client.post("/sync/trigger", json={**moved, "target_platform": "roblox"}),
            await do(client, "sync_data", "ui_sync", **moved),
            await do(client, "sync_data", "studio_bridge", **moved, target_platform="backend"),
            await do(client, "store_in_database", "database_sync", kind="news", key="1", value=data),
            await do(client, "write_behind", "database_sync", kind="news", key="1", value=data),
            await do(client, "update_frontend", "ui_sync", component="ticker", state=data),
            await do(client, "mutate", "ui_sync", component="ticker", patch=[{"op": "add", "path": "", "value": data}]),
        ]  # fmt: skip

    for answer in await send(bad):
        assert answer.status_code == 422
        assert "headline 1 of backend" in answer.text and "title: 5 is not of type" in answer.text  # noqa: PT018  # one sentence
    assert all(answer.status_code == 200 for answer in (await send(good))[:9])
    app = await apps.default(runtime=runtime)
    for publish in (lambda one: publishing.publish(app, [one], runtime=runtime), lambda one: publishing.pass_on(app, one, runtime=runtime)):  # fmt: skip
        for text in (json.dumps(bad), "no JSON", "[" * 5_000):
            with pytest.raises(InvalidInput, match="headline"):
                await publish(publishing.Outgoing(channels=("private-news",), event="headline", data=text))
    # what is bound to nothing is nobody's concern, and neither are other tenants
    assert (await client.post("/event/broadcast", json={"channel": "news", "event": "other", "data": bad})).status_code == 200  # fmt: skip
    other = runtime.for_tenant("other")
    await boundaries.check("event", "headline", bad, runtime=other)
    assert await boundaries.bindings(runtime=other) == []
    with pytest.raises(NotFound):
        await boundaries.unbind("event", "headline", runtime=other)
    assert (await do(client, "unbind", boundary="event", subject="headline")).status_code == 200
    assert (await client.post("/event/broadcast", json={"channel": "news", "event": "headline", "data": bad})).status_code == 200  # fmt: skip


async def test_a_binding_follows_the_newest_version_or_stays_at_its_own(runtime: Runtime) -> None:
    await ask(runtime, "register", schema_name="level", version="1", definition={"type": "integer"})
    await ask(runtime, "bind", boundary="event", subject="newest", schema_name="level")
    await ask(runtime, "bind", boundary="event", subject="first", schema_name="level", version="1")
    await ask(runtime, "register", schema_name="level", version="2", definition={"type": "number"})
    boundaries._KNOWN.pop(runtime, runtime.tenant_id)  # a second later
    await boundaries.check("event", "newest", 1.5, runtime=runtime)
    with pytest.raises(InvalidInput, match="level 1 of backend"):
        await boundaries.check("event", "first", 1.5, runtime=runtime)
    shown = (await ask(runtime, "list_bindings"))["bindings"]
    assert [(one["subject"], one["version"], one["current"]) for one in shown] == [("first", "1", "1"), ("newest", None, "2")]  # fmt: skip
    for wrong in (
        {"boundary": "mail", "subject": "a", "schema_name": "level"}, {"boundary": "event", "subject": "", "schema_name": "level"},
        {"boundary": "event", "subject": "a", "schema_name": "nothing"}, {"boundary": "event", "subject": "a", "schema_name": "level", "version": "9"},
        {"boundary": "sync", "subject": "mars", "schema_name": "level"},
    ):  # fmt: skip
        with pytest.raises((InvalidInput, NotFound)):
            await ask(runtime, "bind", **wrong)
    assert (await audit_log.verify(runtime=runtime)).whole
    with pytest.raises(AccessDenied):
        await service.run_task("schema_validator", "bind", {}, role="operator", runtime=runtime)
