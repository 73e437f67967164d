"""Plans as values: what is completed, what is refused, and in which order steps can run."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import InvalidInput
from agent.orchestration import references
from agent.orchestration.dependencies import Frontier, in_order
from agent.orchestration.plan import PlanStep, RetryPolicy, read_plan


def step(name: str, *needs: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "agentId": "agent", "action": "act", "dependencies": list(needs), **more}


@st.composite
def graphs(draw: st.DrawFn) -> list[PlanStep]:
    """Return steps that wait for any of the ones before them, shuffled."""
    count = draw(st.integers(1, 25))
    steps = []
    for at in range(count):
        needs = draw(st.lists(st.integers(0, at - 1), max_size=4)) if at else []
        steps.append(PlanStep(id=f"s{at}", dependencies=tuple(f"s{one}" for one in needs)))
    return draw(st.permutations(steps))


@given(graphs())
def test_each_step_comes_after_what_it_waits_for_and_becomes_ready_once(steps: list[PlanStep]) -> None:
    ordered = in_order(steps)
    assert sorted(one.id for one in ordered) == sorted(one.id for one in steps)
    place = {one.id: at for at, one in enumerate(ordered)}
    assert all(place[need] < place[one.id] for one in steps for need in one.dependencies)
    front, ready, ended = Frontier(steps), [], set()
    ready += front.first()
    for one in ready:  # grows while it is read
        ended.add(one)
        needed = {step.id: set(step.dependencies) for step in steps}
        fresh = front.ended(one)
        assert all(needed[new] <= ended for new in fresh)
        ready += fresh
    assert sorted(ready) == sorted(place)


@given(graphs(), st.data())
def test_a_circle_is_spelled_out(steps: list[PlanStep], data: st.DataObject) -> None:
    first = in_order(steps)[0]
    closing = data.draw(st.sampled_from([first.id, *Frontier(steps).behind(first.id)]))
    circular = [one.model_copy(update={"dependencies": (closing,)}) if one is first else one for one in steps]
    with pytest.raises(InvalidInput, match="circle") as raised:
        in_order(circular)
    names = str(raised.value).split(": ")[1].rstrip(".").split(" -> ")
    needs = {one.id: one.dependencies for one in circular}
    assert names[0] == names[-1]
    assert all(after in needs[before] for before, after in itertools.pairwise(names))


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ({"id": "p", "steps": [step("a"), step("a")]}, "Two steps have the id 'a'"),
        ({"id": "p", "steps": [step("a", "b")]}, "'a' depends on 'b', and the plan has no such step"),
        ({"id": "p", "steps": [step("a", "a")]}, "a -> a"),
        ({"id": "p", "steps": []}, "steps"),
        ({"id": None, "steps": [step("a")]}, "at id"),
        ({"id": "p", "steps": [{"id": "a"}]}, "'a' names no agent"),
        ({"id": "p", "steps": [step("a", retryPolicy={"maxRetries": -1})]}, r"maxRetries \(step 'a'\)"),
        ({"id": "p", "steps": [step("a")], "timeout": float("nan")}, "timeout"),
        ({"id": "p", "steps": [step("a")], "timeuot": 3}, "timeuot"),
        ({"id": "p", "steps": [step("a")], "fallbackPlan": {"steps": [step("b", "a")]}}, "'b' depends on 'a'"),
        ({"id": "p", "steps": "a"}, "steps"),
        ({"id": "p", "steps": [3]}, "steps.0"),
        ({"id": "p", "steps": [step("a", input={"x": [{"$from": "b.c"}]})]}, "'b.c' names no step"),
        ({"id": "p", "steps": [step("a", when={"step": "a"})]}, "condition of step 'a'"),
        ({"id": "p", "steps": [step("a", when={"$from": "b"}), step("b", "a")]}, "circle"),
        ([], "JSON object"),
        ({"id": "p", "steps": [step("a\n")]}, "steps.0.id"),
    ],
)
def test_a_plan_that_cannot_run_is_refused_with_the_place(plan: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read_plan(plan)


def test_what_is_left_out_is_completed() -> None:
    plan = read_plan({
        "id": "predict", "steps": [{"id": "init", "agentId": "tutor"}, {"id": "combine", "dependencies": ["init"]}],
        "fallback_plan": {"steps": [{"id": "ask", "agent_id": "gpt4", "retry_policy": {"max_retries": 2}}]},
    })  # fmt: skip
    assert [(one.agent_id, one.action) for one in plan.steps] == [("tutor", "init"), ("tutor", "combine")]
    assert plan.parallel
    assert plan.fallback_plan is not None
    assert plan.fallback_plan.id == "predict_fallback"
    assert plan.fallback_plan.steps[0].retry_policy.max_retries == 2
    assert plan.agents == ("gpt4", "tutor")
    assert read_plan(plan) == plan == read_plan(plan.as_json())
    unnamed = read_plan({"steps": [step("a")], "fallbackPlan": {"steps": [step("b")]}})
    assert unnamed.id.startswith("plan_")
    assert unnamed.fallback_plan is not None
    assert unnamed.fallback_plan.id == f"{unnamed.id}_fallback"


def test_without_parallel_one_step_follows_the_other() -> None:
    plan = read_plan({"id": "p", "parallel": False, "steps": [step("a"), step("c", "b"), step("b")]})
    assert [(one.id, one.dependencies) for one in plan.steps] == [("a", ()), ("b", ("a",)), ("c", ("b",))]


def test_pauses_are_linear_as_the_document_says_or_exponential() -> None:
    assert [RetryPolicy(backoff_ms=1000).pause(at) for at in (1, 2, 3)] == [1, 2, 3]
    assert [RetryPolicy(backoff_ms=1000, exponential=True).pause(at) for at in (1, 2, 3)] == [1, 2, 4]
    assert RetryPolicy(backoff_ms=1000, jitter=0.5).pause(2, 1.0) == 1


def test_ten_thousand_steps_and_deep_fallbacks_are_read_or_refused_at_once() -> None:
    began = time.monotonic()
    plan = read_plan({"id": "p", "steps": [step(f"s{at}", *([f"s{at - 1}"] if at else [])) for at in range(10_000)]})
    assert len(plan.steps) == 10_000
    with pytest.raises(InvalidInput, match="10000 entries"):
        read_plan({"id": "p", "steps": [step(f"s{at}") for at in range(10_001)]})
    deep: dict[str, Any] = {"steps": [step("a")]}
    for _ in range(20_000):
        deep = {"steps": [step("a")], "fallbackPlan": deep}
    with pytest.raises(InvalidInput, match="more than 10 fallbacks"):
        read_plan({"id": "p", **deep})
    while deep:  # Python would free it by recursion
        deep = deep.pop("fallbackPlan", {})
    assert time.monotonic() - began < 20


def test_a_step_waits_for_what_its_input_names() -> None:
    plan = read_plan({"id": "p", "steps": [step("b", input={"n": [{"$from": "a.x.0"}]}), step("a"), step("a.x", "a")]})
    assert [(one.id, one.dependencies) for one in plan.steps] == [("a", ()), ("a.x", ("a",)), ("b", ("a.x",))]
    assert references.filled({"n": [{"$from": "a.x.0"}]}, {"a": {}, "a.x": ["first"]}) == {"n": ["first"]}
    with pytest.raises(InvalidInput, match="gave no '1'"):
        references.filled({"$from": "a.x.1"}, {"a.x": ["first"]})
