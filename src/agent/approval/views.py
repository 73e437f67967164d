"""Returns requests and results as one person may see them, for every surface that shows them."""

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
    """Return a request as `who` may see it: without secrets, and without personal values unless they have the role `personal`."""
    result = request_for_everybody(approval)
    if who.sees_personal:
        return result
    decided_it = bool(approval.decided_by) and same_name(who.name, approval.decided_by or "")
    return replace(
        result,
        summary=masked_summary(result.summary, result.action, result.preview),
        arguments=masked_arguments(result.arguments, result.action, sql=as_statement(result.preview).sql or None),
        preview=masked_preview(result.preview, result.action, result.arguments) if result.preview else None,
        reasons=masked_reasons(result.reasons),
        response=result.response if decided_it or not result.response else MASK,
    )


def result_for_viewer(who: Membership, result: ToolResult) -> ToolResult:
    """Return the result of an action as `who` may see it."""
    cleaned = without_secrets(result)
    return cast("ToolResult", cleaned if who.sees_personal else masked_result(cleaned))


def request_for_everybody(approval: Approval) -> Approval:
    """Return a request without secrets."""
    preview = approval.preview
    return replace(
        approval,
        summary=str(without_secrets(approval.summary)),
        arguments=arguments_for_everybody(approval.arguments, preview),
        preview=preview_for_everybody(preview) if preview else None,
    )


def arguments_for_everybody(arguments: Mapping[str, Any], preview: Preview | None) -> dict[str, Any]:
    """Return arguments without secrets; a statement is the one that the preview shows to everybody."""
    statement = as_statement(preview)
    given = {
        name: statement.sql_for_everybody if value == statement.sql else value for name, value in arguments.items()
    }
    return dict(without_secrets(given))


def call_for_everybody(arguments: Any, shown_sql: str | None) -> dict[str, Any]:
    """Return the stored arguments of a call without secrets; its statement is `shown_sql`, or else is masked by its names.

    Return {} if the row holds no mapping: others may have written to it.
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
