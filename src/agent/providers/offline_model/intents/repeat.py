"""Answers a question as an earlier one was answered: by a worked example among the memories.

An example whose question differs only in constants and that was confirmed goes first. Any other one, also in other words, is used
only where the grammar cannot read the question.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agent.providers.offline_model.answers import failure_message, plain_rows
from agent.providers.offline_model.intents.ask import ask
from agent.providers.offline_model.turn_view import Answer, Call, Step, Turn
from agent.providers.offline_model.values import is_look_up
from agent.text.worked_example import Applied, example_in

_READS = re.compile(r"(?:select|with)\b", re.IGNORECASE)
# Another wording must be nearer than the next example with other SQL by this much.
_NEARER = 0.05


@dataclass(frozen=True, slots=True)
class _Fitting:
    memory: int
    confirmed: bool
    applied: Applied


def repeat(turn: Turn) -> Step | None:
    """Return the call of an example's SQL, or its answer; None where no example fits, or the grammar reads the question."""
    fitting = _chosen(sorted(_fitting(turn), key=_rank))
    if fitting is None or "execute_sql" not in turn.tools:
        return None
    outcome = turn.outcome("execute_sql", sql=fitting.applied.sql)
    if outcome is None:
        surely = fitting.applied.exact and fitting.confirmed
        if not surely and _is_read(turn):
            return None
        return Call(tool="execute_sql", arguments={"sql": fitting.applied.sql})
    if not outcome.success:
        return Answer(text=failure_message(outcome.result))
    return Answer(text=f"{plain_rows(outcome.result)}\n(As an earlier question was answered: memory {fitting.memory}.)")


def _fitting(turn: Turn) -> Iterator[_Fitting]:
    relations = turn.names.relations
    columns = [column for relation in relations for column in relation.columns]
    values = {value.casefold(): value for column in columns for value in column.values}
    for line in turn.memories:
        example = example_in(line.text) if line.kind == "skill" and line.trust in ("agent", "human") else None
        if example is None or not _READS.match(example.sql):
            continue
        applied = example.apply(turn.question, lambda word: values.get(word.casefold()))
        if applied is not None:
            yield _Fitting(line.id, example.confirmed, applied)


def _rank(one: _Fitting) -> tuple[bool, bool, float]:
    return not one.applied.exact, not one.confirmed, -one.applied.likeness


def _chosen(ranked: list[_Fitting]) -> _Fitting | None:
    """Return the best example, unless another one that says something else is as near."""
    if not ranked:
        return None
    best = ranked[0]
    for other in ranked[1:]:
        same_rank = (best.applied.exact, best.confirmed) == (other.applied.exact, other.confirmed)
        near = best.applied.likeness - other.applied.likeness < _NEARER
        if same_rank and near and other.applied.sql != best.applied.sql:
            return None
    return best


def _is_read(turn: Turn) -> bool:
    """Return whether the grammar reads the question: its next step is a statement or a look-up of values, or the answer to a statement."""
    step = ask(turn)
    asked = any(one.tool == "execute_sql" and not is_look_up(str(one.arguments.get("sql"))) for one in turn.outcomes)
    return (isinstance(step, Call) and step.tool == "execute_sql") or (isinstance(step, Answer) and asked)
