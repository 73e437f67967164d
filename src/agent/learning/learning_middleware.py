"""Loads knowledge before every turn and saves the interaction after it.

It does not depend on LangGraph: the graph's nodes and the LangChain middleware are thin adapters over `load` and `save`.
A loading error never fails a turn: it is logged, and that part stays empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg
import structlog

from agent.concurrency import gather_or_cancel
from agent.errors import AgentError
from agent.learning.memory import agent_memory
from agent.learning.schema_linking.linking import link_schema
from agent.learning.schema_linking.packing import LinkedSchema
from agent.learning.semantic_search import RelevantContext, semantic_search
from agent.runtime import Runtime, current_runtime

_log = structlog.get_logger(__name__)

_ANSWER_CHARS = 600
_SQL_CHARS = 500
# Only the best of the memories given to a model count as used.
_COUNTED_AS_USED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """The knowledge for one question: text for the model, and the tables and memories that it is from.

    The schema `schema_is_whole` where it is the same text for every question.
    """

    schema: str = ""
    schema_is_whole: bool = False
    memories: str = ""
    tables: tuple[str, ...] = ()
    memory_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """One turn as it is remembered. `statements` is the SQL that ran, `outcomes` the results of risky actions.

    `second_hand` says that the answer repeats text from data: the memory then gets the trust "external".
    """

    question: str
    answer: str
    statements: Sequence[str] = ()
    outcomes: Sequence[str] = ()
    recalled: Sequence[int] = ()
    failed: bool = False
    second_hand: bool = False
    thread_id: str | None = None
    turn: int | None = None
    tools: Sequence[str] = field(default=())


class LearningMiddleware:
    """Loads knowledge before a turn and saves the interaction after it. It has no state."""

    async def load(
        self,
        question: str,
        *,
        also: Sequence[str] = (),
        shown: tuple[str, int] | None = None,
        runtime: Runtime | None = None,
    ) -> Knowledge:
        """Return the schema parts and memories that are relevant to `question`, each within its token budget.

        `also` names tables that were used earlier in the conversation; `shown` is its thread and the turn from which on the
        model sees it.
        """
        runtime = runtime or await current_runtime()
        linked, context = await gather_or_cancel(
            _load_schema(question, also, runtime), _load_memories(question, shown, runtime)
        )
        return Knowledge(
            schema=linked.text if linked else "",
            schema_is_whole=bool(linked and linked.whole),
            tables=linked.chosen if linked else (),
            memories=context.text if context else "",
            memory_ids=tuple(memory.id for memory in context.memories) if context else (),
        )

    async def save(self, interaction: Interaction, *, runtime: Runtime | None = None) -> None:
        """Save one interaction as a memory, also a failed or rejected one.

        An answer that only repeats recalled memories is not saved: these count as used instead.
        """
        runtime = runtime or await current_runtime()
        if _only_recalled(interaction):
            await agent_memory.record_use(interaction.recalled[:_COUNTED_AS_USED], runtime=runtime)
        else:
            await _remember(interaction, runtime)


learning_middleware = LearningMiddleware()


def interaction_text(interaction: Interaction) -> str:
    """Return the text of an interaction's memory: question, statements, outcomes, answer; long parts end in an ellipsis."""
    lines = [f"Asked: {_cut(interaction.question, _ANSWER_CHARS)}"]
    lines += [f"Ran: {_cut(statement, _SQL_CHARS)}" for statement in interaction.statements]
    lines += [f"Outcome: {_cut(outcome, _SQL_CHARS)}" for outcome in interaction.outcomes]
    lines.append(f"{'Failed' if interaction.failed else 'Answered'}: {_cut(interaction.answer, _ANSWER_CHARS)}")
    return "\n".join(lines)


def _only_recalled(interaction: Interaction) -> bool:
    memory_only = all(tool in {"search_memory", "remember"} for tool in interaction.tools)
    return bool(interaction.recalled) and memory_only and not interaction.failed


def _cut(text: str, limit: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else f"{flat[:limit]}…"


async def _remember(interaction: Interaction, runtime: Runtime) -> None:
    await agent_memory.save(
        interaction_text(interaction),
        kind="interaction",
        trust="external" if interaction.second_hand else "agent",
        metadata={"failed": interaction.failed, "tools": sorted(set(interaction.tools))},
        source_thread=interaction.thread_id,
        source_turn=interaction.turn,
        source_quote=interaction.question[:_SQL_CHARS],
        used=interaction.recalled[:_COUNTED_AS_USED],
        runtime=runtime,
    )


async def _load_schema(question: str, also: Sequence[str], runtime: Runtime) -> LinkedSchema | None:
    try:
        return await link_schema(question, token_budget=runtime.settings.schema_tokens, also=also, runtime=runtime)
    except (AgentError, psycopg.Error) as error:
        _log.warning("knowledge_schema_failed", error=str(error), exc_info=True)
        return None


async def _load_memories(question: str, shown: tuple[str, int] | None, runtime: Runtime) -> RelevantContext | None:
    try:
        return await semantic_search.get_relevant_context(
            question, token_budget=runtime.settings.memory_tokens, note_use=False, shown=shown, runtime=runtime
        )
    except (AgentError, psycopg.Error) as error:
        _log.warning("knowledge_memories_failed", error=str(error), exc_info=True)
        return None
