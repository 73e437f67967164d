"""What checks find, what a run did, and what an alert is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from agent.types import RiskLevel

if TYPE_CHECKING:
    from agent.monitoring.watch import Watch

AlertStatus = Literal["noticed", "open", "resolved"]
ANSWER = "answer"  # the action under which the execution log has a whole turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong now. `subject` tells findings of one check apart and stays the same while it lasts.

    `evidence` holds names and numbers, never a value of a row. `action` says what somebody should do.
    """

    subject: str
    severity: RiskLevel
    message: str
    action: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that is watched. `every` is how often at most; an alert opens when `opens_after` runs in a row have found it.

    A check that `samples` the application waits for the next run when one with `every` has just read its catalogs: together
    they would cost too much at once.
    """

    name: str
    about: str
    look: Callable[[Watch], Awaitable[list[Finding]]]
    every: timedelta = timedelta()
    opens_after: int = 1
    samples: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRun:
    """How one check went in a run; `error` is '' if it worked, `skipped` if it was not its turn."""

    name: str
    milliseconds: float = 0.0
    findings: int = 0
    error: str = ""
    skipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorRun:
    """One run of the monitor. `skipped` says that another monitor was running, so that nothing was done."""

    id: int | None
    status: Literal["running", "done", "lost", "skipped"]
    started_at: datetime | None = None
    finished_at: datetime | None = None
    checks: tuple[CheckRun, ...] = ()
    opened: int = 0
    resolved: int = 0
    statement_ms: float | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> MonitorRun:
        """Build a run from a row of agents.monitor_runs."""
        values = {one.name: row[one.name] for one in fields(cls)}
        return cls(**{**values, "checks": tuple(CheckRun(**one) for one in row["checks"])})


class AlertDict(TypedDict):
    """An alert as the receivers of a script get it."""

    id: int
    key: str
    check: str
    status: AlertStatus
    severity: RiskLevel
    message: str
    action: str
    evidence: dict[str, Any]
    opened_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing that was or is wrong. `episode` counts how often it came back; `seen` the runs of this episode that saw it."""

    id: int
    key: str
    check_name: str
    status: AlertStatus
    severity: RiskLevel
    message: str
    action: str
    evidence: dict[str, Any]
    episode: int
    seen: int
    opened_at: datetime
    seen_at: datetime
    resolved_at: datetime | None
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    muted_until: datetime | None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Alert:
        """Build an alert from a row of agents.alerts."""
        return cls(**{one.name: row[one.name] for one in fields(cls)})

    def as_dict(self) -> AlertDict:
        """Return the alert as a dictionary of plain values."""
        return AlertDict(
            id=self.id,
            key=self.key,
            check=self.check_name,
            status=self.status,
            severity=self.severity,
            message=self.message,
            action=self.action,
            evidence=self.evidence,
            opened_at=self.opened_at.isoformat(),
        )
