"""Plans that come with it, ready to be filled in and run. Pure.

A new template is one entry of `TEMPLATES`. `{learnerId}` stands for a parameter; a text that is one parameter becomes its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_WHO = {"learnerId": "{learnerId}", "subject": "{subject}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A plan with parameters; those with a value here may be left out."""

    name: str
    summary: str
    parameters: Mapping[str, str | None]
    plan: Mapping[str, Any]


def _step(name: str, agent: str, action: str, *needs: str, **given: Any) -> dict[str, Any]:
    return {"id": name, "agentId": agent, "action": action, "input": {**_WHO, **given}, "dependencies": list(needs)}


TEMPLATES: Mapping[str, Template] = {
    one.name: one
    for one in (
        Template(
            name="learning-session",
            summary="Begin with a learner, take one answer into account, and give feedback: one step after the other.",
            parameters={"learnerId": None, "subject": "mathematics", "skill": "fractions", "answer": "1/2", "expected": "1/2"},
            plan={"id": "learning-session-{learnerId}", "parallel": False, "timeout": 60_000, "steps": [
                _step("init", "learning-agent-{learnerId}", "initialize_session"),
                _step("activity", "learning-agent-{learnerId}", "process_interaction", "init", skill="{skill}", answer="{answer}", expected="{expected}"),
                _step("feedback", "tutor-agent-{learnerId}", "provide_feedback", "activity", skill="{skill}", correct={"$from": "activity.correct"}),
            ]},
        ),
        Template(
            name="parallel-analysis",
            summary="Look at what a learner knows and at their pronunciation at the same time, then prepare the tutor.",
            parameters={"learnerId": None, "subject": "reading", "text": "the ship", "spoken": "the sip"},
            plan={"id": "analysis-{learnerId}", "parallel": True, "timeout": 60_000, "steps": [
                _step("learning", "learning-agent-{learnerId}", "get_insights"),
                _step("speech", "speech-agent-{learnerId}", "analyze_speech", text="{text}", spoken="{spoken}"),
                _step("tutor", "tutor-agent-{learnerId}", "prepare_conversation", "learning", "speech"),
            ]},
        ),
        Template(
            name="ask-with-fallback",
            summary="Ask the tutor; if that fails, say what is known of the learner instead.",
            parameters={"learnerId": None, "subject": "general", "question": "What do you remember?"},
            plan={
                "id": "ask-{learnerId}", "timeout": 120_000,
                "steps": [_step("ask", "tutor-agent-{learnerId}", "send_message", message="{question}")],
                "fallbackPlan": {"steps": [_step("insights", "learning-agent-{learnerId}", "get_insights")], "timeout": 10_000},
            },
        ),
    )
}  # fmt: skip
