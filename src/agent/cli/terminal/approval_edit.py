"""The arguments of a request as a person edits them: SQL as it is, everything else as JSON, beginning with what it has now."""

from __future__ import annotations

from typing import Any

from agent.approval.human_approval import Approval
from agent.cli.terminal.approval_view import arguments_of
from agent.cli.terminal.clean_text import json_object
from agent.cli.terminal.editor import edited
from agent.errors import InvalidInput
from agent.privacy.masking import MASK


def by_sql(approval: Approval) -> bool:
    """Return whether a statement is all that a request has."""
    return set(approval.arguments) == {"sql"}


def present(approval: Approval, *, indent: int | None = None) -> str:
    """Return the text that an edit begins with."""
    return str(approval.arguments["sql"]) if by_sql(approval) else arguments_of(approval, indent=indent)


def new_arguments(approval: Approval, text: str) -> dict[str, Any]:
    """Return the arguments in an edited text; {} if nothing was changed. Raises `InvalidInput`."""
    if not text.strip():
        return {}
    if MASK in text and MASK in present(approval):
        raise InvalidInput(
            f"{MASK} stands for a value that you may not see: write the value, or leave the edit to others."
        )
    arguments = {"sql": text} if by_sql(approval) else json_object(text)
    return {} if arguments == dict(approval.arguments) else arguments


def edited_in_editor(approval: Approval) -> dict[str, Any]:
    """Let the person edit a request in their editor, and return what `new_arguments` does. Raises `InvalidInput`."""
    text = edited(present(approval, indent=2), suffix=".sql" if by_sql(approval) else ".json")
    return new_arguments(approval, text)
