"""The conditions of a change over HTTP: what is in force, and break-glass by an admin's key only."""

from __future__ import annotations

from dataclasses import replace

from agent.access import keys
from agent.approval.people import people
from agent.client import AgentClient
from agent.runtime import Runtime
from agent.testing.served import served


async def test_an_admin_breaks_the_glass_over_http_and_everybody_sees_it(runtime: Runtime) -> None:
    settings = runtime.settings.model_copy(update={"freeze": "00:00-24:00", "environment": "production"})
    frozen = replace(runtime, settings=settings, cached={})
    for name, role in (("ana", "admin"), ("bo", "approver")):
        await people.add(name, [role], runtime=replace(runtime, user="ana"))
    acting = replace(frozen, user="ana")
    admin = (await keys.create("a", role="admin", person="ana", runtime=acting)).secret
    low = (await keys.create("b", role="admin", person="bo", runtime=acting)).secret
    body = {"reason": "incident 7", "minutes": 5}
    async with served(frozen, key=low) as client:
        state = (await client.get("/api/controls")).json()
        assert (state["environment"], state["break_glass"]) == ("production", None)
        assert "nothing is changed (AGENT_FREEZE: 00:00-24:00)" in state["frozen"]
        assert (await client.get("/status")).json()["environment"] == "production"
        assert (await client.post("/api/controls/break-glass", json=body)).status_code == 403
    async with served(frozen, key=admin) as client:
        for wrong in ({}, {"reason": ""}, {"reason": "x", "minutes": 241}, {"reason": "x", "minutes": 0}):
            assert (await client.post("/api/controls/break-glass", json=wrong)).status_code == 422
        opened = (await client.post("/api/controls/break-glass", json=body)).json()
        assert (opened["opened_by"], opened["reason"]) == ("ana", "incident 7")
        assert (await client.get("/api/controls")).json()["break_glass"] == opened
    async with served(frozen, key=low) as client:
        assert (await client.post("/api/controls/break-glass/end")).json()["break_glass"] is None
    async with served(frozen) as http, AgentClient(str(http.base_url), key=admin) as agent:
        assert (await agent.break_glass("incident 8", minutes=3))["reason"] == "incident 8"
        assert "break-glass" in {line["name"] for line in (await agent.doctor())["lines"] if line["on"]}
        assert not [kind for kind in (await agent.coverage())["kinds"] if "AGENT_FREEZE" in kind["held_up_by"]]
        assert (await agent.end_break_glass())["break_glass"] is None
        assert [kind for kind in (await agent.coverage())["kinds"] if "AGENT_FREEZE" in kind["held_up_by"]]
        assert {one["name"]: one["value"] for one in await agent.settings()}["AGENT_FREEZE"] == "00:00-24:00"
