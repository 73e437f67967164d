"""A tool's code can think and ask, and nothing else; whatever it tries, the agent goes on."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from tests.cases.sandbox_attempts import EXHAUST, OURS, QUICK, REACH

from agent.errors import SandboxUnavailable
from agent.sandbox import process
from agent.sandbox.sandbox import Event, Failure, Finished, HostCall, Limits, Program, Sandbox

SECONDS = 0.25
LIMITS = Limits(seconds=SECONDS, memory=32_000_000, calls=20, text=20_000, printed=5_000)
CALM = replace(LIMITS, seconds=5.0)  # where time is not what is tested, a busy machine is no failure
FINE = "def run(n=1): return {'n': n}"


def program(
    code: str, *, functions: tuple[str, ...] = ("query_data",), arguments: dict[str, object] | None = None
) -> Program:
    return Program(
        code=code, arguments=arguments or {}, functions=functions, clock=datetime(2026, 1, 1, tzinfo=UTC), seed="s"
    )


@pytest.fixture(params=["bubblewrap", "alone"])
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    made = Sandbox(CALM, bwrap=None if request.param == "bubblewrap" else "")
    yield made
    await made.close()


@pytest.fixture(params=["bubblewrap", "alone"])
async def hasty(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """A sandbox whose runs may last a moment."""
    made = Sandbox(LIMITS, bwrap=None if request.param == "bubblewrap" else "")
    yield made
    await made.close()


async def outcome(sandbox: Sandbox, code: str, owner: str = "one") -> Event:
    """Runs to the end; every host call is answered with its arguments."""
    async with sandbox.run(owner) as run:
        event = await run.start(program(code))
        while isinstance(event, HostCall):
            event = await run.answer({"value": event.arguments})
    return event


@dataclass
class World:
    """What an attempt could reach: a folder, a variable, a listener."""

    folder: Path
    listener: socket.socket

    def code(self, code: str) -> str:
        return code.replace("FOLDER", str(self.folder)).replace("PORT", str(self.listener.getsockname()[1]))

    def reached(self) -> bool:
        """Whether anything was changed or called."""
        self.listener.setblocking(False)
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return {path.name for path in self.folder.iterdir()} != {"canary", "victim"}
        return True


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in ("canary", "victim"):
        (tmp_path / name).write_text("a secret")
    monkeypatch.setenv("AGENT_CANARY", "a secret")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield World(tmp_path, listener)


def test_most_attempts_succeed_where_there_is_no_sandbox(world: World) -> None:
    """Else they would prove nothing."""
    script = "import json, sys\nfor code in json.load(sys.stdin):\n    space = {'__name__': 'x'}\n    try:\n        exec(code, space)\n        print('IN', bool(space['run']()), flush=True)\n    except BaseException as e:\n        print('IN', False, flush=True)\n"
    codes = [world.code(code) for code in REACH.values()]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        input=json.dumps(codes),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("IN")]
    assert len(answers) == len(REACH)
    assert answers.count("True") >= 0.9 * len(REACH), [
        name for name, got in zip(REACH, answers, strict=True) if got != "True"
    ]


async def test_no_attempt_reaches_anything(hasty: Sandbox, world: World) -> None:
    got = {name: await outcome(hasty, world.code(code)) for name, code in REACH.items()}
    out = {name: event for name, event in got.items() if not isinstance(event, Failure) and event.value}
    assert out == {}
    assert not world.reached()
    assert await outcome(hasty, FINE) == Finished(value={"n": 1})


async def test_no_attempt_on_the_protocol_gets_an_answer(hasty: Sandbox) -> None:
    got = {name: await outcome(hasty, code) for name, code in OURS.items()}
    assert {name: event for name, event in got.items() if not isinstance(event, Failure)} == {}
    assert await outcome(hasty, FINE) == Finished(value={"n": 1})


async def test_every_exhaustion_ends_soon_and_the_next_tool_runs(hasty: Sandbox) -> None:
    slow: dict[str, float] = {}
    harmless: list[str] = []
    for name, code in EXHAUST.items():
        started = time.monotonic()
        event = await outcome(hasty, code)
        slow[name] = time.monotonic() - started
        assert len(str(event)) < 10_000, name
        if isinstance(event, Finished):
            harmless.append(name)
    assert set(harmless) <= {"recursion in repr", "a regex that backtracks", "a regex that is huge"}
    assert max(slow.values()) < 20, slow
    for name, code in QUICK.items():
        assert await outcome(hasty, code) == Finished(value=None), name
    assert await outcome(hasty, FINE) == Finished(value={"n": 1})


async def test_time_and_memory_end_where_they_are_set(hasty: Sandbox) -> None:
    async with hasty.run("one") as run:
        await run.start(program(FINE))
        worker = psutil.Process(run._worker.pid)
        families = [worker, *worker.children(recursive=True)]
        before = sum(each.memory_info().rss for each in families)
        task = asyncio.create_task(run.start(program("def run():\n    a = []\n    while True: a.append('x' * 1000)")))
        peak = before
        while not task.done():
            peak = max(peak, sum(each.memory_info().rss for each in families if each.is_running()))
            await asyncio.sleep(0.001)
    assert isinstance(task.result(), Failure)
    assert peak - before < 2 * LIMITS.memory
    fits = f"def run(): return len('x' * {int(LIMITS.memory * 0.9)})"
    too_much = f"def run(): return len('x' * {int(LIMITS.memory * 1.1)})"
    assert isinstance(await outcome(hasty, fits), Finished)
    assert isinstance(await outcome(hasty, too_much), Failure)


async def test_nothing_of_one_tool_is_left_for_another(sandbox: Sandbox) -> None:
    async with sandbox.run("one") as run:
        await run.start(
            program("import json\nleft = 'secret'\njson.left = left if hasattr(json, 'x') else 1\ndef run(): return 1")
        )
        first = run._worker.pid
    async with sandbox.run("two") as run:
        assert run._worker.pid != first
        event = await run.start(program("def run(): return left"))
    assert isinstance(event, Failure)
    async with sandbox.run("one") as run:
        event = await run.start(program("def run(): return left"))
    assert isinstance(event, Failure)
    assert "left" in event.text


async def test_the_worker_has_no_environment_no_descriptors_and_no_network(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_CANARY", "a secret")
    await outcome(sandbox, FINE)
    async with sandbox.run("one") as run:
        await run.start(program(FINE))
        family = [one for one in psutil.Process(run._worker.pid).children(recursive=True) if one.name() == "monty"]
        assert len(family) == 1
        (monty,) = family
        assert monty.environ() == {}
        place = Path(f"/proc/{monty.pid}")
        descriptors = [(file.name, str(file.readlink())) for file in (place / "fd").iterdir()]
        assert all(target.startswith("pipe:") for number, target in descriptors if number in {"0", "1"})
        assert not [target for _, target in descriptors if target.startswith("socket:")]
        if sandbox.kind.startswith("bubblewrap"):
            assert (place / "ns/net").readlink() != Path("/proc/self/ns/net").readlink()
            assert not {"etc", "home", "tmp", "var"} & {path.name for path in (place / "root").iterdir()}


async def test_a_killed_worker_is_a_failure_and_the_next_call_has_another(sandbox: Sandbox) -> None:
    async with sandbox.run("one") as run:
        event = await run.start(program("def run(): return query_data(n=1)"))
        assert isinstance(event, HostCall)
        family = psutil.Process(run._worker.pid).children(recursive=True)
        os.killpg(run._worker.pid, signal.SIGKILL)
        await asyncio.to_thread(psutil.wait_procs, family, timeout=10)
        event = await run.answer({"value": 1})
    assert isinstance(event, Failure)
    assert await outcome(sandbox, FINE) == Finished(value={"n": 1})


async def test_a_cancelled_run_leaves_no_process(sandbox: Sandbox) -> None:
    pids: list[int] = []

    async def spin() -> None:
        async with sandbox.run("one") as run:
            pids.append(run._worker.pid)
            await run.start(program("def run():\n    while True: pass"))

    task = asyncio.create_task(spin())
    while not pids:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not psutil.pid_exists(pids[0])


async def test_a_worker_that_reads_nothing_is_given_up_too(hasty: Sandbox) -> None:
    async with hasty.run("one") as run:
        await run.start(program(FINE))
        worker = psutil.Process(run._worker.pid)
        for each in (worker, *worker.children(recursive=True)):
            each.suspend()
        started = time.monotonic()
        event = await run.start(program(f"def run(): return len('{'x' * 1_000_000}')"))
        assert isinstance(event, Failure)
        assert time.monotonic() - started < 10
    assert await outcome(hasty, FINE) == Finished(value={"n": 1})


HOLDER = """import os, struct, subprocess, sys
left = subprocess.Popen(["sleep", "30"], start_new_session=True)
frame = b'{"is": "ready", "pid": %d}' % left.pid
os.write(1, struct.pack(">I", len(frame)) + frame)
sys.stdin.read()
"""


async def test_a_process_that_outlives_its_worker_and_holds_the_pipe_is_not_waited_for() -> None:
    worker = await process.Worker.start([sys.executable, "-c", HOLDER])
    left = [one for one in psutil.Process(worker.pid).children() if one.name() == "sleep"]
    assert len(left) == 1
    async with asyncio.timeout(10):
        await worker.end()
    assert left[0].is_running()
    left[0].kill()
    with pytest.raises(process.WorkerEnded):
        await worker._receive()  # the pipe's end, at which asyncio closes it


async def test_a_run_is_taken_away_and_goes_on_in_another_process(sandbox: Sandbox) -> None:
    code = "import random\ndef run():\n    first = random.random()\n    got = query_data(n=2)\n    return [first, got, random.random()]"
    async with sandbox.run("one") as run:
        assert await run.start(program(code)) == HostCall(function="query_data", arguments={"n": 2})
        state = await run.state()
        here = await run.answer({"value": 5})
    async with sandbox.run("two") as run:
        there = await run.restore(state, {"value": 5}, functions=("query_data",), calls=1)
    assert isinstance(here, Finished)
    assert here == there


async def test_a_host_functions_error_is_an_exception_in_the_code(sandbox: Sandbox) -> None:
    async with sandbox.run("one") as run:
        await run.start(
            program(
                "def run():\n    try:\n        return query_data()\n    except RuntimeError as e:\n        return str(e)"
            )
        )
        assert await run.answer({"error": "no such table"}) == Finished(value="no such table")


async def test_without_a_sandbox_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "plain_command", lambda limits: ["/nonexistent/interpreter"])
    broken = Sandbox(LIMITS, bwrap="/bin/false")
    with pytest.raises(SandboxUnavailable, match="Created tools cannot run"):
        await outcome(broken, FINE)
    await broken.close()


async def test_where_bubblewrap_does_not_work_the_limits_alone_hold_and_it_says_so() -> None:
    alone = Sandbox(LIMITS, bwrap="/bin/false")
    assert await alone.probe() == "resource limits and an empty environment"
    await alone.close()


async def test_a_large_limit_is_one_that_can_be_used() -> None:
    large = Sandbox(Limits(memory=1_000_000_000, seconds=20.0), bwrap=None)
    assert await outcome(large, "def run(): return len('x' * 800000000)") == Finished(value=800_000_000)
    await large.close()


async def test_where_bubblewrap_is_required_nothing_runs_without_it() -> None:
    for bwrap in ("/bin/false", ""):
        strict = Sandbox(LIMITS, bwrap=bwrap, required=True)
        with pytest.raises(SandboxUnavailable, match="AGENT_TOOL_REQUIRE_BUBBLEWRAP"):
            await outcome(strict, FINE)
        await strict.close()


async def test_what_ran_in_bubblewrap_does_not_run_without_it_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "bwrap_command", lambda bwrap, limits: process.plain_command(limits))
    made = Sandbox(LIMITS, bwrap="/usr/bin/bwrap")
    assert (await made.probe()).startswith("bubblewrap")
    monkeypatch.setattr(process, "bwrap_command", lambda bwrap, limits: ["/bin/false"])
    with pytest.raises(SandboxUnavailable, match="does not start"):
        await outcome(made, FINE)
    await made.close()


OUT = """
import json, os, socket
found = []
for path in ("/etc/passwd", "/root", "/home", "/tmp", "FOLDER/canary", "/var", "/run", "/sys", "/srv"):
    try:
        os.stat(path)
        found.append(path)
    except OSError:
        pass
for place in (("127.0.0.1", PORT), ("1.1.1.1", 53)):
    try:
        socket.create_connection(place, timeout=0.5)
        found.append(place)
    except OSError:
        pass
for folder in ("/", "/usr", "/dev/shm", "/sandbox"):
    try:
        open(folder + "/written", "w").close()
        if folder != "/dev/shm":
            found.append("wrote " + folder)
    except OSError:
        pass
found += [name for name in os.environ if name not in ("PWD", "LC_CTYPE")]
found += [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) > 9]
print(json.dumps(found))
"""


def test_who_gets_out_of_the_interpreter_finds_nothing_in_bubblewrap(world: World) -> None:
    bwrap = shutil.which("bwrap")
    if bwrap is None:  # nothing is promised then but the interpreter and the limits
        return
    command = process.bwrap_command(bwrap, LIMITS)
    place = command.index("-S") + 1
    done = subprocess.run(
        [*command[:place], "-c", world.code(OUT)], capture_output=True, text=True, check=True, timeout=30
    )
    found = [one for one in json.loads(done.stdout) if not str(one).startswith(tuple(_interpreters()))]
    assert found == []


def _interpreters() -> set[str]:
    """Where the interpreter itself lies, which is shown."""
    return {f"/{Path(prefix).parts[1]}" for prefix in (sys.base_prefix, sys.base_exec_prefix)} - {"/usr"}
