"""The graph's nodes: each reads the state, calls operations of other subsystems, and returns the update and the next node.

Every node may run again from its top, after a crash or a resume. The thread's rows, keyed by (thread, turn, round,
ordinal), tell it what it has done already, so nothing is decided or done twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

import psycopg
import structlog
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.types import Command, Send

from agent.approval.human_approval import human_approval_queue
from agent.audit.sealing import seal_soon
from agent.concurrency import gather_or_cancel
from agent.errors import (
    AgentError,
    BudgetExceeded,
    InvalidInput,
    OperatorError,
    PolicyError,
)
from agent.execution import available_tools
from agent.execution.controls import controls
from agent.execution.digests import keyed, load_key
from agent.execution.safe_executor import TakenCall, safe_executor
from agent.execution.tool_spans import traced
from agent.graph.asking import decided_by_interrupt
from agent.graph.facts import facts_here
from agent.graph.grounding.check import remarks_on, rows_under
from agent.graph.grounding.evidence import Evidence
from agent.graph.parameters import chosen, instructions, with_parameters
from agent.graph.prompts import (
    INSTRUCTIONS,
    LAST_ROUND,
    conversation_messages,
    knowledge_for_prompt,
    knowledge_text,
    request_message,
    system_message,
)
from agent.graph.rehearsal import Rehearsal, rehearsing
from agent.graph.results_for_model import result_message
from agent.graph.rules import (
    answer_text,
    clean_question,
    evidence_of,
    new_question,
    nudge,
    outdated_messages,
    read_before,
    requested_calls,
    to_answer_again,
    turn_end,
    with_note,
)
from agent.graph.sharing import shared_transcript
from agent.graph.state import ActState, ApprovalState, CallState, State
from agent.learning.learning_middleware import Interaction, learning_middleware
from agent.operations import approvals
from agent.providers.chat.builders import OFFLINE
from agent.providers.chat.client import ModelAnswer
from agent.providers.chat.stream import tokens_of
from agent.remarks import with_remarks
from agent.runtime import Runtime, current_runtime
from agent.telemetry import span_of
from agent.threads import Choice, StoredCall, Transcript, check_asked_so, threads
from agent.threads.store import Threads
from agent.types import UNFINISHED, CallKey, ToolResult, ToolSpec, Usage

_log = structlog.get_logger(__name__)

_END: Literal["__end__"] = "__end__"
# The checks of an answer go through each character some 60 times; nobody reads on to here.
_MOST_CHECKED = 20_000
_ANSWER_TOKENS = 1_500
_EARLIER_TABLES = 3
_MARK_CHARS = 16
# So many turns before the last one are surely among the messages; what was remembered of them need not be recalled.
_TURNS_SHOWN = 3
_SUMMARISE_FROM, _SUMMARISE_EVERY = 15, 5


def thread_of(config: RunnableConfig) -> str:
    """Return the thread's id, without the tenant that stands before it in the checkpointer's."""
    return str(config["configurable"]["thread_id"]).rpartition("/")[2]


def owner_of(config: RunnableConfig) -> UUID:
    """Return the holder of the thread's lease: this run or, if the caller named no run, an id made from the thread's."""
    run = config.get("run_id") or config["configurable"].get("run_id") or (config.get("metadata") or {}).get("run_id")
    return UUID(str(run)) if run else uuid5(NAMESPACE_OID, thread_of(config))


def turn_rows() -> Threads | Rehearsal:
    """Return where the rows of the turn are: the database, or what a rehearsal keeps."""
    return rehearsing() or threads


def _key_of(message_id: str | None) -> str:
    return message_id or uuid4().hex


async def load_knowledge(
    state: State, config: RunnableConfig
) -> Command[Literal["act", "collect", "human_approval", "__end__"]]:
    """Begin a turn and load its knowledge; if an earlier turn waits for a human, continue that one first."""
    runtime = await current_runtime()
    thread_id, owner = thread_of(config), owner_of(config)
    message = new_question(state)
    if message is None:
        return await _continue_waiting_turn(state, thread_id, owner, runtime)
    question = clean_question(message.text, limit=runtime.settings.max_question_chars)
    trial, now = rehearsing(), datetime.now(UTC)
    choice = (
        Choice(parameters=trial.parameters) if trial else await chosen(_key_of(message.id), now=now, runtime=runtime)
    )
    runtime = with_parameters(runtime, choice.parameters)
    begun, knowledge = await gather_or_cancel(
        turn_rows().begin_turn(thread_id, question, owner=owner, message_id=message.id, choice=choice, runtime=runtime),
        learning_middleware.load(
            question,
            also=_earlier_tables(state),
            shown=(thread_id, state.get("turn", 0) - _TURNS_SHOWN),
            runtime=runtime,
        ),
    )
    if begun.status == "stopped":
        await controls.check(writing=False, runtime=runtime)  # raises an error that says why
    if begun.status == "waiting":
        return await _defer_question(state, begun.turn, thread_id, owner, runtime)
    if begun.status != "running":
        return Command(goto=_END, update={"deferred": False})
    update = {
        "turn": begun.turn, "round": 1, "answer": "", "error": None, "deferred": False, "given_back": False,
        "knowledge": knowledge_for_prompt(knowledge, mark=await _mark_of(thread_id, runtime)), "transcript": begun.transcript,
    }  # fmt: skip
    return Command(goto="act", update=update)


async def act(state: ActState, config: RunnableConfig) -> Command[Literal["safe_executor", "save_memory"]]:
    """Ask the model for the next step: the answer, or tool calls, which are stored before any of them runs."""
    runtime = await current_runtime()
    thread_id, turn, round_ = thread_of(config), state["turn"], state["round"]
    # After a crash the state has no transcript: no checkpoint keeps it.
    transcript = state.get("transcript") or await turn_rows().transcript(thread_id, turn, runtime=runtime)
    runtime = with_parameters(runtime, transcript.parameters)
    stored = [call for call in transcript.current.calls if call.key.round == round_]
    if stored:  # the model was asked before a crash: run the calls that it requested then
        return _to_executor(stored, message_id=f"{thread_id}-{turn}-{round_}", runtime=runtime)
    last = round_ > runtime.settings.max_rounds
    try:
        await turn_rows().check_budget(thread_id, turn, runtime=runtime)
        async with turn_rows().keep_lease(thread_id, owner=owner_of(config), runtime=runtime):
            checked = await _checked_answer(state, transcript, last=last, config=config, runtime=runtime)
    except (OperatorError, PolicyError) as error:
        _log.warning("turn_failed", thread_id=thread_id, turn=turn, error=str(error))
        reason = f"I stopped: {error}" if isinstance(error, BudgetExceeded) else f"I could not answer: {error}"
        return Command(goto="save_memory", update=turn_end(state, transcript, reason, error=str(error)))
    answer = checked.answer
    requested = [] if last else requested_calls(answer.message, most=runtime.settings.max_calls_per_round)
    if requested:
        calls = await turn_rows().store_round(
            thread_id, turn, round_, requested,
            said=answer.message.text, provider_message=answer.own_form, model=answer.model, usage=answer.usage, runtime=runtime,
        )  # fmt: skip
        return _to_executor(calls, message_id=answer.message.id, given_back=checked.given_back, runtime=runtime)
    text = answer_text(answer, stopped_after=round_ - 1 if last else None)
    update = turn_end(state, transcript, text, marks=checked.marks, rows_of=checked.rows_of, spent=answer)
    return Command(goto="save_memory", update=update)


async def safe_executor_node(
    state: CallState, config: RunnableConfig
) -> Command[Literal["collect", "act", "human_approval", "__end__"]]:
    """Execute one stored call. It runs, waits for a human or is refused, and its result is stored with it."""
    runtime, key, trial = await current_runtime(), CallKey(**state["key"]), rehearsing()
    if trial is not None:
        await trial.carry_out(key, runtime)
        return await _collect(key.turn, config) if state["alone"] else Command(goto="collect")
    taken = await safe_executor.take(key, runtime=runtime)
    if taken is not None:
        known = read_before(taken.stored, taken.conversation.turn_calls) if state.get("reuse") else None
        if known is not None:
            await threads.call_done(key, known, runtime=runtime)
        else:
            await _execute(taken, runtime)
    # A call that is alone in its round needs no join.
    return await _collect(key.turn, config) if state["alone"] else Command(goto="collect")


async def _execute(taken: TakenCall, runtime: Runtime) -> None:
    call, key, write = taken.stored, asdict(taken.stored.key), get_stream_writer()
    write({"event": "tool_started", "key": key, "tool": call.tool, "arguments": call.arguments})
    try:
        run = safe_executor.execute_taken(taken, runtime=runtime)
        result = await traced(run, call.tool, runtime=runtime, key=call.key)
    except AgentError as error:
        if await human_approval_queue.of_call(call.key, runtime=runtime) is not None:
            raise  # the request's row holds the outcome: the action may still be executed
        _log.info("tool_failed", tool=call.tool, error=str(error))
        result = ToolResult(success=False, status="failed", error=str(error))
        await threads.call_done(call.key, result, runtime=runtime)
    if result.get("status") not in UNFINISHED:
        write({"event": "tool_finished", "key": key, "tool": call.tool, "result": result})


async def collect(state: State, config: RunnableConfig) -> Command[Literal["act", "human_approval", "__end__"]]:
    """Join the calls of a round: ask the model again if every call has its result, else wait for humans."""
    return await _collect(state["turn"], config)


async def _collect(turn: int, config: RunnableConfig) -> Command[Any]:
    runtime = await current_runtime()
    thread_id, owner = thread_of(config), owner_of(config)
    transcript = await turn_rows().continue_turn(thread_id, turn, owner=owner, runtime=runtime)
    if transcript is None:
        return Command(goto=_END)
    waiting = [call for call in transcript.current.calls if call.status == "waiting"]
    undecided = [approval_id for call in waiting if (approval_id := await _store_outcome(call, runtime))]
    if undecided:
        await threads.wait(thread_id, turn, owner=owner, runtime=runtime)
        return Command(goto=_to_humans(undecided))
    if waiting:
        transcript = await threads.transcript(thread_id, turn, runtime=runtime)
    calls = transcript.current.calls
    round_ = max((call.key.round for call in calls), default=0)
    results = [result_message(call) for call in calls if call.key.round == round_]
    return Command(goto="act", update={"round": round_ + 1, "messages": results, "transcript": transcript})


async def human_approval(state: ApprovalState, config: RunnableConfig) -> dict[str, Any]:
    """Ask a human by an interrupt until the request's row is decided, then execute the action if it is approved."""
    runtime = await current_runtime()
    approval = await decided_by_interrupt(state["approval_id"], runtime)
    result = await approvals.run(approval.id, runtime=runtime)
    if result.get("status") != "waiting":  # an edit that must be confirmed waits: `collect` asks for it
        get_stream_writer()(
            {"event": "approval_decided", "approval_id": approval.id, "status": approval.status, "result": result}
        )
    return {}


async def save_memory(state: State, config: RunnableConfig) -> Command[Literal["load_knowledge", "__end__"]]:
    """Remember the interaction, store the answer, and release the thread."""
    if (trial := rehearsing()) is not None:
        trial.end(state)
        return Command(goto=_END)
    runtime = await current_runtime()
    thread_id, turn, owner = thread_of(config), state["turn"], owner_of(config)
    ending, error = state["ending"], state.get("error")
    interaction = Interaction(
        answer=ending["kept_answer"], failed=bool(error), thread_id=thread_id, turn=turn, **ending["interaction"]
    )
    note = ""
    try:
        note = await learning_middleware.save(interaction, runtime=runtime)
    except (AgentError, psycopg.Error) as failure:  # the answer is stored even if it cannot be remembered
        _log.warning("interaction_not_saved", thread_id=thread_id, turn=turn, error=str(failure))
    answer, kept = (with_remarks(text, [note] if note else []) for text in (state["answer"], ending["kept_answer"]))
    sources = ending["sources"]
    spent = await threads.finish_turn(
        thread_id, turn, owner=owner, answer=answer, logged=kept, error=error, sources=sources,
        model=ending["model"], usage=Usage(**ending["usage"]), runtime=runtime,
    )  # fmt: skip
    seal_soon(runtime)
    usage = asdict(spent) if spent and ending["model"] not in (None, OFFLINE) else None
    get_stream_writer()(
        {
            "event": "answered",
            "turn": turn,
            "answer": answer,
            "sources": sources,
            "error": error,
            "usage": usage,
        }
    )
    if turn >= _SUMMARISE_FROM and turn % _SUMMARISE_EVERY == 0:
        await threads.summarise(thread_id, runtime=runtime)
    again = bool(state.get("deferred"))
    noted = with_note(state.get("messages", ()), answer) if note else []
    update = {"answer": answer, "messages": [*noted, *outdated_messages(state)]}
    return Command(goto="load_knowledge" if again else _END, update=update)


def _to_executor(
    calls: Sequence[StoredCall], *, message_id: str | None, runtime: Runtime, given_back: bool = False
) -> Command[Any]:
    """Return a command that starts one `safe_executor` task for each stored call."""
    messages = {"messages": [request_message(calls, message_id=message_id)]}
    return Command(
        goto=[
            Send(
                "safe_executor",
                CallState(key=asdict(call.key), alone=len(calls) == 1, reuse=runtime.settings.reuse_reads),
            )
            for call in calls
        ],
        update={**messages, "given_back": True} if given_back else messages,
    )


def _to_humans(approval_ids: Iterable[int]) -> list[Send]:
    """Return one `human_approval` task for each pending request."""
    return [Send("human_approval", ApprovalState(approval_id=approval_id)) for approval_id in approval_ids]


def _earlier_tables(state: State) -> tuple[str, ...]:
    return tuple(state.get("knowledge", {}).get("tables", ()))[:_EARLIER_TABLES]


async def _continue_waiting_turn(state: State, thread_id: str, owner: UUID, runtime: Runtime) -> Command[Any]:
    """Continue the turn that waits, if there is one, because the graph was invoked without a new question."""
    await controls.check(writing=False, runtime=runtime)
    turn = await threads.waiting_turn(thread_id, runtime=runtime)
    if turn is None and "turn" not in state:
        raise InvalidInput('There is no question: send {"messages": [{"role": "user", "content": "..."}]}.')
    if turn is None or await threads.continue_turn(thread_id, turn, owner=owner, runtime=runtime) is None:
        return Command(goto=_END)
    return Command(goto="collect", update=await _turn_state(state, turn, thread_id, runtime))


async def _turn_state(state: State, turn: int, thread_id: str, runtime: Runtime) -> dict[str, Any]:
    """Return the state's update for a turn that continues: its knowledge is loaded again if its checkpoint is lost."""
    if state.get("turn") == turn and "knowledge" in state:
        return {}
    transcript = await threads.transcript(thread_id, turn, runtime=runtime)
    runtime = with_parameters(runtime, transcript.parameters)
    knowledge = await learning_middleware.load(transcript.current.question, shown=(thread_id, 0), runtime=runtime)
    known = knowledge_for_prompt(knowledge, mark=await _mark_of(thread_id, runtime))
    return {"turn": turn, "round": 1, "answer": "", "error": None, "knowledge": known}


async def _defer_question(state: State, turn: int, thread_id: str, owner: UUID, runtime: Runtime) -> Command[Any]:
    """Handle a question that came while `turn` waits.

    If every request of that turn is decided, finish it first and answer the question after that. Else say what it waits
    for, and ask the humans again.
    """
    calls = await threads.calls(thread_id, turn, runtime=runtime)
    waiting = [
        await human_approval_queue.latest(call.approval_id, runtime=runtime)
        for call in calls
        if call.approval_id and call.status == "waiting"
    ]
    pending = [approval for approval in waiting if approval.status == "pending"]
    update = await _turn_state(state, turn, thread_id, runtime)
    if not pending:
        await check_asked_so(thread_id, runtime=runtime)
        return Command(goto="collect", update={**update, "deferred": True})
    await threads.wait(thread_id, turn, owner=owner, runtime=runtime)
    summaries = "; ".join(f"#{approval.id}: {approval.summary}" for approval in pending)
    text = (
        f"I am waiting for a decision before I go on. {summaries} "
        "Approve or reject it first (here, or with `agent approvals`); then ask again."
    )
    return Command(
        goto=_to_humans(approval.id for approval in pending), update={**update, "messages": [AIMessage(text)]}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """A model's answer, what it states that nothing holds, which call's rows it is about, and whether the model was asked again."""

    answer: ModelAnswer
    marks: Sequence[str] = ()
    rows_of: CallKey | None = None
    given_back: bool = False


async def _checked_answer(
    state: State, transcript: Transcript, *, last: bool, config: RunnableConfig, runtime: Runtime
) -> _Checked:
    """Ask the model. An answer that its results do not hold is given back to it, once in a turn."""
    tools = await available_tools.usable(with_created=transcript.has_created_tools, runtime=runtime)
    facts = await facts_here({tool.name for tool in tools}, runtime=runtime)
    rules = await instructions(INSTRUCTIONS, runtime=runtime)
    ask = partial(
        _ask_model,
        state,
        transcript,
        () if last else tools,
        rules=rules,
        facts=facts,
        last=last,
        config=config,
        runtime=runtime,
    )
    evidence = evidence_of(state, transcript, facts=facts, today=datetime.now(UTC).astimezone().date())
    first = await asyncio.to_thread(_check, await ask(), evidence)  # it takes long for many rows
    if not first.marks or state.get("given_back") or runtime.chat_client().offline:
        return first
    _log.info("answer_given_back", marks=len(first.marks))
    get_stream_writer()({"event": "restarted", "reason": "the results do not hold it"})
    told = [AIMessage(first.answer.message.text), HumanMessage(to_answer_again(first.marks))]
    try:
        again = await ask(more=told)
    except OperatorError:  # the answer that there is stands, with its marks
        return first
    usage = first.answer.usage + again.usage
    checked = await asyncio.to_thread(_check, replace(again, usage=usage), evidence)
    return replace(checked, given_back=True)


def _check(answer: ModelAnswer, evidence: Evidence) -> _Checked:
    text = answer.message.text[:_MOST_CHECKED]
    if answer.message.tool_calls or answer.message.invalid_tool_calls:
        return _Checked(answer=answer)
    about = rows_under(text, evidence)
    return _Checked(answer=answer, marks=remarks_on(text, evidence), rows_of=about.key if about else None)


async def _ask_model(
    state: State,
    transcript: Transcript,
    tools: Sequence[ToolSpec],
    *,
    rules: str,
    facts: str,
    last: bool,
    config: RunnableConfig,
    runtime: Runtime,
    more: Sequence[BaseMessage] = (),
) -> ModelAnswer:
    client = runtime.chat_client()
    messages = [*_model_messages(state, transcript, rules=rules, facts=facts, last=last, runtime=runtime), *more]
    write = get_stream_writer()

    def restarted(reason: str) -> None:
        write({"event": "restarted", "reason": reason})

    async def asked(messages: Sequence[BaseMessage]) -> ModelAnswer:
        provider = client.name.partition(":")[0]
        with span_of("chat", client.name, runtime=runtime, provider=provider, requested=client.name) as span:
            answer = await client.answer(messages, tools, config=config, restarted=restarted)
            span.note(
                model=answer.model,
                input_tokens=answer.usage.input_tokens,
                output_tokens=answer.usage.output_tokens,
                outcome="cut off" if answer.cut_off else "done",
            )
            return answer

    answer = await asked(messages)
    told = nudge(answer.message, tools={tool.name for tool in tools}, calls=transcript.current.calls)
    if not told:
        return answer
    said = [AIMessage(answer.message.text)] if answer.message.text.strip() else []
    restarted("it was no answer")
    try:
        again = await asked([*messages, *said, HumanMessage(told)])
    except OperatorError:
        if said:  # the text that there is may be the answer
            return answer
        raise
    return ModelAnswer(message=again.message, usage=answer.usage + again.usage, model=again.model)


async def _mark_of(thread_id: str, runtime: Runtime) -> str:
    """Return the mark of data in this thread; nobody can work it out who does not know the agent's secret."""
    await load_key(runtime)
    return keyed(thread_id, purpose="data mark", runtime=runtime)[:_MARK_CHARS]


def _model_messages(
    state: State, transcript: Transcript, *, rules: str, facts: str, last: bool, runtime: Runtime
) -> list[BaseMessage]:
    knowledge, settings = state["knowledge"], runtime.settings
    system = system_message(knowledge, rules=rules, facts=facts, summary=transcript.summary)
    messages = conversation_messages(
        shared_transcript(transcript, runtime.data_sharing),
        token_budget=settings.context_tokens - tokens_of([system]) - _ANSWER_TOKENS,
        mark=knowledge["mark"],
        known=knowledge_text(knowledge),
        most_rounds=settings.max_rounds,
    )
    return [system, *messages, *([HumanMessage(LAST_ROUND)] if last else [])]


async def _store_outcome(call: StoredCall, runtime: Runtime) -> int | None:
    """Store the result of a call that asked a human; return the approval's id if there is no result yet."""
    result = await safe_executor.outcome_of(call, runtime=runtime)
    if result.get("status") in UNFINISHED:
        return result["approval_id"]
    await threads.call_done(call.key, result, runtime=runtime)
    return None
