"""How an approved change comes into force, and is taken back: unseen first, then for a share of the turns, then for all but the holdback.

    shadow   new turns are rehearsed with it, and nobody sees that
    canary   a share of the turns runs with it; the share rises from stage to stage
    applied  all turns run with it but those that are held back on the old configuration

In each of them a bet against "it is not worse" is kept up (`agent.statistics.e_process`), which holds however often somebody looks.
When the bet is won the change is rolled back. A wrong share of canaries stops everything: then what was measured does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
import structlog

import agent.optimization.sessions as sessions
from agent.audit.sealing import seal_soon
from agent.db import load_queries
from agent.db.queries import fetch_all
from agent.errors import ActionRefused
from agent.graph.parameters import WORKFLOW
from agent.optimization.agent_turn import AGENT_TURN, MOST_CASES, outcome
from agent.optimization.cases import burn, fresh_cases
from agent.optimization.ids import key_of
from agent.optimization.mining import as_json
from agent.optimization.records import Optimization
from agent.optimization.workflows import Case
from agent.repeating import Repeating
from agent.runtime import Runtime
from agent.settings import Settings
from agent.statistics.e_process import ROLL_BACK_AT, harm_of, is_wrong_ratio
from agent.statistics.intervals import share_interval

LOOK_SECONDS = 15.0
LEAST_HELD_BACK = 20  # fewer turns on each side tell nothing of what was reached
_SHADOWED_AT_ONCE = 8
_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A turn that is compared for a change: its arm, whether it was good (None: not known yet), what it cost, and when it began."""

    arm: str
    good: bool | None
    cost_usd: float | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is to be done with a change that is on trial or applied."""

    move: str  # "stay", "roll_back" or "go_on"
    reason: str = ""


def judge_canary(seen: Sequence[Seen], *, share: float, began: datetime, wanted: int) -> Judgement:
    """Return what turns say of a canary. The share of canaries is checked since its stage began; harm, over all stages. Pure."""
    stage = [one for one in seen if one.at >= began]
    canaries = sum(one.arm == "canary" for one in stage)
    if is_wrong_ratio(canaries, len(stage), share):
        return Judgement(
            move="roll_back",
            reason=f"{canaries} of {len(stage)} turns ran with it, and a share of {share:g} should: the assignment is broken.",
        )
    harm = judge_harm(seen, old="usual", new="canary")
    if harm.move == "roll_back":
        return harm
    known = sum(one.arm == "canary" and one.good is not None for one in stage)
    return Judgement(move="go_on" if known >= wanted else "stay")


def judge_harm(seen: Sequence[Seen], *, old: str, new: str) -> Judgement:
    """Return whether the turns of one arm are worse than those of another beyond doubt, in the order in which they came. Pure."""
    outcomes = {arm: [float(one.good) for one in seen if one.arm == arm and one.good is not None] for arm in (old, new)}
    harm = harm_of(outcomes[old], outcomes[new])
    if not harm.rolls_back:
        return Judgement(move="stay")
    first, second = (sum(outcomes[arm][: harm.pairs]) for arm in (old, new))
    return Judgement(
        move="roll_back",
        reason=f"Of {harm.pairs} turns with it {second:.0f} were good, of as many without it {first:.0f}: evidence {harm.most:.0f}, {ROLL_BACK_AT:.0f} takes it back.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Realised:
    """What all applied changes together have reached, against the turns that were held back; None where too few were."""

    improvement: float | None
    lower: float | None
    upper: float | None
    savings_usd: float
    turns: int
    held_back: int


def realised(seen: Sequence[Seen]) -> Realised:
    """Compare the turns with all applied changes to those on the old configuration. Pure."""
    new = [one for one in seen if one.arm == "usual" and one.good is not None]
    old = [one for one in seen if one.arm == "holdback" and one.good is not None]
    if min(len(new), len(old)) < LEAST_HELD_BACK:
        return Realised(improvement=None, lower=None, upper=None, savings_usd=0.0, turns=len(new), held_back=len(old))
    good = [sum(bool(one.good) for one in side) / len(side) for side in (new, old)]
    (low, high), (old_low, old_high) = (
        share_interval(share * len(side), len(side)) or (0.0, 1.0) for share, side in zip(good, (new, old), strict=True)
    )
    difference = good[0] - good[1]
    # Newcombe's interval of a difference of shares.
    down = ((good[0] - low) ** 2 + (old_high - good[1]) ** 2) ** 0.5
    up = ((high - good[0]) ** 2 + (good[1] - old_low) ** 2) ** 0.5
    costs = [[one.cost_usd for one in side if one.cost_usd is not None] for side in (new, old)]
    saved = sum(costs[1]) / len(costs[1]) - sum(costs[0]) / len(costs[0]) if costs[0] and costs[1] else 0.0
    return Realised(
        improvement=difference, lower=difference - down, upper=difference + up, savings_usd=saved * len(new), turns=len(new), held_back=len(old)
    )  # fmt: skip


def since(seen: Sequence[Seen], at: datetime) -> list[Seen]:
    """Return the turns that began after a change was applied: before, the usual turns ran without it. Pure."""
    return [one for one in seen if one.at >= at]


async def begin(found: Optimization, *, runtime: Runtime) -> None:
    """Bring an approved change into force: at once, or step by step as the settings say. Raises `ActionRefused`."""
    status, share = first_step(found, runtime.settings)
    try:
        await runtime.execute(
            _QUERIES["begin_rollout"], optimization_id=key_of(found.optimization_id, "optimization"), status=status, share=share,
            by=runtime.user,
        )  # fmt: skip
    except psycopg.errors.UniqueViolation:
        raise ActionRefused(
            f"Another change of {found.workflow_type!r} is on trial, and two at once could not be told apart: wait for it, or roll it back."
        ) from None


def first_step(found: Optimization, settings: Settings) -> tuple[str, float | None]:
    """Return the status and the share with which an approved change begins. Only turns of the agent can be drawn."""
    if found.workflow_type != WORKFLOW:
        return "applied", None
    if settings.improve_shadow:
        return "shadow", None
    return ("canary", settings.stages[0]) if settings.stages else ("applied", None)


async def watch(*, runtime: Runtime) -> None:
    """Look at every change of the agent's turns that is on trial or applied: roll it back, go on with it, or let it be."""
    rows = await runtime.all(_QUERIES["on_trial"], workflow_type=WORKFLOW)
    newest = max((row["applied_at"] for row in rows if row["status"] == "applied"), default=None)
    for row in rows:
        if row["status"] == "shadow":
            judgement = await _shadowed(row, runtime)
        elif row["status"] == "canary":
            seen = await seen_of(str(row["optimization_id"]), runtime)
            judgement = judge_canary(
                seen, share=row["share"], began=row["stage_began_at"], wanted=runtime.settings.improve_stage_turns
            )
        elif row["applied_at"] == newest:
            seen = since(await seen_of(str(row["optimization_id"]), runtime), row["applied_at"])
            judgement = judge_harm(seen, old="holdback", new="usual")
        else:
            continue
        await _move(row, judgement, runtime)


async def _move(row: Mapping[str, Any], judgement: Judgement, runtime: Runtime) -> None:
    values = {"optimization_id": row["optimization_id"], "stage": row["stage"], "by": "the agent"}
    if judgement.move == "roll_back":
        _log.warning("optimization_rolled_back", optimization_id=str(row["optimization_id"]), reason=judgement.reason)
        await runtime.execute(_QUERIES["roll_back_optimization"], **values, reason=judgement.reason)
    elif judgement.move == "go_on":
        shares = runtime.settings.stages
        place = 0 if row["status"] == "shadow" else row["stage"] + 1
        share = shares[place] if place < len(shares) else None
        await runtime.execute(
            _QUERIES["next_stage"], **values, status="canary" if share else "applied", share=share, to=place
        )
    else:
        return
    seal_soon(runtime)


async def seen_of(optimization_id: str, runtime: Runtime) -> list[Seen]:
    """Return the turns that are compared for a change, in the order in which they came."""
    rows = await runtime.all(
        _QUERIES["compared_turns"], database_id=runtime.database_id, optimization_id=optimization_id, most=10_000
    )
    return [
        Seen(arm=row["arm"], good=None if row["status"] not in ("done", "failed") else outcome(row), cost_usd=row["cost_usd"], at=row["started_at"])
        for row in rows
    ]  # fmt: skip


async def _shadowed(row: Mapping[str, Any], runtime: Runtime) -> Judgement:
    """Rehearse some new turns with a change, and compare them with how they were. What came of it stands in its evidence."""
    evidence: list[dict[str, Any]] = list(row["evidence"])
    rung: dict[str, Any] = {"rung": "shadow", "before": [], "after": [], "not_evaluable": 0}
    if evidence and evidence[-1].get("rung") == "shadow":
        rung = evidence.pop()
    wanted = runtime.settings.improve_shadow
    for case in await _new_cases(row["stage_began_at"], runtime):
        if len(rung["after"]) >= wanted:
            break
        async with sessions.working(None, runtime=runtime) as work, work.spending(AGENT_TURN.price(runtime)) as part:
            current = await AGENT_TURN.current(runtime)
            done = await AGENT_TURN.replay(case, {**current, **row["parameters"]}, runtime)
            part.usd += done.cost_usd
        await burn(WORKFLOW, [case.case_id], by=str(row["optimization_id"]), runtime=runtime)
        if done.success is None:
            rung["not_evaluable"] += 1
            continue
        rung["before"].append(int(case.content["good"]))
        rung["after"].append(int(done.success))
    await runtime.execute(
        _QUERIES["save_evidence"], optimization_id=row["optimization_id"], evidence=as_json([*evidence, rung])
    )
    harm = harm_of([float(one) for one in rung["before"]], [float(one) for one in rung["after"]])
    if harm.rolls_back:
        return Judgement(move="roll_back", reason=f"In {harm.pairs} rehearsals of new turns it was worse.")
    return Judgement(move="go_on" if len(rung["after"]) >= wanted else "stay")


async def _new_cases(since: datetime, runtime: Runtime) -> Sequence[Case]:
    fresh = {one.case_id: one for one in await fresh_cases(AGENT_TURN, runtime=runtime)}
    rows = await runtime.all(_QUERIES["recorded_turns"], database_id=runtime.database_id, most=MOST_CASES)
    names = [f"{row['thread_id']}/{row['turn']}" for row in reversed(rows) if row["started_at"] >= since]
    return [fresh[name] for name in names if name in fresh][:_SHADOWED_AT_ONCE]


class RolloutWatch:
    """Watches the changes of every tenant in the background, often enough that a harmful one is taken back within a minute."""

    def __init__(self, runtime: Runtime, *, seconds: float = LOOK_SECONDS) -> None:
        self._runtime = runtime
        self._repeating = Repeating("rollout_watch", self._look, seconds=seconds)

    def start(self) -> None:
        """Begin to watch."""
        self._repeating.start()

    async def stop(self) -> None:
        """Watch no more."""
        await self._repeating.stop()

    async def _look(self) -> None:
        async with self._runtime.db.connection("agent_app") as conn:
            tenants = [row["tenant_id"] for row in await fetch_all(conn, _QUERIES["tenants"])]
        for tenant in tenants:
            await watch(runtime=self._runtime.for_tenant(tenant))
