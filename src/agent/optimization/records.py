"""The values that optimization returns: frozen, and read as attributes or as keys (`config["generated_config"]`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from agent.sync.records import Record

CampaignStatus = Literal["queued", "running", "done", "cancelled", "failed"]
PatternStatus = Literal["unproven", "found", "confirmed", "refuted"]
OptimizationStatus = Literal["proposed", "tested", "waiting", "shadow", "canary", "applied", "rejected", "rolled_back"]
Verdict = Literal["better", "not better", "underpowered", "harmful", "not evaluable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningSession(Record):
    """A session of learning with its budgets. What is reserved for work that runs counts as spent until that ends."""

    session_id: str
    agent_id: str
    focus_area: str
    status: Literal["active", "ended"]
    time_budget_ms: float
    cost_budget_usd: float
    reserved_ms: float
    reserved_usd: float
    spent_ms: float
    spent_usd: float
    started_by: str
    started_at: datetime
    ended_at: datetime | None

    @property
    def learning_budget(self) -> Mapping[str, float]:
        """The budgets, as they are given."""
        return {"time_ms": self.time_budget_ms, "cost_usd": self.cost_budget_usd}


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign(Record):
    """A research campaign. `findings` tell what goes with success, with the numbers of runs that show it."""

    campaign_id: str
    session_id: str | None
    topic: str
    data_sources: Sequence[str]
    mining_depth: int
    status: CampaignStatus
    steps_done: int
    progress: float
    findings: Sequence[Mapping[str, Any]]
    reason: str
    launched_by: str
    created_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern(Record):
    """What goes with success. `parameters` is what to set for it; a pattern with `source` seed or imported is unproven here."""

    pattern_id: str
    pattern_key: str
    pattern_category: str
    workflow_type: str
    description: str
    events: Sequence[str]
    parameters: Mapping[str, Any]
    source: Literal["seed", "mined", "imported"]
    status: PatternStatus
    confidence_score: float
    lift: float | None
    lift_error: float | None
    p_value: float | None
    false_discovery_rate: float | None
    replication: float | None
    runs_with: int | None
    runs_without: int | None
    evidence: Mapping[str, Any]
    campaign_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedConfig(Record):
    """A configuration that was merged from patterns, or made from another one."""

    config_id: str
    workflow_type: str
    generated_config: Mapping[str, Any]
    source_patterns: Sequence[str]
    conflicts: Sequence[Mapping[str, Any]]
    options: Mapping[str, Any]
    confidence_score: float
    improves: str | None
    created_at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigTest(Record):
    """What a test of a configuration showed. Figures are None where no run tells them."""

    test_id: str
    config_id: str
    success: bool
    reason: str
    simulator: str
    runs: int
    performance_metrics: Mapping[str, float | None]
    intervals: Mapping[str, Any]
    tested_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BestConfig(Record):
    """The configuration that did best by a metric, with the interval of its figure and in how many tests it took part."""

    config: GeneratedConfig
    metric: str
    value: float
    interval: Sequence[float] | None
    tests: int

    @property
    def config_id(self) -> str:
        """The configuration's id."""
        return self.config.config_id

    @property
    def generated_config(self) -> Mapping[str, Any]:
        """The configuration itself."""
        return self.config.generated_config


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimization(Record):
    """A change that was proposed, with what was registered before its test, and what the test showed."""

    optimization_id: str
    pattern_id: str | None
    agent_id: str
    workflow_type: str
    target: str
    parameters: Mapping[str, Any]
    registration: Mapping[str, Any]
    registration_hash: str
    status: OptimizationStatus
    verdict: Verdict | None
    reason: str
    evidence: Sequence[Mapping[str, Any]]
    cost_benefit_ratio: float | None
    actual_improvement: float | None
    more_cases: int | None
    approval_id: int | None
    created_by: str
    created_at: datetime
    tested_at: datetime | None
    applied_at: datetime | None
    rolled_back_at: datetime | None
    share: float | None
    stage: int
    rolled_back_because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizationTest(Record):
    """The result of a test. The ratio is 0 where nothing is proven, so that nothing is applied by it."""

    optimization_id: str
    verdict: Verdict
    reason: str
    cost_benefit_ratio: float
    actual_improvement: float
    evidence: Sequence[Mapping[str, Any]]
    more_cases: int | None
    more_days: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizationMetrics(Record):
    """What optimizations of an agent reached. Improvements are those that were realised, never a sum of claims."""

    agent_id: str
    total_optimizations: int
    total_improvement: float
    total_cost_savings: float
    avg_performance_improvement: float
    proposed: int
    tested: int
    rolled_back: int
    claimed: Sequence[Mapping[str, Any]] = field(default=())
    basis: str = ""
    interval: Sequence[float] | None = None
