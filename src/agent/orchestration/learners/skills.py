"""The rows of what learners know."""

from __future__ import annotations

from agent.db import load_queries
from agent.db.queries import fetch_one
from agent.orchestration.learners.knowledge_tracing import Skill
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)


async def skills_of(learner_id: str, subject: str, *, runtime: Runtime) -> list[Skill]:
    """Return what is known of a learner in a subject."""
    rows = await runtime.all(_QUERIES["skills"], learner_id=learner_id, subject=subject)
    return [Skill(**row) for row in rows]


async def answered(learner_id: str, subject: str, skill: str, *, correct: bool, runtime: Runtime) -> Skill:
    """Take an answer into account, and return what is known now. Answers that come at once are taken one after the other."""
    key = {"learner_id": learner_id, "subject": subject, "skill": skill, "tenant_id": runtime.tenant_id}
    async with runtime.transaction() as conn:
        await conn.execute(_QUERIES["lock_skill"], key)
        row = await fetch_one(conn, _QUERIES["skill"], key)
        now = (Skill(**row) if row else Skill(name=skill)).answered(correct=correct)
        await conn.execute(_QUERIES["keep_skill"], {
            **key, "known": now.known, "answers": now.answers, "correct": now.correct, "wrong_run": now.wrong_run,
        })  # fmt: skip
    return now
