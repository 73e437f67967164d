"""Templates as values: what is wrong with one and where, its parameters, and what hostile JSON is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import agent.orchestration.saved_templates.store as saved
from agent.errors import AgentError, InvalidInput, NotFound
from agent.integration.performers import plan_of
from agent.orchestration.catalogue import standard_agents
from agent.orchestration.plan import read_plan
from agent.orchestration.saved_templates.design import Parameter, differences, read_design, without
from agent.orchestration.saved_templates.problems import problems
from agent.orchestration.standard import standard_orchestrator
from agent.runtime import Runtime
from agent.testing.served import served


async def test_every_agent_does_what_the_catalogue_says(runtime: Runtime) -> None:
    orchestrator = standard_orchestrator(runtime)
    for one in standard_agents():
        assert set(one.actions) == set(orchestrator.get_agent(one.id).actions), one.id
        for action in one.actions.values():
            assert action.takes is None or action.takes["properties"], action


def test_a_design_says_all_that_is_wrong_and_is_filled() -> None:
    given: Any = {"plan": {"id": "p", "steps": [
        {"id": "a", "agentId": "x", "timeout": -1}, {"id": "b", "agentId": "x", "retryPolicy": {"maxRetries": "many"}}, {"id": "c", "input": {"v": {"$from": "nothing"}}}, {"what": 1},
    ]}}  # fmt: skip
    found = {(one.step, one.field) for one in problems(read_design(given))}
    assert {(0, "timeout"), (1, "retryPolicy"), (2, "input"), (3, "id"), (3, "what")} <= found
    good = read_design({"plan": {"id": "r-{who}", "agentId": "x", "steps": [{"id": "a", "input": {"n": "{n}", "t": "to {who}", "literal": "{other}"}}]},
                        "parameters": {"properties": {"who": {"type": "string"}, "n": {"type": "integer", "default": 3}}}})  # fmt: skip
    assert good.parameters == (Parameter(name="who"), Parameter(name="n", kind="number", default=3))
    assert good.filled({"who": "ana", "n": "4.5"})["steps"][0]["input"] == {
        "n": 4.5,
        "t": "to ana",
        "literal": "{other}",
    }
    assert read_plan(good.filled({"who": "ana"})).id == "r-ana"
    for wrong in (
        {},
        {"who": "a", "x": 1},
        {"who": "a", "n": "many"},
        {"who": {"$from": "a"}},
        {"who": "a", "n": "1e999"},
        {"who": "a", "n": True},
    ):
        with pytest.raises(InvalidInput):
            good.filled(wrong)
    assert read_design(good.as_json()) == good
    assert [one.what for one in differences(good, without(good, 0))] == ["step a"]
    hostile: list[Any] = [1, None, [], {"steps": 3}, {"plan": 1}, {"plan": {"steps": [1]}}, {"plan": {"steps": []}, "parameters": []}, {"plan": {"steps": []}, "parameters": {"properties": {"a b": {}}}}, {"plan": {"steps": [], "x": float("nan")}}]  # fmt: skip
    for one in hostile:
        with pytest.raises(AgentError):
            read_design(one)


def test_objects_and_lists_are_parameters_too_and_hold_no_reference() -> None:
    design = read_design({"plan": {"id": "p", "agentId": "x", "steps": [{"id": "a", "input": {"data": "{data}", "names": "{names}"}}]},
                          "parameters": {"properties": {"data": {"type": "object", "default": {}}, "names": {"type": "array"}}}})  # fmt: skip
    assert read_design(design.as_json()) == design
    assert design.filled({"names": '["a", 1]'})["steps"][0]["input"] == {"data": {}, "names": ["a", 1]}
    assert design.filled({"names": [], "data": '{"b": [2]}'})["steps"][0]["input"] == {"data": {"b": [2]}, "names": []}
    for wrong in (
        {}, {"names": "{}"}, {"names": "["}, {"names": "[NaN]"}, {"names": [], "data": "[]"}, {"names": [{"$from": "a"}]},
        {"names": [], "data": '{"x": {"$from": "a.b"}}'}, {"names": "[" * 5_000}, {"names": [float("inf")]},
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            design.filled(wrong)


async def test_templates_are_listed_and_run_by_name_over_http(runtime: Runtime) -> None:
    design = read_design({"plan": {"id": "mine-{who}", "steps": [{"id": "look", "agentId": "learning-agent-{who}", "action": "get_insights",
                                                                  "input": {"learnerId": "{who}", "subject": "reading"}}]},
                          "parameters": {"properties": {"who": {"type": "string"}}}})  # fmt: skip
    key = await saved.create("mine", design, runtime=runtime)
    await saved.create("only a draft", design, runtime=runtime)
    async with served(runtime) as client:
        listed = {one["name"]: one for one in (await client.get("/api/plans/templates")).json()}
        assert {"learning-session", "user_sync"} <= set(listed)
        assert not {"mine", "only a draft"} & set(listed)  # no version is saved
        await saved.save(key, runtime=runtime)
        (mine,) = [one for one in (await client.get("/api/plans/templates")).json() if one["name"] == "mine"]
        assert (mine["version"], mine["parameters"]["required"]) == (1, ["who"])
        for name, parameters, status, said in (
            ("mine", {}, 422, "'who'"), ("mine", {"who": "ana", "x": 1}, 422, "'x'"), ("only a draft", {}, 404, "save one"),
            ("nothing", {}, 404, "no template"), ("user_sync", {"user_id": "7", "data": "[]"}, 422, "JSON object"),
        ):  # fmt: skip
            refused = await client.post(f"/api/plans/templates/{name}", json={"parameters": parameters})
            assert (refused.status_code, said in refused.text) == (status, True), refused.text
        for name, parameters in (("mine", {"who": "ana"}), ("user_sync", {"user_id": "7", "data": {"name": "Ana"}})):
            run = (await client.post(f"/api/plans/templates/{name}", json={"parameters": parameters})).json()["run_id"]
            async with asyncio.timeout(30):
                while (found := (await client.get(f"/api/plans/{run}")).json())["run"]["status"] == "running":
                    await asyncio.sleep(0.05)
            assert found["run"]["status"] == "succeeded", found
    with pytest.raises(NotFound):
        await plan_of("mine", {"who": "ana"}, runtime=runtime.for_tenant("other"))
