"""Plans in GraphQL: pages of runs with steps and events, to whom they are shown, and what a greedy query gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from agent.api import graphql_plans
from agent.api.graphql_schema import execute
from agent.orchestration import AgentOrchestrator, BaseAgent
from agent.privacy.masking import MASK
from agent.runtime import Runtime


class Echo(BaseAgent):
    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002
        if action == "fail":
            raise RuntimeError("on purpose, for ana@example.org")
        return input


@pytest.fixture
async def runs(runtime: Runtime) -> list[str]:
    """Run some plans, and return the numbers of their runs: two that succeed, one that fails after a retry, two that succeed."""
    orchestrator = AgentOrchestrator(runtime)
    await orchestrator.register_agent(Echo("e"))
    good = {"id": "good", "steps": [
        {"id": "a", "agentId": "e", "input": {"n": 1}}, {"id": "b", "agentId": "e", "dependencies": ["a"], "input": {"text": "x" * 600}},
    ]}  # fmt: skip
    retry = {"maxRetries": 1, "backoffMs": 1}
    bad = {
        "id": "bad",
        "steps": [
            {"id": "f", "agentId": "e", "action": "fail", "retryPolicy": retry},
            {"id": "g", "agentId": "e", "dependencies": ["f"]},
        ],
    }
    return [(await orchestrator.orchestrate(plan)).run_id for plan in (good, good, bad, good, good)]


async def ask(runtime: Runtime, query: str, **variables: Any) -> dict[str, Any]:
    return await execute(query, variables, None, runtime)


async def test_runs_come_in_pages_each_once_the_newest_first(
    runtime: Runtime, runs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    query = "query ($after: ID, $status: PlanStatus) { plans(limit: 2, after: $after, status: $status) { runs { id status } next } }"
    found, after = [], None
    for _ in range(4):
        page = (await ask(runtime, query, after=after))["data"]["plans"]
        found += [one["id"] for one in page["runs"]]
        after = page["next"]
        if after is None:
            break
    assert found == runs[::-1]
    failed = (await ask(runtime, query, status="failed"))["data"]["plans"]
    assert failed == {"runs": [{"id": runs[2], "status": "failed"}], "next": None}
    for wrong, message in (("nonsense", "number of no run"), (str(UUID(int=1)), "no run")):
        assert message in (await ask(runtime, query, after=wrong))["errors"][0]["message"]
    assert not caplog.records  # what a client asks for wrongly fills no log


async def test_a_run_has_its_steps_tries_times_and_events(runtime: Runtime, runs: list[str]) -> None:
    query = """query ($id: ID!, $after: ID) { plan(id: $id) { planId status error duration finishedAt
      steps { id status attempts error duration startedAt finishedAt dependencies output } events(after: $after) { id kind stepId at payload } } }"""
    run = (await ask(runtime, query, id=runs[2]))["data"]["plan"]
    assert (run["planId"], run["status"]) == ("bad", "failed")
    first, second = run["steps"]
    assert (first["id"], first["status"], first["attempts"], second["status"]) == ("f", "failed", 2, "skipped")
    assert "on purpose" in first["error"]
    assert first["finishedAt"] >= first["startedAt"]
    kinds = [one["kind"] for one in run["events"]]
    assert kinds == [
        "plan:started",
        "step:started",
        "agent:error",
        "step:retried",
        "agent:error",
        "step:failed",
        "plan:completed",
    ]
    rest = (await ask(runtime, query, id="bad", after=run["events"][3]["id"]))["data"]["plan"][
        "events"
    ]  # also by the plan's id
    assert [one["kind"] for one in rest] == kinds[4:]
    page = "query ($id: ID!) { plan(id: $id) { steps(limit: 1, offset: 1) { id output } } }"
    assert (await ask(runtime, page, id=runs[0]))["data"]["plan"]["steps"] == [
        {"id": "b", "output": {"text": "x" * 600}}
    ]
    assert "no event" in (await ask(runtime, query, id="bad", after="1 or 1"))["errors"][0]["message"]


async def test_another_tenant_sees_nothing_and_who_may_not_see_personal_values_sees_none(runtime: Runtime, runs: list[str]) -> None:  # fmt: skip
    query = (
        "query ($id: ID!) { plan(id: $id) { error steps { output error } events { payload } } plans { runs { id } } }"
    )
    stranger = runtime.for_tenant("other")
    answer = await ask(stranger, query, id=runs[2])
    assert answer["data"] is None
    assert "no run" in answer["errors"][0]["message"]
    assert (await ask(stranger, "{ plans { runs { id } } runs { id } }"))["data"] == {"plans": {"runs": []}, "runs": []}
    entity = "query ($r: [_Any!]!) { _entities(representations: $r) { ... on PlanRun { planId } } }"
    assert (await ask(stranger, entity, r=[{"__typename": "PlanRun", "id": runs[2]}]))["errors"]
    assert (await ask(runtime, entity, r=[{"__typename": "PlanRun", "id": runs[2]}]))["data"] == {
        "_entities": [{"planId": "bad"}]
    }
    shown = str(await ask(runtime.for_tenant(runtime.tenant_id, user="eve", masked=True), query, id=runs[2]))
    assert "ana@example.org" not in shown
    assert MASK in shown


async def test_what_one_query_reads_is_bounded(runtime: Runtime, runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    everything = "{ plans(limit: 200) { runs { steps { id output } } } }"

    def bounded(**given: int) -> None:
        monkeypatch.setattr("agent.api.graphql_schema.Budget", lambda: graphql_plans.Budget(**given))

    async def refused(query: str) -> bool:
        errors: list[Mapping[str, Any]] = (await ask(runtime, query)).get("errors", [])
        return any("ask for less" in one["message"] for one in errors)

    assert not await refused(everything)
    bounded(rows=14)
    assert await refused(everything)  # 5 runs and 10 steps
    assert not await refused("{ plans { runs { steps(limit: 1) { id } } } }")
    bounded(characters=2_000)
    assert await refused(everything)
    assert not await refused("{ plans { runs { steps { id } } } }")  # what is not asked for does not count
    deep = "{ plans { runs { steps { " + "id " * 1_000 + "} } } }"
    assert (await ask(runtime, deep))["errors"]
