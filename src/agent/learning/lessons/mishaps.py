"""What goes wrong: statements that the database refused with what ran instead, and questions that again and again get no answer. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from agent.learning.lessons.lesson import Evidence, FailedTurn, Finding, Findings, Repair, key_of
from agent.learning.lessons.statement import as_one_line, digest_of, read_select, used_objects
from agent.text.worked_example import WorkedExample

REPAIRS, FAILURES = "repairs", "failures"
# Errors about names and rules; others may quote rows.
_ABOUT_NAMES = re.compile(
    r"(?:column|relation|function|operator|type|schema|table)\b[^\n]{0,200}? does not exist|must appear in the GROUP BY clause"
    r"|is ambiguous|aggregate functions are not allowed|missing FROM-clause entry|There is no table|has no column", re.IGNORECASE,
)  # fmt: skip
_FEWEST_FAILURES, _MOST_CHARS = 3, 300


def find_repairs(evidence: Evidence) -> Findings:
    """Return for each error about names what ran instead, where that only reads and its tables are known."""
    known: dict[str, Finding] = {}
    for repair in evidence.repairs:
        error = _ABOUT_NAMES.search(repair.error)
        sql = as_one_line(repair.worked)
        select = read_select(sql) if sql else None
        objects = used_objects(select, evidence.structure) if select else None
        if error is None or sql is None or select is None or not objects:
            continue
        what = " ".join(_sentence(repair).split())
        key = key_of(what, *objects)
        before = known.get(key)
        known[key] = Finding(
            key=key, content=f"This failed: {what[:_MOST_CHARS]} What ran instead: {(before.detail['sql'] if before else sql)[: 2 * _MOST_CHARS]}",
            objects=objects, digest=before.digest if before else digest_of(select, evidence.structure),
            sources=(*(before.sources if before else ()), repair.memory), support=(before.support if before else 0) + 1,
            detail=before.detail if before else {"sql": sql},
        )  # fmt: skip
    return Findings(known=list(known.values()))


def find_failures(evidence: Evidence) -> Findings:
    """Return the families of questions that ended without an answer in several conversations, with the last reason."""
    families: dict[str, list[FailedTurn]] = defaultdict(list)
    for turn in evidence.failures:
        if family := WorkedExample(turn.question, "").family:
            families[family].append(turn)
    return Findings(
        known=[_failure(family, turns) for family, turns in families.items() if _threads(turns) >= _FEWEST_FAILURES]
    )


def _failure(family: str, turns: list[FailedTurn]) -> Finding:
    question, error = (" ".join(text.split())[:_MOST_CHARS] for text in (turns[-1].question, turns[-1].error))
    content = f'Questions such as "{question}" ended without an answer: {error}'
    return Finding(key=key_of(family), content=content, sources=(), support=_threads(turns))


def _threads(turns: Iterable[FailedTurn]) -> int:
    return len({turn.thread for turn in turns})


def _sentence(repair: Repair) -> str:
    """Return the sentence of an error that says what is wrong, without the statement that it quotes."""
    lines = [line for line in repair.error.splitlines() if _ABOUT_NAMES.search(line)]
    return lines[0].strip() if lines else repair.error
