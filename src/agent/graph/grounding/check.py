"""Check an answer against what it can be from, and find the rows that it is about. Pure.

An answer is marked where it states a number that is in none of its evidence and does not follow from it, or where it says that
something was changed and no call has changed anything. A mark on a good answer does more harm than a miss, so whatever may follow
counts as grounded.
"""

from __future__ import annotations

from agent.graph.grounding.claimed_changes import claimed_change
from agent.graph.grounding.evidence import Evidence
from agent.graph.grounding.found_numbers import unfound_numbers
from agent.remarks import not_found_remark


def remarks_on(answer: str, evidence: Evidence) -> list[str]:
    """Return what people must be told about an answer that its evidence does not hold; [] for a good one."""
    unfound = unfound_numbers(answer, evidence)
    remarks = [not_found_remark(unfound)] if unfound else []
    calls = [(call.tool, call.arguments, call.result) for call in evidence.calls]
    claim = claimed_change(answer, question=evidence.question, earlier=evidence.earlier, calls=calls)
    return [*remarks, *([claim] if claim else [])]
