"""Measure created tools: the cost of a call over the bare sandbox, whether the caps hold, and what escapes."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import statistics
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
from tests.cases.created_tool_cases import proposal
from tests.cases.sandbox_attempts import EXHAUST, OURS, QUICK, REACH

from agent.approval.human_approval import human_approval_queue
from agent.execution.safe_executor import safe_executor
from agent.runtime import open_runtime, use_runtime
from agent.sandbox.sandbox import Event, Failure, Finished, HostCall, Limits, Program, Sandbox, sandbox_of
from agent.testing.cluster import Cluster
from benchmarks.report import Report

ROUNDS = 200
CLOCK = datetime(2026, 1, 1, tzinfo=UTC)
SPINNERS = (
    "def run():\n    while True: pass",
    "def run():\n    n = 0\n    while True: n = (n * 7 + 1) % 1000003",
    "def run():\n    while True: sorted([3, 1, 2], key=lambda n: -n)",
)
# Of memory: each grows in small steps until it is ended.
GROWERS = (
    "def run():\n    a = []\n    while True: a.append('x' * 1000)",
    "def run():\n    d = {}\n    n = 0\n    while True:\n        d[n] = str(n)\n        n += 1",
    "def run():\n    a = []\n    while True: a = [a, a, 1.5]",
    "def run():\n    s = set()\n    n = 0\n    while True:\n        s.add((n, n))\n        n += 1",
)


async def measure(report: Report) -> None:
    """Measure the bars of created tools."""
    await _calls(report)
    for bwrap in (None, "") if shutil.which("bwrap") else ("",):
        sandbox = Sandbox(Limits(), bwrap=bwrap)
        place = "without bubblewrap" if bwrap == "" else "in bubblewrap"
        try:
            report.note(f"{place}: {await sandbox.probe()}")
            await _time(report, sandbox, place)
            await _memory(report, sandbox, place)
            await _attempts(report, bwrap, place)
        finally:
            await sandbox.close()


async def _calls(report: Report) -> None:
    cluster = Cluster()
    try:
        runtime = await open_runtime(cluster.database(cluster.template("blank")))
        with use_runtime(runtime):
            asked = await safe_executor.execute("create_new_tool", proposal(), wait=False)
            await human_approval_queue.decide(asked["approval_id"], "approve")
            await safe_executor.run_approved(asked["approval_id"])
            bare, whole = [], []
            for number in range(ROUNDS):
                started = time.perf_counter()
                event = await _event(sandbox_of(runtime), proposal()["code"], {"n": number})
                between = time.perf_counter()
                result = await safe_executor.execute("double", {"n": number})
                bare.append((between - started) * 1000)
                whole.append((time.perf_counter() - between) * 1000)
                assert isinstance(event, Finished)
                assert event.value == result["data"] == 2 * number
        await runtime.close()
    finally:
        cluster.close()
    # What other programs of the machine disturb least.
    quick_bare, quick_whole = (statistics.quantiles(times, n=4)[0] for times in (bare, whole))
    over = quick_whole - quick_bare
    report.bar(
        "a created tool's call (found, verified, checked, run, logged) over the bare sandbox, lower quartile",
        bar="<= 2 ms more",
        reached=f"{quick_whole:.2f} ms, {over:.2f} ms more than {quick_bare:.2f} ms",
        ok=over <= 2,
    )
    report.note(f"medians: {statistics.median(whole):.2f} ms, bare {statistics.median(bare):.2f} ms")


async def _event(sandbox: Sandbox, code: str, arguments: dict[str, object] | None = None) -> Event:
    program = Program(code=code, arguments=arguments or {}, functions=("query_data",), clock=CLOCK, seed="s")
    async with sandbox.run("bench") as run:
        event = await run.start(program)
        while isinstance(event, HostCall):
            event = await run.answer({"value": event.arguments})
    return event


async def _time(report: Report, sandbox: Sandbox, place: str) -> None:
    overruns = []
    for code in SPINNERS:
        await _event(sandbox, "def run(): return 1")  # so that no start of a process is counted
        started = time.perf_counter()
        assert isinstance(await _event(sandbox, code), Failure)
        overruns.append((time.perf_counter() - started) / sandbox.limits.seconds - 1)
    report.bar(
        f"time cap, {place}",
        bar="within 10 %",
        reached=f"{min(overruns):+.1%} to {max(overruns):+.1%}",
        ok=max(map(abs, overruns)) <= 0.1,
    )


async def _memory(report: Report, sandbox: Sandbox, place: str) -> None:
    worst = 0.0
    for code in GROWERS:
        async with sandbox.run("bench") as run:
            await run.start(Program(code="def run(): return 1", clock=CLOCK, seed="s"))
            monty = next(
                one for one in psutil.Process(run._worker.pid).children(recursive=True) if one.name() == "monty"
            )
            before = peak = monty.memory_info().rss
            task = asyncio.create_task(run.start(Program(code=code, clock=CLOCK, seed="s")))
            while not task.done():
                with suppress(psutil.NoSuchProcess):
                    peak = max(peak, monty.memory_info().rss)
                await asyncio.sleep(0.0005)
        assert isinstance(task.result(), Failure), task.result()
        worst = max(worst, (peak - before) / sandbox.limits.memory)
    report.bar(
        f"memory cap, {place} (growth of the interpreter's resident memory until it is ended)",
        bar="<= 110 % of the limit", reached=f"{worst:.0%} at most", ok=worst <= 1.1,
    )  # fmt: skip


async def _attempts(report: Report, bwrap: str | None, place: str) -> None:
    quick = Sandbox(Limits(seconds=0.5), bwrap=bwrap)
    escaped, slowest = [], 0.0
    os.environ["AGENT_CANARY"] = "a secret"
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        for name in ("canary", "victim"):
            (Path(folder) / name).write_text("a secret")
        port = str(listener.getsockname()[1])
        for name, code in {**REACH, **OURS, **EXHAUST, **QUICK}.items():
            started = time.perf_counter()
            event = await _event(quick, code.replace("FOLDER", folder).replace("PORT", port))
            slowest = max(slowest, time.perf_counter() - started)
            if isinstance(event, Finished) and event.value and name not in EXHAUST:
                escaped.append(name)
        if {path.name for path in Path(folder).iterdir()} != {"canary", "victim"}:
            escaped.append("files")
    alive = await _event(quick, "def run(): return 1")
    await quick.close()
    tried = len(REACH) + len(OURS) + len(EXHAUST) + len(QUICK)
    report.bar(
        f"attempts to escape or exhaust, {place}",
        bar=">= 60 tried, 0 escapes, the next tool runs",
        reached=f"{tried} tried, {len(escaped)} escapes {escaped or ''}, slowest {slowest:.1f} s with a limit of 0.5 s",
        ok=tried >= 60 and not escaped and isinstance(alive, Finished),
    )
