"""What a turn runs with: the settings, or what optimizations have put in their place. It is drawn once, and stored with the turn.

A canary is seen by a share of the turns; a part of them stays on the old configuration (the holdback), so that what changes have
reached can be measured. Each draw follows from a seed and the question's id, with a known probability.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import structlog

from agent.db import load_queries
from agent.runtime import Cache, Runtime
from agent.settings import Settings
from agent.threads import Choice

_QUERIES = load_queries(__package__)
_TEMPLATES: Cache[str] = Cache()
_log = structlog.get_logger(__name__)
WORKFLOW = "agent_turn"
RULES = "{instructions}"  # what each variant of the instructions must hold, once: the agent's own rules
# Whoever applied a change sees it at once: nothing is held back in its first minute, which is not compared either.
SETTLES = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnParameter:
    """A parameter of a turn: the setting whose place it takes, and which values it may have. A value times `scale` is the setting's."""

    setting: str
    kind: Literal["integer", "number", "boolean", "text"]
    low: float | None = None
    high: float | None = None
    scale: float = 1.0

    def takes(self, value: Any) -> bool:
        """Return whether a value is allowed."""
        if self.kind == "boolean":
            return isinstance(value, bool)
        if self.kind == "text":
            return isinstance(value, str) and len(value) <= 200 and value.isprintable()
        kinds = (int,) if self.kind == "integer" else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high  # type: ignore[operator]  # numbers have both bounds


def _whole(setting: str, low: int, high: int) -> TurnParameter:
    return TurnParameter(setting=setting, kind="integer", low=low, high=high)


PARAMETERS: Mapping[str, TurnParameter] = {
    "model": TurnParameter(setting="model", kind="text"),
    "prompt": TurnParameter(setting="prompt_variant", kind="text"),
    "context_tokens": _whole("context_tokens", 2_000, 200_000),
    "schema_tokens": _whole("schema_tokens", 200, 100_000),
    "memory_tokens": _whole("memory_tokens", 100, 50_000),
    "top_k": _whole("memory_top_k", 0, 100),
    "max_rounds": _whole("max_rounds", 1, 30),
    "parallelism": _whole("max_calls_per_round", 1, 50),
    "cache_enabled": TurnParameter(setting="reuse_reads", kind="boolean"),
    "timeout": TurnParameter(setting="model_timeout", kind="number", low=1_000, high=600_000, scale=0.001),
    "retries": _whole("model_retries", 0, 10),
}
MOST_ROUNDS = 30


def of_settings(settings: Settings) -> dict[str, Any]:
    """Return the parameters that settings come to."""
    return {name: _value(getattr(settings, one.setting), one) for name, one in PARAMETERS.items()}


def _value(value: Any, parameter: TurnParameter) -> Any:
    return value if parameter.scale == 1 else round(value / parameter.scale)


def with_parameters(runtime: Runtime, parameters: Mapping[str, Any]) -> Runtime:
    """Return a runtime with a turn's parameters in the place of its settings. What is not known or not allowed is left out."""
    now = of_settings(runtime.settings)
    changed = {
        name: value
        for name, value in parameters.items()
        if name in PARAMETERS and value != now[name] and PARAMETERS[name].takes(value)
        and (name != "model" or value in models(runtime.settings))
    }  # fmt: skip
    if not changed:
        return runtime
    values = {PARAMETERS[name].setting: _setting(value, PARAMETERS[name]) for name, value in changed.items()}
    return replace(runtime, settings=runtime.settings.model_copy(update=values))


def models(settings: Settings) -> tuple[str, ...]:
    """Return the models that turns may have: those that the operator named. No other one gets to see data."""
    return (settings.model, *(one.strip() for one in settings.model_fallbacks.split(",") if one.strip()))


def _setting(value: Any, parameter: TurnParameter) -> Any:
    return value if parameter.scale == 1 else value * parameter.scale


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """A change that turns run with: all but the holdback if it is applied, or `share` of them if it is a canary."""

    optimization_id: str
    parameters: Mapping[str, Any]
    status: Literal["applied", "canary"]
    share: float
    seed: str
    since: datetime


async def chosen(question_id: str, *, now: datetime, runtime: Runtime) -> Choice:
    """Return what a new turn is to run with."""
    rows = await runtime.all(_QUERIES["in_force"], workflow_type=WORKFLOW)
    return choose([InForce(**row) for row in rows], question_id, now=now, settings=runtime.settings)


async def in_force(runtime: Runtime) -> dict[str, Any]:
    """Return the parameters that turns have if nothing is drawn for them."""
    rows = await runtime.all(_QUERIES["in_force"], workflow_type=WORKFLOW)
    return of_settings(runtime.settings) | {
        name: value for row in rows if row["status"] == "applied" for name, value in row["parameters"].items()
    }


def choose(changes: Sequence[InForce], key: str, *, now: datetime, settings: Settings) -> Choice:
    """Draw what a turn runs with. Pure: the same key gives the same choice."""
    base, applied = of_settings(settings), [one for one in changes if one.status == "applied"]
    usual = base | {name: value for one in applied for name, value in one.parameters.items()}
    if applied and settings.improve_holdback and now - applied[-1].since >= SETTLES:
        newest, share = applied[-1], settings.improve_holdback
        if drawn(key, newest.seed, "holdback") < share:
            return Choice(parameters=base, arm="holdback", optimization_id=newest.optimization_id, propensity=share)
    for canary in (one for one in changes if one.status == "canary"):
        if drawn(key, canary.seed, "canary") < canary.share:
            return Choice(
                parameters={**usual, **canary.parameters}, arm="canary", optimization_id=canary.optimization_id, propensity=canary.share
            )  # fmt: skip
        return Choice(
            parameters=usual, arm="usual", optimization_id=canary.optimization_id, propensity=1 - canary.share
        )
    if applied:
        kept = 1 - settings.improve_holdback if now - applied[-1].since >= SETTLES else None
        return Choice(
            parameters=usual, arm="usual" if kept else None, optimization_id=applied[-1].optimization_id if kept else None, propensity=kept
        )  # fmt: skip
    return _explored(usual, key, settings) or Choice(parameters=usual)


def _explored(usual: Mapping[str, Any], key: str, settings: Settings) -> Choice | None:
    """Return a choice in which one parameter has another value, for a share of the turns; None where nothing is explored."""
    tried = [(name, value) for name, values in settings.explored_values.items() for value in values]
    tried = [
        (name, value)
        for name, value in tried
        if name in PARAMETERS and PARAMETERS[name].takes(value) and usual[name] != value
    ]
    if not tried or not settings.improve_explore_share:
        return None
    share = settings.improve_explore_share
    if drawn(key, "explore", "share") >= share:
        return Choice(parameters=usual, arm="usual", propensity=1 - share)
    name, value = tried[int(drawn(key, "explore", "which") * len(tried))]
    return Choice(parameters={**usual, name: value}, arm="explored", propensity=share / len(tried))


def drawn(key: str, seed: str, purpose: str) -> float:
    """Return a number from 0 up to 1 that nobody can choose: it follows from a key and a seed."""
    return int.from_bytes(hashlib.sha256(f"{purpose}/{seed}/{key}".encode()).digest()[:8]) / 2**64


async def instructions(rules: str, *, runtime: Runtime) -> str:
    """Return the instructions of the variant that is in force, with the agent's own `rules` in them."""
    name = runtime.settings.prompt_variant
    if not name:
        return rules
    key = json.dumps([runtime.tenant_id, name])
    template = _TEMPLATES.get(runtime, key)
    if template is None:
        row = await runtime.one(_QUERIES["prompt_variant"], name=name)
        if row is None or row["template"].count(RULES) != 1:
            _log.warning("no_such_prompt_variant", name=name)
            return rules
        template = _TEMPLATES.put(runtime, str(row["template"]), key)
    return template.replace(RULES, rules)
