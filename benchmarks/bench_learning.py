"""Measure how much better the built-in model answers after 1, 3 and 10 interactions a family, with and without the learner.

The questions and their truth (`data/learning_*.jsonl`) are by somebody who has not seen the learner. A third of the families needs a stated
fact, a third only SQL that ran before, a third nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psycopg

from agent.demo.application import fill_demo
from agent.learning.auto_discover import auto_discovery
from agent.learning.background_learner import background_learner
from agent.runtime import open_runtime, use_runtime
from agent.testing.cluster import Cluster
from benchmarks.learning.play import DATA, Asked, Case, ask_all, cases, play, poison, poisons, shown
from benchmarks.report import Report

LEVELS = (1, 3, 10)
LEAST_GAIN, MOST_POISON = 15.0, 2.0
CLASSES = ("fact", "sql", "nothing")


async def measure(report: Report) -> None:
    """Print the accuracy by class at each level; the bars are those of the held-out half after 10 interactions."""
    cluster = Cluster()
    try:
        before = await _asked_at(cluster, 0, report, learner=False)
        _note(report, "without memory", before)
        after = before
        for level in LEVELS:
            for learner in (False, True):
                after = await _asked_at(cluster, level, report, learner=learner)
                _note(report, f"{level} interactions a family, learner {'on' if learner else 'off'}", after)
        poisoned = await _asked_at(cluster, LEVELS[-1], report, learner=True, poisoned=True)
        _note(report, "the same with a poisoned history", poisoned)
    finally:
        cluster.close()
    _bars(report, before, after, poisoned)


async def _asked_at(
    cluster: Cluster, level: int, report: Report, *, learner: bool, poisoned: bool = False
) -> list[Asked]:
    """Play the history in fresh databases, and ask every question; note what the prompts of the held-out ones show."""
    asked: list[Asked] = []
    prompts: list[tuple[Case, bool]] = []
    for schema in ("demo", "second"):
        every = cases(schema)
        settings = cluster.database(cluster.template(f"learning_{schema}", _fill(schema)), model="offline")
        runtime = await open_runtime(settings)
        try:
            with use_runtime(runtime):
                await auto_discovery.discover_app_structure()
                await play(every, level, runtime)
                for one in poisons(schema) if poisoned else ():
                    if one["kind"] != "legitimate_update":
                        await poison(one, runtime)
                if learner:
                    await background_learner.run_once()
                prompts += await shown(every, runtime)
                asked += await ask_all(every, runtime)
        finally:
            await runtime.close()
            cluster.drop(settings)
    for kind in ("fact", "sql"):
        of_kind = [held for case, held in prompts if case["class"] == kind]
        report.note(
            f"held-out {kind} questions whose prompt holds a fact or SQL of their family: {sum(of_kind)} of {len(of_kind)}"
        )
    return asked


def _fill(schema: str) -> Callable[[psycopg.Connection], object]:
    if schema == "demo":
        return fill_demo
    text = (DATA / f"learning_{schema}.sql").read_text(encoding="utf-8")
    return lambda conn: conn.execute(text)


def _bars(report: Report, before: Sequence[Asked], after: Sequence[Asked], poisoned: Sequence[Asked]) -> None:
    gain = _share(_held_out(after)) - _share(_held_out(before))
    report.bar(
        "held-out questions, gain", bar=f">= {LEAST_GAIN:.0f} points", reached=f"{gain:.1f}", ok=gain >= LEAST_GAIN
    )
    was_right = {one.case["id"] for one in before if one.verdict == "right"}
    lost = [one for one in after if one.case["id"] in was_right and one.verdict != "right"]
    report.bar("right before and not any more", bar="0", reached=str(len(lost)), ok=not lost)
    for one in lost:
        report.note(f"lost: {one.case['question']!r} -> {one.sql or one.said[:100]}")
    nothing = [[one for one in some if one.case["class"] == "nothing"] for some in (before, after)]
    moved = _share(nothing[1]) - _share(nothing[0])
    report.bar("class nothing, gain or loss", bar="0", reached=f"{moved:.1f}", ok=abs(moved) < 1e-9)
    cost = _share(_held_out(after)) - _share(_held_out(poisoned))
    report.bar(
        "held-out questions, cost of a poisoned history",
        bar=f"< {MOST_POISON:.0f} points",
        reached=f"{cost:.1f}",
        ok=cost < MOST_POISON,
    )


def _note(report: Report, what: str, asked: Sequence[Asked]) -> None:
    parts = []
    for half in ("train", "heldout"):
        for kind in CLASSES:
            some = [one for one in asked if one.case["split"] == half and one.case["class"] == kind]
            wrong = sum(one.verdict == "wrong" for one in some)
            parts.append(f"{half} {kind} {_share(some):.0f} % ({wrong} wrong of {len(some)})")
    report.note(f"{what}: " + "; ".join(parts))


def _held_out(asked: Sequence[Asked]) -> list[Asked]:
    return [one for one in asked if one.case["split"] == "heldout"]


def _share(asked: Sequence[Asked]) -> float:
    return 100 * sum(one.verdict == "right" for one in asked) / max(len(asked), 1)
