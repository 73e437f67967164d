"""Masks conversations for a viewer. People see their own questions and the answers; others' need the role `personal`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.approval.eligibility import Membership, same_name
from agent.approval.views import call_for_everybody, result_for_viewer
from agent.privacy.masked_texts import sql_by_names
from agent.privacy.masking import MASK, masked_arguments, masked_sql
from agent.threads.records import StoredCall, ThreadSummary, TurnRecord


def thread_for_viewer(who: Membership, thread: ThreadSummary) -> ThreadSummary:
    """Return a thread of a list for a viewer. Its title is the beginning of the first question."""
    if who.sees_personal or same_name(who.name, thread["created_by"]):
        return thread
    return {**thread, "title": MASK}


def turn_for_viewer(who: Membership, turn: TurnRecord) -> TurnRecord:
    """Return a turn for a viewer, with the statements of its answer."""
    visible: TurnRecord = {**turn, "sources": _sources(turn["sources"], masked=not who.sees_personal)}
    if who.sees_personal or same_name(who.name, turn["asked_by"]):
        return visible
    return {
        **visible, "question": MASK, "answer": MASK if turn["answer"] else turn["answer"], "error": MASK if turn["error"] else None
    }  # fmt: skip


def call_for_viewer(who: Membership, call: StoredCall, shown_sql: str | None) -> StoredCall:
    """Return a tool call for a viewer; `shown_sql` is its statement as everybody may see it, where that is known."""
    arguments = call_for_everybody(call.arguments, shown_sql)
    result = result_for_viewer(who, call.result) if call.result is not None else None
    if who.sees_personal:
        return replace(call, arguments=arguments, result=result)
    return replace(
        call, arguments=masked_arguments(arguments, call.tool), result=result, said=MASK if call.said else call.said
    )


def _sources(sources: Mapping[str, Any], *, masked: bool) -> dict[str, Any]:
    def visible_sql(sql: str) -> str:
        return masked_sql(sql) if masked else sql_by_names(sql)

    statements = [{**item, "sql": visible_sql(str(item.get("sql", "")))} for item in sources.get("statements") or ()]
    return {**sources, "statements": statements} if "statements" in sources else dict(sources)
