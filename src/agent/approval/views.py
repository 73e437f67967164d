"""Requests as a person may see them. Whatever shows one goes through here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from agent.approval.eligibility import Membership, same_name
from agent.approval.masked_preview import masked_preview, masked_summary
from agent.approval.preview import Preview, StatementPreview, as_statement, preview_from_json
from agent.approval.records import Approval
from agent.privacy.masked_texts import sql_by_names
from agent.privacy.masking import (
    MASK,
    masked_arguments,
    masked_reasons,
    masked_result,
    without_secrets,
)
from agent.types import ToolResult


def request_for_viewer(who: Membership, approval: Approval) -> Approval:
    """A request as `who` may see it: nobody sees secrets, and without the role `personal` nobody sees personal values."""
    shown = seen_by_everybody(approval)
    if who.sees_personal:
        return shown
    own = bool(approval.decided_by) and same_name(who.name, approval.decided_by or "")
    return replace(
        shown,
        summary=masked_summary(shown.summary, shown.action, shown.preview),
        arguments=masked_arguments(shown.arguments, shown.action, sql=as_statement(shown.preview).sql or None),
        preview=masked_preview(shown.preview, shown.action, shown.arguments) if shown.preview else None,
        reasons=masked_reasons(shown.reasons),
        response=shown.response if own or not shown.response else MASK,
    )


def result_for_viewer(who: Membership, result: ToolResult) -> ToolResult:
    """What came of an action as `who` may see it."""
    shown = without_secrets(result)
    return cast("ToolResult", shown if who.sees_personal else masked_result(shown))


def seen_by_everybody(approval: Approval) -> Approval:
    """A request without secrets."""
    preview = approval.preview
    return replace(
        approval,
        summary=str(without_secrets(approval.summary)),
        arguments=arguments_for_everybody(approval.arguments, preview),
        preview=preview_for_everybody(preview) if preview else None,
    )


def arguments_for_everybody(arguments: Mapping[str, Any], preview: Preview | None) -> dict[str, Any]:
    """Arguments without secrets: the statement as the preview shows it to everybody."""
    statement = as_statement(preview)
    given = {
        name: statement.sql_for_everybody if value == statement.sql else value for name, value in arguments.items()
    }
    return dict(without_secrets(given))


def call_for_everybody(arguments: Any, shown_sql: str | None) -> dict[str, Any]:
    """The stored arguments of a call without secrets: its statement as it was previewed, or else judged by its names.

    What somebody else wrote into the row need not be arguments.
    """
    if not isinstance(arguments, Mapping):
        return {}
    given = dict(without_secrets(arguments))
    if isinstance(arguments.get("sql"), str):
        given["sql"] = shown_sql or sql_by_names(arguments["sql"])
    return given


def preview_for_everybody(preview: Preview) -> Preview | None:
    """Return a stored preview without secrets."""
    if isinstance(preview, StatementPreview):
        preview = replace(preview, sql=preview.sql_for_everybody, shown_sql=None, signature=None)
    return preview_from_json(without_secrets(preview.to_json()))
