"""The evidence ladder: what a change must pass before it is applied. Each rung's result is kept with the optimization.

static checks -> an estimate from explored choices, where there are some -> paired replay of recorded cases, judged by the gate.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import agent.optimization.sessions as sessions
from agent.concurrency import gather_or_cancel
from agent.errors import BudgetExceeded
from agent.optimization.cases import fresh_cases, give_back, take
from agent.optimization.history import Run, recorded
from agent.optimization.records import Optimization, Verdict
from agent.optimization.workflows import Case, Replayed, Workflow, registered
from agent.runtime import Runtime
from agent.statistics.evidence_gate import LEAST_CASES, Bound, cases_needed, judge, paired_bound, selects
from agent.statistics.off_policy import estimate

_DAY = 86_400.0
_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Climbed:
    """How far a change came. `lower` is what the improvement is at least; `cost_usd` is what the tests cost."""

    verdict: Verdict
    reason: str
    rungs: Sequence[Mapping[str, Any]]
    improvement: float = 0.0
    lower: float = 0.0
    upper: float = 0.0
    n: int = 0
    more_cases: int | None = None
    runs_a_day: float = 0.0
    cost_usd: float = 0.0
    more_usd_a_run: float = 0.0


@dataclass
class _Pairs:
    """Cases that ran with both configurations."""

    cases: list[Case] = field(default_factory=list)
    before: list[Replayed] = field(default_factory=list)
    after: list[Replayed] = field(default_factory=list)
    not_evaluable: Counter[str] = field(default_factory=Counter)
    stopped: str = ""
    against: Mapping[str, Any] = field(default_factory=dict)

    def add(self, case: Case, before: Replayed, after: Replayed) -> None:
        """Add a case that both could judge, or count why it was not judged."""
        if before.success is None or after.success is None:
            self.not_evaluable[before.reason or after.reason or "it cannot be judged"] += 1
            return
        self.cases.append(case)
        self.before.append(before)
        self.after.append(after)

    def changed(self, *, won: bool) -> list[str]:
        """Return the cases that only the change succeeds in, or only what is in force."""
        return [
            case.case_id
            for case, before, after in zip(self.cases, self.before, self.after, strict=True)
            if bool(before.success) != bool(after.success) and bool(after.success) is won
        ]

    @property
    def digest(self) -> str:
        """What the verdict follows from, with the registered seed: each case with both outcomes, as a hash."""
        lines = sorted(
            f"{case.case_id} {before.success} {after.success}"
            for case, before, after in zip(self.cases, self.before, self.after, strict=True)
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


async def climb(optimization: Optimization, *, runtime: Runtime) -> Climbed:
    """Test a change as it was registered."""
    workflow = registered(optimization.workflow_type)
    runs = await recorded(workflow_type=optimization.workflow_type, runtime=runtime)
    rungs: list[Mapping[str, Any]] = []
    problems = static_problems(optimization.parameters, workflow, runtime)
    rungs.append({"rung": "static", "passed": not problems, "problems": problems})
    a_day = runs_a_day(runs)
    if problems:
        return Climbed(verdict="not evaluable", reason=f"It cannot be set: {'; '.join(problems)}.", rungs=rungs)
    rungs.append(off_policy_rung(optimization.parameters, runs))
    if workflow is None:
        return _unconfirmed(optimization, rungs, runs, a_day)
    return await _replayed(optimization, workflow, rungs, a_day, runtime)


def bound_again(optimization: Optimization, case_ids: Sequence[str]) -> Bound | None:
    """Compute the bound of a test again, from its seed, its cases and which of them were won and lost; None without a replay. Pure."""
    replay = next(
        (rung for rung in optimization.evidence if rung.get("rung") == "replay" and rung.get("confirmed_on")), None
    )
    if replay is None:
        return None
    won, lost, seed = set(replay["won"]), set(replay["lost"]), str(optimization.registration["seed"])
    confirming = [case for case in sorted(case_ids) if not selects(case, seed)]
    return paired_bound(
        [float((case in won) - (case in lost)) for case in confirming], optimization.registration["confidence"]
    )


def static_problems(parameters: Mapping[str, Any], workflow: Workflow | None, runtime: Runtime) -> list[str]:
    """Return what is wrong with a change before anything runs."""
    if not parameters:
        return ["the pattern names no parameter that could be set"]
    return workflow.problems_here(parameters, runtime) if workflow else []


def off_policy_rung(parameters: Mapping[str, Any], runs: Sequence[Run]) -> dict[str, Any]:
    """Return what runs whose choices were drawn by chance tell about a change; most often nothing."""
    drawn = [one for one in runs if one.propensity is not None and parameters.keys() <= one.parameters.keys()]
    if not drawn:
        return {"rung": "off-policy", "skipped": "no recorded run chose these parameters with a known probability"}
    kinds = {one: place for place, one in enumerate(sorted({(run.task_type, run.agent_name) for run in drawn}))}
    taken = np.array([int(all(one.parameters[name] == value for name, value in parameters.items())) for one in drawn])
    found = estimate(
        contexts=np.array([kinds[one.task_type, one.agent_name] for one in drawn]), actions=taken,
        propensities=np.array([one.propensity for one in drawn], dtype=float), outcomes=np.array([float(one.success) for one in drawn]),
        target=np.tile([0.0, 1.0], (len(drawn), 1)),
    )  # fmt: skip
    return {
        "rung": "off-policy", "value": found.value, "lower": found.lower, "upper": found.upper,
        "effective_sample_size": round(found.effective, 1), "runs": found.n, "refused": found.reason or None,
    }  # fmt: skip


def runs_a_day(runs: Sequence[Run]) -> float:
    """Return how many runs there are in a day, from at least a day."""
    if not runs:
        return 0.0
    return len(runs) / max((runs[-1].at - runs[0].at).total_seconds() / _DAY, 1.0)


def _unconfirmed(
    optimization: Optimization, rungs: list[Mapping[str, Any]], runs: Sequence[Run], a_day: float
) -> Climbed:
    """Return the answer for a workflow that nobody can replay: recorded runs alone confirm no change."""
    worth = float(optimization.registration["worth"])
    rungs.append({"rung": "replay", "skipped": f"nobody registered the workflow {optimization.workflow_type!r}"})
    return Climbed(
        verdict="underpowered", rungs=rungs, more_cases=cases_needed(worth, 0.2), runs_a_day=a_day, n=0,
        reason=(
            f"{len(runs)} runs of {optimization.workflow_type!r} are recorded, and none can be replayed: register the workflow "
            "with its parameters and its replay, or log runs with `parameters` and the `propensity` with which they were chosen."
        ),
    )  # fmt: skip


async def _replayed(
    optimization: Optimization, workflow: Workflow, rungs: list[Mapping[str, Any]], a_day: float, runtime: Runtime
) -> Climbed:
    registration = optimization.registration
    # Those that select are burnt too: a later proposal may have been made by what they showed.
    cases = (await fresh_cases(workflow, runtime=runtime))[: int(registration["most_cases"])]
    name, by, verdict = workflow.name, optimization.optimization_id, None
    taken = await take(name, [one.case_id for one in cases], by=by, runtime=runtime)
    pairs = _Pairs()
    try:
        async with sessions.working(await sessions.active(runtime), runtime=runtime) as work:
            mine = [one for one in cases if one.case_id in taken]
            pairs = await _paired(workflow, mine, optimization.parameters, work, runtime)
            spent = work.spent_usd
        verdict = await asyncio.to_thread(_judged, pairs, registration)
    finally:
        seen = {one.case_id for one in pairs.cases} if verdict is None or verdict.bound else set()
        await give_back(name, sorted(taken - seen), by=by, runtime=runtime)
    bound = verdict.bound
    rungs.append({
        "rung": "replay", "cases": len(pairs.cases), "not_evaluable": pairs.not_evaluable.total(), "why_not": dict(pairs.not_evaluable.most_common(5)),
        "stopped": pairs.stopped or None, "against": dict(pairs.against), "outcomes": pairs.digest, "won": pairs.changed(won=True), "lost": pairs.changed(won=False), "before": _share(pairs.before), "after": _share(pairs.after), "selected_on": verdict.selected_on,
        "confirmed_on": len(verdict.confirmed_on), "mean": bound.mean if bound else None, "lower": bound.lower if bound else None,
        "discordance": bound.discordance if bound else None, "harmed": list(verdict.harmed), "verdict": verdict.outcome,
    })  # fmt: skip
    extra = [after.cost_usd - before.cost_usd for before, after in zip(pairs.before, pairs.after, strict=True)]
    return Climbed(
        verdict=verdict.outcome, reason=verdict.reason, rungs=rungs, improvement=bound.mean if bound else 0.0,
        lower=bound.lower if bound else 0.0, upper=bound.upper if bound else 0.0, n=bound.n if bound else 0, cost_usd=spent,
        more_cases=verdict.more_cases, runs_a_day=a_day or len(cases), more_usd_a_run=sum(extra) / len(extra) if extra else 0.0,
    )  # fmt: skip


def _share(replays: Sequence[Replayed]) -> float | None:
    return sum(bool(one.success) for one in replays) / len(replays) if replays else None


async def _paired(
    workflow: Workflow, cases: Sequence[Case], parameters: Mapping[str, Any], work: sessions.Work, runtime: Runtime
) -> _Pairs:
    """Run each case with what is in force and with the change, until a budget is used up.

    A case that one of them cannot judge is left out of both.
    """
    current = await workflow.current(runtime)
    pairs = _Pairs(against=current)
    for some in batched(cases if len(cases) >= LEAST_CASES else ()):
        try:
            done = await gather_or_cancel(
                *(_pair(workflow, one, current, parameters, work=work, runtime=runtime) for one in some)
            )
        except BudgetExceeded as error:
            pairs.stopped = str(error)
            break
        for case, (before, after) in zip(some, done, strict=True):
            pairs.add(case, before, after)
    return pairs


def batched(cases: Sequence[Case]) -> Iterator[Sequence[Case]]:
    """Return cases that are replayed at the same time."""
    yield from (cases[place : place + _AT_ONCE] for place in range(0, len(cases), _AT_ONCE))


async def _pair(
    workflow: Workflow, case: Case, current: Mapping[str, Any], parameters: Mapping[str, Any], *, work: sessions.Work, runtime: Runtime
) -> tuple[Replayed, Replayed]:  # fmt: skip
    """Replay a case with both configurations, one after the other. Which comes first alternates, so that no order helps one."""
    changed, order = {**current, **parameters}, [0, 1]
    if selects(case.case_id, "order"):
        order.reverse()
    done: dict[int, Replayed] = {}
    for one in order:
        async with work.spending(workflow.price(runtime)) as part:
            done[one] = await workflow.replay(case, (current, changed)[one], runtime)
            part.usd += done[one].cost_usd
    return done[0], done[1]


def _judged(pairs: _Pairs, registration: Mapping[str, Any]) -> Any:
    """Return the gate's verdict. Time and cost are guardrails, as shares of what they are now."""
    cases = [one.case_id for one in pairs.cases]
    guardrails = {
        name: _saved([getattr(one, name) for one in pairs.before], [getattr(one, name) for one in pairs.after])
        for name in ("seconds", "cost_usd")
    }
    return judge(
        cases, baseline=np.array([float(bool(one.success)) for one in pairs.before]),
        candidates=[np.array([float(bool(one.success)) for one in pairs.after])], seed=registration["seed"],
        worth=registration["worth"], slices=[one.part for one in pairs.cases], guardrails=[guardrails],
        margins=registration["guardrails"], margin=registration["margin"], confidence=registration["confidence"],
    )  # fmt: skip


def _saved(before: Sequence[float], after: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    first, second = np.array(before, dtype=np.float64), np.array(after, dtype=np.float64)
    usual = float(first.mean()) if len(first) else 0.0
    # One case that was held up by something else must not decide.
    return np.clip((first - second) / usual, -1.0, 1.0) if usual > 0 else np.where(second > 0, -1.0, 0.0)
