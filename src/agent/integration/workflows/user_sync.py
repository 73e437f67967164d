"""Brings what is known of a user to the database and tells every client of it."""

from __future__ import annotations

from agent.integration.workflow import Task, Workflow

_USER = {
    "type": "object",
    "properties": {"user_id": {"type": "string", "minLength": 1, "maxLength": 200}, "data": {"type": "object"}},
    "required": ["user_id", "data"],
}
_FETCHED = {"user_id": {"$from": "fetch_user_data.user_id"}, "data": {"$from": "fetch_user_data.data"}}

USER_SYNC = Workflow(
    name="user_sync",
    description="Fetch a user's data, check it, store it, and tell every client.",
    parameters={"user_id": None, "data": {}},
    tasks=(
        Task(name="fetch_user_data", agent="database_sync", takes={"user_id": "{user_id}", "data": "{data}"}),
        Task(name="validate_data", agent="schema_validator", takes={"definition": _USER, "data": _FETCHED}),
        Task(name="update_database", agent="database_sync", takes={"kind": "users", "key": "{user_id}", "value": {"$from": "validate_data.data.data"}}),
        Task(name="broadcast_update", agent="realtime_update", takes={
            "channel": "users", "event": "user-updated", "data": {"user_id": {"$from": "fetch_user_data.user_id"}},
        }),
    ),
)  # fmt: skip
