"""The agent's own turns: they run with what is in force, are rehearsed without effects, and improve from evidence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage

from agent.approval.human_approval import human_approval_queue
from agent.chat import chat
from agent.errors import ActionRefused
from agent.graph.parameters import WORKFLOW, of_settings
from agent.graph.prompts import LAST_ROUND
from agent.graph.replay import recorded_turn, rehearse
from agent.optimization import AutoConfigGenerationService, SelfLearningOrchestrationService
from agent.runtime import Runtime
from agent.sync import AgentSyncService
from agent.testing.scripted_model import call, scripted_client
from agent.threads import threads

APPLICATION = """
create table public.accounts (id int primary key, owner text not null, state text not null default 'open');
insert into public.accounts select n, 'owner ' || n, 'open' from generate_series(1, 5) n;
"""
COPIED = {
    "threads": "tenant_id, database_id, title, created_by, turn_count",
    "turns": "tenant_id, turn, status, asked_by, question, answer, sources, started_at, finished_at, parameters, arm, propensity",
    "tool_calls": "tenant_id, turn, round, ordinal, call_id, tool, arguments, said, status, result, finished_at",
}
FREE = {"scripted:model": (0.0, 0.0)}
CHANGE = call("execute_sql", sql="update public.accounts set state = 'closed' where id = 2")


def answer(messages: Sequence[BaseMessage]) -> Any:
    """A model that reads once for an easy question and twice for a hard one, and answers when it may read no more."""
    asked = [place for place, one in enumerate(messages) if isinstance(one, HumanMessage) and "accounts" in one.text][
        -1
    ]
    reads = sum(isinstance(one, ToolMessage) for one in messages[asked:])
    if messages[-1].text == LAST_ROUND or reads >= (2 if "hard" in messages[asked].text else 1):
        return "There are 5 accounts."
    return call("execute_sql", sql=f"select count(*) as n from public.accounts where id > -{reads}")


def model(*script: Any) -> Any:
    return replace(scripted_client(list(script) or [answer], repeat_last=True), prices=FREE)


@pytest.fixture
def accounts(runtime: Runtime) -> Any:
    """An application with five accounts; calling it runs a query as its administrator."""
    url = runtime.settings.database_url.get_secret_value()

    def query(statement: str) -> list[Any]:
        with psycopg.connect(url, autocommit=True) as conn:
            cursor = conn.execute(statement)
            return cursor.fetchall() if cursor.description else []

    query(APPLICATION)
    return query


def acting(runtime: Runtime, *script: Any, **settings: Any) -> Runtime:
    return replace(runtime, settings=runtime.settings.model_copy(update=settings), model=model(*script), cached={})


async def workflow_example(runtime: Runtime) -> tuple[list[Any], list[Any]]:
    """The complete workflow example of the requirements, with the approvals that the policy asks for."""
    sync, learning, making = (
        AgentSyncService(runtime),
        SelfLearningOrchestrationService(runtime),
        AutoConfigGenerationService(runtime),
    )
    channel = await sync.create_sync_channel(
        name="learning-workflow", channel_type="bidirectional", sync_strategy="immediate"
    )
    await sync.subscribe_agent_to_channel("seo-1", channel.channel_id)
    await learning.start_learning_session("seo-1", {"focus_area": "seo_optimization"})
    campaign = await learning.launch_research_campaign(
        {"topic": "seo_best_practices", "data_sources": ["execution_history", "simulation_results"]}
    )
    patterns = await learning.mine_patterns(campaign.campaign_id)
    config = await making.generate_config_from_patterns("seo_workflow", {"min_success_rate": 0.8})
    tested = await making.test_generated_config(config.config_id, {"url": "https://example.com"})
    if tested.success:
        await sync.broadcast_to_channel(
            channel.channel_id, {"event_type": "new_config_available", "data": {"config_id": config.config_id}}
        )
    results, applied = [], []
    for pattern in patterns[:3]:
        optimization = await learning.generate_optimization(pattern.pattern_id)
        result = await learning.test_optimization(optimization.optimization_id)
        results.append(result)
        if result.cost_benefit_ratio > 2.0:
            applied.append(await learning.apply_optimization(optimization.optimization_id))
            await sync.broadcast_to_channel(
                channel.channel_id, {"event_type": "optimization_applied", "data": {
                    "optimization_id": optimization.optimization_id, "improvement": result.actual_improvement}},
            )  # fmt: skip
    metrics = await learning.get_optimization_metrics("seo-1")
    assert metrics.total_optimizations == len([one for one in applied if one.status == "applied"])
    return results, applied


async def test_a_planted_better_setting_is_found_proven_applied_and_the_next_turn_runs_with_it(
    runtime: Runtime, accounts: Any
) -> None:
    agent = acting(runtime, max_rounds=2, improve_explore='{"max_rounds": [4]}', improve_explore_share=0.5)
    busy = asyncio.Semaphore(8)

    async def ask(number: int) -> None:
        async with busy:
            await chat.answer(
                f"How many accounts are there? {'hard' if number % 2 else 'easy'} {number}",
                thread_id=f"t{number}",
                runtime=agent,
            )

    await asyncio.gather(*(ask(number) for number in range(50)))
    for copied in range(3):  # a day of the same questions
        for table, columns in COPIED.items():
            accounts(
                f"insert into agents.{table} (thread_id, {columns}) select thread_id || '-{copied}', {columns} from agents.{table}"
                " where thread_id !~ '-'"
            )
    arms = accounts(
        "select arm, count(*), min(propensity), max(parameters ->> 'max_rounds') from agents.turns group by arm order by arm"
    )
    assert [(arm, propensity, rounds) for arm, _, propensity, rounds in arms] == [
        ("explored", 0.5, "4"),
        ("usual", 0.5, "2"),
    ]
    before = accounts("select count(*) from agents.agent_execution_log")

    quiet = acting(runtime, max_rounds=2)
    (result,), (waiting,) = await workflow_example(quiet)
    assert (result.verdict, result.evidence[2]["cases"], result.evidence[2]["not_evaluable"]) == ("better", 200, 0)
    assert (result.evidence[2]["before"], result.evidence[2]["after"]) == (0.5, 1.0)
    assert 0.4 < result.actual_improvement < 0.6
    # The rehearsals left nothing behind: no turn, no memory, no entry of the log.
    assert accounts("select count(*) from agents.agent_execution_log") == before
    assert accounts("select count(*) from agents.turns") == [(200,)]
    assert waiting.status == "waiting"
    await human_approval_queue.decide(waiting.approval_id, "approve", runtime=quiet)
    learning = SelfLearningOrchestrationService(quiet)
    await learning.upkeep()
    assert (await learning.get_optimization(waiting.optimization_id)).status == "applied"
    await chat.answer("How many accounts are there? hard", thread_id="next", runtime=quiet)
    assert accounts("select parameters ->> 'max_rounds', (select max(round) from agents.tool_calls c where c.thread_id = t.thread_id)"
                    " from agents.turns t where thread_id = 'next'") == [("4", 2)]  # fmt: skip
    await learning.roll_back_optimization(waiting.optimization_id)
    await chat.answer("How many accounts are there? hard", thread_id="after", runtime=quiet)
    assert accounts("select parameters ->> 'max_rounds' from agents.turns where thread_id = 'after'") == [("2",)]


async def test_on_a_fresh_installation_every_step_answers_and_nothing_is_applied(runtime: Runtime) -> None:
    results, applied = await workflow_example(acting(runtime))
    assert [one.verdict for one in results] == ["underpowered"] * 3
    assert applied == []


async def test_a_rehearsal_has_no_effect_and_says_when_it_cannot_go_on(runtime: Runtime, accounts: Any) -> None:
    agent = acting(runtime, CHANGE, "It is closed.")
    asked = await chat.answer("Close account 2", thread_id="t", runtime=agent)
    await human_approval_queue.decide(asked.approvals[0].id, "approve", decided_by="boss")
    await chat.finish("t", runtime=agent)
    accounts("update public.accounts set state = 'open'")
    recorded = await recorded_turn("t", 1, runtime=agent)
    parameters = of_settings(agent.settings)
    # The same change gets its recorded result.
    same = await rehearse(recorded, parameters, runtime=acting(runtime, CHANGE, "It is closed."))
    assert (same.reason, same.error, same.marks, same.answer) == ("", None, [], "It is closed.")
    # Whatever else would have an effect ends the rehearsal.
    for other in (
        call("execute_sql", sql="update public.accounts set state = 'closed' where id = 3"),
        call("execute_sql", sql="select pg_advisory_lock(1)"),
        call("remember", content="Account 2 is the boss's.", kind="fact"),
        call("send_email", to="a@example.com", subject="x", body="y"),
    ):
        done = await rehearse(recorded, parameters, runtime=acting(runtime, other, "Done."))
        assert "has an effect" in done.reason, other
    # A mistake of the model is its own: it is told, and goes on.
    wrong = await rehearse(
        recorded,
        parameters,
        runtime=acting(runtime, call("execute_sql", sql="select nothing from nowhere"), "It cannot be told."),
    )
    assert (wrong.reason, wrong.calls[0].result["status"]) == ("", "failed")
    # A model whose price is not known is not asked.
    dear = replace(agent, model=scripted_client(["Done."]), cached={})
    assert "AGENT_MODEL_PRICES" in (await rehearse(recorded, parameters, runtime=dear)).reason
    assert accounts("select count(*) from public.accounts where state = 'closed'") == [(0,)]
    assert accounts("select count(*) from agents.human_approval_queue") == [(1,)]
    assert [one["turn"] for one in await threads.turns("t")] == [1]


async def test_a_waiting_turn_goes_on_with_the_parameters_that_it_began_with(runtime: Runtime, accounts: Any) -> None:
    began = acting(runtime, CHANGE, call("execute_sql", sql="select 5 as n"), "There are 5.", max_rounds=5)
    asked = await chat.answer("Close account 2", thread_id="t", runtime=began)
    await human_approval_queue.decide(asked.approvals[0].id, "approve", decided_by="boss")
    later = replace(began, settings=began.settings.model_copy(update={"max_rounds": 1}))
    answered = await chat.finish("t", runtime=later)
    assert answered.text == "There are 5."
    assert WORKFLOW == "agent_turn"


async def test_only_models_that_the_operator_named_are_proposed(runtime: Runtime, accounts: Any) -> None:
    accounts(
        "insert into agents.learning_patterns (tenant_id, pattern_key, pattern_category, description, parameters, source, confidence_score)"
        " values ('default', 'm', 'x', '', '{\"model\": \"openai:other\"}', 'mined', 1)"
    )
    learning = SelfLearningOrchestrationService(runtime)
    (pattern,) = [one for one in await learning.list_patterns() if one.pattern_key == "m"]
    proposed = await learning.generate_optimization(pattern.pattern_id)
    tested = await learning.test_optimization(proposed.optimization_id)
    assert (tested.verdict, "AGENT_MODEL_FALLBACKS" in tested.reason) == ("not evaluable", True)
    with pytest.raises(ActionRefused):
        await learning.apply_optimization(proposed.optimization_id)
