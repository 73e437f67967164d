"""The Python client against the served agent: the same names, the same errors, and streams that go on after a break."""

from __future__ import annotations

import pytest

from agent.access import keys
from agent.client import AgentClient
from agent.errors import InvalidInput, NotAuthenticated, NotFound, PolicyError
from agent.runtime import Runtime
from agent.testing.served import served


async def test_the_client_asks_remembers_and_gets_the_errors_of_the_python_api(runtime: Runtime) -> None:
    viewer = (await keys.create("v", role="viewer", runtime=runtime)).secret
    async with served(runtime) as http, AgentClient(str(http.base_url)) as agent:
        answer = await agent.answer("hello", thread_id="t")
        assert answer["status"] == "done"
        assert (await agent.turns("t"))[0]["question"] == "hello"
        events = [event async for event in agent.ask("hello again", thread_id="t")]
        assert [event.event for event in events][-2:] == ["answer", "done"]
        assert [event.id.partition(":")[2] for event in events] == [str(n) for n in range(len(events))]
        fact = await agent.remember("Acme ships on Fridays")
        assert (await agent.search_memories("when does Acme ship?"))[0]["id"] == fact["id"]
        await agent.forget(fact["id"])
        with pytest.raises(NotFound, match="memory"):
            await agent.request("GET", f"/api/memories/{fact['id']}")
        with pytest.raises(InvalidInput):
            await agent.answer("")
        assert (await agent.assess("execute_sql", {"sql": "select 1"}))["verdict"] == "run"
        async with AgentClient(str(http.base_url), key=viewer) as low:
            with pytest.raises(PolicyError, match="operator"):
                await low.answer("hello")
        async with AgentClient(str(http.base_url), key="agk_wrong") as nobody:
            with pytest.raises(NotAuthenticated):
                await nobody.pending()
