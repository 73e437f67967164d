"""Shows the settings that decide what may run, who is asked and which data may leave. No secret and no address is among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.audit.settings_in_force import POLICY_SETTINGS
from agent.runtime import Runtime
from agent.settings import Settings
from agent.settings.load import variable_name

# A program with its arguments, which may hold a password.
_ONLY_WHETHER = frozenset({"recovery_command"})
_OTHERS = (
    "undo_days", "undo_max_bytes", "max_rows", "statement_timeout", "read_views", "max_rounds", "max_calls_per_round",
    "max_question_chars", "tool_seconds", "tool_memory_mb", "tool_calls", "tool_require_bubblewrap", "api_auth", "rate_limit",
    "most_requests", "max_body_bytes", "worker_slots",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingView:
    """A setting as it is in force. For one that may hold a secret, `value` only says whether it is set."""

    name: str
    value: Any
    default: Any
    description: str


def in_force(runtime: Runtime) -> tuple[SettingView, ...]:
    """Return the settings that may be read."""
    return tuple(_view(name, runtime.settings) for name in (*POLICY_SETTINGS, *_OTHERS))


def _view(name: str, settings: Settings) -> SettingView:
    field, value = Settings.model_fields[name], getattr(settings, name)
    hidden = name in _ONLY_WHETHER
    return SettingView(
        name=variable_name(name), value=bool(value) if hidden else value, default=False if hidden else field.default,
        description=field.description or "",
    )  # fmt: skip
