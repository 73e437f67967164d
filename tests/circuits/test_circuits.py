"""Circuits that processes share: they open together, let exactly three probes through, and close together."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from agent import circuits
from agent.breaker import CircuitOpen, Limits, Phase
from agent.circuits import SHARED
from agent.circuits.store import LOOK_SECONDS
from agent.runtime import Runtime
from agent.testing.processes import agent_process
from agent.testing.running import running

FAST = replace(SHARED, open_seconds=0.2, probe_seconds=0.3)
PROGRAM = """
import asyncio, sys
from pathlib import Path
from dataclasses import replace
from agent import circuits
from agent.breaker import CircuitOpen
from agent.runtime import open_runtime

async def main(go, limits=replace(circuits.SHARED, open_seconds=0.2)):
    runtime, made, refused = await open_runtime(), 0, 0
    async def probe():
        nonlocal made
        made += 1
        await asyncio.sleep(1)
    async def one():
        nonlocal refused
        try:
            await circuits.call("server", probe, limits=limits, runtime=runtime)
        except CircuitOpen:
            refused += 1
    print("ready", flush=True)
    while not go.exists():
        await asyncio.sleep(0.01)
    await asyncio.gather(*(one() for _ in range(25)))
    print("made", made, "refused", refused, "end", flush=True)

asyncio.run(main(Path(sys.argv[1])))
"""


async def works() -> str:
    return "up"


async def fails() -> None:
    raise OSError("down")


async def hangs() -> None:
    await asyncio.sleep(60)


async def opened(runtime: Runtime, limits: Limits = FAST) -> None:
    for _ in range(limits.failures):
        with pytest.raises(OSError, match="down"):
            await circuits.call("server", fails, limits=limits, runtime=runtime)


async def test_five_failures_in_a_row_open_it_for_every_process_and_three_probes_close_it(runtime: Runtime) -> None:
    async with running(runtime.settings) as other:
        for _ in range(4):
            with pytest.raises(OSError, match="down"):
                await circuits.call("server", fails, limits=FAST, runtime=runtime)
        assert await circuits.call("server", works, limits=FAST, runtime=other) == "up"  # that ends the row
        slow = replace(FAST, open_seconds=3 * LOOK_SECONDS)
        await opened(runtime, slow)
        await asyncio.sleep(LOOK_SECONDS)  # so long the other believes what it saw, and then looks while a call passes
        assert await circuits.call("server", works, limits=slow, runtime=other) == "up"
        await asyncio.sleep(0.3)
        for one in (runtime, other):
            with pytest.raises(CircuitOpen):
                await circuits.call("server", works, limits=slow, runtime=one)
        stranger = runtime.for_tenant("another")
        assert await circuits.call("server", works, limits=slow, runtime=stranger) == "up"
        assert await circuits.listed(runtime=stranger) == []
        await asyncio.sleep(2 * LOOK_SECONDS)
        for one in (other, runtime):
            assert await circuits.call("server", works, limits=slow, runtime=one) == "up"
        assert [one.phase for one in await circuits.listed(runtime=runtime)] == [Phase.HALF_OPEN]
        assert await circuits.call("server", works, limits=slow, runtime=other) == "up"
        (found,) = await circuits.listed(runtime=runtime)
        assert (found.phase, found.failures, found.error) == (Phase.CLOSED, 0, "OSError")


async def test_three_of_fifty_calls_of_two_processes_probe(runtime: Runtime, tmp_path: Path) -> None:
    await opened(runtime)
    go = tmp_path / "go"
    processes = [agent_process(runtime.settings, "-c", PROGRAM, str(go), folder=tmp_path / name) for name in "ab"]
    for name in "ab":
        (tmp_path / name).mkdir()
    async with processes[0] as first, processes[1] as second:
        for one in (first, second):
            await one.until_said("ready")
        go.touch()
        for one in (first, second):
            await one.until_said("end")
        numbers = [tuple(map(int, one.said.split("made ")[1].split()[::2][:2])) for one in (first, second)]
    assert (sum(made for made, _ in numbers), sum(refused for _, refused in numbers)) == (3, 47)


async def test_probes_that_hang_or_are_cancelled_do_not_close_it_and_do_not_keep_it_shut(runtime: Runtime) -> None:
    await opened(runtime)
    await asyncio.sleep(0.2)
    hung = [asyncio.create_task(circuits.call("server", hangs, limits=FAST, runtime=runtime)) for _ in range(3)]
    await asyncio.sleep(0.15)
    with pytest.raises(CircuitOpen):
        await circuits.call("server", works, limits=FAST, runtime=runtime)
    await asyncio.sleep(0.3)
    assert await circuits.call("server", works, limits=FAST, runtime=runtime) == "up"
    for one in hung:
        one.cancel()
    await asyncio.gather(*hung, return_exceptions=True)
    assert await circuits.call("server", works, limits=FAST, runtime=runtime) == "up"  # they were from before
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await circuits.call("server", hangs, limits=FAST, runtime=runtime)
    with pytest.raises(CircuitOpen):
        await circuits.call("server", works, limits=FAST, runtime=runtime)
    assert await circuits.close("server", runtime=runtime)
    assert await circuits.call("server", works, limits=FAST, runtime=runtime) == "up"
    assert not await circuits.close("nothing", runtime=runtime)
    assert await circuits.forget_old(days=0, runtime=runtime) == 1
