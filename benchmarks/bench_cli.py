"""Measure the command line: the CPU time of `agent --help`, and the memory of a chat process over 100 turns."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Report

AGENT = str(Path(sys.executable).with_name("agent"))
_CPU_BAR, _MEMORY_BAR = 0.4, 300
_RUNS, _TURNS = 5, 100
_HELP = (("--help",), ("chat", "--help"), ("approvals", "approve", "--help"))
_QUESTIONS = (
    "How many clients are active?",
    "And how many are paused?",
    "top 5 clients by monthly budget",
    "How many campaigns are there per objective?",
    "total of overdue invoices by client",
)


async def measure(report: Report) -> None:
    for arguments in _HELP:
        seconds = min(cpu_seconds(AGENT, *arguments) for _ in range(_RUNS))
        report.bar(
            f"CPU of `agent {' '.join(arguments)}`",
            bar=f"<= {_CPU_BAR} s",
            reached=f"{seconds:.2f} s",
            ok=seconds <= _CPU_BAR,
        )
    home = tempfile.mkdtemp(prefix="bench-cli-")
    try:
        await asyncio.to_thread(_measure_chat, report, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def cpu_seconds(*command: str) -> float:
    """Return the user and system time of one process and the children that it waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def _measure_chat(report: Report, home: str) -> None:
    environment = {"PATH": os.environ["PATH"], "AGENT_HOME": home, "LANG": "C.UTF-8"}
    started = time.perf_counter()
    subprocess.run([AGENT, "demo"], env=environment, cwd=home, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    report.bar("`agent demo` on a fresh home", bar="<= 10 s", reached=f"{seconds:.1f} s", ok=seconds <= 10)
    questions = "\n".join(_QUESTIONS[turn % len(_QUESTIONS)] for turn in range(_TURNS))
    process = subprocess.Popen(
        [AGENT, "chat"], env=environment, cwd=home, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    started = time.perf_counter()
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(questions)
        process.stdin.close()
        answers = process.stdout.read().count("from SELECT")
        # Of this process alone: the server is none of its children.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    megabytes = usage.ru_maxrss / 1024
    report.bar(
        f"resident memory of a chat process over {_TURNS} turns", bar=f"< {_MEMORY_BAR} MB", reached=f"{megabytes:.0f} MB",
        ok=megabytes < _MEMORY_BAR and process.returncode == 0 and answers == _TURNS,
    )  # fmt: skip
    report.note(
        f"{answers} of {_TURNS} turns were answered from a statement, {1000 * (time.perf_counter() - started) / _TURNS:.0f} ms each"
    )
