"""Ask questions, follow the steps of a turn, and continue it after approvals. Every surface talks to the graph here.

async for event in chat.ask("How many clients are active?"):
    ...
answer = await chat.answer("How many clients are active?")
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, cast
from uuid import UUID, uuid4

import psycopg
import structlog
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command

from agent.approval.eligibility import same_name
from agent.approval.human_approval import Approval, human_approval_queue
from agent.approval.people import people
from agent.errors import AgentError
from agent.graph import open_graph
from agent.graph.checkpoints import Checkpointer
from agent.graph.parameters import MOST_ROUNDS
from agent.graph.rules import clean_question
from agent.privacy.masking import MASK, masked_arguments, masked_result
from agent.runtime import Cache, Runtime, current_runtime, use_runtime
from agent.telemetry import Span, span_of
from agent.threads import acting_for_asker, check_thread_id, threads
from agent.types import CallKey, ToolResult, Usage

_log = structlog.get_logger(__name__)
_GRAPHS: Cache[CompiledStateGraph[Any]] = Cache()
_UNRELEASED: Cache[dict[str, UUID]] = Cache()
_HANDING_OVER: Cache[int] = Cache()
_STOPPED = "stopped by the user"

# Checkpoints are pruned at every n-th turn: often enough to stay small, seldom enough to cost nothing.
_PRUNE_EVERY = 10
_ABANDON_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeLoaded:
    """A turn begins: these tables and memories are what the model is told about the question."""

    tables: Sequence[str]
    memory_ids: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A piece of the model's text, as it arrives."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """The model's answer begins again: the text since the last step is void. A surface clears or marks it, and says why."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStarted:
    """A tool call begins. `key` tells it from others that run at the same time."""

    key: CallKey
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished:
    """A tool call has its result."""

    key: CallKey
    tool: str
    result: ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked:
    """A human must decide, with `safe_executor.decide`; then `chat.resume` continues the turn."""

    approval: Approval


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalDecided:
    """A request was decided, and executed if it was approved."""

    approval_id: int
    status: str
    result: ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The end of a turn. `sources` holds the SQL that ran with row counts, the memories and the tables.

    `sources["rows_of"]` is the round and the ordinal of the call whose rows belong under the text, if any do.
    `usage` is the turn's tokens and cost; it is None for the built-in model, which has none.
    """

    thread_id: str
    turn: int
    text: str
    sources: Mapping[str, Any]
    error: str | None = None
    usage: Usage | None = None


ChatEvent: TypeAlias = (
    KnowledgeLoaded | Token | Restarted | ToolStarted | ToolFinished | ApprovalAsked | ApprovalDecided | Answered
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer:
    """The result of a turn. While `status` is "waiting", `approvals` must be decided before `chat.resume`."""

    thread_id: str
    status: Literal["done", "failed", "waiting"]
    text: str
    sources: Mapping[str, Any] = field(default_factory=dict)
    approvals: Sequence[Approval] = ()
    error: str | None = None


class Chat:
    """The conversations of a runtime. The object itself holds nothing; see the module's docstring."""

    def new_thread(self) -> str:
        """Return an id for a new conversation."""
        return uuid4().hex[:12]

    async def ask(
        self, question: str, *, thread_id: str | None = None, runtime: Runtime | None = None
    ) -> AsyncIterator[ChatEvent]:
        """Ask on a thread (default: a new one) and yield the turn's events: the last is `Answered` or some `ApprovalAsked`.

        Raises `InvalidInput`, `ThreadBusy`, `AgentStopped` or an `OperatorError`. Leaving the iteration stops the turn.
        """
        runtime = runtime or await current_runtime()
        # Cleaned here, because the graph's first checkpoint would keep the question as it came in.
        question = clean_question(question, limit=runtime.settings.max_question_chars)
        message = HumanMessage(question, id=str(uuid4()))
        async for event in _stream({"messages": [message]}, thread_id or self.new_thread(), runtime):
            yield event

    async def resume(self, thread_id: str, *, runtime: Runtime | None = None) -> AsyncIterator[ChatEvent]:
        """Continue a turn that waited, and yield its events. Decisions from any surface are read from the queue's rows.

        The turn goes on with the user and the rights with which it was asked. If the runtime's user neither asked the question
        nor may see personal values, the events come without the values. Raises also `InvalidInput` if those rights are not known.
        """
        runtime = runtime or await current_runtime()
        check_thread_id(thread_id)
        acting = await acting_for_asker(thread_id, runtime=runtime)
        graph, config = await _graph(runtime), _config(thread_id, runtime, uuid4())
        state = await graph.aget_state(config)
        waiting = {interrupt.id: {"type": "collect"} for interrupt in state.interrupts}
        unmasked = await _may_see(thread_id, runtime)
        graph_input: Any = Command(resume=waiting) if waiting else {"messages": []}
        async for event in _stream(graph_input, thread_id, acting, viewer=runtime):
            visible = event if unmasked else _masked(event)
            if visible is not None:
                yield visible

    async def answer(
        self, question: str, *, thread_id: str | None = None, runtime: Runtime | None = None
    ) -> ChatAnswer:
        """Ask, and return the whole answer, or the approvals that must be decided first. Raises what `ask` raises."""
        thread_id = thread_id or self.new_thread()
        return await self.collected(self.ask(question, thread_id=thread_id, runtime=runtime), thread_id)

    async def finish(self, thread_id: str, *, runtime: Runtime | None = None) -> ChatAnswer:
        """Continue a turn that waited as `resume` does, and return the whole answer."""
        return await self.collected(self.resume(thread_id, runtime=runtime), thread_id)

    async def collected(self, events: AsyncIterator[ChatEvent], thread_id: str) -> ChatAnswer:
        """Return what the events of a turn come to."""
        return await _collected(events, thread_id)

    @contextmanager
    def handing_over(self, runtime: Runtime) -> Iterator[None]:
        """Leave the turns that are stopped inside the `with` block to other processes, because this one ends."""
        _HANDING_OVER.put(runtime, (_HANDING_OVER.get(runtime) or 0) + 1)
        try:
            yield
        finally:
            _HANDING_OVER.put(runtime, (_HANDING_OVER.get(runtime) or 1) - 1)


chat = Chat()
# `from agent import chat` gives this module, because it has the object's name: what the object does can be called on either.
new_thread, ask, resume, answer, finish = chat.new_thread, chat.ask, chat.resume, chat.answer, chat.finish


async def _may_see(thread_id: str, runtime: Runtime) -> bool:
    """Return whether the runtime's user asked the last question of a thread, or may see personal values."""
    membership = await people.membership(runtime=runtime)
    if membership.sees_personal:
        return True
    turns = await threads.turns(thread_id, runtime=runtime)
    return same_name(membership.name, turns[-1]["asked_by"])


def _masked(event: ChatEvent) -> ChatEvent | None:
    """Return an event without personal values, or None if it holds nothing else."""
    match event:
        case Token():
            return None
        case Restarted():  # the reason can quote what the provider was sent
            return replace(event, reason="")
        case ToolStarted():
            return replace(event, arguments=masked_arguments(event.arguments, event.tool))
        case ToolFinished():
            return replace(event, result=cast("ToolResult", masked_result(event.result)))
        case Answered():
            sources = {name: value for name, value in event.sources.items() if name != "statements"}
            return replace(event, text=MASK, sources=sources, error=MASK if event.error else None)
        case _:
            return event


async def _collected(events: AsyncIterator[ChatEvent], thread_id: str) -> ChatAnswer:
    approvals: list[Approval] = []
    text: list[str] = []
    final = 0
    answered: Answered | None = None
    async for event in events:  # to its end: the run stores its last checkpoint after the answer
        if isinstance(event, Token):
            text.append(event.text)
        elif isinstance(event, Restarted):
            del text[final:]
        elif isinstance(event, ToolStarted):
            final = len(text)
        elif isinstance(event, ApprovalAsked):
            approvals.append(event.approval)
        elif isinstance(event, Answered):
            answered = event
    if answered is None or approvals:
        approvals.sort(key=lambda approval: approval.place)
        return ChatAnswer(thread_id=thread_id, status="waiting", text="".join(text), approvals=approvals)
    return ChatAnswer(
        thread_id=thread_id,
        status="failed" if answered.error else "done",
        text=answered.text,
        sources=answered.sources,
        error=answered.error,
    )


async def _graph(runtime: Runtime) -> CompiledStateGraph[Any]:
    graph = _GRAPHS.get(runtime, runtime.tenant_id)
    return graph or _GRAPHS.put(runtime, await open_graph(runtime), runtime.tenant_id)


def _config(thread_id: str, runtime: Runtime, run_id: UUID) -> RunnableConfig:
    return {
        "configurable": {"thread_id": f"{runtime.tenant_id}/{thread_id}", "run_id": str(run_id)},
        "recursion_limit": 4 * max(runtime.settings.max_rounds, MOST_ROUNDS) + 20,
    }


async def _stream(
    graph_input: Any, thread_id: str, runtime: Runtime, *, viewer: Runtime | None = None
) -> AsyncIterator[ChatEvent]:
    """Run the graph in a task of its own and yield its events. The task is cancelled when the reader leaves.

    Requests are shown as the user of `viewer` may see them.
    """
    check_thread_id(thread_id)
    queue: asyncio.Queue[ChatEvent | None] = asyncio.Queue()
    run_id = uuid4()
    task = asyncio.create_task(_run_graph(graph_input, thread_id, run_id, runtime, queue, viewer=viewer or runtime))
    task.add_done_callback(lambda _: queue.put_nowait(None))
    reason = _STOPPED
    try:
        while (event := await queue.get()) is not None:
            yield event
        reason = "the run failed"
        await task
        reason = ""
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if reason:
            await asyncio.shield(_abandon(thread_id, run_id, reason, runtime))


async def _abandon(thread_id: str, run_id: UUID, reason: str, runtime: Runtime) -> None:
    """Free the thread of a run that did not end. If the database is away, this process's next run of the thread does that."""
    try:
        async with asyncio.timeout(_ABANDON_SECONDS):
            if reason == _STOPPED and _HANDING_OVER.get(runtime):
                await threads.hand_over(thread_id, owner=run_id, runtime=runtime)
                return
            await threads.abandon(thread_id, owner=run_id, reason=reason, runtime=runtime)
    except (AgentError, psycopg.Error, TimeoutError) as error:
        _unreleased(runtime)[thread_id] = run_id
        _log.warning("thread_not_released", thread_id=thread_id, error=str(error))


def _unreleased(runtime: Runtime) -> dict[str, UUID]:
    """Return the runs that could not free their threads, by thread."""
    runs = _UNRELEASED.get(runtime, runtime.tenant_id)
    return _UNRELEASED.put(runtime, {}, runtime.tenant_id) if runs is None else runs


async def _run_graph(
    graph_input: Any,
    thread_id: str,
    run_id: UUID,
    runtime: Runtime,
    queue: asyncio.Queue[ChatEvent | None],
    *,
    viewer: Runtime,
) -> None:
    with use_runtime(runtime):
        if unreleased := _unreleased(runtime).pop(thread_id, None):
            await _abandon(thread_id, unreleased, "the run failed", runtime)
        graph = await _graph(runtime)
        config = _config(thread_id, runtime, run_id)
        answered: Answered | None = None
        with span_of(
            "invoke_agent", "learning-agent", runtime=runtime, agent="learning-agent", conversation=thread_id
        ) as span:
            async for mode, part in graph.astream(
                graph_input, config, stream_mode=["messages", "updates", "custom"], durability="sync"
            ):
                async for event in _events(mode, part, thread_id, viewer):
                    answered = event if isinstance(event, Answered) else answered
                    queue.put_nowait(event)
            _note_end(span, answered)
        if answered is not None and answered.turn % _PRUNE_EVERY == 0 and isinstance(graph.checkpointer, Checkpointer):
            try:
                await graph.checkpointer.prune_thread(thread_id)
            except psycopg.errors.TransactionRollback:  # another run of the thread prunes at the same time
                _log.info("prune_skipped", thread_id=thread_id)


def _note_end(span: Span, answered: Answered | None) -> None:
    if answered is None:
        span.note(outcome="waiting")
        return
    usage = answered.usage
    span.note(
        turn=answered.turn,
        outcome="failed" if answered.error else "done",
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
    )
    if answered.error:
        span.fail("TurnFailed")


async def _events(mode: str, part: Any, thread_id: str, runtime: Runtime) -> AsyncIterator[ChatEvent]:
    if mode == "messages":
        message, _ = part
        # Whole messages are the nodes' outputs; chunks or `Answered` bring the same text.
        if isinstance(message, AIMessageChunk) and message.text:
            yield Token(text=message.text)
    elif mode == "custom":
        event = _custom_event(part, thread_id)
        if event is not None:
            yield event
    elif mode == "updates":
        for interrupt in part.get("__interrupt__", ()):
            approval = await human_approval_queue.get(interrupt.value["approval_id"], runtime=runtime)
            yield ApprovalAsked(approval=approval)
        loaded = part.get("load_knowledge") or {}
        if knowledge := loaded.get("knowledge"):
            yield KnowledgeLoaded(tables=knowledge["tables"], memory_ids=knowledge["memory_ids"])
        for message in loaded.get("messages", ()):
            if isinstance(message, AIMessage):
                yield Token(text=message.text)


def _custom_event(part: Mapping[str, Any], thread_id: str) -> ChatEvent | None:
    match part:
        case {"event": "restarted", "reason": reason}:
            return Restarted(reason=reason)
        case {"event": "tool_started", "key": key, "tool": tool, "arguments": arguments}:
            return ToolStarted(key=CallKey(**key), tool=tool, arguments=arguments)
        case {"event": "tool_finished", "key": key, "tool": tool, "result": result}:
            return ToolFinished(key=CallKey(**key), tool=tool, result=result)
        case {"event": "approval_decided", "approval_id": approval_id, "status": status, "result": result}:
            return ApprovalDecided(approval_id=approval_id, status=status, result=result)
        case {"event": "answered", "turn": turn, "answer": text, "sources": sources, "error": error, **rest}:
            usage = Usage(**rest["usage"]) if rest.get("usage") else None
            return Answered(thread_id=thread_id, turn=turn, text=text, sources=sources, error=error, usage=usage)
    return None
