"""What runs side by side ends together."""

from __future__ import annotations

import asyncio

import pytest

from agent.concurrency import end_tasks, gather_or_cancel


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


async def test_a_task_that_loses_its_cancellation_is_ended_all_the_same() -> None:
    async def loop(answer: asyncio.Future[None]) -> None:
        try:  # as `asyncio.wait_for` until Python 3.12, if the answer comes with the cancellation
            await answer
        except asyncio.CancelledError:
            if not answer.done():
                raise
        await asyncio.sleep(60)

    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    lost, slow = asyncio.create_task(loop(answer)), Slow()
    other, failing = asyncio.create_task(slow.work()), asyncio.create_task(fail(ValueError("it")))
    await asyncio.sleep(0.01)
    answer.set_result(None)
    async with asyncio.timeout(5):
        await end_tasks(lost, other, failing, again=0.05)
    assert (lost.cancelled(), other.cancelled(), slow.ended) == (True, True, True)


async def test_a_pool_that_waits_for_a_connection_does_not_keep_its_task_alive() -> None:
    async def listen(condition: asyncio.Condition) -> None:
        async with condition:
            await asyncio.wait_for(condition.wait(), 60)
        await asyncio.sleep(60)

    for pause in (0, 1, 2, 3):
        condition = asyncio.Condition()
        task = asyncio.create_task(listen(condition))
        await asyncio.sleep(0.01)
        async with condition:
            condition.notify_all()
        for _ in range(pause):  # the cancellation meets the answer at different steps
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await end_tasks(task, again=0.05)
        assert task.done()
