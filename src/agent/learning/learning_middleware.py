"""Loads knowledge before every turn and saves the interaction after it.

It does not depend on LangGraph: the graph's nodes and the LangChain middleware are thin adapters over `load` and `save`.
A loading error never fails a turn: it is logged, and that part stays empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
import structlog

from agent.concurrency import gather_or_cancel
from agent.errors import AgentError
from agent.learning.auto_discover import auto_discovery
from agent.learning.lessons.keeping import end_concluded
from agent.learning.lessons.statement import LONGEST, as_one_line, digest_of, read_select
from agent.learning.memory import Memory, NewMemory, agent_memory
from agent.learning.memory.correction import Correction, correction_in, in_context
from agent.learning.memory.turns import is_refusal
from agent.learning.schema_linking.linking import link_schema
from agent.learning.schema_linking.packing import LinkedSchema
from agent.learning.semantic_search import RelevantContext, semantic_search
from agent.privacy.typed_secrets import typed_secrets, without_typed_secrets
from agent.runtime import Runtime, current_runtime

_log = structlog.get_logger(__name__)

_ANSWER_CHARS = 600
_SQL_CHARS = 500
_MEMORY_TOOLS = frozenset({"search_memory", "remember"})
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
    """One turn as it is remembered. `statements` is the SQL that succeeded, `outcomes` are those of risky and failed actions.

    `examples` are those of the statements that may be learned from: no text of data had been read when they were written.
    `previous` is the question before it in the conversation: a correction is about its answer.
    `second_hand` says that the answer repeats text from data: the memory then gets the trust "external".
    """

    question: str
    answer: str
    statements: Sequence[str] = ()
    outcomes: Sequence[str] = ()
    examples: Sequence[str] = ()
    recalled: Sequence[int] = ()
    failed: bool = False
    second_hand: bool = False
    thread_id: str | None = None
    turn: int | None = None
    previous: str = ""
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

    async def save(self, interaction: Interaction, *, runtime: Runtime | None = None) -> str:
        """Save one interaction as a memory, also one whose action was rejected. Return what the answer must say about it.

        A correction becomes feedback. A turn is not saved if it says nothing new: if it only remembered or recalled something,
        or had no answer. The memories that it recalled count as used. Passwords, card numbers and keys are left out.
        """
        runtime = runtime or await current_runtime()
        interaction = _without_typed_secrets(interaction)
        correction, asked = correction_in(interaction.question), interaction.question
        note = await _learn(correction, interaction, runtime) if correction else ""
        if correction:
            asked = interaction.previous or asked
            interaction = replace(interaction, question=_corrected(interaction, correction))
        if _says_nothing_new(interaction, corrects=correction is not None):
            await agent_memory.record_use(interaction.recalled[:_COUNTED_AS_USED], runtime=runtime)
        else:
            await _remember(interaction, asked if correction else "", runtime)
        return note

    async def judge(self, thread_id: str, turn: int, *, right: bool, runtime: Runtime | None = None) -> str:
        """Take a human's yes or no to the answer of a turn: a thumb under it. A no is a correction without words. Return what comes of it."""
        runtime = runtime or await current_runtime()
        answered = await _interactions(thread_id, turn, runtime)
        if not answered:
            return ""
        if right:
            await agent_memory.confirm([memory.id for memory in answered], runtime=runtime)
            return "Noted: this answer was right."
        await _end_wrong(answered, runtime)
        return "Noted: this answer was wrong, and I learn nothing from it. Tell me what is right, and I will remember that."


learning_middleware = LearningMiddleware()


def interaction_text(interaction: Interaction) -> str:
    """Return the text of an interaction's memory: question, statements, outcomes, answer; long parts end in an ellipsis."""
    lines = [f"Asked: {_cut(interaction.question, _ANSWER_CHARS)}"]
    lines += [f"Ran: {_cut(statement, _SQL_CHARS)}" for statement in interaction.statements]
    lines += [f"Outcome: {_cut(outcome, _SQL_CHARS)}" for outcome in interaction.outcomes]
    lines.append(f"{'Failed' if interaction.failed else 'Answered'}: {_cut(interaction.answer, _ANSWER_CHARS)}")
    return "\n".join(lines)


def _says_nothing_new(interaction: Interaction, *, corrects: bool) -> bool:
    if interaction.outcomes:
        return False
    if interaction.failed or is_refusal(interaction.answer) or (corrects and not interaction.statements):
        return True
    only_memory = all(tool in _MEMORY_TOOLS for tool in interaction.tools)
    repeats = bool(interaction.recalled) and interaction.question.rstrip().endswith("?")
    return only_memory and (bool(interaction.tools) or repeats)


def _without_typed_secrets(interaction: Interaction) -> Interaction:
    """Return the interaction without the secrets that the user typed, also where SQL and answer repeat them."""
    typed = typed_secrets(interaction.question)

    def clean(text: str) -> str:
        return without_typed_secrets(text, known=typed)

    return replace(
        interaction,
        question=clean(interaction.question),
        answer=clean(interaction.answer),
        previous=clean(interaction.previous),
        statements=[clean(statement) for statement in interaction.statements],
        outcomes=[clean(outcome) for outcome in interaction.outcomes],
        # A statement with a hole is no example.
        examples=[sql for sql in interaction.examples if clean(sql) == sql],
    )


async def _learn(correction: Correction, interaction: Interaction, runtime: Runtime) -> str:
    """Keep what a user says against an answer, tied to that turn, which is then no longer valid. Return a sentence about it."""
    turn = interaction.turn
    wrong: list[Memory] = []
    if interaction.thread_id and turn:
        wrong = await _interactions(interaction.thread_id, turn - 1, runtime)
    if not correction.statement:
        await _end_wrong(wrong, runtime)
        return ""
    await end_concluded([memory.id for memory in wrong], runtime=runtime)
    taught = await agent_memory.teach(
        NewMemory(
            content=in_context(correction.statement, interaction.previous),
            kind="feedback",
            trust="human",
            source_thread=interaction.thread_id,
            source_turn=turn,
            source_quote=interaction.question[:_SQL_CHARS],
            speaker=runtime.user,
        ),
        corrects=[memory.id for memory in wrong],
        runtime=runtime,
    )
    return taught.message


async def _interactions(thread_id: str, turn: int, runtime: Runtime) -> list[Memory]:
    """Return what is remembered of a turn's question and answer."""
    found = await agent_memory.turn_memories(thread_id, turn, runtime=runtime)
    return [memory for memory in found if memory.kind == "interaction"]


async def _end_wrong(wrong: Sequence[Memory], runtime: Runtime) -> None:
    """End what a human called wrong, and what was concluded from it."""
    ids = [memory.id for memory in wrong]
    await end_concluded(ids, runtime=runtime)
    await agent_memory.end(ids, runtime=runtime)


def _corrected(interaction: Interaction, correction: Correction) -> str:
    """Return what was really asked: the question before, with what was said against its answer."""
    return (
        f"{interaction.previous} ({correction.statement})"
        if interaction.previous and correction.statement
        else interaction.question
    )


def _cut(text: str, limit: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else f"{flat[:limit]}…"


async def _remember(interaction: Interaction, corrects: str, runtime: Runtime) -> None:
    """Save a turn. `corrects` is the question whose answer a human has called wrong just before."""
    await agent_memory.save(
        interaction_text(interaction),
        kind="interaction",
        trust="external" if interaction.second_hand else "agent",
        metadata={
            "question": _cut(interaction.question, _ANSWER_CHARS),
            "statements": [_cut(statement, _SQL_CHARS) for statement in interaction.statements],
            "failed": interaction.failed,
            "tools": sorted(set(interaction.tools)),
            **await _to_learn_from(interaction, corrects, runtime),
        },
        source_thread=interaction.thread_id,
        source_turn=interaction.turn,
        source_quote=interaction.question[:_SQL_CHARS],
        speaker=runtime.user,
        used=interaction.recalled[:_COUNTED_AS_USED],
        derived_from=interaction.recalled,
        runtime=runtime,
    )


async def _to_learn_from(interaction: Interaction, corrects: str, runtime: Runtime) -> dict[str, Any]:
    """Return what the learner needs of a turn: its examples in full, and a digest of the schema's parts that they rely on."""
    examples = [sql for sql in interaction.examples if len(sql) <= LONGEST]
    if not examples:
        return {}
    select = read_select(as_one_line(examples[0]) or "")
    digest = digest_of(select, await auto_discovery.current_structure(runtime=runtime)) if select else ""
    return {"examples": examples, "digest": digest, **({"asked": corrects, "confirmed": True} if corrects else {})}


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
