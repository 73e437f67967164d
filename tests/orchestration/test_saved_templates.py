"""Templates as values: what is wrong with one and where, its parameters, and what hostile JSON is not."""

from __future__ import annotations

from typing import Any

import pytest

from agent.errors import AgentError, InvalidInput
from agent.orchestration.catalogue import standard_agents
from agent.orchestration.plan import read_plan
from agent.orchestration.saved_templates.design import Parameter, differences, read_design, without
from agent.orchestration.saved_templates.problems import problems
from agent.orchestration.standard import standard_orchestrator
from agent.runtime import Runtime


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
