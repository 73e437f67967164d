"""Lists come page by page, and no entry is missing or twice."""

from __future__ import annotations

import pytest

from agent.approval.human_approval import human_approval_queue
from agent.learning.memory import agent_memory
from agent.runtime import Runtime
from agent.testing.served import served
from agent.types import CallKey


@pytest.mark.parametrize(
    ("path", "name"), [("/api/threads", "thread_id"), ("/api/memories", "id"), ("/api/approvals", "id")]
)
async def test_every_entry_of_a_list_comes_once(runtime: Runtime, path: str, name: str) -> None:
    async with served(runtime) as client:
        for n in range(5):
            await client.post("/api/chat", json={"message": "hello", "thread_id": f"t{n}"})
            await agent_memory.save(f"fact number {n}", trust="human", runtime=runtime)
            call = CallKey(thread_id=f"t{n}", turn=9, round=1, ordinal=1)
            await human_approval_queue.request("call_api", {"n": n}, call=call, runtime=runtime)
        whole = [entry[name] for entry in (await client.get(path, params={"limit": 200})).json()["items"]]
        assert len(whole) >= 5
        seen, page = [], (await client.get(path, params={"limit": 2})).json()
        while True:
            seen += [entry[name] for entry in page["items"]]
            if page["next"] is None:
                break
            page = (await client.get(path, params={"limit": 2, "cursor": page["next"]})).json()
        assert seen == whole
