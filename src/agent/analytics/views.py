"""Shows findings and runs to people and programs: texts of errors and resources only to who may see personal values."""

from __future__ import annotations

from typing import Any, TypeVar

from agent.approval.people import people
from agent.privacy.masking import MASK
from agent.runtime import Runtime

T = TypeVar("T")
# An error can quote what the application's rows hold; the insight and the action may quote the error.
_TEXTS = frozenset({"error", "error_message"})


async def shown(value: T, *, runtime: Runtime) -> T:
    """Return findings or runs as the runtime's user may see them."""
    if (await people.membership(runtime=runtime)).sees_personal and not runtime.masked:
        return value
    masked: T = _masked(value)
    return masked


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        hidden = value.get("kind") == "failures"
        return {key: _hidden(key, one, in_failure=hidden) for key, one in value.items()}
    return [_masked(one) for one in value] if isinstance(value, list) else value


def _hidden(key: str, value: Any, *, in_failure: bool) -> Any:
    if value is None or value == []:
        return value
    return MASK if key in _TEXTS or (in_failure and key == "insight") else _masked(value)
