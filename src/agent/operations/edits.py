"""The arguments of a request as a person edits them: SQL as it is, everything else as JSON, beginning with what it has now. Pure."""

from __future__ import annotations

import json
from typing import Any

from agent.approval.human_approval import Approval
from agent.errors import InvalidInput
from agent.privacy.masking import MASK


def by_sql(approval: Approval) -> bool:
    """Return whether a statement is all that a request has."""
    return set(approval.arguments) == {"sql"}


def arguments_of(approval: Approval, *, indent: int | None = None) -> str:
    """Return the arguments of the tool as JSON, as an edit takes them."""
    return json.dumps(dict(approval.arguments), ensure_ascii=False, default=str, indent=indent)


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


def json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object that somebody typed. Raises `InvalidInput`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"That is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidInput('Write a JSON object, such as {"client_id": 5}.')
    return value
