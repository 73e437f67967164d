"""Run coroutines at the same time, and stop all of them when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, overload

_A = TypeVar("_A")
_B = TypeVar("_B")
_C = TypeVar("_C")


@overload
async def gather_or_cancel(first: Coroutine[Any, Any, _A], second: Coroutine[Any, Any, _B], /) -> tuple[_A, _B]: ...
@overload
async def gather_or_cancel(
    first: Coroutine[Any, Any, _A], second: Coroutine[Any, Any, _B], third: Coroutine[Any, Any, _C], /
) -> tuple[_A, _B, _C]: ...
async def gather_or_cancel(*coroutines: Coroutine[Any, Any, Any]) -> tuple[Any, ...]:
    """Return the results of all coroutines. If one fails, cancel the others, wait for their end, then raise its error.

    After an error in `asyncio.gather` the others would still run, on connections that the caller has closed meanwhile.
    """
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as failures:
        failure = failures.exceptions[0]
    if failure is not None:  # raised outside of `except`, so that the group is not its context
        raise failure
    return tuple(task.result() for task in tasks)


async def end_tasks(*tasks: asyncio.Task[Any], again: float = 0.5) -> None:
    """Cancel tasks and wait until they have ended; their errors are theirs.

    One cancellation may be lost: until Python 3.12 `asyncio.wait_for`, with which a pool of connections waits, swallows one that
    comes together with what it waits for. So whoever has not ended after `again` seconds is cancelled again.
    """
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        ended, waiting = await asyncio.wait(waiting, timeout=again)
        for task in ended:
            if not task.cancelled():
                task.exception()  # so that nobody is told that it was never looked at


def background(work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
    """Begin `work` without waiting for it; `tasks` holds it until it ends."""
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
