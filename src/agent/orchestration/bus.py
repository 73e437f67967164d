"""Who listens to what happens in plans: handlers of this process, by the name of the event."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Literal, get_args

import structlog

from agent.errors import InvalidInput

EventName = Literal[
    "agent:insight", "agent:error", "step:started", "step:completed", "step:failed", "step:retried",
    "plan:started", "plan:completed", "plan:fallback",
]  # fmt: skip
Handler = Callable[[Mapping[str, Any]], object]
_NAMES = get_args(EventName)
_log = structlog.get_logger(__name__)


class EventBus:
    """Calls handlers. One that fails is logged, and disturbs neither the plan nor the other handlers."""

    def __init__(self) -> None:
        self._handlers: dict[str, list[Handler]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def on(self, event: str, handler: Handler) -> None:
        """Call `handler` with each event of this name. It may be a coroutine function. Raises `InvalidInput` for an unknown name."""
        if event not in _NAMES:
            raise InvalidInput(f"There is no event {event!r}: use one of {', '.join(_NAMES)}.")
        self._handlers.setdefault(event, []).append(handler)

    def off(self, event: str, handler: Handler) -> None:
        """Call `handler` no more."""
        if handler in self._handlers.get(event, ()):
            self._handlers[event].remove(handler)

    def emit(self, event: EventName, payload: Mapping[str, Any]) -> None:
        """Tell the handlers. Nobody waits for those that are coroutines."""
        for handler in tuple(self._handlers.get(event, ())):
            try:
                returned = handler(dict(payload))
            except Exception:  # a handler is a stranger's code; the plan goes on
                _log.exception("handler_failed", listened_to=event)
                continue
            if inspect.iscoroutine(returned):
                task = asyncio.create_task(_waited_for(returned, event))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)


async def _waited_for(returned: Coroutine[Any, Any, Any], event: str) -> None:
    try:
        await returned
    except Exception:  # as above
        _log.exception("handler_failed", listened_to=event)
