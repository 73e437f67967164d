"""Sessions of learners: the eight actions of `POST /api/agents`. Each is a plan, so it is retried, recorded and seen like any other.

start_session -> init_learning, then init_tutor -> ready;   process_interaction, send_message, ... -> one step of the session's agent
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from agent.db import load_queries
from agent.errors import InvalidInput, NotFound
from agent.orchestration.records import PlanResult
from agent.orchestration.standard import PREFIXES, standard_orchestrator
from agent.runtime import Runtime
from agent.sync.payloads import checked_object

Action = Literal[
    "start_session", "end_session", "get_session", "process_interaction", "provide_feedback", "send_message", "analyze_speech", "get_insights"
]  # fmt: skip
# Which agent does what; the other three actions are about the session itself.
_DONE_BY = {
    "process_interaction": "learning", "get_insights": "learning", "provide_feedback": "tutor", "send_message": "tutor", "analyze_speech": "speech",
}  # fmt: skip
_RETRY = {"maxRetries": 2, "backoffMs": 1000}
_START_MS, _ACTION_MS = 30_000, 120_000
_MOST_DATA_BYTES, _MOST_AUDIO_BYTES = 262_144, 4_200_000
_Id = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f/]+$")]
_QUERIES = load_queries(__package__)


class AgentRequest(BaseModel):
    """One action. `sessionId` names the session; without it, it is the learner's newest open one."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    action: Action
    learner_id: _Id | None = None
    session_id: Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = None
    data: dict[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningSession:
    """A learner's session. `agents` holds the ids of its agents by their kinds."""

    id: str
    learner_id: str
    subject: str
    grade_level: int | None
    agents: Mapping[str, str]
    status: Literal["ready", "failed", "ended"]
    created_at: datetime
    last_seen_at: datetime
    ended_at: datetime | None

    def input(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return an action's input: what the caller sent, and what the session knows, which the caller cannot change."""
        known = {"learnerId": self.learner_id, "sessionId": self.id}
        return {"subject": self.subject, "gradeLevel": self.grade_level, **data, **known}

    def as_json(self) -> dict[str, Any]:
        """Return what the API sends."""
        return {
            "sessionId": self.id, "learnerId": self.learner_id, "subject": self.subject, "gradeLevel": self.grade_level,
            "agents": dict(self.agents), "status": self.status, "createdAt": self.created_at.isoformat(),
            "endedAt": self.ended_at and self.ended_at.isoformat(),
        }  # fmt: skip


async def act(request: AgentRequest, *, runtime: Runtime) -> dict[str, Any]:
    """Do what a request says, and return the answer. Raises `InvalidInput` and `NotFound`."""
    most = _MOST_AUDIO_BYTES if request.action == "analyze_speech" else _MOST_DATA_BYTES
    checked_object(request.data, what="`data`", most_bytes=most, setting="a fixed bound")
    if request.action == "start_session":
        return await _start(request, runtime)
    session = await _session(request, runtime)
    if request.action == "get_session":
        return _answer(session.as_json())
    if request.action == "end_session":
        await runtime.execute(_QUERIES["end_session"], id=session.id)
        return _answer({**session.as_json(), "status": "ended"})
    if session.status != "ready":
        raise InvalidInput(f"The session {session.id!r} is {session.status}: start a new one.")
    await runtime.execute(_QUERIES["session_seen"], id=session.id)
    kind = _DONE_BY[request.action]
    agent_id = session.agents.get(kind) or _agent_id(kind, session.learner_id, session.id.rpartition("_")[2])
    step = {"id": request.action, "agentId": agent_id, "input": session.input(request.data)}
    plan = {"id": f"{session.learner_id}:{request.action}", "steps": [step], "timeout": _ACTION_MS}
    result = await standard_orchestrator(runtime).orchestrate(plan)
    done = result.results.get(request.action)
    outcome = {"sessionId": session.id, "status": "done" if result.success else "failed", "result": done.data if done else None}  # fmt: skip
    return _answer({**outcome, "orchestration": _shown(result)})


async def _start(request: AgentRequest, runtime: Runtime) -> dict[str, Any]:
    if request.learner_id is None:
        raise InvalidInput("Name the learner: learnerId.")
    subject, grade = request.data.get("subject", "general"), request.data.get("gradeLevel")
    if not isinstance(subject, str) or not 0 < len(subject) <= 200 or not subject.isprintable():
        raise InvalidInput("`subject` is a text of 1 to 200 printable characters.")
    if grade is not None and not (type(grade) is int and 0 <= grade <= 20):
        raise InvalidInput("`gradeLevel` is a whole number from 0 to 20.")
    session_id, agents = await _opened(request.learner_id, subject, grade, runtime)
    given = {"subject": subject, "gradeLevel": grade, "sessionId": session_id, "learnerId": request.learner_id}
    plan = {
        "id": session_id, "parallel": True, "timeout": _START_MS, "steps": [
            {"id": "init_learning", "agentId": agents["learning"], "action": "initialize_session", "input": given, "retryPolicy": _RETRY},
            {"id": "init_tutor", "agentId": agents["tutor"], "action": "prepare_conversation", "input": given,
             "dependencies": ["init_learning"], "retryPolicy": _RETRY},
        ],
    }  # fmt: skip
    result = await standard_orchestrator(runtime).orchestrate(plan)
    if result.success:
        await runtime.execute(_QUERIES["session_ready"], id=session_id)
    status = "ready" if result.success else "failed"
    return _answer({"sessionId": session_id, "agents": agents, "status": status, "orchestration": _shown(result)})


async def _opened(learner_id: str, subject: str, grade: int | None, runtime: Runtime) -> tuple[str, dict[str, str]]:
    """Store a new session, and return its id and its agents. Two that begin in the same millisecond get different ones."""
    stamp = time.time_ns() // 1_000_000
    while True:
        session_id = f"session_{learner_id}_{stamp}"
        agents = {kind: _agent_id(kind, learner_id, str(stamp)) for kind in ("learning", "tutor")}
        values = {"id": session_id, "learner_id": learner_id, "subject": subject, "grade_level": grade}
        if await runtime.one(_QUERIES["open_session"], **values, agents=json.dumps(agents)):
            return session_id, agents
        stamp += 1


def _agent_id(kind: str, learner_id: str, stamp: str) -> str:
    return f"{PREFIXES[kind]}-{learner_id}-{stamp}"


async def _session(request: AgentRequest, runtime: Runtime) -> LearningSession:
    if request.session_id is None and request.learner_id is None:
        raise InvalidInput("Name the session (sessionId) or the learner (learnerId).")
    row = await runtime.one(_QUERIES["session"], id=request.session_id, learner_id=request.learner_id)
    if row is None or (request.learner_id is not None and row["learner_id"] != request.learner_id):
        raise NotFound("There is no such session: begin one with start_session.")
    return LearningSession(**row)


def _shown(result: PlanResult) -> dict[str, Any]:
    shown = result.as_json()
    return {name: shown[name] for name in ("success", "duration", "results", "errors", "runId") if name in shown}


def _answer(body: Mapping[str, Any]) -> dict[str, Any]:
    return {**body, "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")}


async def end_idle(*, runtime: Runtime) -> int:
    """End the sessions that nobody has used for a day."""
    return await runtime.execute(_QUERIES["end_idle"])
