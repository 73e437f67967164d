"""Knows what a learner can do, by knowledge tracing, and says what to do next. It needs no model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from agent.orchestration.agents.base import BaseAgent, NonRetryable
from agent.orchestration.agents.inputs import Interaction, OfLearner, read
from agent.orchestration.learners import skills
from agent.orchestration.learners.knowledge_tracing import Skill, next_activity
from agent.runtime import Runtime


class PersonalizedLearningAgent(BaseAgent):
    """The learner's model. All it knows is in rows."""

    actions = ("initialize_session", "process_interaction", "get_insights")

    def __init__(self, agent_id: str, runtime: Runtime, **config: Any) -> None:
        super().__init__(agent_id, **config)
        self._runtime = runtime

    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002  # the document's name
        """Do one action. Raises `NonRetryable` for one that there is not, and for input that is not valid."""
        match action:
            case "initialize_session" | "get_insights":
                given = read(OfLearner, input)
                return _summary(given.subject, await skills.skills_of(given.learner_id, given.subject, runtime=self._runtime))  # fmt: skip
            case "process_interaction":
                return await self._interaction(read(Interaction, input))
        raise NonRetryable(f"The learning agent has no action {action[:100]!r}: use {', '.join(self.actions)}.")  # fmt: skip

    async def _interaction(self, given: Interaction) -> dict[str, Any]:
        correct = given.correct
        if correct is None and given.answer is not None and given.expected is not None:
            correct = given.answer.split() == given.expected.split()
        if correct is None:
            raise NonRetryable("Say whether the answer was right: `correct`, or `answer` and `expected`.")
        name = given.skill or given.subject
        now = await skills.answered(given.learner_id, given.subject, name, correct=correct, runtime=self._runtime)
        if now.struggling:
            insight = {"type": "struggling_detected", "learnerId": given.learner_id, "subject": given.subject}
            await self.report_insight({**insight, "skill": now.name, "wrongInARow": now.wrong_run})
        known = await skills.skills_of(given.learner_id, given.subject, runtime=self._runtime)
        return {
            "correct": correct,
            **_summary(given.subject, known),
            "skill": _shown(now),
            "struggling": now.struggling,
        }


def _summary(subject: str, known: list[Skill]) -> dict[str, Any]:
    return {
        "subject": subject, "skills": [_shown(one) for one in known], "mastered": [one.name for one in known if one.mastered],
        "needsHelp": [one.name for one in known if one.struggling], "nextActivity": asdict(next_activity(known, otherwise=subject)),
    }  # fmt: skip


def _shown(skill: Skill) -> dict[str, Any]:
    return {"name": skill.name, "known": round(skill.known, 4), "answers": skill.answers, "correct": skill.correct}
