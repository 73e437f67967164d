"""The graph's pure rules: what is asked, what a model's answer requests, what a human answered, what is kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage

from agent.approval.human_approval import Approval
from agent.approval.preview import StatementPreview
from agent.errors import InvalidInput
from agent.graph.interrupts import approval_request
from agent.graph.rules import (
    ResumeDecision,
    clean_question,
    new_question,
    outdated_messages,
    read_decision,
    requested_calls,
    sources_of,
    turn_end,
)
from agent.providers.chat.client import ModelAnswer
from agent.text.storable import storable_json
from agent.threads import StoredCall, Transcript, Turn
from agent.types import CallKey, ToolResult, Usage

READ: ToolResult = {"success": True, "status": "succeeded", "sql": "select 1", "row_count": 1}
REJECTED: ToolResult = {"success": False, "status": "rejected", "error": "no"}


def stored(ordinal: int = 1, result: ToolResult | None = None, **values: Any) -> StoredCall:
    key = CallKey(thread_id="t", turn=1, round=1, ordinal=ordinal)
    return StoredCall(key=key, call_id="", tool="execute_sql", arguments={}, result=result, **values)


@given(st.text())
def test_a_question_that_is_taken_can_be_stored(text: str) -> None:
    cleaned = clean_question(f"why {text}\x00\ud800", limit=10_000)
    assert cleaned.encode()
    assert "\x00" not in cleaned


@pytest.mark.parametrize(
    ("text", "says"), [("", "empty"), (" \x00\n", "empty"), ("x" * 51, "AGENT_MAX_QUESTION_CHARS")]
)
def test_a_question_that_is_not_taken_says_what_to_do(text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        clean_question(text, limit=50)


def test_the_newest_message_is_the_question_unless_it_is_an_answer() -> None:
    asked, answered = HumanMessage("how many?"), AIMessage("3")
    assert new_question({"messages": [asked]}) is asked
    assert new_question({"messages": [asked, answered]}) is None
    assert new_question({"messages": [asked, answered], "deferred": True}) is asked
    assert new_question({}) is None


def test_each_call_of_an_answer_is_requested_with_what_is_wrong_with_it() -> None:
    message = AIMessage(
        "let me see",
        tool_calls=[{"name": "execute_sql", "args": {"sql": "select 'a\x00'"}, "id": "1", "type": "tool_call"}],
        invalid_tool_calls=[
            {"name": None, "args": '{"sql": ', "id": None, "error": "cut", "type": "invalid_tool_call"}
        ],
    )
    good, malformed = requested_calls(message, most=10)
    assert (good.tool, good.arguments, good.error) == ("execute_sql", {"sql": "select 'a'"}, None)
    assert (malformed.tool, malformed.arguments) == ("unknown", {})
    assert "not a JSON object" in str(malformed.error)


def test_calls_beyond_the_limit_are_refused_and_not_forgotten() -> None:
    calls = [{"name": "remember", "args": {"content": str(n)}, "id": str(n), "type": "tool_call"} for n in range(50)]
    requested = requested_calls(AIMessage("", tool_calls=calls), most=10)
    assert len(requested) == 50
    assert [call.error is None for call in requested] == [True] * 10 + [False] * 40
    assert all("at most 10" in str(call.error) and not call.arguments for call in requested[10:])


@given(st.dictionaries(st.text(), st.recursive(st.text() | st.integers() | st.none(), st.lists)))
def test_requested_arguments_can_be_stored_as_jsonb(arguments: dict[str, Any]) -> None:
    message = AIMessage("", tool_calls=[{"name": "t", "args": {**arguments, "k\x00": "\ud800"}, "id": "1"}])
    (call,) = requested_calls(message, most=1)
    assert storable_json(call.arguments) == call.arguments


SQL = {"sql": "delete from t where id = 1"}
OTHER = {"sql": "delete from t where id = 2"}


def proposed(value: Any) -> Any:
    return read_decision(value, action="execute_sql", arguments=SQL)


@pytest.mark.parametrize(
    ("value", "decision"),
    [
        ("approve", ResumeDecision(decision="approve")),
        (" Reject ", ResumeDecision(decision="reject")),
        ({"type": "approve"}, ResumeDecision(decision="approve")),
        ({"type": "reject", "message": "too many"}, ResumeDecision(decision="reject", message="too many")),
        ({"decisions": [{"type": "reject", "message": "no"}]}, ResumeDecision(decision="reject", message="no")),
        ([{"type": "accept", "args": None}], ResumeDecision(decision="approve")),
        ([{"type": "accept", "args": {"action": "execute_sql", "args": SQL}}], ResumeDecision(decision="approve")),
        ([{"type": "ignore"}], ResumeDecision(decision="reject", final=True)),
        ({"type": "reject", "message": {"not": "text"}}, ResumeDecision(decision="reject")),
        (
            {"decisions": [{"type": "edit", "edited_action": {"name": "execute_sql", "args": OTHER}}]},
            ResumeDecision(decision="edit", arguments=OTHER),
        ),
        (
            [{"type": "edit", "args": {"action": "execute_sql", "args": OTHER}}],
            ResumeDecision(decision="edit", arguments=OTHER),
        ),
        (
            {"type": "edit", "args": OTHER, "message": "one id"},
            ResumeDecision(decision="edit", arguments=OTHER, message="one id"),
        ),
        ({"type": "respond", "message": "It is 7."}, ResumeDecision(decision="respond", message="It is 7.")),
        # Agent Inbox offers "response" where a rejection is allowed, and sends its text to the assistant.
        ([{"type": "response", "args": "Not 7."}], ResumeDecision(decision="reject", message="Not 7.")),
        ([{"type": "accept", "args": {"action": "execute_sql", "args": {}}}], ResumeDecision(decision="approve")),
        ({"type": "delegate", "to": "ann"}, ResumeDecision(decision="delegate", delegate_to="ann")),
    ],
)
def test_the_decisions_of_studio_and_agent_inbox_are_understood(value: Any, decision: ResumeDecision) -> None:
    assert proposed(value) == decision


@pytest.mark.parametrize(
    "value",
    [
        {"type": "edit", "edited_action": {"name": "send_email", "args": OTHER}},
        [{"type": "edit", "args": {"action": "send_email", "args": OTHER}}],
        [{"type": "accept", "args": {"action": "execute_sql", "args": OTHER}}],
        {"type": "approve", "edited_action": {"name": "execute_sql", "args": OTHER}},
        {"type": "approve", "args": OTHER},
        {"type": "edit"},
        {"type": "edit", "edited_action": {"name": "execute_sql"}},
        {"type": "edit", "args": "drop table t"},
        [{"type": "edit", "args": {"action": "execute_sql", "args": {}}}],
        [{"type": "response", "args": ""}],
        {"type": "respond"},
        {"type": "respond", "message": "  "},
        {"type": "delegate"},
        {"type": "delegate", "to": ["ann"]},
        {"decisions": [{"type": "approve"}, {"type": "approve"}]},
        {"decisions": []},
        {"approve": True},
        {"type": "collect"},
        {"type": ["approve"]},
        {"type": "Approve"},
        True,
        None,
        7,
        "yes, go on",
        [],
        [[{"type": "approve"}]],
    ],
)
def test_only_a_clear_word_about_this_call_is_a_decision(value: Any) -> None:
    read = proposed(value)
    assert (read.decision, read.arguments) == (None, None)
    assert read.problem.endswith(" ")


def test_arguments_that_a_web_form_sends_back_as_text_have_their_types_again() -> None:
    asked = {"table": "t", "limit": 3, "columns": ["a"], "where": None}
    as_text = {"table": "t", "limit": "3", "columns": '["a"]'}
    accepted = [{"type": "accept", "args": {"action": "query_data", "args": as_text}}]
    assert read_decision(accepted, action="query_data", arguments=asked) == ResumeDecision(decision="approve")
    edited = [{"type": "edit", "args": {"action": "query_data", "args": {**as_text, "limit": "4"}}}]
    expected = ResumeDecision(decision="edit", arguments={**asked, "limit": 4})
    assert read_decision(edited, action="query_data", arguments=asked) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "args", "name", "action", "edited_action", "decisions", "message", "to"]),
            inner,
            max_size=4,
        )
    ),
)


@given(json_values)
def test_no_value_whatsoever_breaks_the_reading_or_approves_other_arguments(value: Any) -> None:
    read = proposed(value)
    assert (read.decision is None) == bool(read.problem)
    assert (read.arguments is not None) == (read.decision == "edit")


def test_an_interrupt_has_the_form_of_langchains_human_in_the_loop() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    approval = Approval(
        id=7, database_id="d", action="execute_sql", arguments={"sql": "delete from t"}, risk_level="HIGH", reasons=(),
        summary="Deletes rows.", preview=StatementPreview(row_count=3), policy_version="1", binding="b", executable=True,
        status="pending", requested_by="me", decided_by=None, decided_via=None, comment=None, thread_id=None, turn=None,
        round=None, ordinal=None, created_at=now, expires_at=now, decided_at=None,
    )  # fmt: skip
    payload = approval_request(approval, database="postgresql://agent_actor@db:5432/shop", problem="Say yes or no. ")
    (request,) = payload["action_requests"]
    assert (request["name"], request["args"]) == ("execute_sql", {"sql": "delete from t"})
    assert request["arguments"] == request["args"]
    assert request["description"].startswith(
        "Say yes or no.\n\n**HIGH risk**: Deletes rows.\n\nDatabase: `postgresql://"
    )
    assert payload["review_configs"][0]["allowed_decisions"] == ["approve", "edit", "reject", "respond"]
    assert (payload["approval_id"], payload["preview"]) == (7, StatementPreview(row_count=3).to_json())
    assert payload["binding"] == "b"
    assert json.dumps(payload)


def test_an_answer_names_the_statements_that_ran_and_the_memories_at_hand() -> None:
    calls = [stored(1, READ), stored(2, REJECTED), stored(3)]
    sources = sources_of(calls, {"memory_ids": [4], "tables": ["public.t"]})
    assert sources == {
        "statements": [{"sql": "select 1", "row_count": 1, "success": True}],
        "memories": [4],
        "tables": ["public.t"],
    }


def test_a_turn_ends_with_its_answer_and_what_there_is_to_remember() -> None:
    turn = Turn(turn=1, question="q?", answer=None, status="running", calls=(stored(1, READ), stored(2, REJECTED)))
    spent = ModelAnswer(message=AIMessage("one", id="m"), usage=Usage(input_tokens=7, output_tokens=2), model="x:y")
    update = turn_end({"knowledge": {"memory_ids": [4]}}, Transcript(turns=(turn,)), "one", spent=spent)
    assert (update["answer"], update["error"]) == ("one", None)
    assert update["ending"]["interaction"] == {
        "question": "q?",
        "statements": ["select 1"],  # that succeeded
        "examples": ["select 1"],  # of which the model wrote the SQL itself
        "outcomes": ["execute_sql rejected: no"],
        "second_hand": False,
        "recalled": [4],
        "tools": ["execute_sql", "execute_sql"],
        "previous": "",
    }
    assert (update["ending"]["model"], update["ending"]["usage"]["input_tokens"]) == ("x:y", 7)
    assert [(message.text, message.id) for message in update["messages"]] == [("one", "m")]


@given(st.lists(st.booleans(), max_size=120))
def test_what_is_kept_of_the_messages_begins_with_a_question_and_stays_bounded(questions: list[bool]) -> None:
    messages = [
        HumanMessage("q", id=str(place)) if asked else AIMessage("a", id=str(place))
        for place, asked in enumerate(questions)
    ]
    removed = {message.id for message in outdated_messages({"messages": messages})}
    kept = [message for message in messages if message.id not in removed]
    assert len(kept) <= 40
    assert len(messages) > 40 or kept == messages
    assert not removed or not kept or isinstance(kept[0], HumanMessage)
