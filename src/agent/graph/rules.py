"""Decide for the nodes, in pure functions of state, messages and stored rows: no database and no model."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage

from agent.approval.human_approval import Decision
from agent.errors import InvalidInput
from agent.graph.grounding.evidence import Call, Evidence
from agent.graph.state import State
from agent.learning.memory.correction import correction_in
from agent.provenance.conversation_context import (
    ConversationContext,
    context_of_transcript,
    reads_text,
    texts_of,
    without_secrets,
)
from agent.provenance.second_hand import is_second_hand
from agent.providers.chat.builders import OFFLINE
from agent.providers.chat.client import ModelAnswer
from agent.providers.chat.stream import was_cut_off
from agent.remarks import with_remarks
from agent.text.storable import storable, storable_json
from agent.text.worked_example import explains
from agent.threads import RequestedCall, StoredCall, Transcript
from agent.types import CallKey, ToolResult, Usage

# The graph's state keeps this many messages, for Studio; the model's prompt is made from the thread's rows instead.
_MESSAGES_KEPT = 40
# A transcript holds the calls of this many turns.
_TURNS_WITH_CALLS = 3
# The words of LangChain's human-in-the-loop requests, those of Agent Inbox, and the agent's own "delegate". Agent Inbox offers
# "response" where a rejection is allowed, and says what somebody typed there to the assistant: it is no result of the tool.
_DECISIONS: dict[str, Decision] = {
    "approve": "approve", "reject": "reject", "edit": "edit", "respond": "respond", "delegate": "delegate",
    "accept": "approve", "ignore": "reject", "response": "reject",
}  # fmt: skip
_READS = frozenset({"execute_sql", "query_data"})
_SQL_AS_TEXT = re.compile(r"^```\s*(sql|postgres\w*)\b|\Aselect\b.+\bfrom\b", re.IGNORECASE | re.MULTILINE | re.DOTALL)
_CUT_OFF_TEXT = "The model reached its length limit before the end of its answer: ask for less, or raise the limit in AGENT_MODEL_OPTIONS."
_CALL_CUT_OFF = "Not done: your answer reached its length limit before the arguments were complete. Call the tool again with less text."
_FROM_DATA = re.compile(r"- \[(?!interaction)\w+, (?:external|database)[,\]]")
_HOW_TO_ANSWER = (
    'Answer with {"type": "approve"}, {"type": "reject", "message": "what instead"}, {"type": "edit", "edited_action": '
    '{"name": "...", "args": {...}}} or {"type": "respond", "message": "..."}. '
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeDecision:
    """The decision in a resume value. If the value holds none, `problem` says why, and nothing is decided."""

    decision: Decision | None = None
    message: str | None = None
    arguments: dict[str, Any] | None = None
    delegate_to: str | None = None
    final: bool = False
    problem: str = ""


def new_question(state: State) -> HumanMessage | None:
    """Return the newest question that no turn has begun with, or None if the graph was invoked without a question."""
    messages = state.get("messages", [])
    if state.get("deferred"):
        return next(message for message in reversed(messages) if isinstance(message, HumanMessage))
    last = messages[-1] if messages else None
    return last if isinstance(last, HumanMessage) else None


def clean_question(text: str, *, limit: int) -> str:
    """Return a question without NUL bytes and lone surrogates, so that it can be stored.

    Raises `InvalidInput` if it is empty or has more than `limit` characters.
    """
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
    """Return the calls in a model's answer. Malformed calls, and those after the first `most`, carry an error for the model."""
    cut = was_cut_off(message)
    calls = [
        RequestedCall(tool=str(call["name"]), arguments=storable_json(call["args"]), call_id=str(call.get("id") or ""))
        for call in message.tool_calls
    ]
    calls += [
        RequestedCall(
            tool=str(call.get("name") or "unknown"),
            call_id=str(call.get("id") or ""),
            error=_CALL_CUT_OFF
            if cut
            else f"The arguments are not a JSON object: {str(call.get('args'))[:200]!r}. Call the tool again.",
        )
        for call in message.invalid_tool_calls
    ]
    too_many = f"Not done: at most {most} calls are taken at once. Ask for the rest in the next step."
    extra = [RequestedCall(tool=call.tool, call_id=call.call_id, error=too_many) for call in calls[most:]]
    return [*calls[:most], *extra]


def read_before(call: StoredCall, calls: Sequence[StoredCall]) -> ToolResult | None:
    """Return the result of the same read in an earlier round of the turn; None if anything but reads came after it."""
    earlier = sorted(
        (one for one in calls if one.key.round < call.key.round), key=lambda one: (one.key.round, one.key.ordinal)
    )
    for one in reversed(earlier):
        result = one.result or {}
        if one.tool not in _READS or "rows" not in result:
            return None
        if (one.tool, one.arguments) == (call.tool, call.arguments) and result.get("success"):
            return one.result
    return None


def nudge(message: AIMessage, *, tools: Collection[str], calls: Sequence[StoredCall]) -> str:
    """Return what to tell the model, once, about an answer that is none: it is empty, or a call written as text. '' if it is one.

    A model of whose `calls` in the turn one was executed or refused knows how to call tools: what it writes is its answer.
    """
    text = message.text.strip()
    if message.tool_calls or message.invalid_tool_calls:
        return ""
    if not text:
        return "Your answer was empty. Answer, or call a tool."
    named = any(re.search(rf'"name"\s*:\s*"{re.escape(tool)}"', text) for tool in tools)
    none_ran = all((call.result or {}).get("status") == "failed" for call in calls)
    if none_ran and tools and (named or _SQL_AS_TEXT.search(text)):
        return (
            "You wrote a statement or a call as text, and nothing runs it. If it is to run, call the tool. "
            "If the text is what the user asked for, write it again."
        )
    return ""


def answer_text(answer: ModelAnswer, *, stopped_after: int | None) -> str:
    """Return the text of a turn's last answer, and say when a limit ended it (`stopped_after` rounds of calls, or its length)."""
    text = answer.message.text.strip()
    if answer.cut_off:
        text = f"{text}\n\n({_CUT_OFF_TEXT})" if text else f"There is no answer. {_CUT_OFF_TEXT}"
    text = text or "The model gave no answer. Ask again, or choose another model (AGENT_MODEL)."
    if stopped_after is None:
        return text
    return f"{text}\n\n(I stopped after {stopped_after} rounds of tool calls; this may be incomplete.)"


def read_decision(value: Any, *, action: str, arguments: Mapping[str, Any]) -> ResumeDecision:
    """Return the decision in a resume value about a call of `action` with `arguments`.

    The value is {"type": "approve"}, {"decisions": [{"type": ...}]}, Agent Inbox's [{"type": "accept", "args": ...}], or
    "approve".
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
        return ResumeDecision(problem=_HOW_TO_ANSWER)
    name, given = _edited_action(value)
    if name is not None and name != action:
        return ResumeDecision(problem=f"An edit cannot change the tool: this is a call of {action}. ")
    # A reader that found no arguments sends none back with its yes: what was shown is meant.
    changed = _as_typed(given, arguments) if given else None
    if decision != "edit" and changed is not None and changed != dict(arguments):
        return ResumeDecision(problem="These are other arguments than were asked about: send them as an edit. ")
    return _complete(decision, value, changed)


def _edited_action(value: Mapping[str, Any]) -> tuple[Any, dict[str, Any] | None]:
    """Return the tool's name and arguments in a decision: LangChain's `edited_action`, or Agent Inbox's `args`."""
    by_langchain = "edited_action" in value
    action = value["edited_action"] if by_langchain else value.get("args")
    if not isinstance(action, dict):
        return None, None
    arguments = action.get("args")
    if by_langchain or isinstance(arguments, dict):
        return action.get("name", action.get("action")), arguments if isinstance(arguments, dict) else None
    return None, action  # the arguments themselves


def _as_typed(changed: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments with the types that they were asked about with.

    Web forms send numbers, lists and objects back as text, and leave out what is null.
    """
    nulls = {name: None for name, value in arguments.items() if value is None}
    return {**nulls, **{name: _typed(value, arguments.get(name)) for name, value in changed.items()}}


def _typed(value: Any, shown: Any) -> Any:
    if not isinstance(value, str) or isinstance(shown, str) or shown is None:
        return value
    try:
        return storable_json(json.loads(value))
    except (ValueError, RecursionError):
        return value


def _complete(decision: Decision, value: Mapping[str, Any], changed: dict[str, Any] | None) -> ResumeDecision:
    text = value.get("message") or value.get("args")
    message = text if isinstance(text, str) else None
    to = value.get("to")
    if decision == "edit" and changed is None:
        return ResumeDecision(problem=_HOW_TO_ANSWER)
    if value.get("type") in ("respond", "response") and not (message and message.strip()):
        return ResumeDecision(problem="Say it in words, as its message. ")
    if decision == "delegate" and not (isinstance(to, str) and to):
        return ResumeDecision(problem='Say to whom: {"type": "delegate", "to": "..."}. ')
    return ResumeDecision(
        decision=decision, message=message, arguments=changed if decision == "edit" else None,
        delegate_to=to if decision == "delegate" else None,
        final=decision == "reject" and (value.get("type") == "ignore" or value.get("final") is True),
    )  # fmt: skip


def evidence_of(state: State, transcript: Transcript, *, facts: str, today: date) -> Evidence:
    """Return what an answer of this turn can be from: all that the model has read."""
    knowledge = state.get("knowledge", {})
    return Evidence(
        question=transcript.current.question,
        today=today,
        earlier=[(turn.question, turn.answer or "") for turn in transcript.earlier],
        memories=[str(knowledge.get("memories", "")), transcript.summary],
        context=[str(knowledge.get("schema", "")), facts],
        calls=[_as_evidence(call) for call in transcript.current.calls],
        earlier_calls=[_as_evidence(call) for turn in transcript.earlier for call in turn.calls],
    )


def _as_evidence(call: StoredCall) -> Call:
    return Call(tool=call.tool, arguments=call.arguments, result=call.result or ToolResult(), key=call.key)


def to_answer_again(remarks: Sequence[str]) -> str:
    """Return what to tell the model, once in a turn, about an answer that its results do not hold."""
    return (
        f"{'. '.join(remarks)}. Answer again from the results: correct what is wrong, call a tool if you need more, and leave out what "
        "you cannot tell. Say of a change only what its result says. Do not mention this check."
    )


def turn_end(
    state: State,
    transcript: Transcript,
    answer: str,
    *,
    marks: Sequence[str] = (),
    rows_of: CallKey | None = None,
    error: str | None = None,
    spent: ModelAnswer | None = None,
) -> dict[str, Any]:
    """Return the state's update at the end of a turn.

    It holds the answer with the remarks on its rows and its `marks`, its sources, which call's rows it is about (`rows_of`), the
    interaction to remember, and the usage of `spent`, the last call of the model.
    """
    calls, knowledge = transcript.current.calls, state.get("knowledge", {})
    conversation = context_of_transcript(transcript)
    answer = answer if error else with_remarks(answer, [*remarks_in(calls), *marks])
    outcomes = [_outcome(call) for call in calls if call.approval_id or not (call.result or {}).get("success")]
    ending = {
        "kept_answer": without_secrets(answer, conversation.secrets),
        "sources": sources_of(calls, knowledge, marks=marks, rows_of=rows_of),
        "model": spent.model if spent else None,
        "usage": asdict(spent.usage if spent else Usage()),
        "interaction": {
            "question": transcript.current.question,
            "statements": [result["sql"] for result in _results(calls) if result.get("sql") and result.get("success")],
            "examples": _examples(transcript, knowledge, model=spent.model if spent else None),
            "outcomes": without_secrets(outcomes, conversation.secrets),
            "second_hand": _is_from_data("\n".join([answer, *outcomes]), calls, conversation, knowledge),
            "recalled": list(knowledge.get("memory_ids", ())),
            "tools": [call.tool for call in calls],
            "previous": transcript.earlier[-1].question if transcript.earlier else "",
        },
    }
    message = AIMessage(answer, id=spent.message.id if spent else None)
    return {"answer": answer, "error": error, "ending": ending, "messages": [message]}


def _examples(transcript: Transcript, knowledge: Mapping[str, Any], *, model: str | None) -> list[str]:
    """Return the SQL of a turn if all of it may be learned from: the model had read no text of data when it wrote it.

    After a human's correction it may also have read such text, if each constant of the SQL is from the user or the schema. The
    built-in model needs no examples of what it can do.
    """
    if model == OFFLINE or _external(str(knowledge.get("memories", ""))):
        return []
    clean = not transcript.summary and len(transcript.earlier) < _TURNS_WITH_CALLS
    clean = clean and not any(_reads_text(turn.calls) for turn in transcript.earlier)
    words = "\n".join([transcript.current.question, *(turn.question for turn in transcript.earlier)])
    corrects = correction_in(transcript.current.question) is not None
    found: list[str] = []
    for round_ in sorted({call.key.round for call in transcript.current.calls}):
        calls = [call for call in transcript.current.calls if call.key.round == round_]
        for result in _results([call for call in calls if call.tool == "execute_sql"]):
            sql = str(result.get("sql") or "")
            vouched = corrects and explains(sql, f"{words}\n{knowledge.get('schema', '')}")
            if sql and result.get("success"):
                if not (clean or vouched):
                    return []
                found.append(sql)
        clean = clean and not _reads_text(calls)
    return found


def _reads_text(calls: Sequence[StoredCall]) -> bool:
    return any(reads_text(call.tool, call.result or {}) for call in calls)


def _is_from_data(
    text: str, calls: Sequence[StoredCall], conversation: ConversationContext, knowledge: Mapping[str, Any]
) -> bool:
    """Return whether a turn read text of the application, was shown external memories, or repeats data of earlier turns."""
    recalled = _external(str(knowledge.get("memories", "")))
    if recalled or _reads_text(calls):
        return True
    return is_second_hand(text, data=texts_of(conversation), user_words="\n".join(conversation.user_words))


def sources_of(
    calls: Sequence[StoredCall], knowledge: dict[str, Any], *, marks: Sequence[str] = (), rows_of: CallKey | None = None
) -> dict[str, Any]:
    """Return the sources of an answer: the SQL that ran with row counts, the memories and tables, and the remarks.

    `rows_of` says which call's rows belong under the answer: its round and ordinal; the key is missing for none.
    """
    remarks = [*remarks_in(calls), *marks]
    return {
        "statements": [
            {"sql": result["sql"], "row_count": result.get("row_count"), "success": result.get("success")}
            for result in _results(calls)
            if result.get("sql")
        ],
        "memories": list(knowledge.get("memory_ids", ())),
        "tables": list(knowledge.get("tables", ())),
        **({"rows_of": {"round": rows_of.round, "ordinal": rows_of.ordinal}} if rows_of else {}),
        **({"remarks": remarks} if remarks else {}),
    }


def remarks_in(calls: Sequence[StoredCall]) -> list[str]:
    """Return the remarks on the results of `calls`, each once."""
    return list(dict.fromkeys(remark for result in _results(calls) for remark in result.get("remarks") or ()))


def _external(memories: str) -> list[str]:
    """Return the lines of recalled memories that come from data; of earlier turns they show only what was asked and ran."""
    return [line for line in memories.splitlines() if _FROM_DATA.match(line)]


def _results(calls: Sequence[StoredCall]) -> list[ToolResult]:
    return [call.result for call in calls if call.result is not None]


def _outcome(call: StoredCall) -> str:
    result = call.result or {}
    return f"{call.tool} {result.get('status')}: {result.get('error') or result.get('message') or ''}"


def with_note(messages: Sequence[Any], answer: str) -> list[AIMessage]:
    """Return the last answer's message with another text, in place of the one that the state holds."""
    last = next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)
    return [AIMessage(answer, id=last.id)] if last is not None else []


def outdated_messages(state: State) -> list[RemoveMessage]:
    """Return removals that leave the newest messages of the state's transcript, beginning with a question."""
    messages = state.get("messages", [])
    extra = len(messages) - _MESSAGES_KEPT
    while 0 < extra < len(messages) and not isinstance(messages[extra], HumanMessage):
        extra += 1
    return [RemoveMessage(id=str(message.id)) for message in messages[: max(extra, 0)]]
