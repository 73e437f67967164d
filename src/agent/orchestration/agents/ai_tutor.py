"""Talks with a learner on our graph. Each learner has one conversation, so the tutor remembers what was said in earlier sessions."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from agent.orchestration.agents.base import BaseAgent, NonRetryable
from agent.orchestration.agents.inputs import Interaction, Message, OfLearner, read
from agent.orchestration.learners import skills
from agent.orchestration.learners.knowledge_tracing import next_activity
from agent.runtime import Runtime


class AITutorAgent(BaseAgent):
    """The tutor of a learner."""

    actions = ("prepare_conversation", "send_message", "provide_feedback")

    def __init__(self, agent_id: str, runtime: Runtime, **config: Any) -> None:
        super().__init__(agent_id, **config)
        self._runtime = runtime

    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002  # the document's name
        """Do one action. Raises `NonRetryable` for one that there is not, and for input that is not valid."""
        match action:
            case "prepare_conversation":
                given = read(OfLearner, input)
                return {"threadId": thread_of(given.learner_id), "subject": given.subject}
            case "send_message":
                return await self._message(read(Message, input))
            case "provide_feedback":
                return await self._feedback(read(Interaction, input))
        raise NonRetryable(f"The tutor has no action {action[:100]!r}: use {', '.join(self.actions)}.")  # fmt: skip

    async def _message(self, given: Message) -> dict[str, Any]:
        from agent.chat import chat  # start-up: it imports LangGraph

        answer = await chat.answer(given.message, thread_id=thread_of(given.learner_id), runtime=self._runtime)
        if answer.status == "failed":
            raise RuntimeError(answer.error or "The tutor could not answer.")
        return {"threadId": answer.thread_id, "status": answer.status, "message": answer.text, "approvals": [one.id for one in answer.approvals]}  # fmt: skip

    async def _feedback(self, given: Interaction) -> dict[str, Any]:
        """Return what to tell a learner after an answer, by what is known of them."""
        known = await skills.skills_of(given.learner_id, given.subject, runtime=self._runtime)
        skill = next((one for one in known if one.name == (given.skill or given.subject)), None)
        ahead = next_activity(known, otherwise=given.subject)
        if given.correct:
            said = "That is right."
        elif skill is not None and skill.struggling:
            said = f"This is hard at the moment. Let us look at an example of {skill.name} together."
        else:
            said = "Not yet. Try it once more, step by step."
        if skill is not None and skill.mastered:
            said += f" You master {skill.name} now."
        return {"feedback": f"{said} Next: {ahead.kind.replace('_', ' ')} on {ahead.skill}.", "threadId": thread_of(given.learner_id)}  # fmt: skip


def thread_of(learner_id: str) -> str:
    """Return the id of a learner's conversation with the tutor."""
    return f"tutor-{sha256(learner_id.encode()).hexdigest()[:16]}"
