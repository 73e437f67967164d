"""Procedures: several statements, one after the other, that answered the same family of questions in several conversations. Pure."""

from __future__ import annotations

import json
from collections import defaultdict

from agent.learning.lessons.lesson import SAID_WRONG, Evidence, Finding, Findings, PastTurn, key_of
from agent.learning.lessons.statement import as_one_line, digest_of, read_select, used_objects
from agent.text.worked_example import WorkedExample

NAME = "procedures"
_FEWEST, _MOST_STEPS, _MOST_SQL = 2, 6, 600


def find_procedures(evidence: Evidence) -> Findings:
    """Return the steps that answered a family of questions in the same way, and that nobody called wrong."""
    families: dict[tuple[str, tuple[str, ...]], list[PastTurn]] = defaultdict(list)
    for turn in evidence.turns:
        steps = [as_one_line(sql) or "" for sql in turn.examples]
        if 1 < len(steps) <= _MOST_STEPS and all(len(sql) <= _MOST_SQL and read_select(sql) for sql in steps):
            shapes = tuple(WorkedExample(turn.question, sql).shape for sql in steps)
            families[WorkedExample(turn.question, steps[-1]).family, shapes].append(turn)
    known: list[Finding] = []
    wrong: dict[str, str] = {}
    for (family, shapes), turns in families.items():
        key = key_of(family, *shapes)
        own = [turn for turn in turns if not (turn.corrected or turn.repeats)]
        if any(turn.corrected for turn in turns):
            wrong[key] = SAID_WRONG
        elif len({turn.thread for turn in own}) >= _FEWEST:
            known.append(_finding(key, own, evidence))
    return Findings(known=known, wrong=wrong)


def _finding(key: str, turns: list[PastTurn], evidence: Evidence) -> Finding:
    steps = [as_one_line(sql) or "" for sql in turns[0].examples]
    question = json.dumps(" ".join(turns[0].question.split()), ensure_ascii=False)
    told = " ".join(f"{number}. {sql};" for number, sql in enumerate(steps, 1))
    select = read_select(steps[-1])
    return Finding(
        key=key, content=f"Procedure: {question} was answered in these steps: {told}",
        objects=(used_objects(select, evidence.structure) if select else None) or (),
        digest=digest_of(select, evidence.structure) if select else "",
        sources=tuple(turn.memory for turn in turns), support=len({turn.thread for turn in turns}),
        detail={"sql": steps[-1], "question": " ".join(turns[0].question.split()), "steps": steps},
    )  # fmt: skip
