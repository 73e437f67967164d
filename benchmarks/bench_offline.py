"""Ask the built-in model sets of questions over several databases, and count right, refused and wrong answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.testing.cluster import Cluster
from benchmarks.offline.evaluation import Judged, cases_of, earlier_sets, fresh_cases, judge_all, tally, tuned_sets
from benchmarks.report import Report

MOST_WRONG = 0.01
LEAST_RIGHT = 0.65


async def measure(report: Report) -> None:
    """Ask every question, the fresh ones apart: these were written by somebody who has not seen the grammar."""
    tuned = [*earlier_sets(), *(case for path in tuned_sets() for case in cases_of(path))]
    for name, cases in (
        ("tuned", tuned),
        ("first fresh", fresh_cases("first")),
        ("second fresh", fresh_cases("second")),
    ):
        _report(report, name, await _judged(cases))


async def _judged(cases: Sequence[dict[str, Any]]) -> list[Judged]:
    cluster = Cluster()
    try:
        return await judge_all(cluster, cases)
    finally:
        cluster.close()


def _report(report: Report, name: str, judged: Sequence[Judged]) -> None:
    simple = [one for one in judged if one.case["sql"] is not None or one.case["kind"] == "remember"]
    wrong = [one for one in judged if one.verdict == "wrong"]
    changed = [one for one in wrong if one.case["kind"] == "change"]
    right = sum(one.verdict == "right" for one in simple)
    for what, count, of, bar, ok in (
        ("answered wrongly", len(wrong), len(judged), f"<= {MOST_WRONG:.0%}", len(wrong) <= MOST_WRONG * len(judged)),
        ("values changed on the way", len(changed), len(judged), "0", not changed),
        ("simple questions answered rightly", right, len(simple), f">= {LEAST_RIGHT:.0%}", right >= LEAST_RIGHT * len(simple)),
    ):  # fmt: skip
        report.bar(
            f"built-in model, {name} questions, {what}", bar=bar, reached=f"{count} of {of} ({count / of:.1%})", ok=ok
        )
    report.note(f"{name}: " + "; ".join(f"{kind} {dict(counts)}" for kind, counts in tally(judged).items()))
    for one in wrong:
        report.note(f"wrong: {one.case['question']!r} -> {one.sql}")
