"""Publishes events of plans to the sync channel `plans`, which is read over WebSocket, server-sent events and long polls.

What steps did and what agents noticed goes to the analytics, too: each end of a step is a run of its agent, each insight one of the type
`insight:<its type>`.

The rows are read, whichever process wrote them, so nothing is lost with a process. Each has a key of its own: any number of processes may
publish, and the channel holds each event once. An event says which row to look at, and holds no text and no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import structlog

import agent.sync.channels as channels
import agent.sync.events as events
from agent.analytics import AnalyticsService
from agent.db import load_queries
from agent.errors import AgentError, NotFound
from agent.orchestration.standard import PREFIXES
from agent.runtime import Runtime
from agent.sync.wakeups import wakeups_of

CHANNEL, SOURCE = "plans", "orchestrator"
MOST_TOGETHER = 500
_NO_AGENTS = (
    "human",
    "plan",
    "list",
    "register",
)  # who is asked, what is no agent, and names that the analytics do not take
_log = structlog.get_logger(__name__)
_QUERIES = load_queries(__package__)


async def publish(*, runtime: Runtime) -> int:
    """Publish what is new of the runtime's tenant, and return how much. The channel is made at the first event."""
    rows = await runtime.all(_QUERIES["unpublished"], limit=MOST_TOGETHER)
    if not rows:
        return 0
    given = [{"event_type": one["kind"], "dedupe_key": f"plan:{one['id']}", "data": one["data"]} for one in rows]
    new = [events.checked({**one, "source_agent_id": SOURCE}, broadcast=False, runtime=runtime) for one in given]
    await events.append(await _channel(runtime), new, runtime=runtime)
    wakeups_of(runtime).announce()
    await _analysed(rows, runtime)
    await runtime.execute(_QUERIES["published"], ids=[one["id"] for one in rows])
    return len(rows)


async def _analysed(rows: list[dict[str, Any]], runtime: Runtime) -> None:
    """Log runs of agents. The analytics take each once; what they refuse keeps no event from being published."""
    runs = [run for row in rows if (run := run_of(row["kind"], row["data"], row["action"])) is not None]
    if not runs:
        return
    try:
        await AnalyticsService(runtime).log_runs(runs)
    except AgentError as error:
        _log.warning("plan_runs_not_logged", error=str(error), count=len(runs))


def run_of(kind: str, data: Mapping[str, Any], action: str | None) -> dict[str, Any] | None:
    """Return what an event tells the analytics. Agents of a learner count as one of their kind; a learner is named nowhere. Pure."""
    name = data.get("agentId")
    if kind not in ("step:completed", "step:failed", "agent:insight") or name is None or name in _NO_AGENTS:
        return None
    agent = next((prefix for prefix in PREFIXES.values() if name.startswith(prefix)), name)
    run = {"agent_name": agent, "task_id": f"plan:{data['eventId']}"}
    if kind == "agent:insight":
        return {**run, "task_type": f"insight:{data.get('type') or 'other'}"[:200], "success": True}
    return {
        **run,
        "task_type": action or "step",
        "success": kind == "step:completed",
        "execution_time": (data.get("duration") or 0) / 1000,
    }


async def _channel(runtime: Runtime) -> UUID:
    try:
        found = await channels.named(CHANNEL, runtime=runtime)
    except NotFound:
        found = await channels.create(
            CHANNEL, channel_type="bidirectional", sync_strategy="immediate", batch_size=100, batch_ms=20, runtime=runtime
        )  # fmt: skip
    return UUID(found.channel_id)
