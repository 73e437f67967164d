"""Check the answers of cases that somebody wrote without knowing the check: wrong ones must be marked, good ones must not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from agent.graph.grounding.check import remarks_on
from agent.graph.grounding.evidence import Call, Evidence
from benchmarks.report import Report

CASES = Path(__file__).parent / "grounding" / "cases.json"
# The check was mended with the first half, and later with the faults of the second: both have been seen.
LAST_OF_FIRST_HALF = "g045"
LEAST_MARKED = 0.95


def evidence_of(case: Mapping[str, Any], *, today: date) -> Evidence:
    """Return what the answer of a case can be from."""
    calls = [Call(tool=call["tool"], arguments=call["arguments"], result=call["result"]) for call in case["calls"]]
    earlier = [(turn["question"], turn["answer"]) for turn in case["earlier"]]
    return Evidence(question=case["question"], today=today, earlier=earlier, memories=case["memories"], calls=calls)


def remarks_of(case: Mapping[str, Any]) -> list[str]:
    """Return the marks on the answer of a case."""
    return remarks_on(case["answer"], evidence_of(case, today=date.today()))


async def measure(report: Report) -> None:
    """Count the marks on wrong and on good answers, for each half."""
    cases: Sequence[Mapping[str, Any]] = json.loads(CASES.read_text(encoding="utf-8"))
    for name, half in (
        ("first half (seen)", [case for case in cases if case["id"] <= LAST_OF_FIRST_HALF]),
        ("second half (seen)", [case for case in cases if case["id"] > LAST_OF_FIRST_HALF]),
    ):
        wrong, good = ([case for case in half if case["good"] is is_good] for is_good in (False, True))
        marked = [case for case in wrong if remarks_of(case)]
        false = [case["id"] for case in good if remarks_of(case)]
        missed = [case["id"] for case in wrong if case not in marked]
        report.bar(
            f"wrong answers marked, {name}",
            bar=f">= {LEAST_MARKED:.0%}",
            reached=f"{len(marked)} of {len(wrong)} ({len(marked) / len(wrong):.0%})",
            ok=len(marked) / len(wrong) >= LEAST_MARKED,
        )
        report.bar(f"good answers marked, {name}", bar="none", reached=f"{len(false)} of {len(good)}", ok=not false)
        report.note(f"{name}: missed {', '.join(missed) or 'none'}; marked though good {', '.join(false) or 'none'}")
