"""Let Ctrl-C call a function of the running event loop, for as long as something runs; such times can be nested."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_CALLED: ContextVar[Callable[[], object] | None] = ContextVar("called_at_interrupt", default=None)


@contextmanager
def at_interrupt(call: Callable[[], object]) -> Iterator[None]:
    """Call `call` at Ctrl-C inside the `with` block, in place of what was called before."""
    loop, before, outer = asyncio.get_running_loop(), signal.getsignal(signal.SIGINT), _CALLED.get()
    loop.add_signal_handler(signal.SIGINT, call)
    token = _CALLED.set(call)
    try:
        yield
    finally:
        _CALLED.reset(token)
        if outer is not None:
            loop.add_signal_handler(signal.SIGINT, outer)
        else:
            loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, before)


@contextmanager
def left_to_the_terminal(handler: Callable[..., object]) -> Iterator[None]:
    """Let Ctrl-C only call `handler` inside the `with` block. Otherwise an event loop would notice it too, and stop the next turn."""
    wakeup = signal.set_wakeup_fd(-1)
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        signal.set_wakeup_fd(wakeup)
