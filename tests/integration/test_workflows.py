"""Workflows: one's own in one file, the ones that come with it, and a process that dies in the middle of one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.errors import InvalidInput, NotFound
from agent.integration import (
    BaseIntegrationAgent,
    IntegrationAgentsManager,
    IntegrationCoordinator,
    IntegrationEvent,
    Task,
    Workflow,
    integration_manager,
    performers,
)  # fmt: skip
from agent.integration.registry import AGENTS
from agent.runtime import Runtime


class Translator(BaseIntegrationAgent):
    """An agent of one's own: it would be a file and a line of the registry."""

    name, summary = "translator", "Translates texts."

    def tasks(self) -> dict[str, Any]:
        return {"translate": self._translate}

    async def _translate(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        return {"text": parameters["text"][::-1], "by": runtime.user}

    async def _process_integration_event(self, event: IntegrationEvent, *, runtime: Runtime) -> None:
        pass


async def count_words(given: dict[str, Any], runtime: Runtime) -> dict[str, Any]:
    return {"words": len(given["text"].split()), "tenant": runtime.tenant_id}


OWN = Workflow(
    name="translate_and_count", description="Translate a text, and count its words.", parameters={"text": None, "language": "es"},
    tasks=(
        Task(name="translate", agent="translator", takes={"text": "{text}", "language": "{language}"}),
        Task(name="count_words", takes={"text": {"$from": "translate.text"}}),
        Task(name="validate_data", agent="schema_validator", takes={"definition": {"type": "string"}, "data": "{text}"}, after=()),
    ),
    handlers={"count_words": count_words},
)  # fmt: skip


@pytest.fixture
async def manager(runtime: Runtime) -> IntegrationAgentsManager:
    """Return a manager with an agent and a workflow of one's own."""
    made = IntegrationAgentsManager([*AGENTS, Translator])
    await made.initialize(runtime=runtime)
    made.coordinator.register(OWN)
    return made


async def test_a_workflow_of_ones_own_runs_with_agents_and_handlers(manager: IntegrationAgentsManager, runtime: Runtime) -> None:  # fmt: skip
    run = await manager.coordinator.run("translate_and_count", {"text": "one two"}, runtime=runtime)
    assert (run.status, {name: one.result for name, one in run.tasks.items()}) == (
        "completed",
        {"translate": {"text": "owt eno", "by": runtime.user}, "count_words": {"words": 2, "tenant": runtime.tenant_id}, "validate_data": {"valid": True, "data": "one two"}},
    )  # fmt: skip
    row = await runtime.one("SELECT count(*) AS n FROM agents.plan_steps WHERE tenant_id = %(tenant_id)s AND status = 'succeeded'")  # fmt: skip
    assert row == {"n": 3}


async def test_what_cannot_run_is_refused_with_a_sentence(manager: IntegrationAgentsManager, runtime: Runtime) -> None:
    run = manager.coordinator.run
    for name, parameters, said in (
        ("translate_and_count", {}, "'text'"),
        ("translate_and_count", {"text": "a", "tone": 1}, "'tone'"),
        ("translate_and_count", {"text": {"$from": "count_words"}}, "from"),
    ):
        with pytest.raises(InvalidInput, match=said):
            await run(name, parameters, runtime=runtime)
    with pytest.raises(NotFound, match="user_sync"):
        await run("nothing", runtime=runtime)
    with pytest.raises(InvalidInput, match="circle"):
        await run("circle", tasks=[Task(name="a", agent="translator", after=("b",)), Task(name="b", agent="translator")], runtime=runtime)  # fmt: skip
    with pytest.raises(InvalidInput, match="no handler"):
        manager.coordinator.register(Workflow(name="x", description="", tasks=(Task(name="a"),)))
    with pytest.raises(InvalidInput, match="another name"):
        manager.coordinator.register(Workflow(name="user_sync", description="", tasks=(Task(name="a", agent="translator"),)))  # fmt: skip


async def test_a_task_that_cannot_succeed_fails_the_run_at_once_and_says_why(manager: IntegrationAgentsManager, runtime: Runtime) -> None:  # fmt: skip
    tasks = [Task(name="validate_data", agent="schema_validator", takes={"definition": {"type": "string"}, "data": 5}), Task(name="translate", agent="translator", takes={"text": "a"})]  # fmt: skip
    run = await manager.coordinator.run("ad_hoc", tasks=tasks, runtime=runtime)
    assert run.status == "failed"
    assert "does not fit" in str(run.tasks["validate_data"].error)
    assert "translate" not in run.tasks


async def test_content_needs_a_model_and_says_so(runtime: Runtime) -> None:
    run = await integration_manager.coordinator.run("content_generation", {"topic": "Python Basics", "grade_level": 9}, runtime=runtime)  # fmt: skip
    assert (run.status, run.tasks["validate_input"].success) == ("failed", True)
    assert "AGENT_MODEL" in str(run.tasks["generate_content"].error)
    wrong = await integration_manager.coordinator.run("content_generation", {"topic": "", "grade_level": 99}, runtime=runtime)  # fmt: skip
    assert "topic" in str(wrong.tasks["validate_input"].error)


async def test_a_run_goes_on_when_nobody_waits_and_another_process_finishes_it(manager: IntegrationAgentsManager, runtime: Runtime) -> None:  # fmt: skip
    run_id = await manager.coordinator.start("translate_and_count", {"text": "a b c"}, runtime=runtime)
    other = IntegrationCoordinator(manager, [OWN])  # as another process that knows the workflow
    assert await other.orchestrator(runtime).recover() == 1
    async with asyncio.timeout(10):
        while not (result := await other.orchestrator(runtime).result(run_id)).success:
            await asyncio.sleep(0.05)
    assert result.results["count_words"].data["words"] == 3
    slow = await manager.coordinator.run("translate_and_count", {"text": "x"}, seconds=0, runtime=runtime)
    assert slow.status == "running"


async def test_what_only_admins_may_ask_for_is_no_step_of_a_workflow(runtime: Runtime) -> None:
    """Whoever may run a workflow would be an admin, for one made of such a task: at once, in a replay, or by a schedule."""
    for agent in (await integration_manager.agents(runtime=runtime)).values():
        for task in sorted(agent.admin_tasks):
            run = await integration_manager.coordinator.run(
                "mine", tasks=[Task(name=task, agent=agent.name)], runtime=runtime
            )
            assert (run.status, "is for admins" in str(run.tasks[task].error)) == ("failed", True), (agent.name, task)
    offered = {(one.id, action) for one in await performers.performers(runtime=runtime) for action in one.actions}
    assert not {one for one in offered if one[1] in {"cleanup", "create_endpoint", "bind", "remove"}}
