"""What runs side by side ends together."""

from __future__ import annotations

import asyncio

import pytest

from agent.concurrency import gather_or_cancel


async def give(value: int) -> int:
    await asyncio.sleep(0)
    return value


async def fail(error: BaseException) -> int:
    await asyncio.sleep(0)
    raise error


class Slow:
    """Work that takes for ever, and a moment more when it is cancelled."""

    ended = False

    async def work(self) -> int:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            self.ended = True
        return 0


async def test_each_result_is_in_its_place() -> None:
    assert await gather_or_cancel(give(1), give(2)) == (1, 2)
    assert await gather_or_cancel(give(1), give(2), give(3)) == (1, 2, 3)


async def test_the_error_of_one_comes_alone_after_the_others_have_ended() -> None:
    slow, error, cause = Slow(), ValueError("it"), KeyError("why")
    error.__cause__ = cause
    with pytest.raises(ValueError, match="it") as caught:
        await gather_or_cancel(slow.work(), fail(error))
    assert slow.ended
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (cause, None)


async def test_a_cancelled_caller_waits_for_what_it_began() -> None:
    slow = Slow(), Slow()
    task = asyncio.create_task(gather_or_cancel(slow[0].work(), slow[1].work()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [one.ended for one in slow] == [True, True]
