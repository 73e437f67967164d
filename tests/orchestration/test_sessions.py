"""Sessions over HTTP: the eight actions, many learners at once, and plans that are sent, watched and masked."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest

from agent.access import keys
from agent.orchestration import AgentOrchestrator, BaseAgent
from agent.orchestration.channel import publish
from agent.orchestration.standard import create_agent, standard_orchestrator
from agent.runtime import Runtime
from agent.testing.served import served

START = {"action": "start_session", "learnerId": "learner_123", "data": {"subject": "mathematics", "gradeLevel": 5}}


async def do(client: httpx.AsyncClient, action: str, session: str, **data: Any) -> dict[str, Any]:
    answer = await client.post("/api/agents", json={"action": action, "sessionId": session, "data": data})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_the_eight_actions_of_a_session(demo_runtime: Runtime) -> None:
    async with served(demo_runtime) as client:
        begun = (await client.post("/api/agents", json=START)).json()
        session = begun["sessionId"]
        assert (stamp := re.fullmatch(r"session_learner_123_(\d{13})", session))
        assert begun["agents"] == {
            "learning": f"learning-agent-learner_123-{stamp[1]}", "tutor": f"tutor-agent-learner_123-{stamp[1]}",
        }  # fmt: skip
        assert begun["status"] == "ready"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", begun["timestamp"])
        orchestration = begun["orchestration"]
        assert orchestration["success"] is True
        assert "errors" not in orchestration
        assert {name: one["success"] for name, one in orchestration["results"].items()} == {"init_learning": True, "init_tutor": True}  # fmt: skip
        for _ in range(3):
            told = await do(client, "process_interaction", session, skill="fractions", answer="1/2", expected="1/4")
        assert told["result"]["struggling"] is True
        assert told["result"]["nextActivity"]["kind"] == "worked_example"
        events = (await client.get(f"/api/plans/{told['orchestration']['runId']}/events")).json()
        (insight,) = [one["payload"]["insight"] for one in events if one["kind"] == "agent:insight"]
        assert insight["type"] == "struggling_detected"
        assert insight["learnerId"] == "learner_123"
        said = await do(client, "provide_feedback", session, skill="fractions", correct=False)
        assert "example of fractions" in said["result"]["feedback"]
        seen = await do(client, "get_insights", session, learnerId="somebody_else")  # the session knows whose it is
        assert seen["result"]["needsHelp"] == ["fractions"]
        spoken = await do(client, "analyze_speech", session, text="the ship", spoken="the sip")
        assert [(one["word"], one["expected"], one["heard"]) for one in spoken["result"]["mistakes"]] == [("ship", "SH", "S")]  # fmt: skip
        audio = await do(client, "analyze_speech", session, text="the ship", audio="UklGRg==")
        assert audio["status"] == "failed"
        assert "no WAV file" in audio["orchestration"]["errors"]["analyze_speech"]
        await do(client, "send_message", session, message="Remember: my favourite topic is geometry")
        assert (await do(client, "end_session", session))["status"] == "ended"
        refused = await client.post("/api/agents", json={"action": "get_insights", "sessionId": session})
        assert refused.status_code == 422
        again = (await client.post("/api/agents", json=START)).json()["sessionId"]
        reply = await do(client, "send_message", again, message="What do you remember about geometry?")
        assert "geometry" in reply["result"]["message"]
        assert (await do(client, "get_session", again))["status"] == "ready"


@pytest.mark.parametrize(
    "body",
    [
        {"action": "start_session"}, {"action": "dance", "learnerId": "a"}, {"action": "get_session"}, {"action": "start_session", "learnerId": "a/b"},
        {"action": "start_session", "learnerId": "a", "data": {"gradeLevel": True}}, {"action": "start_session", "learnerId": "a", "data": {"subject": "\u0000"}},
        {"action": "get_session", "sessionId": "session_nobody_1"}, {"action": "send_message", "learnerId": "nobody"},
    ],
)  # fmt: skip
async def test_a_wrong_request_is_answered_with_what_to_do(runtime: Runtime, body: dict[str, Any]) -> None:
    async with served(runtime) as client:
        answer = await client.post("/api/agents", json=body)
    assert answer.status_code in (404, 422), answer.text
    assert len(answer.json()["detail"]) > 10


async def test_many_learners_begin_at_once_and_answers_of_one_are_all_counted(runtime: Runtime) -> None:
    async with served(runtime) as client:

        async def begin(at: int) -> str:
            answer = await client.post("/api/agents", json={**START, "learnerId": f"l{at % 20}"})
            assert answer.json()["status"] == "ready", answer.text
            return str(answer.json()["sessionId"])

        sessions = await asyncio.gather(*(begin(at) for at in range(40)))
        assert len(set(sessions)) == 40
        await asyncio.gather(*(do(client, "process_interaction", sessions[0], skill="s", correct=True) for _ in range(12)))  # fmt: skip
        seen = await do(client, "get_insights", sessions[0])
    assert seen["result"]["skills"][0]["answers"] == 12
    assert seen["result"]["mastered"] == ["s"]


async def test_a_plan_is_sent_watched_and_replayed_and_others_see_no_values(runtime: Runtime) -> None:
    step = {"id": "read", "agentId": "speech-agent-1", "action": "analyze_speech", "input": {"text": "planted", "spoken": "planted"}}  # fmt: skip
    plan = {"id": "speech", "steps": [step, {**step, "id": "b]:::x", "dependencies": ["read"], "input": {}}]}
    viewer = (await keys.create("v", role="viewer", runtime=runtime.for_tenant(runtime.tenant_id, user="eve"))).secret
    async with served(runtime) as client:
        run_id = (await client.post("/api/plans", json=plan)).json()["run_id"]
        async with asyncio.timeout(15):
            while (run := (await client.get(f"/api/plans/{run_id}")).json())["run"]["status"] == "running":
                await asyncio.sleep(0.05)
        assert [one["status"] for one in run["steps"]] == ["succeeded", "failed"]
        assert run["steps"][0]["output"]["score"] == 1
        chart = (await client.get(f"/api/plans/{run_id}/mermaid")).text
        assert chart.startswith("flowchart TD\n  s0")
        assert "b#93;:::x" in chart
        assert "s0 --> s1" in chart
        again = await client.post(f"/api/plans/{run_id}/replay", json={"from_step": "b]:::x", "input": {"text": "a", "spoken": "a"}})  # fmt: skip
        async with asyncio.timeout(15):
            while (run := (await client.get(f"/api/plans/{again.json()['run_id']}")).json())["run"]["status"] == "running":  # fmt: skip
                await asyncio.sleep(0.05)
        assert run["run"]["status"] == "succeeded"
        assert run["run"]["replay_of"] == run_id
        masked = await client.get(f"/api/plans/{run_id}", headers={"Authorization": f"Bearer {viewer}"})
        assert "score" not in masked.text
        assert "Correct the input" not in masked.text
        assert (await client.post("/api/plans", json={"id": "p", "steps": [{"id": "a", "agentId": "mine"}]})).status_code == 422  # fmt: skip


def test_a_created_agent_takes_config_overrides() -> None:
    made = create_agent("speech", "speech-agent-1", None, language="en")  # type: ignore[arg-type]
    assert made.get_agent_id() == "speech-agent-1"
    assert made.config == {"language": "en"}


async def test_a_struggling_learner_gets_a_tutor_plan(runtime: Runtime) -> None:
    class Tutor(BaseAgent):
        async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002
            return f"help with {input['skill']}"

    orchestrator = AgentOrchestrator(runtime)
    await orchestrator.register_agent(create_agent("learning", "learning", runtime))
    await orchestrator.register_agent(Tutor("tutor"))
    helped: list[Any] = []

    async def help_learner(event: dict[str, Any]) -> None:
        skill = event["insight"]["skill"]
        plan = {"id": "help", "steps": [{"id": "help", "agentId": "tutor", "input": {"skill": skill}}]}
        helped.append(await orchestrator.orchestrate(plan, idempotency_key=f"help-{event['runId']}"))

    orchestrator.on("agent:insight", help_learner)
    answers = [{"id": f"a{at}", "agentId": "learning", "action": "process_interaction",
                "input": {"learnerId": "l", "subject": "maths", "skill": "sums", "correct": False}} for at in range(3)]  # fmt: skip
    assert (await orchestrator.orchestrate({"id": "lesson", "parallel": False, "steps": answers})).success
    async with asyncio.timeout(5):
        while not helped:
            await asyncio.sleep(0.02)
    assert helped[0].results["help"].data == "help with sums"


async def test_events_of_plans_are_on_the_sync_channel_in_order_and_without_values(runtime: Runtime) -> None:
    orchestrator = standard_orchestrator(runtime)
    answers = [{"id": f"a{at}", "agentId": "learning-agent-x", "action": "process_interaction",
                "input": {"learnerId": "planted", "skill": "sums", "correct": False}} for at in range(3)]  # fmt: skip
    result = await orchestrator.orchestrate({"id": "lesson", "parallel": False, "steps": answers})
    assert await publish(runtime=runtime) == 9
    assert await publish(runtime=runtime) == 0
    await runtime.execute("update agents.plan_events set published = false where tenant_id = %(tenant_id)s")
    assert await publish(runtime=runtime) == 9  # as a process would that was killed before it noted them
    rows = await runtime.all("select event_type, data from agents.agent_sync_events where tenant_id = %(tenant_id)s order by sequence")  # fmt: skip
    assert [row["event_type"] for row in rows] == [
        "plan:started", *["step:started", "step:completed"] * 2, "step:started", "agent:insight", "step:completed", "plan:completed",
    ]  # fmt: skip
    assert {row["data"]["runId"] for row in rows} == {result.run_id}
    assert rows[6]["data"]["type"] == "struggling_detected"
    assert "planted" not in str(rows)


async def test_what_steps_did_and_agents_noticed_is_in_the_analytics_once_without_learners(runtime: Runtime) -> None:
    orchestrator = standard_orchestrator(runtime)
    steps = [{"id": f"a{at}", "agentId": "learning-agent-planted-1", "action": "process_interaction",
              "input": {"learnerId": "planted", "skill": "sums", "correct": False}} for at in range(3)]  # fmt: skip
    steps.append({"id": "bad", "agentId": "tutor-agent-planted-1", "action": "dance"})
    await orchestrator.orchestrate({"id": "lesson", "agentId": "x", "steps": steps})
    await publish(runtime=runtime)
    await runtime.execute("update agents.plan_events set published = false where tenant_id = %(tenant_id)s")
    await publish(runtime=runtime)
    rows = await runtime.all("select agent_name, task_type, success, count(*)::int as n from agents.execution_log where tenant_id = %(tenant_id)s group by 1, 2, 3 order by 1, 2")  # fmt: skip
    assert [tuple(row.values()) for row in rows] == [
        ("learning-agent", "insight:struggling_detected", True, 1), ("learning-agent", "process_interaction", True, 3), ("tutor-agent", "dance", False, 1),
    ]  # fmt: skip
