"""The circuit breaker: it opens, lets one probe through, and decides nothing on behalf of calls from before."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.breaker import Breaker, CircuitOpen, Limits, Phase, State, enter, leave
from agent.learning.memory import agent_memory
from agent.learning.memory.embeddings import BREAKERS
from agent.learning.semantic_search import semantic_search
from agent.providers.embeddings import create_embedder
from agent.runtime import Runtime
from agent.testing.embedding_server import EmbeddingServer

LIMITS = Limits(failures=2, open_seconds=10, probe_seconds=20)


class Clock:
    """A time that tests move."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def fails() -> None:
    raise OSError("down")


async def works() -> str:
    return "up"


async def test_it_opens_after_failures_in_a_row_and_closes_after_a_probe_that_succeeds() -> None:
    clock = Clock()
    breaker = Breaker("server", LIMITS, clock=clock)
    for call in (fails, works, fails, fails):
        with suppress(OSError):
            await breaker.call(call, failed=OSError)
    assert breaker.state.phase is Phase.OPEN
    clock.now = 9.9
    with pytest.raises(CircuitOpen, match="server did not answer"):
        await breaker.call(works, failed=OSError)
    clock.now = 10
    with pytest.raises(OSError, match="down"):
        await breaker.call(fails, failed=OSError)
    clock.now = 19
    with pytest.raises(CircuitOpen):
        await breaker.call(works, failed=OSError)
    clock.now = 20
    assert await breaker.call(works, failed=OSError) == "up"
    assert breaker.state.phase is Phase.CLOSED


async def test_one_of_fifty_probes_passes() -> None:
    clock, made = Clock(), 0
    breaker = Breaker("server", Limits(open_seconds=10), clock=clock)
    with pytest.raises(OSError, match="down"):
        await breaker.call(fails, failed=OSError)
    clock.now = 10

    async def slow() -> None:
        nonlocal made
        made += 1
        await asyncio.sleep(0.01)

    results = await asyncio.gather(*(breaker.call(slow, failed=OSError) for _ in range(50)), return_exceptions=True)
    assert (made, sum(isinstance(result, CircuitOpen) for result in results)) == (1, 49)
    assert breaker.state.phase is Phase.CLOSED


async def test_a_cancelled_probe_opens_the_circuit_again_and_another_error_is_an_answer() -> None:
    clock = Clock()
    breaker = Breaker("server", Limits(open_seconds=10), clock=clock)
    with pytest.raises(OSError, match="down"):
        await breaker.call(fails, failed=OSError)
    clock.now = 10
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await breaker.call(lambda: asyncio.sleep(9), failed=OSError)
    assert breaker.state.phase is Phase.OPEN
    clock.now = 20
    with pytest.raises(OSError, match="down"):  # of a kind that does not count: the server answered
        await breaker.call(fails, failed=ValueError)
    assert breaker.state.phase is Phase.CLOSED


@given(
    st.lists(
        st.tuples(st.sampled_from(["enter", "succeed", "fail"]), st.floats(0, 30), st.integers(0, 5)), max_size=40
    ),
    st.integers(1, 4),
)
def test_in_half_open_no_more_calls_are_under_way_than_there_are_probes(
    steps: list[tuple[str, float, int]], probes: int
) -> None:
    limits = replace(LIMITS, probes=probes)
    state, now, under_way = State(), 0.0, []
    for what, passes, which in steps:
        now += passes
        if what == "enter":
            state, may = enter(state, now, limits)
            under_way += [state.generation] if may else []
        elif under_way:
            generation = under_way.pop(which % len(under_way))
            state = leave(state, now, limits, generation=generation, succeeded=what == "succeed")
        if state.phase is Phase.HALF_OPEN:
            assert under_way.count(state.generation) <= probes


def test_it_closes_when_every_probe_has_succeeded_and_a_hung_one_makes_room_for_new_ones() -> None:
    limits = Limits(failures=1, open_seconds=10, probe_seconds=20, probes=3)
    state = State(phase=Phase.OPEN, failures=1)
    for _ in range(3):
        state, may = enter(state, 10, limits)
        assert may
    assert not enter(state, 29.9, limits)[1]
    for _ in range(2):
        state = leave(state, 11, limits, generation=state.generation, succeeded=True)
    assert state.phase is Phase.HALF_OPEN  # the third hangs
    again, may = enter(state, 30, limits)
    assert may
    assert (again.probes, again.passed) == (1, 0)
    assert leave(again, 31, limits, generation=state.generation, succeeded=True) == again  # too late
    closed = leave(state, 12, limits, generation=state.generation, succeeded=True)
    assert (closed.phase, closed.failures) == (Phase.CLOSED, 0)
    assert leave(state, 12, limits, generation=state.generation, succeeded=False).phase is Phase.OPEN


async def test_an_embedder_that_is_down_costs_one_retry_and_then_nothing(runtime: Runtime) -> None:
    with EmbeddingServer().running() as server:
        settings = runtime.settings.model_copy(update={"embedder": "openai:synonyms", "openai_base_url": server.url})
        remote = replace(runtime, settings=settings, embedder=create_embedder(settings), cached={})
        clock = Clock()
        breaker = BREAKERS.put(remote, Breaker("openai:synonyms", clock=clock), "openai:synonyms")
        saved = await agent_memory.save("the zebra invoice", runtime=remote)
        server.failures = [503] * 99
        for _ in range(5):
            found = await semantic_search.search_memories("zebra", runtime=remote)
            assert [memory.id for memory in found] == [saved.id]
        assert server.requests == 2
        server.failures, clock.now = [], 31.0
        await asyncio.gather(*(semantic_search.search_memories("zebra", runtime=remote) for _ in range(9)))
        assert (server.requests, breaker.state.phase) == (3, Phase.CLOSED)
        await remote.embedder.close()
