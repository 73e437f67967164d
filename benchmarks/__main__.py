"""Runs `measure(report)` of the modules `bench_<part>.py`, prints one table, fails when a bar is missed."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
import traceback
from pathlib import Path

from benchmarks.report import Report

_PREFIX = "bench_"


def parts() -> list[str]:
    """The parts that have a benchmark, in alphabetical order."""
    return sorted(path.stem.removeprefix(_PREFIX) for path in Path(__file__).parent.glob(f"{_PREFIX}*.py"))


def run(chosen: list[str], report: Report) -> None:
    """Measure each part in its own event loop; a part that breaks is a missed bar, the others still run."""
    for part in chosen:
        report.part = part
        report.progress("measuring ...")
        try:
            module = importlib.import_module(f"benchmarks.{_PREFIX}{part}")
            asyncio.run(module.measure(report))
        except Exception as error:
            traceback.print_exc()
            report.bar(
                "the benchmark runs to its end",
                bar="yes",
                reached=f"{type(error).__name__}: {error}",
                ok=False,
            )


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="*", help=f"which parts to measure (default: all of {', '.join(parts())})")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.part) - set(parts()))
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there is {', '.join(parts()) or 'none yet'}")
    report = Report()
    run(arguments.part or parts(), report)
    print(json.dumps(report.as_dict(), indent=2) if arguments.json else report.as_table())
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
