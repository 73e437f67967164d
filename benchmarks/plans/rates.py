"""What a durable step costs, and how many there are in a second, beside bare DBOS on the same server in the same run."""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median
from urllib.parse import urlsplit

from tests.commands import environment

from agent.settings import Settings
from benchmarks.report import Report

STEPS, ROUNDS = 300, 3
PLANS, SHORT = 300, 10


def measure(report: Report, settings: Settings) -> None:
    """Take turns: ours, DBOS, ours, DBOS; one plan first, then many."""
    assert settings.database_url is not None
    variables = {
        **os.environ,
        **environment(settings),
        "BARE_URL": _of_sqlalchemy(settings.database_url.get_secret_value()),
    }
    one = [(run(variables, "ours", (1, STEPS)), run(variables, "dbos", (1, STEPS))) for _ in range(ROUNDS)]
    ms, bare = (median(each) / STEPS * 1000 for each in zip(*one, strict=True))
    report.bar(
        "a durable step, beside bare DBOS",
        bar="<= 2x",
        reached=f"{ms:.2f} ms / {bare:.2f} ms = {ms / bare:.2f}x",
        ok=ms <= 2 * bare,
    )
    many = [(run(variables, "ours", (PLANS, SHORT)), run(variables, "dbos", (PLANS, SHORT))) for _ in range(ROUNDS)]
    rate, bare_rate = (PLANS * SHORT / median(each) for each in zip(*many, strict=True))
    report.bar(
        f"steps/s at {PLANS} concurrent plans, beside bare DBOS",
        bar=">= 50 %",
        reached=f"{rate:,.0f} / {bare_rate:,.0f} = {rate / bare_rate:.0%}",
        ok=rate >= bare_rate / 2,
    )
    two = (
        PLANS * SHORT / median(run(variables, "ours", (PLANS // 2, SHORT), (PLANS // 2, SHORT)) for _ in range(ROUNDS))
    )
    report.bar(
        "two processes, beside one", bar="> 1x", reached=f"{two:,.0f} steps/s = {two / rate:.2f}x", ok=two > rate
    )


def run(variables: dict[str, str], who: str, *parts: tuple[int, int]) -> float:
    """Run plans in as many processes as there are parts, begin at the same time, and return the seconds of the slowest."""
    command = [sys.executable, "-m", "benchmarks.plans.runner", who]
    processes = [
        subprocess.Popen(
            [*command, *map(str, part)], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for part in parts
    ]
    for one in processes:
        _until(one, "ready")
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    return max(float(_until(one, "took").split()[1]) for one in processes)


def _until(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return line
    raise RuntimeError(f"a runner ended with {process.wait()} before it was {word}")


def _of_sqlalchemy(url: str) -> str:
    """Return the URL with a host that SQLAlchemy takes; DBOS refuses an empty password."""
    parts = urlsplit(url)
    return url if parts.hostname else url.replace(f"{parts.username}:@", f"{parts.username}@")
