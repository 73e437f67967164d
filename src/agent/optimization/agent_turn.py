"""The agent's own turns as a workflow: its parameters are those of a turn, and a recorded turn is a case that can be rehearsed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agent.db import load_queries
from agent.errors import OperatorError
from agent.execution.without_effect import result_without_effect
from agent.graph.parameters import PARAMETERS, WORKFLOW, TurnParameter, in_force, models
from agent.graph.rehearsal import NotReplayable, Recorded, Rehearsed, most_of_a_call
from agent.graph.replay import recorded_turn, rehearse
from agent.optimization.workflows import Case, Parameter, Replayed, Workflow, register
from agent.runtime import Runtime
from agent.threads import StoredCall

_QUERIES = load_queries(__package__)
MOST_CASES = 400
# How a turn ends that nobody let come to its end: nothing of its parameters can be seen in that.
_NOT_ENDED = ("stopped by the user", "the run failed", "interrupted before it was finished")
_READS = frozenset({"execute_sql", "query_data"})


def outcome(row: Mapping[str, Any]) -> bool | None:
    """Return whether a recorded turn was good; None where that is not known.

    It was good if it ended with an answer that its results hold, before its rounds were used up, and that nobody corrected.
    """
    if row["error"] in _NOT_ENDED:
        return None
    if row["status"] == "failed" or row["corrected"]:
        return False
    marks = set(row["remarks"] or ()) - set(row["result_remarks"] or ())
    return not marks and not used_up(row["rounds"], row["parameters"])


def used_up(rounds: int, parameters: Mapping[str, Any]) -> bool:
    """Return whether a turn had no round left, so that its last answer may be incomplete."""
    most = parameters.get("max_rounds")
    return isinstance(most, int) and rounds >= most


def part_of(tools: Sequence[str]) -> str:
    """Return the slice that a turn belongs to: what its calls were about."""
    if not tools:
        return "no tool"
    return "reads" if set(tools) <= _READS | {"describe_schema", "search_memory"} else "other tools"


async def recorded_turns(runtime: Runtime, *, most: int = MOST_CASES) -> list[dict[str, Any]]:
    """Return the newest turns that are over, the newest first."""
    return await runtime.all(_QUERIES["recorded_turns"], database_id=runtime.database_id, most=most)


async def _cases(runtime: Runtime) -> Sequence[Case]:
    """Return the recorded turns of which it is known what a good answer is. Of a corrected one nobody knows it."""
    found = []
    for row in await recorded_turns(runtime):
        good = outcome(row)
        if good is not None and not row["corrected"]:
            content = {"thread_id": row["thread_id"], "turn": row["turn"], "good": good}
            found.append(
                Case(case_id=f"{row['thread_id']}/{row['turn']}", content=content, part=part_of(row["tools"] or ()))
            )
    return found


async def _replay(case: Case, parameters: Mapping[str, Any], runtime: Runtime) -> Replayed:
    recorded = await recorded_turn(case.content["thread_id"], case.content["turn"], runtime=runtime)
    try:
        done = await rehearse(recorded, parameters, most_usd=most_usd(runtime), runtime=runtime)
        expected = await _expected(recorded, done, runtime) if case.content["good"] and not done.reason else None
    except OperatorError as error:
        return Replayed(success=None, reason=str(error))
    return judged(done, parameters, expected)


def judged(done: Rehearsed, parameters: Mapping[str, Any], expected: Sequence[Any] | None) -> Replayed:
    """Return whether a rehearsal was good: as a recorded turn is, and with the rows that a good answer was from. Pure."""
    figures = {"seconds": done.seconds, "cost_usd": done.cost_usd}
    if done.reason:
        return Replayed(success=None, reason=done.reason, **figures)
    rounds = max((call.key.round for call in done.calls), default=0)
    problems = [
        word
        for word, wrong in (
            (f"it failed: {done.error}", bool(done.error)),
            ("its rounds were used up", used_up(rounds, parameters)),
            ("its results do not hold its answer", bool(done.marks)),
            (
                "its answer is from other rows",
                expected is not None and _rows(last_read(done.calls)) != _as_set(expected),
            ),
        )
        if wrong
    ]
    return Replayed(success=not problems, reason="; ".join(problems), **figures)


def last_read(calls: Sequence[StoredCall]) -> StoredCall | None:
    """Return the last read that succeeded."""
    reads = [
        call
        for call in calls
        if call.tool in _READS and (call.result or {}).get("success") and "rows" in (call.result or {})
    ]
    return max(reads, key=lambda call: (call.key.round, call.key.ordinal), default=None)


async def _expected(recorded: Recorded, done: Rehearsed, runtime: Runtime) -> Sequence[Any] | None:
    """Return the rows that a good answer is from: as recorded if the same read was made, else as they are now."""
    first, second = last_read(recorded.transcript.current.calls), last_read(done.calls)
    if first is None:
        return None
    if second is not None and (first.tool, first.arguments) == (second.tool, second.arguments):
        return (second.result or {}).get("rows")
    now = await result_without_effect(
        first.tool, first.arguments, transcript=recorded.transcript, key=first.key, runtime=runtime
    )
    return now.get("rows") if now and now.get("success") else (first.result or {}).get("rows")


def _rows(call: StoredCall | None) -> list[str] | None:
    return _as_set((call.result or {}).get("rows") or []) if call else None


def _as_set(rows: Sequence[Any]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in rows)


async def _current(runtime: Runtime) -> Mapping[str, Any]:
    return await in_force(runtime)


def most_usd(runtime: Runtime) -> float:
    """Return the highest price of one rehearsal in US dollars, which is reserved before it."""
    try:
        return most_of_a_call(runtime) * (runtime.settings.max_rounds + 1)
    except NotReplayable:  # the rehearsal itself says that the price is not known
        return 0.0


def _problems(parameters: Mapping[str, Any], runtime: Runtime) -> list[str]:
    model = parameters.get("model")
    if model is not None and model not in models(runtime.settings):
        return [f"model {model!r} is not named by AGENT_MODEL or AGENT_MODEL_FALLBACKS"]
    return []


def _parameter(one: TurnParameter) -> Parameter:
    return Parameter(kind=one.kind, low=one.low, high=one.high)


AGENT_TURN = register(
    Workflow(
        name=WORKFLOW, parameters={name: _parameter(one) for name, one in PARAMETERS.items()}, cases=_cases, replay=_replay,
        current=_current, most_usd=most_usd, here=_problems,
    )
)  # fmt: skip
