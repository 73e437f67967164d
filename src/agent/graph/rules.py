"""What the nodes decide, as pure rules: state, messages and stored rows in, values out; no database and no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage

from agent.approval.human_approval import Approval, Decision
from agent.errors import InvalidInput
from agent.graph.state import State
from agent.provenance.conversation_context import context_of_transcript, texts_of, without_secrets
from agent.provenance.second_hand import is_second_hand
from agent.providers.chat.client import ModelAnswer
from agent.remarks import said_with
from agent.text.storable import storable, storable_json
from agent.threads import RequestedCall, StoredCall, Transcript
from agent.types import ToolResult, Usage

# Messages of about this many turns stay in the graph's state, for Studio; the model is shown our rows instead.
_MESSAGES_KEPT = 40
# The words of LangChain's human-in-the-loop requests, those of Agent Inbox, and one of our own ("delegate").
_DECISIONS: dict[str, Decision] = {
    "approve": "approve", "reject": "reject", "edit": "edit", "respond": "respond", "delegate": "delegate",
    "accept": "approve", "ignore": "reject", "response": "respond",
}  # fmt: skip
_HOW_TO_ANSWER = (
    'Answer with {"type": "approve"}, {"type": "reject", "message": "why"}, {"type": "edit", "edited_action": '
    '{"name": "...", "args": {...}}} or {"type": "respond", "message": "..."}. '
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """A decision in a resume value. `problem` says why it is none; then nothing is decided."""

    decision: Decision | None = None
    message: str | None = None
    arguments: dict[str, Any] | None = None
    delegate_to: str | None = None
    problem: str = ""


def new_question(state: State) -> HumanMessage | None:
    """What was asked last and is not begun yet; None when the graph was invoked without a question."""
    messages = state.get("messages", [])
    if state.get("deferred"):
        return next(message for message in reversed(messages) if isinstance(message, HumanMessage))
    last = messages[-1] if messages else None
    return last if isinstance(last, HumanMessage) else None


def clean_question(text: str, *, limit: int) -> str:
    """The question as it can be stored: no NUL bytes or lone surrogates. Raises `InvalidInput` when empty or too long."""
    cleaned = storable(text).strip()
    if not cleaned:
        raise InvalidInput("The question is empty: ask something.")
    if len(cleaned) > limit:
        raise InvalidInput(
            f"The question has {len(cleaned):,} characters; at most {limit:,} are taken (AGENT_MAX_QUESTION_CHARS). "
            "Shorten it, or put the data into a table and ask about that."
        )
    return cleaned


def requested_calls(message: AIMessage, *, most: int) -> list[RequestedCall]:
    """The calls in a model's answer; malformed ones and those beyond `most` carry the error that the model will read."""
    calls = [
        RequestedCall(tool=str(call["name"]), arguments=storable_json(call["args"]), call_id=str(call.get("id") or ""))
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


def approval_request(approval: Approval, *, problem: str = "") -> dict[str, Any]:
    """The interrupt's payload, in the form that LangChain's human-in-the-loop tools render."""
    # Who asks from Python only wants to know, and acts on its own arguments: there is nothing to edit.
    allowed = ["approve", "edit", "reject", "respond"] if approval.executable else ["approve", "reject", "respond"]
    return {
        "action_requests": [
            {"name": approval.action, "args": approval.arguments, "description": f"{problem}{approval.summary}"}
        ],
        "review_configs": [{"action_name": approval.action, "allowed_decisions": allowed}],
        "approval_id": approval.id,
        "binding": approval.binding,
        "risk_level": approval.risk_level,
        "preview": approval.preview_json,
        "expires_at": approval.expires_at.isoformat(),
    }


def read_decision(value: Any, *, action: str, arguments: Mapping[str, Any]) -> Proposed:
    """The decision in a resume value about a call of `action`.

    {"type": "approve"}, {"decisions": [{"type": ...}]}, Agent Inbox's [{"type": "accept", "args": ...}], or "approve".
    """
    if isinstance(value, dict) and isinstance(value.get("decisions"), list) and len(value["decisions"]) == 1:
        value = value["decisions"][0]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        value = {"type": value.strip().lower()}
    word = value.get("type") if isinstance(value, dict) else None
    decision = _DECISIONS.get(word) if isinstance(word, str) else None
    if decision is None:
        return Proposed(problem=_HOW_TO_ANSWER)
    name, changed = _edited_action(value)
    if name is not None and name != action:
        return Proposed(problem=f"An edit cannot change the tool: this is a call of {action}. ")
    if decision != "edit" and changed is not None and changed != dict(arguments):
        return Proposed(problem="These are other arguments than were asked about: send them as an edit. ")
    return _complete(decision, value, changed)


def _edited_action(value: Mapping[str, Any]) -> tuple[Any, dict[str, Any] | None]:
    """The tool's name and arguments in a decision: LangChain's `edited_action`, or Agent Inbox's `args`."""
    edited = "edited_action" in value
    named = value["edited_action"] if edited else value.get("args")
    if not isinstance(named, dict):
        return None, None
    given = named.get("args")
    if edited or isinstance(given, dict):
        return named.get("name", named.get("action")), given if isinstance(given, dict) else None
    return None, named  # the arguments themselves


def _complete(decision: Decision, value: Mapping[str, Any], changed: dict[str, Any] | None) -> Proposed:
    user_words = value.get("message") or value.get("args")
    message = user_words if isinstance(user_words, str) else None
    to = value.get("to")
    if decision == "edit" and changed is None:
        return Proposed(problem=_HOW_TO_ANSWER)
    if decision == "respond" and not (message and message.strip()):
        return Proposed(problem="Say what the tool's answer is to be, as its message. ")
    if decision == "delegate" and not (isinstance(to, str) and to):
        return Proposed(problem='Say to whom: {"type": "delegate", "to": "..."}. ')
    return Proposed(
        decision=decision, message=message, arguments=changed if decision == "edit" else None,
        delegate_to=to if decision == "delegate" else None,
    )  # fmt: skip


def ended(
    state: State, transcript: Transcript, answer: str, *, error: str | None = None, spent: ModelAnswer | None = None
) -> dict[str, Any]:
    """The end of a turn: its answer, where it comes from, what its last model call spent, and what there is to remember."""
    calls, knowledge = transcript.current.calls, state.get("knowledge", {})
    conversation = context_of_transcript(transcript)
    answer = answer if error else said_with(answer, remarks_in(calls))
    outcomes = [_outcome(call) for call in calls if call.approval_id or not (call.result or {}).get("success")]
    ending = {
        "kept_answer": without_secrets(answer, conversation.secrets),
        "sources": sources_of(calls, knowledge),
        "model": spent.model if spent else None,
        "usage": asdict(spent.usage if spent else Usage()),
        "interaction": {
            "question": transcript.current.question,
            "statements": [result["sql"] for result in _results(calls) if result.get("sql")],
            "outcomes": without_secrets(outcomes, conversation.secrets),
            "second_hand": is_second_hand(
                "\n".join([answer, *outcomes]),
                data=[*texts_of(conversation), *_external(str(knowledge.get("memories", "")))],
                user_words="\n".join(conversation.user_words),
            ),
            "recalled": list(knowledge.get("memory_ids", ())),
            "tools": [call.tool for call in calls],
        },
    }
    message = AIMessage(answer, id=spent.message.id if spent else None)
    return {"answer": answer, "error": error, "ending": ending, "messages": [message]}


def sources_of(calls: Sequence[StoredCall], knowledge: dict[str, Any]) -> dict[str, Any]:
    """Where an answer comes from: the SQL that ran with its row counts, the memories at hand, and any remarks on the rows."""
    remarks = remarks_in(calls)
    return {
        "statements": [
            {"sql": result["sql"], "row_count": result.get("row_count"), "success": result.get("success")}
            for result in _results(calls)
            if result.get("sql")
        ],
        "memories": list(knowledge.get("memory_ids", ())),
        "tables": list(knowledge.get("tables", ())),
        **({"remarks": remarks} if remarks else {}),
    }


def remarks_in(calls: Sequence[StoredCall]) -> list[str]:
    """What must be said with the results of `calls`."""
    return list(dict.fromkeys(remark for result in _results(calls) for remark in result.get("remarks") or ()))


def _external(memories: str) -> list[str]:
    """The lines of recalled memories that came out of data."""
    return [line for line in memories.splitlines() if ", external] " in line or ", database] " in line]


def _results(calls: Sequence[StoredCall]) -> list[ToolResult]:
    return [call.result for call in calls if call.result is not None]


def _outcome(call: StoredCall) -> str:
    result = call.result or {}
    return f"{call.tool} {result.get('status')}: {result.get('error') or result.get('message') or ''}"


def outdated_messages(state: State) -> list[RemoveMessage]:
    """Removals that keep the state's transcript to its newest messages, cut before a question."""
    messages = state.get("messages", [])
    extra = len(messages) - _MESSAGES_KEPT
    while 0 < extra < len(messages) and not isinstance(messages[extra], HumanMessage):
        extra += 1
    return [RemoveMessage(id=str(message.id)) for message in messages[: max(extra, 0)]]
