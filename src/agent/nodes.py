"""The graph's nodes: each reads state, calls one operation of a subsystem, and returns an update.

Every node may run again from its top, after a crash or a resume: what it did before is found in our own rows, which
are keyed by (thread, turn, round, ordinal), so nothing is decided or done twice.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import psycopg
import structlog
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.types import Send, interrupt

from agent import prompts
from agent.approval.human_approval import Approval, human_approval_queue
from agent.errors import AgentError, AlreadyDecided, BudgetExceeded, InvalidInput, OperatorError, PolicyError
from agent.execution.controls import controls
from agent.execution.execution_tools import tool_specs
from agent.execution.safe_executor import safe_executor
from agent.learning.learning_middleware import Interaction, Knowledge, learning_middleware
from agent.providers.models import ChatClient, ModelAnswer
from agent.runtime import Runtime, current_runtime
from agent.state import ApprovalState, CallState, State
from agent.threads import RequestedCall, StoredCall, Transcript, threads
from agent.types import CallKey, ToolResult

_log = structlog.get_logger(__name__)

# Messages of about this many turns stay in the graph's state, for Studio; the model is shown our rows instead.
_MESSAGES_KEPT = 40
_ANSWER_TOKENS = 1_500
_SUMMARISE_EVERY = 5


def thread_of(config: RunnableConfig) -> str:
    """The thread's id, without the tenant that our checkpointer puts before it."""
    return str(config["configurable"]["thread_id"]).rpartition("/")[2]


def owner_of(config: RunnableConfig) -> UUID:
    """Who holds the thread's lease: this run, or (when the caller named none) the thread itself."""
    run = config.get("run_id") or config["configurable"].get("run_id") or (config.get("metadata") or {}).get("run_id")
    return UUID(str(run)) if run else uuid5(NAMESPACE_OID, thread_of(config))


async def load_knowledge(state: State, config: RunnableConfig) -> dict[str, Any]:
    """Begin a turn with what is known; or, when an earlier turn waits for a human, turn to that one first."""
    runtime = await current_runtime()
    await controls.check(writing=False, runtime=runtime)
    thread_id, owner = thread_of(config), owner_of(config)
    message = _new_question(state)
    if message is None:
        return await _take_up(state, thread_id, owner, runtime)
    question = clean_question(message.text, limit=runtime.settings.max_question_chars)
    begun, knowledge = await asyncio.gather(
        threads.begin_turn(thread_id, question, owner=owner, message_id=message.id, runtime=runtime),
        learning_middleware.load(question, also=_tables_in_use(state), runtime=runtime),
    )
    if begun.status == "waiting":
        return await _gate(state, begun.turn, thread_id, owner, runtime)
    if begun.status != "running":
        return {"route": "end", "deferred": False}
    return {
        "turn": begun.turn, "round": 1, "route": "act", "answer": "", "error": None, "approvals": [], "deferred": False,
        "knowledge": _knowledge_state(knowledge),
    }  # fmt: skip


async def act(state: State, config: RunnableConfig) -> dict[str, Any]:
    """Ask the model what to do next: tool calls, stored before any is carried out, or the answer."""
    runtime = await current_runtime()
    thread_id, turn, round_ = thread_of(config), state["turn"], state["round"]
    transcript = await threads.transcript(thread_id, turn, runtime=runtime)
    stored = [call for call in transcript.current.calls if call.key.round == round_]
    if stored:  # this round was asked before a crash: take up what was asked then
        return {
            "route": "execute",
            "messages": [prompts.request_message(stored, message_id=f"{thread_id}-{turn}-{round_}")],
        }
    last = round_ > runtime.settings.max_rounds
    try:
        await threads.check_budget(thread_id, turn, runtime=runtime)
        async with threads.held(thread_id, owner=owner_of(config), runtime=runtime):
            answer = await _ask_model(state, transcript, last=last, config=config, runtime=runtime)
    except (OperatorError, PolicyError) as error:
        _log.warning("turn_failed", thread_id=thread_id, turn=turn, error=str(error))
        reason = f"I stopped: {error}" if isinstance(error, BudgetExceeded) else f"I could not answer: {error}"
        return _end(state, transcript, reason, error=str(error))
    calls = await _store_round(answer, thread_id, turn, round_, last=last, runtime=runtime)
    if calls:
        return {"route": "execute", "messages": [prompts.request_message(calls, message_id=answer.message.id)]}
    text = answer.message.text.strip() or "The model gave no answer. Ask again, or choose another model (AGENT_MODEL)."
    if last:
        text = f"{text}\n\n(I stopped after {round_ - 1} rounds of tool calls; this may be incomplete.)"
    return _end(state, transcript, text, message_id=answer.message.id)


async def safe_executor_node(call: CallState, config: RunnableConfig) -> dict[str, Any]:
    """Carry out one stored call: it runs, waits for a human, or is refused; the outcome is stored with the call."""
    runtime = await current_runtime()
    key = CallKey(**call)
    stored = await threads.call(key, runtime=runtime)
    if stored.status != "stored":
        return {}
    write = get_stream_writer()
    write({"event": "tool_started", "key": dict(call), "tool": stored.tool, "arguments": stored.arguments})
    result = await _execute(stored, runtime)
    approval_id = result.get("approval_id")
    if result.get("status") == "waiting" and approval_id is not None:
        await threads.call_waits(key, approval_id, runtime=runtime)
    else:
        await threads.call_done(key, result, runtime=runtime)
        write({"event": "tool_finished", "key": dict(call), "tool": stored.tool, "result": result})
    return {}


async def collect(state: State, config: RunnableConfig) -> dict[str, Any]:
    """The join of a round: every call has its result, or some wait for a human and nothing goes on before that."""
    runtime = await current_runtime()
    thread_id, turn, owner = thread_of(config), state["turn"], owner_of(config)
    calls = await threads.continue_turn(thread_id, turn, owner=owner, runtime=runtime)
    if calls is None:
        return {"route": "end"}
    waiting = [call for call in calls if call.status == "waiting"]
    open_approvals = [call.approval_id for call in waiting if not await _collect_outcome(call, runtime)]
    if open_approvals:
        await threads.wait(thread_id, turn, owner=owner, runtime=runtime)
        return {"route": "approve", "approvals": open_approvals}
    if waiting:
        calls = await threads.calls(thread_id, turn, runtime=runtime)
    round_ = max((call.key.round for call in calls), default=0)
    shown = [prompts.result_message(call) for call in calls if call.key.round == round_]
    return {"route": "act", "round": round_ + 1, "approvals": [], "messages": shown}


async def human_approval(request: ApprovalState, config: RunnableConfig) -> dict[str, Any]:
    """Ask a human by an interrupt bound to the queue's row, which decides; then execute what was approved."""
    runtime = await current_runtime()
    approval = await human_approval_queue.get(request["approval_id"], runtime=runtime)
    problem = ""
    while approval.status == "pending":
        decision = interrupt(approval_request(approval, problem=problem))
        problem = await _decide(approval, decision, runtime)
        approval = await human_approval_queue.get(approval.id, runtime=runtime)
    result = await _execute_in_order(approval, runtime)
    get_stream_writer()(
        {"event": "approval_decided", "approval_id": approval.id, "status": approval.status, "result": result}
    )
    return {}


async def save_memory(state: State, config: RunnableConfig) -> dict[str, Any]:
    """Remember the interaction and its outcome, store the answer, and let the thread go."""
    runtime = await current_runtime()
    thread_id, turn, owner = thread_of(config), state["turn"], owner_of(config)
    ending, error = state["ending"], state.get("error")
    interaction = Interaction(
        answer=state["answer"], failed=bool(error), thread_id=thread_id, turn=turn, **ending["interaction"]
    )
    try:
        await learning_middleware.save(interaction, runtime=runtime)
    except (AgentError, psycopg.Error) as failure:  # the answer is not lost because it could not be remembered
        _log.warning("interaction_not_saved", thread_id=thread_id, turn=turn, error=str(failure))
    sources = ending["sources"]
    await threads.finish_turn(
        thread_id, turn, owner=owner, answer=state["answer"], error=error, knowledge=sources, runtime=runtime
    )
    get_stream_writer()(
        {"event": "answered", "turn": turn, "answer": state["answer"], "sources": sources, "error": error}
    )
    if turn % _SUMMARISE_EVERY == 0:
        await threads.summarise(thread_id, runtime=runtime)
    return {"route": "again" if state.get("deferred") else "end", "messages": _outdated(state)}


def clean_question(text: str, *, limit: int) -> str:
    """The question as it can be stored: no NUL bytes or lone surrogates. Raises `InvalidInput` when empty or too long."""
    cleaned = text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8").strip()
    if not cleaned:
        raise InvalidInput("The question is empty: ask something.")
    if len(cleaned) > limit:
        raise InvalidInput(
            f"The question has {len(cleaned):,} characters; at most {limit:,} are taken (AGENT_MAX_QUESTION_CHARS). "
            "Shorten it, or put the data into a table and ask about that."
        )
    return cleaned


def approval_request(approval: Approval, *, problem: str = "") -> dict[str, Any]:
    """The interrupt's payload, in the form that LangChain's human-in-the-loop tools render."""
    return {
        "action_requests": [
            {"name": approval.action, "args": approval.arguments, "description": f"{problem}{approval.summary}"}
        ],
        "review_configs": [{"action_name": approval.action, "allowed_decisions": ["approve", "reject"]}],
        "approval_id": approval.id,
        "risk_level": approval.risk_level,
        "preview": approval.preview,
        "expires_at": approval.expires_at.isoformat(),
    }


def read_decision(value: Any) -> tuple[str, str | None] | None:
    """(decision, comment) in a resume value: {"type": "approve"}, {"decisions": [{"type": ...}]}, or "approve"."""
    if isinstance(value, dict) and isinstance(value.get("decisions"), list) and len(value["decisions"]) == 1:
        value = value["decisions"][0]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        value = {"type": value.strip().lower()}
    if not isinstance(value, dict):
        return None
    kind = {"accept": "approve", "ignore": "reject"}.get(str(value.get("type")), str(value.get("type")))
    comment = value.get("message") or value.get("args")
    return (kind, comment if isinstance(comment, str) else None) if kind in {"approve", "reject"} else None


def sources_of(calls: Sequence[StoredCall], knowledge: dict[str, Any]) -> dict[str, Any]:
    """Where an answer comes from: the SQL that ran with its row counts, and the memories that were at hand."""
    return {
        "statements": [
            {"sql": result["sql"], "row_count": result.get("row_count"), "success": result.get("success")}
            for result in _results(calls)
            if result.get("sql")
        ],
        "memories": list(knowledge.get("memory_ids", ())),
        "tables": list(knowledge.get("tables", ())),
    }


def route(state: State) -> Any:
    """Where the last node said to go."""
    chosen = state.get("route", "end")
    if chosen == "approve":
        return [Send("human_approval", ApprovalState(approval_id=approval)) for approval in state["approvals"]]
    return chosen


def route_calls(state: State, config: RunnableConfig) -> Any:
    """After `act`: one `safe_executor` task a call of this round, or `save_memory` with the answer."""
    if state.get("route") != "execute":
        return "save_memory"
    request = next(
        message for message in reversed(state["messages"]) if isinstance(message, AIMessage) and message.tool_calls
    )
    thread_id, turn, round_ = thread_of(config), state["turn"], state["round"]
    return [
        Send("safe_executor", CallState(thread_id=thread_id, turn=turn, round=round_, ordinal=ordinal))
        for ordinal, _ in enumerate(request.tool_calls, start=1)
    ]


def _new_question(state: State) -> HumanMessage | None:
    messages = state.get("messages", [])
    if state.get("deferred"):
        return next(message for message in reversed(messages) if isinstance(message, HumanMessage))
    last = messages[-1] if messages else None
    return last if isinstance(last, HumanMessage) else None


def _tables_in_use(state: State) -> tuple[str, ...]:
    return tuple(state.get("knowledge", {}).get("tables", ()))[:3]


def _knowledge_state(knowledge: Knowledge) -> dict[str, Any]:
    return {
        "schema": knowledge.schema, "memories": knowledge.memories, "tables": list(knowledge.tables),
        "memory_ids": list(knowledge.memory_ids), "mark": secrets.token_hex(4),
    }  # fmt: skip


async def _take_up(state: State, thread_id: str, owner: UUID, runtime: Runtime) -> dict[str, Any]:
    """Invoked without a new question: go on with the turn that waits, if there is one."""
    turn = await threads.waiting_turn(thread_id, runtime=runtime)
    if turn is None and "turn" not in state:
        raise InvalidInput('There is no question: send {"messages": [{"role": "user", "content": "..."}]}.')
    if turn is None or await threads.continue_turn(thread_id, turn, owner=owner, runtime=runtime) is None:
        return {"route": "end"}
    return {"route": "collect", **await _turn_state(state, turn, thread_id, runtime)}


async def _turn_state(state: State, turn: int, thread_id: str, runtime: Runtime) -> dict[str, Any]:
    """The state of a turn that is taken up; loaded again where the checkpoint of its beginning is lost."""
    if state.get("turn") == turn and "knowledge" in state:
        return {}
    transcript = await threads.transcript(thread_id, turn, runtime=runtime)
    knowledge = await learning_middleware.load(transcript.current.question, runtime=runtime)
    return {"turn": turn, "round": 1, "answer": "", "error": None, "knowledge": _knowledge_state(knowledge)}


async def _gate(state: State, turn: int, thread_id: str, owner: UUID, runtime: Runtime) -> dict[str, Any]:
    """A message came while `turn` waits: say so and go on waiting, or, when all is decided, finish that turn first."""
    calls = await threads.calls(thread_id, turn, runtime=runtime)
    approvals = [
        await human_approval_queue.get(call.approval_id, runtime=runtime)
        for call in calls
        if call.approval_id and call.status == "waiting"
    ]
    pending = [approval for approval in approvals if approval.status == "pending"]
    known = await _turn_state(state, turn, thread_id, runtime)
    if not pending:
        return {**known, "route": "collect", "deferred": True}
    await threads.wait(thread_id, turn, owner=owner, runtime=runtime)
    asked = "; ".join(f"#{approval.id}: {approval.summary}" for approval in pending)
    text = (
        f"I am waiting for a decision before I go on. {asked} "
        "Approve or reject it first (here, or with `agent approvals`); then ask again."
    )
    return {
        **known, "route": "approve", "approvals": [approval.id for approval in pending], "messages": [AIMessage(text)],
    }  # fmt: skip


async def _ask_model(
    state: State, transcript: Transcript, *, last: bool, config: RunnableConfig, runtime: Runtime
) -> ModelAnswer:
    client = runtime.chat_client()
    tools = [] if last else tool_specs()
    messages = _model_messages(state, transcript, last=last, runtime=runtime)
    answer = await client.answer(messages, tools, config=config)
    if not (answer.message.text.strip() or answer.message.tool_calls or answer.message.invalid_tool_calls):
        answer = await _ask_again(client, messages, tools, answer, config)
    return answer


async def _ask_again(
    client: ChatClient, messages: list[BaseMessage], tools: Sequence[Any], empty: ModelAnswer, config: RunnableConfig
) -> ModelAnswer:
    again = await client.answer(
        [*messages, HumanMessage("Your answer was empty. Answer, or call a tool.")], tools, config=config
    )
    return ModelAnswer(message=again.message, usage=empty.usage + again.usage, model=again.model)


def _model_messages(state: State, transcript: Transcript, *, last: bool, runtime: Runtime) -> list[BaseMessage]:
    known = state["knowledge"]
    knowledge = Knowledge(schema=known["schema"], memories=known["memories"])
    system = prompts.system_message(knowledge, mark=known["mark"], summary=transcript.summary)
    used = int(len(system.text) / 3.5) + _ANSWER_TOKENS
    messages = prompts.conversation(transcript, token_budget=runtime.settings.context_tokens - used)
    return [system, *messages, *([HumanMessage(prompts.LAST_ROUND)] if last else [])]


async def _store_round(
    answer: ModelAnswer, thread_id: str, turn: int, round_: int, *, last: bool, runtime: Runtime
) -> list[StoredCall]:
    requested = [] if last else requested_calls(answer.message, most=runtime.settings.max_calls_per_round)
    return await threads.store_round(
        thread_id, turn, round_, requested,
        said=answer.message.text, model=answer.model, usage=answer.usage, runtime=runtime,
    )  # fmt: skip


def requested_calls(message: AIMessage, *, most: int) -> list[RequestedCall]:
    """The calls in a model's answer; malformed ones and those beyond `most` carry the error that the model will read."""
    calls = [
        RequestedCall(tool=str(call["name"]), arguments=_storable(call["args"]), call_id=str(call.get("id") or ""))
        for call in message.tool_calls
    ]
    calls += [
        RequestedCall(
            tool=str(call.get("name") or "unknown"),
            call_id=str(call.get("id") or ""),
            error=f"The arguments are not a JSON object: {str(call.get('args'))[:200]!r}. Call the tool again.",
        )
        for call in message.invalid_tool_calls
    ]
    refused = f"Not done: at most {most} calls are taken at once. Ask for the rest in the next step."
    return [
        call if place < most else RequestedCall(tool=call.tool, call_id=call.call_id, error=refused)
        for place, call in enumerate(calls)
    ]


def _storable(value: Any) -> Any:
    """JSON without what Postgres's jsonb cannot hold: NUL characters and lone surrogates."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {str(_storable(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value


async def _execute(call: StoredCall, runtime: Runtime) -> ToolResult:
    try:
        return await safe_executor.execute(call.tool, call.arguments, call=call.key, wait=False, runtime=runtime)
    except AgentError as error:
        _log.info("tool_failed", tool=call.tool, error=str(error))
        return {"success": False, "status": "failed", "error": str(error)}


async def _collect_outcome(call: StoredCall, runtime: Runtime) -> bool:
    """Store what came of a call that asked a human; False while nobody has decided."""
    assert call.approval_id is not None  # noqa: S101  # a waiting call has its row
    result = await safe_executor.run_approved(call.approval_id, runtime=runtime)
    if result.get("status") == "waiting":
        return False
    await threads.call_done(call.key, result, runtime=runtime)
    return True


async def _execute_in_order(approval: Approval, runtime: Runtime) -> ToolResult:
    """Execute an approved call, after the approved ones that the model asked for before it in the same round."""
    call = approval.call
    if call is not None and approval.status == "approved":
        siblings = await human_approval_queue.for_turn(call.thread_id, call.turn, runtime=runtime)
        before = [one for one in siblings if one.round == call.round and (one.ordinal or 0) < call.ordinal]
        for one in before:
            if one.status == "approved":
                await safe_executor.run_approved(one.id, runtime=runtime)
    return await safe_executor.run_approved(approval.id, runtime=runtime)


async def _decide(approval: Approval, value: Any, runtime: Runtime) -> str:
    """Apply a resume value to the row; returns what was wrong with it, or ''. The row has the last word."""
    decision = read_decision(value)
    current = await human_approval_queue.get(approval.id, runtime=runtime)
    if current.status != "pending":
        return ""
    if decision is None:
        return 'Answer with {"type": "approve"} or {"type": "reject", "message": "why"}. '
    try:
        await human_approval_queue.decide(
            approval.id,
            "approve" if decision[0] == "approve" else "reject",
            via="graph",
            comment=decision[1],
            runtime=runtime,
        )
    except AlreadyDecided:
        _log.info("decision_came_second", approval_id=approval.id)
    return ""


def _end(
    state: State, transcript: Transcript, answer: str, *, error: str | None = None, message_id: str | None = None
) -> dict[str, Any]:
    """The end of a turn: its answer, where it comes from, and what there is to remember."""
    calls, knowledge = transcript.current.calls, state.get("knowledge", {})
    ending = {
        "sources": sources_of(calls, knowledge),
        "interaction": {
            "question": transcript.current.question,
            "statements": [result["sql"] for result in _results(calls) if result.get("sql")],
            "outcomes": [
                _outcome(call) for call in calls if call.approval_id or not (call.result or {}).get("success")
            ],
            "recalled": list(knowledge.get("memory_ids", ())),
            "tools": [call.tool for call in calls],
        },
    }
    message = AIMessage(answer, id=message_id)
    return {"route": "save", "answer": answer, "error": error, "ending": ending, "messages": [message]}


def _results(calls: Sequence[StoredCall]) -> list[ToolResult]:
    return [call.result for call in calls if call.result is not None]


def _outcome(call: StoredCall) -> str:
    result = call.result or {}
    return f"{call.tool} {result.get('status')}: {result.get('error') or result.get('message') or ''}"


def _outdated(state: State) -> list[RemoveMessage]:
    """Removals that keep the state's transcript to its newest messages, cut before a question."""
    messages = state.get("messages", [])
    extra = len(messages) - _MESSAGES_KEPT
    while 0 < extra < len(messages) and not isinstance(messages[extra], HumanMessage):
        extra += 1
    return [RemoveMessage(id=str(message.id)) for message in messages[: max(extra, 0)]]
