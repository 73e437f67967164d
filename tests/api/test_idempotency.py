"""A write that is repeated under its key happens once, and gets the first answer."""

from __future__ import annotations

import asyncio

from agent.access import keys
from agent.runtime import Runtime
from agent.testing.served import served


async def test_a_repeated_write_happens_once_also_when_both_come_at_the_same_time(runtime: Runtime) -> None:
    async with served(runtime) as client:
        body, headers = {"content": "Acme ships on Fridays"}, {"Idempotency-Key": "k-1"}
        answers = await asyncio.gather(*(client.post("/api/memories", json=body, headers=headers) for _ in range(8)))
        done = [answer for answer in answers if answer.status_code == 201]
        assert done
        assert {answer.status_code for answer in answers} <= {201, 409}
        again = await client.post("/api/memories", json=body, headers=headers)
        assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
        assert again.json() == done[0].json()
        assert len((await client.get("/api/memories?kind=fact")).json()["items"]) == 1
        other = await client.post("/api/memories", json={"content": "Other"}, headers=headers)
        assert other.status_code == 422
        assert "another request" in other.json()["detail"]


async def test_a_key_belongs_to_its_person_and_a_failed_write_can_be_tried_again(runtime: Runtime) -> None:
    bo = (await keys.create("bo", person="bo", runtime=runtime)).secret
    async with served(runtime) as client:
        headers = {"Idempotency-Key": "k-1"}
        assert (await client.post("/api/memories", json={"content": "one"}, headers=headers)).status_code == 201
        as_bo = await client.post(
            "/api/memories", json={"content": "two"}, headers={**headers, "Authorization": f"Bearer {bo}"}
        )
        assert as_bo.status_code == 201
        assert as_bo.json()["content"] == "two"
        failing = {"Idempotency-Key": "k-2"}
        assert (await client.post("/api/chat/none/cancel", headers=failing)).status_code == 404
        assert (await client.post("/api/memories", json={"content": "three"}, headers=failing)).status_code == 201
        stream = await client.post(
            "/api/chat", json={"message": "hi"}, headers={"Accept": "text/event-stream", **failing}
        )
        assert stream.status_code == 422
