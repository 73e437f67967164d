"""Answers and tools that are slower than they used to be at this time of day."""

from __future__ import annotations

from agent.db import load_queries
from agent.monitoring.records import ANSWER, Check, Finding
from agent.monitoring.watch import Watch

_QUERIES = load_queries(__package__, "own.sql")
_LEAST_SECONDS = 0.2
_TIMES_SLOWER, _LEAST_CALLS = 5.0, 5


async def look(watch: Watch) -> list[Finding]:
    """Measure the 90th percentile of each tool and of turns, and compare it with its own past."""
    findings = []
    for row in await watch.own(_QUERIES["durations"]):
        name, now, before = row["action"], row["slow"], row["before"]
        watch.note("seconds", now, name)
        unusual = await watch.unusual("seconds", subject=name, least=_LEAST_SECONDS)
        # While too little is known for a baseline, only a large change of many calls counts.
        leap = before is not None and row["calls"] >= _LEAST_CALLS and now > max(_TIMES_SLOWER * before, before + 1.0)
        if not unusual and not leap:
            continue
        expected = unusual[0].expected if unusual else before
        findings.append(
            Finding(
                subject=name, severity="MEDIUM",
                message=f"{_named(name)} take {now:.2f} s (9 of 10 are faster), {expected:.2f} s is usual.",
                action="See which ones: agent executions. Then look at the database's load and at the model's provider.",
                evidence={"seconds": round(now, 3), "usual": round(expected, 3), "calls": row["calls"]},
            )
        )  # fmt: skip
    return findings


def _named(action: str) -> str:
    return "Answers" if action == ANSWER else f"Calls of {action}"


CHECK = Check(name="latency", about="Answers and tools that got slow", look=look)
