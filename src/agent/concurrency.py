"""Coroutines side by side, of which none goes on after another has failed."""

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
async def gather_or_cancel(*work: Coroutine[Any, Any, Any]) -> tuple[Any, ...]:
    """What each of them returns. When one fails the others are cancelled, and have ended before its error is raised.

    Unlike `asyncio.gather`, after which they work on, with what their caller has closed meanwhile.
    """
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as failures:
        failure = failures.exceptions[0]
    if failure is not None:  # raised out here, so that the group is not its context
        raise failure
    return tuple(task.result() for task in tasks)
