"""Measure the detector of unusual measurements, on generated series whose anomalies are known and on a public set.

The generator knows nothing of the detector, and its even seeds were not used to choose the detector's limits. The public set is
read from a folder that AGENT_BENCH_NAB names: a copy of https://github.com/numenta/NAB, which is not part of this repository.
"""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from agent.statistics.anomalies import find_episodes
from benchmarks.data.series_generator import series
from benchmarks.report import Report

_HELD_OUT = (2, 4, 6)
_NEAR = 15 * 60.0  # seconds around an anomaly in which an episode counts as its
_WEEK = 7 * 86_400.0


async def measure(report: Report) -> None:
    """Measure precision, recall and false episodes on the generated series, then what a public set shows."""
    right = wrong = found = known = 0
    weeks, worst, seconds, points, count = 0.0, 0.0, 0.0, 0, 0
    for seed in _HELD_OUT:
        for one in series(seed):
            times = [moment.timestamp() for moment in one.times]
            windows = [(each.start.timestamp(), each.end.timestamp()) for each in one.anomalies]
            began = time.perf_counter()
            episodes = find_episodes(times, one.values)
            seconds += time.perf_counter() - began
            spans = [(times[each.first], times[each.last]) for each in episodes]
            good, hits = _compare(spans, windows, _NEAR)
            right, wrong, found, known = right + good, wrong + len(spans) - good, found + hits, known + len(windows)
            length = (times[-1] - times[0]) / _WEEK
            weeks, worst, points, count = (
                weeks + length,
                max(worst, (len(spans) - good) / length),
                points + len(times),
                count + 1,
            )
    precision, recall, false = right / max(right + wrong, 1), found / known, wrong / weeks
    what = f"{count} held-out series, {known} anomalies"
    report.bar(f"precision, {what}", bar=">= .90", reached=f"{precision:.3f}", ok=precision >= 0.9)
    report.bar(f"recall, {what}", bar=">= .80", reached=f"{recall:.3f}", ok=recall >= 0.8)
    report.bar("false episodes in a week of a series", bar="<= 1 (mean)", reached=f"{false:.2f}", ok=false <= 1)
    report.note(f"the worst series has {worst:.1f} false episodes a week; {seconds / points * 1e6:.0f} us a point")
    folder = os.environ.get("AGENT_BENCH_NAB")
    if folder:
        _public(report, Path(folder))
    else:
        report.note("the public set was not measured: set AGENT_BENCH_NAB to a copy of numenta/NAB")


def _compare(
    spans: Sequence[tuple[float, float]], windows: Sequence[tuple[float, float]], near: float
) -> tuple[int, int]:  # fmt: skip
    """Return how many episodes touch an anomaly, and how many anomalies are touched."""

    def touches(span: tuple[float, float], window: tuple[float, float]) -> bool:
        return span[0] <= window[1] + near and span[1] >= window[0] - near

    return (
        sum(any(touches(span, window) for window in windows) for span in spans),
        sum(any(touches(span, window) for span in spans) for window in windows),
    )


def _public(report: Report, folder: Path) -> None:
    """Read NAB's series and windows, and note how many windows are found; most of its series are shorter than two weeks."""
    windows = json.loads((folder / "labels" / "combined_windows.json").read_text(encoding="utf-8"))
    for group in sorted({name.partition("/")[0] for name in windows}):
        right = wrong = found = known = 0
        weeks = 0.0
        for name in (name for name in windows if name.startswith(f"{group}/")):
            times, values = _columns((folder / "data" / name).read_text(encoding="utf-8").splitlines())
            spans = [(times[one.first], times[one.last]) for one in find_episodes(times, values)]
            labelled = [(_seconds(start), _seconds(end)) for start, end in windows[name]]
            good, hits = _compare(spans, labelled, 0.0)
            right, wrong, found, known = right + good, wrong + len(spans) - good, found + hits, known + len(labelled)
            weeks += (times[-1] - times[0]) / _WEEK
        report.note(
            f"NAB {group}: {found} of {known} windows found, {right} episodes in windows, {wrong} outside ({wrong / weeks:.1f} a week)"
        )


def _columns(lines: Iterable[str]) -> tuple[list[float], list[float]]:
    rows = list(csv.DictReader(lines))
    return [_seconds(row["timestamp"]) for row in rows], [float(row["value"]) for row in rows]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
