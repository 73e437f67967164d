"""What a request must be to be stored, and the values of its row."""

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

# A NUL as JSON writes it, and not the six characters of that name after a backslash.
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_MOST_SECONDS = 366 * 24 * 3600.0
_MOST_BYTES = 1_000_000
_MOST_COMMENT = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """A question to a human, as it is about to be stored."""

    action: str
    arguments: Mapping[str, Any]
    risk_level: RiskLevel
    reasons: Sequence[str] = ()
    summary: str = ""
    preview: Preview | None = None
    policy_version: str = "1"
    executable: bool = True


def row_values(
    new: NewRequest,
    *,
    runtime: Runtime,
    requested_by: str | None = None,
    call: CallKey | None = None,
    seconds: float | None = None,
    replaces: Approval | None = None,
) -> dict[str, Any]:
    """The values of a new row. Raises `InvalidInput`."""
    settings = runtime.settings
    seconds = (
        settings.seconds_to_approve(new.risk_level) if seconds is None and new.risk_level in RISK_LEVELS else seconds
    )
    _check(new.action, new.risk_level, seconds)
    assert seconds is not None  # noqa: S101  # a known risk has its seconds, and others are refused
    shown = json_copy(new.preview.to_json(), "preview") if new.preview else None
    given = json_copy(new.arguments, "arguments")
    key = asdict(call) if call else {"thread_id": None, "turn": None, "round": None, "ordinal": None}
    return {
        "tenant_id": runtime.tenant_id, "database_id": runtime.database_id, "action": new.action, "arguments": Jsonb(given),
        "risk_level": new.risk_level, "reasons": [storable(reason) for reason in new.reasons],
        "summary": storable(new.summary) or f"Allow {new.action}?",
        "preview": Jsonb(shown) if shown is not None else None, "policy_version": new.policy_version,
        "binding": binding(new.action, given, policy_version=new.policy_version, preview=new.preview),
        "executable": new.executable, "requested_by": clean_name(requested_by or runtime.user),
        "votes_needed": settings.votes_to_approve(new.risk_level), "replaces": replaces.id if replaces else None,
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
    """The binding that a request for this has when it is stored. Raises `InvalidInput`."""
    return binding(action, json_copy(arguments, "arguments"), policy_version=policy_version, preview=preview)


def identifier(approval_id: int) -> int:
    """A number that may be an approval's. Raises `NotFound`."""
    if not isinstance(approval_id, int) or isinstance(approval_id, bool) or not 0 < approval_id < 2**63:
        long = isinstance(approval_id, int) and approval_id.bit_length() > 200  # Python does not write it out
        shown = "with so long a number" if long else repr(str(approval_id)[:50])
        raise NotFound(f"There is no approval {shown}. `agent approvals list` shows what waits.")
    return approval_id


def short_text(text: str | None) -> str | None:
    """A human's words as they are kept."""
    return None if text is None else storable(str(text))[:_MOST_COMMENT]


def json_copy(value: Mapping[str, Any], what: str) -> dict[str, Any]:
    """`value` as plain JSON that Postgres can store. Raises `InvalidInput`."""
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
