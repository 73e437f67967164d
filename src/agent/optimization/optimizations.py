"""Optimizations: a change is proposed from a pattern, registered, tested on the ladder, applied by a human's yes, and taken back."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

import structlog

import agent.optimization.patterns as patterns
import agent.optimization.rollout as rollout
import agent.optimization.sessions as sessions
from agent.approval.human_approval import human_approval_queue
from agent.audit.sealing import seal_soon
from agent.db import load_queries
from agent.errors import ActionRefused, InvalidInput, NotFound
from agent.optimization.drafts import draft
from agent.optimization.ids import key_of, not_there
from agent.optimization.ladder import Climbed, bound_again, climb
from agent.optimization.mining import as_json
from agent.optimization.records import Optimization, OptimizationMetrics, OptimizationTest
from agent.optimization.search import search
from agent.optimization.workflows import registered
from agent.runtime import Runtime
from agent.settings import Settings
from agent.statistics.evidence_gate import CONFIDENCE, SELECTED, Bound
from agent.sync import AgentSyncService
from agent.sync.payloads import checked_name

_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)
APPLIES_FROM = 2.0
_OPTIONS = frozenset({"target", "agent_id", "workflow_type"})
_PROPOSE = frozenset({"workflow_type", "by", "kind", "agent_id", "target", "parameters", "max_cost", "trials"})
_MOST_CASES, _GUARD_MARGIN = 400, 0.25
_OWN_AGENT, _OWN_WORKFLOW = "learning-agent", "agent_turn"


async def generate(pattern_id: str, options: Mapping[str, Any], *, runtime: Runtime) -> Optimization:
    """Propose what a pattern names, and register how it will be tested, before anybody looks."""
    given = {name: value for name, value in options.items() if value is not None}
    if unknown := given.keys() - _OPTIONS:
        raise InvalidInput(f"There is no option {str(min(unknown))[:100]!r}: use {', '.join(sorted(_OPTIONS))}.")
    pattern = await patterns.get(pattern_id, runtime=runtime)
    workflow_type = given.get("workflow_type") or pattern.workflow_type or _OWN_WORKFLOW
    proposal = Proposal(
        parameters=pattern.parameters, workflow_type=workflow_type, source="pattern", pattern_id=pattern.pattern_id
    )
    return await save(proposal, agent_id=given.get("agent_id"), target=given.get("target"), runtime=runtime)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is proposed, by whom (a pattern, a search, a model), why, and the text of a variant of the instructions if it is one."""

    parameters: Mapping[str, Any]
    workflow_type: str
    source: Literal["pattern", "search", "model"]
    pattern_id: str | None = None
    reason: str = ""
    template: str = ""


async def propose(options: Mapping[str, Any], *, runtime: Runtime) -> Optimization:
    """Let Optuna search for parameters, or a model draft instructions or parameters, and register the test of what they propose."""
    given = {name: value for name, value in options.items() if value is not None}
    if unknown := given.keys() - _PROPOSE:
        raise InvalidInput(f"There is no option {str(min(unknown))[:100]!r}: use {', '.join(sorted(_PROPOSE))}.")
    workflow_type = checked_name(given.get("workflow_type", _OWN_WORKFLOW), what="workflow_type")
    by = given.get("by", "search")
    if by not in ("search", "model"):
        raise InvalidInput("by must be search (Optuna) or model.")
    proposal = await (
        _searched(given, workflow_type, runtime) if by == "search" else _drafted(given, workflow_type, runtime)
    )
    return await save(proposal, agent_id=given.get("agent_id"), target=given.get("target"), runtime=runtime)


async def _searched(given: Mapping[str, Any], workflow_type: str, runtime: Runtime) -> Proposal:
    trials, most, names = given.get("trials", 5), given.get("max_cost"), given.get("parameters")
    if type(trials) is not int or not 1 <= trials <= 100:
        raise InvalidInput("trials must be a whole number from 1 to 100.")
    if most is not None and (not isinstance(most, int | float) or isinstance(most, bool) or not 0 <= most < math.inf):
        raise InvalidInput("max_cost must be a number of US dollars from 0 on.")
    if names is not None and (
        not isinstance(names, list | tuple) or not names or not all(isinstance(one, str) for one in names)
    ):
        raise InvalidInput("parameters must be a list of names.")
    found = await search(
        workflow_type, names=names, trials=trials, max_cost=most, seed=_seed(workflow_type), runtime=runtime
    )
    if found is None:
        raise NotFound("The search found nothing better than what is in force: nothing is proposed.")
    reason = (
        f"{found.good:.0%} of {found.runs} runs were good with it, the best of what was tried; a test must confirm it."
    )
    return Proposal(parameters=found.parameters, workflow_type=workflow_type, source="search", reason=reason)


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])


async def _drafted(given: Mapping[str, Any], workflow_type: str, runtime: Runtime) -> Proposal:
    kind = given.get("kind", "prompt" if workflow_type == _OWN_WORKFLOW else "workflow")
    if kind not in ("prompt", "workflow"):
        raise InvalidInput("kind must be prompt or workflow.")
    found = await draft(kind, workflow_type, runtime=runtime)
    return Proposal(
        parameters=found.parameters, workflow_type=workflow_type, source="model", reason=found.reason, template=found.template
    )  # fmt: skip


async def save(proposal: Proposal, *, agent_id: Any, target: Any, runtime: Runtime) -> Optimization:
    """Keep a proposal, and register how it will be tested."""
    session = await sessions.active(runtime)
    agent_id = agent_id or (session.agent_id if session else _OWN_AGENT)
    target = checked_name("execution_efficiency" if target is None else target, what="target")
    registration = _registration(proposal, target, runtime.settings)
    row = await runtime.one(
        _QUERIES["save_optimization"], pattern_id=proposal.pattern_id, agent_id=checked_name(agent_id, what="agent_id"),
        workflow_type=checked_name(proposal.workflow_type, what="workflow_type"), target=target,
        parameters=as_json(dict(proposal.parameters)), registration=as_json(registration), hash=registration_hash(registration),
        by=runtime.user,
    )  # fmt: skip
    assert row is not None  # noqa: S101  # an insert returns its row
    return Optimization.from_row(row)


def _registration(proposal: Proposal, target: str, settings: Settings) -> dict[str, Any]:
    drafted = {"reason": proposal.reason, "template": proposal.template} if proposal.source != "pattern" else {}
    return {
        "what": dict(proposal.parameters), "workflow_type": proposal.workflow_type, "target": target, "metric": "success",
        "worth": settings.improve_worth, "margin": settings.improve_margin, "guardrails": {"seconds": _GUARD_MARGIN, "cost_usd": _GUARD_MARGIN},
        "confidence": CONFIDENCE, "selecting_share": SELECTED, "most_cases": _MOST_CASES, "seed": uuid4().hex, "source": proposal.source,
        **drafted,
    }  # fmt: skip


def registration_hash(registration: Mapping[str, Any]) -> str:
    """Return the hash of what was registered."""
    text = json.dumps(registration, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


async def get(optimization_id: str, *, runtime: Runtime) -> Optimization:
    """Return an optimization. Raises `NotFound`."""
    row = await runtime.one(_QUERIES["optimization"], optimization_id=key_of(optimization_id, "optimization"))
    if row is None:
        raise not_there(optimization_id, "optimization")
    return Optimization.from_row(row)


async def every(*, runtime: Runtime) -> list[Optimization]:
    """Return the newest optimizations."""
    return [Optimization.from_row(row) for row in await runtime.all(_QUERIES["optimizations"])]


async def parameters_of(workflow_type: str, *, runtime: Runtime) -> dict[str, Any]:
    """Return what applied optimizations set for a workflow, over what it says is in force."""
    checked_name(workflow_type, what="workflow_type")
    workflow = registered(workflow_type)
    values = dict(await workflow.current(runtime)) if workflow else {}
    for row in await runtime.all(_QUERIES["on_trial"], workflow_type=workflow_type):
        values |= row["parameters"] if row["status"] == "applied" else {}
    return values


async def test(optimization_id: str, *, runtime: Runtime) -> OptimizationTest:
    """Test a change as it was registered, once. It is tested again only while there were too few cases to look at any."""
    found = await get(optimization_id, runtime=runtime)
    if found.status not in ("proposed", "tested") or any(rung.get("confirmed_on") for rung in found.evidence):
        return _as_test(found, runs_a_day=0.0)
    if registration_hash(found.registration) != found.registration_hash:
        raise ActionRefused("What was registered is not what is to be tested: propose it again.")
    climbed = await climb(found, runtime=runtime)
    ratio = benefit_ratio(climbed, runtime.settings)
    row = await runtime.one(
        _QUERIES["save_test"], optimization_id=key_of(optimization_id, "optimization"), verdict=climbed.verdict, reason=climbed.reason,
        evidence=as_json(list(climbed.rungs)), ratio=ratio, improvement=climbed.improvement, more_cases=climbed.more_cases,
        tested_at=found.tested_at,
    )  # fmt: skip
    if row is None:  # somebody else has its answer meanwhile
        return _as_test(await get(optimization_id, runtime=runtime), runs_a_day=climbed.runs_a_day)
    if climbed.n:
        await runtime.execute(
            _QUERIES["save_metric"], optimization_id=row["optimization_id"], agent_id=found.agent_id, metric="success", kind="claimed",
            value=climbed.improvement, lower=climbed.lower, upper=climbed.upper, runs=climbed.n,
        )  # fmt: skip
    return _as_test(Optimization.from_row(row), runs_a_day=climbed.runs_a_day)


async def computed_again(optimization_id: str, *, runtime: Runtime) -> Bound | None:
    """Return the bound of a test, computed again from what is stored; None where nothing was replayed. Raises `NotFound`."""
    found = await get(optimization_id, runtime=runtime)
    rows = await runtime.all(_QUERIES["cases_of"], optimization_id=key_of(optimization_id, "optimization"))
    return bound_again(found, [row["case_id"] for row in rows])


def benefit_ratio(climbed: Climbed, settings: Settings) -> float:
    """Return the value that is sure over the horizon, over the full cost of the change; 0 where nothing is proven."""
    if climbed.verdict != "better":
        return 0.0
    runs = climbed.runs_a_day * settings.improve_horizon_days
    value = max(climbed.lower, 0.0) * runs * settings.improve_success_usd
    cost = settings.improve_change_usd + climbed.cost_usd + max(climbed.more_usd_a_run, 0.0) * runs
    return value / cost


def _as_test(one: Optimization, *, runs_a_day: float) -> OptimizationTest:
    more = one.more_cases
    return OptimizationTest(
        optimization_id=one.optimization_id, verdict=one.verdict or "not evaluable", reason=one.reason,
        cost_benefit_ratio=one.cost_benefit_ratio or 0.0, actual_improvement=one.actual_improvement or 0.0, evidence=one.evidence,
        more_cases=more, more_days=round(more / runs_a_day, 1) if more and runs_a_day else None,
    )  # fmt: skip


async def apply(optimization_id: str, *, runtime: Runtime) -> Optimization:
    """Apply a change that its test has shown to be better, and that a human has allowed where the policy asks.

    Where it asks, the first call asks and returns `waiting`; call again after the decision. Raises `ActionRefused`.
    """
    found = await get(optimization_id, runtime=runtime)
    if found.status in ("shadow", "canary", "applied"):
        return found
    ratio = found.cost_benefit_ratio or 0.0
    if found.status not in ("tested", "waiting") or found.verdict != "better" or ratio <= APPLIES_FROM:
        raise ActionRefused(
            f"It is not applied: status {found.status}, verdict {found.verdict or 'none'}, ratio {ratio:.2f}. "
            f"Test it; the verdict must be better, and the ratio above {APPLIES_FROM:g}."
        )
    if runtime.settings.improve_apply == "allow":
        return await _begun(found, runtime)
    return await _asked(found, runtime)


async def _begun(found: Optimization, runtime: Runtime) -> Optimization:
    """Bring a change into force, if what it was compared with is still in force."""
    workflow = registered(found.workflow_type)
    against = next((rung["against"] for rung in found.evidence if rung.get("against") is not None), None)
    now = await workflow.current(runtime) if workflow else {}
    if against is not None and (changed := sorted(name for name in now if now[name] != against.get(name))):
        raise ActionRefused(
            f"What is in force has changed since the test ({', '.join(changed)}): propose the change again, and test it."
        )
    await _keep_state(found.agent_id, found.workflow_type, now, runtime)
    await rollout.begin(found, runtime=runtime)
    seal_soon(runtime)
    return await get(found.optimization_id, runtime=runtime)


async def _keep_state(agent_id: str, workflow_type: str, now: Mapping[str, Any], runtime: Runtime) -> None:
    """Keep a version of the agent's state with the configuration that is in force, before another one comes."""
    sync = AgentSyncService(runtime)
    try:
        state = dict((await sync.get_current_state(agent_id)).state)
    except NotFound:
        state = {}
    known = state.get("configuration")
    configuration = {**(known if isinstance(known, Mapping) else {}), workflow_type: dict(now)}
    await sync.create_state_snapshot(agent_id, {**state, "configuration": configuration})


async def _asked(found: Optimization, runtime: Runtime) -> Optimization:
    """Ask a human once, and go by the row of the queue."""
    if found.approval_id is None:
        request = await human_approval_queue.request(
            "apply_optimization",
            {
                "optimization_id": found.optimization_id, "workflow_type": found.workflow_type, "parameters": dict(found.parameters),
                **({"template": found.registration["template"]} if found.registration.get("template") else {}),
            },
            summary=f"Set {as_json(dict(found.parameters))} for {found.workflow_type}. {found.reason}", executable=False, runtime=runtime,
        )  # fmt: skip
        return await _moved(found, "wait_optimization", runtime, approval_id=request.id)
    decided = await human_approval_queue.get(found.approval_id, runtime=runtime)
    if decided.status == "pending":
        return found
    if decided.status == "approved":
        return await _begun(found, runtime)
    return await _moved(found, "reject_optimization", runtime)


async def _moved(found: Optimization, query: str, runtime: Runtime, **more: Any) -> Optimization:
    key = key_of(found.optimization_id, "optimization")
    await runtime.execute(_QUERIES[query], optimization_id=key, by=runtime.user, **more)
    seal_soon(runtime)
    return await get(found.optimization_id, runtime=runtime)


async def roll_back(optimization_id: str, *, runtime: Runtime) -> Optimization:
    """Take a change back that is applied or on trial; the next run is without it. Another one stays as it is."""
    found = await get(optimization_id, runtime=runtime)
    return await _moved(found, "roll_back_optimization", runtime, reason="somebody asked for it")


async def apply_decided(*, runtime: Runtime) -> None:
    """Apply what humans have allowed meanwhile, and drop what they have not. What cannot be applied now waits on."""
    for row in await runtime.all(_QUERIES["waiting_optimizations"]):
        try:
            await apply(str(row["optimization_id"]), runtime=runtime)
        except ActionRefused as error:
            _log.info("optimization_waits", optimization_id=str(row["optimization_id"]), reason=str(error))


async def metrics(agent_id: str, *, runtime: Runtime) -> OptimizationMetrics:
    """Return what an agent's optimizations reached. What was claimed stands beside it, one by one."""
    checked_name(agent_id, what="agent_id")
    counts = await runtime.one(_QUERIES["optimization_counts"], agent_id=agent_id) or {}
    claimed = await runtime.all(_QUERIES["claimed_metrics"], agent_id=agent_id)
    newest = await runtime.one(_QUERIES["newest_applied"], agent_id=agent_id, workflow_type=_OWN_WORKFLOW)
    seen = (
        rollout.since(await rollout.seen_of(newest["optimization_id"], runtime), newest["applied_at"]) if newest else []
    )
    reached, applied = rollout.realised(seen), counts.get("applied", 0)
    total = reached.improvement or 0.0
    return OptimizationMetrics(
        agent_id=agent_id, total_optimizations=applied, proposed=counts.get("proposed", 0), tested=counts.get("tested", 0),
        rolled_back=counts.get("rolled_back", 0), total_improvement=total, total_cost_savings=reached.savings_usd,
        avg_performance_improvement=total / applied if applied else 0.0, claimed=claimed, basis=_basis(reached),
        interval=None if reached.lower is None or reached.upper is None else (reached.lower, reached.upper),
    )  # fmt: skip


def _basis(reached: rollout.Realised) -> str:
    if reached.improvement is None:
        return (
            f"Nothing is counted as realised yet: {reached.held_back} turns were held back on the old configuration and {reached.turns} "
            f"were not; {rollout.LEAST_HELD_BACK} of each are needed."
        )
    return f"{reached.turns} turns with all changes, against {reached.held_back} that were held back on the old configuration."
