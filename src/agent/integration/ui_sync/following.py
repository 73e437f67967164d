"""Follows a component: what is missed first, then each change as it comes, for as long as the caller reads."""

from __future__ import annotations

from collections.abc import AsyncIterator

from agent.integration.ui_sync.components import Missed, missed
from agent.runtime import Runtime
from agent.sync.wakeups import wakeups_of


async def follow(component_id: str, after: int, *, runtime: Runtime) -> AsyncIterator[Missed | None]:
    """Yield what was changed after a version; None after a wait without changes. Raises `NotFound`."""
    wakeups = wakeups_of(runtime)
    woken = wakeups.watch()
    try:
        while True:
            async with wakeups.turns:
                found = await missed(component_id, after, runtime=runtime)
            after = found.version
            yield found if found.changes or found.reset else None
            if not found.changes:
                await wakeups.wait(woken, runtime.settings.sync_poll_seconds)
    finally:
        wakeups.unwatch(woken)
