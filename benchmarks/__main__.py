"""Run `measure(report)` of the modules `bench_<part>.py`, print one table, and fail if a bar is missed."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import subprocess
import sys
import traceback
from pathlib import Path

from benchmarks.report import Report

_PREFIX = "bench_"
_ENDS = "the benchmark runs to its end"


def parts() -> list[str]:
    """Return the parts that have a benchmark, in alphabetical order."""
    return sorted(path.stem.removeprefix(_PREFIX) for path in Path(__file__).parent.glob(f"{_PREFIX}*.py"))


def run(part: str, report: Report) -> None:
    """Measure one part. An error counts as a missed bar."""
    report.part = part
    report.progress("measuring ...")
    try:
        module = importlib.import_module(f"benchmarks.{_PREFIX}{part}")
        asyncio.run(module.measure(report))
    except Exception as error:
        traceback.print_exc()
        report.bar(_ENDS, bar="yes", reached=f"{type(error).__name__}: {error}", ok=False)


def run_apart(part: str, report: Report) -> None:
    """Measure one part in a process of its own, because what other parts leave in memory would slow it down."""
    command = [sys.executable, "-m", "benchmarks", part, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        report.add(json.loads(done.stdout))
    except json.JSONDecodeError:
        report.part = part
        report.bar(_ENDS, bar="yes", reached=f"exit code {done.returncode}", ok=False)


def main() -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="*", help=f"which parts to measure (default: all of {', '.join(parts())})")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.part) - set(parts()))
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there is {', '.join(parts()) or 'none yet'}")
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # statements fail on purpose
    report, chosen = Report(), arguments.part or parts()
    for part in chosen:
        (run if len(chosen) == 1 else run_apart)(part, report)
    print(json.dumps(report.as_dict(), indent=2) if arguments.json else report.as_table())
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
