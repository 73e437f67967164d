"""Checks a request before it is stored, and makes the values of its row."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, cast

from psycopg.types.json import Jsonb

from agent.approval.people import clean_name
from agent.approval.preview import Preview
from agent.approval.records import Approval, binding
from agent.errors import InvalidInput, NotFound
from agent.runtime import Runtime
from agent.text.storable import storable
from agent.types import RISK_LEVELS, CallKey, RiskLevel

# A NUL as JSON writes it, but not an escaped backslash before the text "u0000".
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_MOST_SECONDS = 366 * 24 * 3600.0
_MOST_BYTES = 1_000_000
_MOST_COMMENT = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """A request that is about to be stored.

    `executable` says that the agent executes it when it is approved; `votes` are the people who must approve it at least.
    """

    action: str
    arguments: Mapping[str, Any]
    risk_level: RiskLevel
    reasons: Sequence[str] = ()
    summary: str = ""
    preview: Preview | None = None
    policy_version: str = "1"
    executable: bool = True
    votes: int = 1


def row_values(
    new: NewRequest,
    *,
    runtime: Runtime,
    requested_by: str | None = None,
    call: CallKey | None = None,
    seconds: float | None = None,
    replaces: Approval | None = None,
) -> dict[str, Any]:
    """Return the values of a new request's row; it expires after `seconds` (default: by its risk). Raises `InvalidInput`."""
    settings = runtime.settings
    seconds = (
        settings.seconds_to_approve(new.risk_level) if seconds is None and new.risk_level in RISK_LEVELS else seconds
    )
    _check(new.action, new.risk_level, seconds)
    assert seconds is not None  # noqa: S101  # a known risk has its seconds, and others are refused
    preview = json_copy(new.preview.to_json(), "preview") if new.preview else None
    arguments = json_copy(new.arguments, "arguments")
    key = asdict(call) if call else {"thread_id": None, "turn": None, "round": None, "ordinal": None}
    return {
        "tenant_id": runtime.tenant_id, "database_id": runtime.database_id, "action": new.action, "arguments": Jsonb(arguments),
        "risk_level": new.risk_level, "reasons": [storable(reason) for reason in new.reasons],
        "summary": storable(new.summary) or f"Allow {new.action}?",
        "preview": Jsonb(preview) if preview is not None else None, "policy_version": new.policy_version,
        "binding": binding(new.action, arguments, policy_version=new.policy_version, preview=new.preview),
        "executable": new.executable, "requested_by": clean_name(requested_by or runtime.user),
        "votes_needed": max(settings.votes_to_approve(new.risk_level), new.votes), "replaces": replaces.id if replaces else None,
        "delegated_to": replaces.delegated_to if replaces else None,
        "timeout": timedelta(seconds=seconds), **key,
    }  # fmt: skip


def _check(action: str, risk_level: str, seconds: float | None) -> None:
    if not isinstance(action, str) or not 0 < len(action) <= 200 or not action.isprintable():
        raise InvalidInput(f"{str(action)[:50]!r} is not an action: use 1 to 200 printable characters.")
    if risk_level not in RISK_LEVELS:
        raise InvalidInput(f"{risk_level!r} is not a risk level: use one of {', '.join(RISK_LEVELS)}.")
    if seconds is None or not 0 < seconds <= _MOST_SECONDS:
        raise InvalidInput(f"{seconds!r} is not a time to wait: use seconds from above 0 to a year.")


def binding_of(action: str, arguments: Mapping[str, Any], policy_version: str, preview: Preview | None) -> str:
    """Return the binding that a request for this would have when it is stored. Raises `InvalidInput`."""
    return binding(action, json_copy(arguments, "arguments"), policy_version=policy_version, preview=preview)


def identifier(approval_id: int) -> int:
    """Return `approval_id` if it can be the id of an approval. Raises `NotFound`."""
    if not isinstance(approval_id, int) or isinstance(approval_id, bool) or not 0 < approval_id < 2**63:
        long = isinstance(approval_id, int) and approval_id.bit_length() > 200  # Python does not write it out
        number = "with so long a number" if long else repr(str(approval_id)[:50])
        raise NotFound(f"There is no approval {number}. `agent approvals list` shows what waits.")
    return approval_id


def short_text(text: str | None) -> str | None:
    """Return a human's text as it is stored, cut to its first characters."""
    return None if text is None else storable(str(text))[:_MOST_COMMENT]


def json_copy(value: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return `value` as plain JSON that Postgres can store; `what` names it in errors. Raises `InvalidInput`."""
    try:
        text = json.dumps(dict(value), ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:  # UnicodeEncodeError (lone surrogates) is a ValueError
        raise InvalidInput(
            f"The {what} of an approval must be JSON without NaN and lone surrogates: {error}"
        ) from error
    if _ESCAPED_NUL.search(text):
        raise InvalidInput(f"The {what} of an approval must not hold NUL characters.")
    if size > _MOST_BYTES:
        raise InvalidInput(f"The {what} of an approval are {size} bytes; the most is {_MOST_BYTES}.")
    return cast("dict[str, Any]", json.loads(text))
