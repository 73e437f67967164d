"""Propose an action for a client that may repeat itself: the same proposal within some minutes is the first one, not a second one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.approval.human_approval import human_approval_queue
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.types import CallKey, ToolResult

# The answer to a proposal may get lost on its way, so that the client proposes it again.
_REPEATED = timedelta(minutes=10)


async def propose(
    action: str, arguments: Mapping[str, Any], *, via: str, again: bool = False, runtime: Runtime
) -> ToolResult:
    """Execute an action without waiting for a human: "waiting" with its `approval_id`, or the outcome.

    A repetition by the same person gets the first one's request or outcome. `again` says that the same is to be done once more.
    """
    key = await _key(action, arguments, via=via, again=again, runtime=runtime)
    return await safe_executor.execute(action, arguments, call=key, by_model=True, wait=False, runtime=runtime)


async def _key(action: str, arguments: Mapping[str, Any], *, via: str, again: bool, runtime: Runtime) -> CallKey:
    what = json.dumps([runtime.user, runtime.database_id, action, dict(arguments)], sort_keys=True, default=str)
    digest = hashlib.sha256(what.encode("utf-8", "surrogatepass")).hexdigest()
    key = CallKey(thread_id=f"{via}-{digest[:24]}", turn=0, round=0, ordinal=0)
    last = await human_approval_queue.unmasked_last_of(key.thread_id, runtime=runtime)
    if last is None or last.turn is None:
        return key
    repeated = last.status == "pending" or (not again and last.created_at > datetime.now(UTC) - _REPEATED)
    return replace(key, turn=last.turn if repeated else last.turn + 1)
