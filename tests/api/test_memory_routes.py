"""The upkeep of memory over HTTP: figures, merging, quarantine, export, import and erasure, each by who may."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from agent.access import keys
from agent.approval.people import people
from agent.learning.memory import agent_memory
from agent.runtime import Runtime
from agent.testing.served import served


async def test_memory_is_kept_healthy_over_http(runtime: Runtime) -> None:
    for name, roles in (("ana", ["admin", "personal"]), ("bo", ["operator"])):
        await people.add(name, roles, runtime=replace(runtime, user="ana"))
    acting = replace(runtime, user="ana")
    admin = (await keys.create("a", role="admin", person="ana", personal=True, runtime=acting)).secret
    low = (await keys.create("b", role="operator", person="bo", runtime=acting)).secret
    first = await agent_memory.save("Invoices are due after 30 days", runtime=runtime)
    await agent_memory.save("our bills are payable after thirty days", speaker="zoe", runtime=runtime)
    later = await agent_memory.save("so nobody pays in May", derived_from=[first.id], runtime=runtime)
    async with served(runtime, key=low) as client:
        assert (await client.post("/api/memories/dedupe", json={"seconds": 30})).json()["merged"] == 1
        assert (await client.get("/api/memories/stats")).json()["kinds"]["fact"]["valid"] == 2
        taken = (await client.post(f"/api/memories/{first.id}/quarantine", json={"reason": "wrong"})).json()
        assert [one["id"] for one in taken] == [first.id, later.id]
        assert (await client.post(f"/api/memories/{first.id}/release")).json() == {"released": 2}
        assert (await client.post(f"/api/memories/{first.id}/release")).status_code == 404
        assert (await client.get("/api/memories/export")).status_code == 403
        assert (await client.post("/api/memories/import", content=b"")).status_code == 403
        assert (await client.post("/api/memories/erase", json={"person": "zoe"})).status_code == 403
    async with served(runtime, key=admin) as client:
        await _moves_and_erases(client)
    assert [memory.content for memory in await agent_memory.list_memories(runtime=runtime)] == [
        later.content,
        first.content,
    ]


async def _moves_and_erases(client: httpx.AsyncClient) -> None:
    exported = await client.get("/api/memories/export")
    assert exported.headers["content-type"].startswith("application/x-ndjson")
    assert len(exported.text.strip().split("\n")) == 2 + 3
    done = (await client.post("/api/memories/import", content=exported.content)).json()
    assert (done["known"], done["trusted"]) == (2, True)  # the wording is a memory of its own again
    cut = await client.post("/api/memories/import", content=exported.content[:-50])
    assert (cut.status_code, "Nothing was imported" in cut.text) == (422, True)
    for wrong in ({}, {"person": "zoe", "thread_id": "t"}, {"person": "the"}):
        assert (await client.post("/api/memories/erase", json=wrong)).status_code == 422
    planned = (await client.post("/api/memories/erase", json={"person": "zoe", "dry_run": True})).json()
    gone = (await client.post("/api/memories/erase", json={"person": "zoe"})).json()
    assert (planned["memories"], gone["memories"], gone["dry_run"]) == (1, 1, False)


@pytest.mark.parametrize("path", ["dedupe", "reembed", "1/quarantine", "erase"])
async def test_a_viewer_changes_nothing(runtime: Runtime, path: str) -> None:
    await people.add("ana", ["admin"], runtime=replace(runtime, user="ana"))
    key = (await keys.create("v", role="viewer", person="ana", runtime=replace(runtime, user="ana"))).secret
    async with served(runtime, key=key) as client:
        assert (await client.post(f"/api/memories/{path}", json={})).status_code == 403
