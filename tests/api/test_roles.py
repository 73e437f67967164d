"""Every route as nobody, as each role, and as another tenant with this tenant's ids: refused, not found, never data."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from agent.access import keys
from agent.access.identity import rank
from agent.approval.eligibility import ACCESS_ROLES
from agent.approval.human_approval import human_approval_queue
from agent.learning.background_learner import background_learner
from agent.learning.memory import agent_memory
from agent.runtime import Runtime
from agent.testing.served import served

PLANTED = "kept for tenant default only"
PUBLIC = {"/health", "/status", "/metrics"}
# One valid body for each route that takes one, so that a refusal is never about the body.
BODIES: dict[str, Any] = {
    "POST /api/chat": {"message": "hello"},
    "POST /api/keys": {"name": "x"},
    "POST /api/memories": {"content": "x"},
    "POST /api/approvals/{approval_id}/decision": {"decision": "reject"},
    "POST /api/executions/preflight": {"action": "execute_sql", "arguments": {"sql": "select 1"}},
    "PUT /api/people/{name}": {"roles": ["viewer"]},
    "POST /api/audit/verify": {},
    "POST /api/controls/stop": {},
    "POST /api/controls/break-glass": {"reason": "x"},
    "POST /api/controls/read-only": {},
    "POST /api/tools/{name}/enable": {},
    "POST /api/tools/{name}/rollback": {},
    "POST /api/agents": {"action": "start_session", "learnerId": "x"},
    "POST /api/plans": {
        "id": "x",
        "steps": [{"id": "a", "agentId": "tutor-agent-x", "action": "prepare_conversation"}],
    },
    "POST /api/plans/{run_id}/replay": {},
}


async def routes(client: httpx.AsyncClient) -> list[tuple[str, str, str]]:
    """Return method, path and role of every route of the OpenAPI document."""
    paths = (await client.get("/openapi.json")).json()["paths"]
    return [
        (method.upper(), path, operation["x-role"])
        for path, operations in paths.items()
        for method, operation in operations.items()
    ]


async def call(
    client: httpx.AsyncClient, method: str, path: str, *, key: str | None = None, ids: str = "1"
) -> httpx.Response:
    """Call a route with `ids` in its path."""
    headers = {"Authorization": f"Bearer {key}"} if key else {"X-Forwarded-For": "10.0.0.1"}
    return await client.request(
        method, re.sub(r"\{\w+\}", ids, path), json=BODIES.get(f"{method} {path}"), headers=headers
    )


async def test_every_route_needs_the_role_that_its_document_names(runtime: Runtime) -> None:
    secrets = {role: (await keys.create(role, role=role, runtime=runtime)).secret for role in ACCESS_ROLES}
    async with served(runtime) as client:
        known = await routes(client)
        assert len(known) > 30
        for method, path, role in known:
            if role == "everybody":
                assert path in PUBLIC
                continue
            assert (await call(client, method, path)).status_code == 401, path
            for held, secret in secrets.items():
                if rank(held) < rank(role):
                    answer = await call(client, method, path, key=secret)
                    assert answer.status_code == 403, (held, path, answer.text)
                    assert answer.headers["content-type"] == "application/problem+json"


# What is named here need not be there: a person is added by the name, and an agent that nobody knows has no optimizations.
OF_ANY_NAME = {"/api/people/{name}", "/api/agent-sync/learning/metrics/{agent_id}"}


async def test_another_tenant_never_gets_what_the_ids_of_this_one_name(runtime: Runtime) -> None:
    await agent_memory.save(PLANTED, trust="human", runtime=runtime)
    request = await human_approval_queue.request("call_api", {"text": PLANTED}, runtime=runtime)
    await keys.create("first", runtime=runtime)
    await background_learner.run_once(runtime=runtime)
    other = (await keys.create("other", role="admin", runtime=runtime.for_tenant("b"))).secret
    async with served(runtime) as client:
        asked = await client.post("/api/chat", json={"message": f"Remember: {PLANTED}"})
        await client.post("/api/learning-runs")
        for ids in ("1", str(request.id), asked.json()["thread_id"]):
            for method, path, role in await routes(client):
                if role == "everybody" or path == "/api/chat":
                    continue
                answer = await call(client, method, path, key=other, ids=ids)
                assert PLANTED not in answer.text, (method, path)
                if "{" in path and path not in OF_ANY_NAME:
                    assert answer.status_code in (404, 409, 422), (method, path, ids, answer.text)


@pytest.mark.parametrize(
    "sent",
    [
        "Bearer agk_x_y",
        "Bearer agk_MRSWMYLVNR2A_" + "a" * 43,
        "Basic Zm9vOmJhcg==",
        "Bearer",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
    ],
)
async def test_a_wrong_proof_is_refused_on_this_machine_too(runtime: Runtime, sent: str) -> None:
    async with served(runtime) as client:
        answer = await client.get("/api/threads", headers={"Authorization": sent})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_key_is_kept_as_a_hash_and_ends_when_it_is_revoked(runtime: Runtime) -> None:
    made = await keys.create("ci", role="viewer", days=1, runtime=runtime)
    row = await runtime.one("select to_jsonb(k)::text as row from agents.api_keys k where tenant_id = %(tenant_id)s")
    assert row is not None
    assert made.secret not in row["row"]
    assert made.secret.rpartition("_")[2] not in row["row"]
    async with served(runtime, key=made.secret) as client:
        assert (await client.get("/api/threads")).status_code == 200
        await keys.revoke(made.key.id, runtime=runtime)
        assert (await client.get("/api/threads")).status_code == 401
    (known,) = await keys.list_keys(runtime=runtime)
    assert known.last_used_at is not None
    assert known.revoked_by == runtime.user


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421), ({"Host": "localhost.evil.example:80"}, 421), ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403), ({"Host": "localhost"}, 200), ({"Origin": "http://127.0.0.1:8080"}, 200),
    ],
)  # fmt: skip
async def test_host_and_origin_are_checked_on_loopback_too(
    runtime: Runtime, headers: dict[str, str], status: int
) -> None:
    async with served(runtime) as client:
        assert (await client.get("/api/threads", headers=headers)).status_code == status
