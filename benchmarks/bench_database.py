"""Measure the embedded database: a first and a later start, loading the demonstration application, backup and restore."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agent.db import embedded, maintenance
from agent.demo import application
from agent.runtime import open_runtime
from agent.settings import Settings
from benchmarks.report import Report


async def measure(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="la-bench-", dir="/tmp") as folder:
        settings = Settings(_env_file=None, home=Path(folder) / "home")
        try:
            await _measure_starts(report, settings)
            await asyncio.to_thread(_measure_data, report, settings, Path(folder) / "backup")
        finally:
            embedded.stop(settings.home)


async def _measure_starts(report: Report, settings: Settings) -> None:
    first = await _opened(settings)
    report.bar(
        "first start: server made, migrated, logins ready", bar="<= 3 s", reached=f"{first:.2f} s", ok=first <= 3
    )
    embedded.stop(settings.home)
    later = await _opened(settings)
    report.bar("later start of a stopped server", bar="<= 1 s", reached=f"{later:.2f} s", ok=later <= 1)
    joined = min([await _opened(settings) for _ in range(5)])
    report.bar("joining a running server", bar="<= 0.2 s", reached=f"{joined * 1000:.0f} ms", ok=joined <= 0.2)


async def _opened(settings: Settings) -> float:
    started = time.perf_counter()
    runtime = await open_runtime(settings)
    async with runtime.transaction() as conn:
        await conn.execute("select 1")
    taken = time.perf_counter() - started
    await runtime.close()
    return taken


def _measure_data(report: Report, settings: Settings, file: Path) -> None:
    loaded = _timed(lambda: application.load_demo(settings))
    report.bar("demonstration application loaded", bar="<= 2 s", reached=f"{loaded:.2f} s", ok=loaded <= 2)
    saved = _timed(lambda: maintenance.backup(settings, file))
    restored = _timed(lambda: maintenance.restore(settings, file))
    report.note(f"backup {saved:.2f} s ({file.stat().st_size / 1e6:.1f} MB), restore {restored:.2f} s")


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
