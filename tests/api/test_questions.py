"""Another agent asks a human through the same inbox, and gets an answer of the form that it named, or none."""

from __future__ import annotations

import asyncio
import json

from agent.runtime import Runtime
from agent.testing.served import served

SCHEMA = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}


async def test_a_question_waits_in_the_inbox_and_its_answer_fits_the_schema(runtime: Runtime) -> None:
    async with served(runtime) as client:
        asked = await client.post(
            "/api/approvals/questions", json={"question": "Which colour?", "answer_schema": SCHEMA}
        )
        number = asked.json()["id"]
        (waiting,) = (await client.get("/api/approvals")).json()["items"]
        assert (waiting["id"], waiting["summary"], waiting["executable"]) == (number, "Which colour?", False)
        polling = asyncio.create_task(client.get(f"/api/approvals/questions/{number}?wait=20"))
        for wrong in ("blue", '{"colour": "green"}', "[]", '{"colour": "red", "more": 1}'):
            decided = await client.post(
                f"/api/approvals/{number}/decision", json={"decision": "respond", "response": wrong}
            )
            assert decided.status_code == 422, wrong
        right = {"decision": "respond", "response": json.dumps({"colour": "blue"})}
        assert (await client.post(f"/api/approvals/{number}/decision", json=right)).status_code == 200
        answer = (await polling).json()
        assert (answer["answer"], answer["status"], answer["answered_by"]) == (
            {"colour": "blue"},
            "answered",
            runtime.user,
        )
        assert (await client.post(f"/api/approvals/{number}/decision", json=right)).status_code == 409
        bad = {"question": "x", "answer_schema": {"type": "object", "properties": {"a": {"$ref": "https://x.example"}}}}
        assert (await client.post("/api/approvals/questions", json=bad)).status_code == 422
