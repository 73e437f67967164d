"""Check an answer against what it can be from, and find the rows that it is about. Pure.

An answer is marked where it states a number that is in none of its evidence and does not follow from it, or where it says that
something was changed and no call has changed anything. A mark on a good answer does more harm than a miss, so whatever may follow
counts as grounded.
"""

from __future__ import annotations

import re

from agent.graph.grounding.claimed_changes import claimed_change
from agent.graph.grounding.derived_numbers import as_number
from agent.graph.grounding.evidence import Call, Evidence
from agent.graph.grounding.found_numbers import unfound_numbers
from agent.graph.grounding.number_words import every_number
from agent.remarks import not_found_remark

_MOST_CELLS = 2_000


def remarks_on(answer: str, evidence: Evidence) -> list[str]:
    """Return what people must be told about an answer that its evidence does not hold; [] for a good one."""
    unfound = unfound_numbers(answer, evidence)
    remarks = [not_found_remark(unfound)] if unfound else []
    calls = [(call.tool, call.arguments, call.result) for call in evidence.calls]
    claim = claimed_change(answer, question=evidence.question, earlier=evidence.earlier, calls=calls)
    return [*remarks, *([claim] if claim else [])]


def rows_under(answer: str, evidence: Evidence) -> Call | None:
    """Return the call whose rows belong under an answer: the one of which it says the most; None where there is none.

    An answer that repeats no cell is about the last call, be it one that found nothing or failed.
    """
    if not evidence.calls:
        return None
    said = set(every_number(answer))
    scored = [(_said_of(call, answer.lower(), said), place, call) for place, call in enumerate(evidence.calls)]
    most, _, chosen = max(scored, key=lambda one: one[:2])
    chosen = chosen if most else evidence.calls[-1]
    if not most and said - {*every_number(evidence.question)}:
        return None  # it states something, and no row holds it
    return chosen if chosen.result.get("success") and chosen.result.get("rows") else None


def _said_of(call: Call, answer: str, said: set[float]) -> int:
    """Return how many different cells of a call's rows an answer repeats."""
    cells = [cell for row in call.result.get("rows") or () for cell in row][:_MOST_CELLS]
    if not call.result.get("success"):
        return 0
    numbers = {number for cell in cells if (number := as_number(cell)) is not None}
    texts = {cell.lower() for cell in cells if isinstance(cell, str) and as_number(cell) is None and len(cell) > 1}
    return len(numbers & said) + sum(
        re.search(rf"(?<!\w){re.escape(text)}(?!\w)", answer) is not None for text in texts
    )
