"""Components of user interfaces: two clients in node on one server, mutations that meet, a connection that is cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.integration.processes import Client, client_process

import agent.integration.ui_sync.components as components
from agent.access import keys
from agent.integration import integration_manager
from agent.integration.ui_sync import patches
from agent.runtime import Runtime
from agent.testing.served import served

SCRIPT = Path(__file__).parents[1] / "clients" / "ui_sync.mjs"
MODULE = Path(patches.__file__).parent / "client" / "ui_sync.js"


def put(path: str, value: Any, op: str = "replace") -> dict[str, Any]:
    return {"op": op, "path": path, "value": value}


async def test_a_mutation_is_put_on_top_of_others_or_rejected_and_counts_once(runtime: Runtime) -> None:
    first = await components.mutate(
        "c", [put("", {"a": 1, "b": 1, "l": [1]})], mutation_id="m1", base_version=0, runtime=runtime
    )
    assert (first.status, first.version) == ("applied", 1)
    again = await components.mutate("c", [put("", 0)], mutation_id="m1", base_version=0, runtime=runtime)
    assert (again.version, again.duplicate) == (1, True)
    await components.mutate("c", [put("/a", 2)], mutation_id="m2", base_version=1, runtime=runtime)
    rebased = await components.mutate("c", [put("/b", 2)], mutation_id="m3", base_version=1, runtime=runtime)
    assert (rebased.status, rebased.rebased) == ("applied", True)
    refused = await components.mutate("c", [put("/a", 3)], mutation_id="m4", base_version=1, runtime=runtime)
    assert (refused.status, refused.state) == ("rejected", {"a": 2, "b": 2, "l": [1]})
    both = [
        components.mutate("c", [put("/l/-", number, "add")], mutation_id=f"x{number}", base_version=3, runtime=runtime)
        for number in range(5)
    ]
    assert {one.status for one in await asyncio.gather(*both)} == {"applied"}
    present = await components.get("c", runtime=runtime)
    assert sorted(present.state["l"]) == [0, 1, 1, 2, 3, 4]
    missed = await components.missed("c", 1, runtime=runtime)
    state = {"a": 1, "b": 1, "l": [1]}
    for change in missed.changes:
        state = patches.applied(state, change.patch)
    assert state == present.state
    assert (await components.missed("c", 99, runtime=runtime)).reset
    assert (
        await components.mutate("new", [put("/a", 1)], mutation_id="m", base_version=0, runtime=runtime)
    ).status == "rejected"
    assert await components.every(runtime=runtime.for_tenant("b")) == []


@asynccontextmanager
async def client(tmp_path: Path, **options: Any) -> AsyncIterator[Client]:
    (tmp_path / "ui_sync.mjs").write_text(MODULE.read_text(encoding="utf-8"), encoding="utf-8")
    script = tmp_path / "run.mjs"
    script.write_text(SCRIPT.read_text(encoding="utf-8"), encoding="utf-8")
    async with client_process("node", script, module="./ui_sync.mjs", **options) as process:
        yield process


async def shows(process: Client, wanted: Callable[[Any], bool]) -> Any:
    """Read until the client shows what is wanted."""
    while True:
        shown = await process.until("state")
        if wanted(shown):
            return shown


async def test_two_clients_show_the_same_after_conflicts_and_a_cut_connection(
    runtime: Runtime, npm: Callable[..., Path], tmp_path: Path
) -> None:
    npm()
    key = (await keys.create("k", role="operator", personal=True, runtime=runtime)).secret
    await components.replace("card", {"title": "t", "likes": 0, "tags": []}, mutation_id="m", runtime=runtime)
    async with served(runtime) as http:
        options = {"url": str(http.base_url), "key": key, "component": "card"}
        async with client(tmp_path, **options) as ann, client(tmp_path, **options) as bob:
            await ann.until("started")
            await bob.until("started")
            await ann.do("patch", [put("/title", "new")])
            assert (await shows(ann, lambda one: one["pending"] == 1))["state"][
                "title"
            ] == "new"  # before it is confirmed
            await ann.until("applied")
            await shows(bob, lambda one: one["state"]["title"] == "new" and one["pending"] == 0)
            # Without a connection changes wait; meanwhile the other client changes the same and something else.
            await ann.do("offline")
            await ann.until("offline")
            await ann.do("patch", [put("/title", "mine")])
            await ann.do("call", "like")
            await bob.do("patch", [put("/title", "theirs"), put("/tags/-", "x", "add")])
            await bob.do("call", "like")
            await bob.until("applied")
            await bob.until("applied")
            await ann.do("online")
            assert "Others" in (await ann.until("rejected"))["reason"]
            await ann.until("applied")  # the function was called anew
            wanted = {"title": "theirs", "likes": 2, "tags": ["x"]}
            for process in (ann, bob):
                await shows(process, lambda one: one["state"] == wanted and one["pending"] == 0)


async def test_the_agent_shows_what_workflows_send_and_routes_keep_tenants_apart(runtime: Runtime) -> None:
    shown = await integration_manager.execute(
        "ui_sync", "update_frontend", {"component": "lesson", "state": {"title": "Fractions"}}, runtime=runtime
    )
    assert shown["changed"] is True
    other = (await keys.create("o", role="admin", runtime=runtime.for_tenant("b"))).secret
    async with served(runtime) as http:
        path = "/api/v1/integration/ui/components/lesson"
        assert (await http.get(path)).json()["state"] == {"title": "Fractions"}
        assert (await http.get(path, headers={"Authorization": f"Bearer {other}"})).status_code == 404
        mutation = {"mutation_id": "m", "base_version": 1, "patch": [put("/title", "x")]}
        assert (await http.post(f"{path}/mutations", json=mutation)).json()["status"] == "applied"
        stale = await http.post(f"{path}/mutations", json=mutation | {"mutation_id": "n"})
        assert (stale.status_code, stale.json()["state"]) == (409, {"title": "x"})
        wrong = await http.post(f"{path}/mutations", json=mutation | {"patch": [{"op": "add", "path": "x"}]})
        assert wrong.status_code == 422
    await integration_manager.shutdown(runtime=runtime)
