"""Stores the rules in force as a row: they are settings of each process, and the audit log shows when they changed."""

from __future__ import annotations

from psycopg.types.json import Jsonb

from agent.db import load_queries
from agent.runtime import Cache, Runtime

_QUERIES = load_queries(__package__)

# The settings that decide what may run, who is asked and which data may leave.
POLICY_SETTINGS = (
    "ask_from", "refuse", "deny", "secret_columns", "open_columns", "read_secrets", "many_rows", "quorum", "approval_timeout",
    "approval_timeouts", "actor_rights", "reader_bypass_rls", "mask_personal", "trusted_sources", "email_domains", "email_refuse_others",
    "environment", "freeze", "recovery_max_age", "recovery_command", "max_changed_rows", "data_sharing",
)  # fmt: skip
_STORED: Cache[dict[str, object]] = Cache()


async def record_policy(runtime: Runtime) -> None:
    """Store the rules of this process before its first request, unless they are stored already."""
    rules = {name: getattr(runtime.settings, name) for name in POLICY_SETTINGS}
    if _STORED.get(runtime, runtime.tenant_id) == rules:
        return
    await runtime.execute(_QUERIES["record_policy"], settings=Jsonb(rules), user=runtime.user)
    _STORED.put(runtime, rules, runtime.tenant_id)
