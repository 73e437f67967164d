"""Decides which conditions a change must meet now. The rules are pure; `guards_now` reads what they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agent.approval.human_approval import Approval
from agent.approval.preview import MailPreview, Preview, StatementPreview, TableEffect, ToolPreview
from agent.db import load_queries
from agent.errors import ActionRefused, AgentStopped, ConditionNotMet
from agent.execution.controls import controls
from agent.execution.guards.break_glass import BreakGlass
from agent.execution.guards.recovery import RecoveryPoint, newest_backup
from agent.runtime import Runtime
from agent.settings.freeze import FreezeWindow
from agent.statements.risk import is_asked
from agent.types import Assessment, RiskLevel

_QUERIES = load_queries(__package__)
_LOOK_AGAIN = timedelta(seconds=15)
# Reasons `write:...` of statements that change rows, and nothing about a table.
_ROW_WRITES = frozenset({"write:insert", "write:update", "write:delete", "write:merge", "write:resolved"})
# Code that is not known to be harmless may change tables too.
_ANY_CODE = ("function:", "operator:", "cast:", "type:", "domain:", "view:", "relation:", "unresolved:", "depth:")
_HOW_TO_LIFT = 'An admin can lift that for some minutes: `agent break-glass "why"`.'


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """The window that covers this moment, and its end."""

    window: FreezeWindow
    until: datetime

    @property
    def sentence(self) -> str:
        """Say what the window asks for, and until when."""
        effect = f"a change needs {self.window.approvers} people" if self.window.approvers else "nothing is changed"
        return f"Until {self.until:%Y-%m-%d %H:%M %Z} {effect} (AGENT_FREEZE: {self.window.text})."


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """What the conditions are about at this moment: the time, the window, an open break-glass, and whether people are named."""

    now: datetime
    several: bool = False
    freeze: Freeze | None = None
    break_glass: BreakGlass | None = None

    @property
    def frozen(self) -> Freeze | None:
        """The window in force: none while a break-glass is open."""
        return None if self.break_glass else self.freeze

    @property
    def votes(self) -> int:
        """How many people must approve a change now, at least."""
        return max(1, self.frozen.window.approvers) if self.frozen else 1

    def asks(self, risk: RiskLevel, *, ask_from: RiskLevel) -> bool:
        """Return whether a human is asked about a change of this risk now."""
        return self.votes > 1 or is_asked(risk, ask_from)

    def check_proposal(self) -> None:
        """Raise `ConditionNotMet` if nothing may be proposed now."""
        if self.frozen is None:
            return
        if not self.frozen.window.approvers:
            raise ConditionNotMet(
                f"Not done, and nobody was asked. {self.frozen.sentence} Ask again then. {_HOW_TO_LIFT}"
            )
        if not self.several:
            raise ConditionNotMet(
                f"Not done, and nobody was asked. {self.frozen.sentence} Nobody is named here who could (`agent people add`)."
            )

    def check_approved(self, approval: Approval) -> None:
        """Raise `ConditionNotMet` if an approved change has to wait."""
        if self.frozen is None:
            return
        needed, given = self.frozen.window.approvers, len(approval.approved_by)
        if not needed or given < needed:
            raise ConditionNotMet(f"{self.frozen.sentence} It is carried out after that by itself. {_HOW_TO_LIFT}")


def freeze_at(now: datetime, windows: Sequence[FreezeWindow]) -> Freeze | None:
    """Return the strictest window that covers `now`; of equally strict ones the one that ends last."""
    covering = [Freeze(window=window, until=end) for window in windows if (end := window.end(now)) is not None]
    return max(covering, key=lambda one: (one.window.approvers or 10**6, one.until), default=None)


def needs_recovery_point(risk: RiskLevel, reasons: Sequence[str]) -> bool:
    """Return whether a statement of this risk and with these reasons needs a backup: it is CRITICAL or may change tables."""
    changes_tables = (reason.startswith("write:") and reason not in _ROW_WRITES for reason in reasons)
    return risk == "CRITICAL" or any(changes_tables) or any(reason.startswith(_ANY_CODE) for reason in reasons)


def rows_changed(preview: StatementPreview) -> int:
    """Return how many rows a statement was seen to change, in all tables together."""
    return max(rows_in(preview.tables), preview.row_count or 0)


def rows_in(tables: Iterable[TableEffect]) -> int:
    """Return how many rows changed in all tables together."""
    return sum(table["inserted"] + table["updated"] + table["deleted"] for table in tables)


def check_rows(rows: int, most: int) -> None:
    """Raise `ActionRefused` if a statement changes more rows than AGENT_MAX_CHANGED_ROWS allows."""
    if most and rows > most:
        raise ActionRefused(
            f"Refused: it changes {rows:,} rows, and AGENT_MAX_CHANGED_ROWS allows {most:,} at once. Change fewer, or ask an "
            "operator."
        )


async def guards_now(runtime: Runtime) -> Guards:
    """Return what the conditions are about now, by the database's clock."""
    row = await runtime.one(_QUERIES["guards_now"])
    assert row is not None  # noqa: S101  # it always has one row
    return Guards(
        now=row["now"], several=row["several"], freeze=freeze_at(row["now"], runtime.settings.freeze_windows),
        break_glass=BreakGlass.from_row(row),
    )  # fmt: skip


async def recovery_sentence(guards: Guards, risk: RiskLevel, reasons: Sequence[str], runtime: Runtime) -> str:
    """Return the sentence on the backup that a statement needs; '' if it needs none. Raises `ConditionNotMet`."""
    hours = runtime.settings.recovery_max_age
    if not hours or not needs_recovery_point(risk, reasons):
        return ""
    return sentence_on(await newest_backup(runtime), guards, hours=hours)


def sentence_on(point: RecoveryPoint, guards: Guards, *, hours: float) -> str:
    """Return the sentence on a backup that is needed and must be younger than `hours`. Raises `ConditionNotMet`."""
    problem = point.problem(guards.now, hours=hours)
    if not problem:
        return f"Recovery point: the newest backup is of {point.at:%Y-%m-%d %H:%M %Z} (at most {hours:g} h old)."
    rule = f"It needs a backup younger than {hours:g} h (AGENT_RECOVERY_MAX_AGE)"
    if guards.break_glass:
        return f"NO recovery point: {problem}. {rule}, which the break-glass lifts."
    raise ConditionNotMet(f"{rule}, and {problem}. {_HOW_TO_LIFT}")


def changes_something(assessment: Assessment) -> bool:
    """Return whether an assessed action could change something: it is no read, not the agent's own, and not refused."""
    return assessment.verdict != "refuse" and assessment.reasons not in {("read",), ("own",)}


async def held_up_by(assessment: Assessment, *, statement: bool, runtime: Runtime) -> str:
    """Return the condition for which an assessed action would not be asked about or done now, as a sentence; '' for none."""
    if not changes_something(assessment):
        return ""
    try:
        await controls.check(writing=True, runtime=runtime)
        guards = await guards_now(runtime)
        guards.check_proposal()
        if statement:
            await recovery_sentence(guards, assessment.risk, assessment.reasons, runtime)
    except AgentStopped as error:
        return str(error)
    return ""


async def check_approved(approval: Approval, *, statement: bool, runtime: Runtime) -> None:
    """Raise `ConditionNotMet` if an approved action has to wait for its conditions; a worker then looks again by itself."""
    try:
        guards = await guards_now(runtime)
        guards.check_approved(approval)
        if statement:
            await recovery_sentence(guards, approval.risk_level, approval.reasons, runtime)
    except ConditionNotMet:
        await runtime.execute(_QUERIES["wait_for_conditions"], approval_id=approval.id, wait=_LOOK_AGAIN)
        raise


def sentences(guards: Guards, *, environment: str, recovery: str = "") -> tuple[str, ...]:
    """Return what somebody must know of the conditions of a change: environment, open break-glass, window, recovery point."""
    label = f"Environment: {environment}." if environment else ""
    glass = guards.break_glass.sentence if guards.break_glass else ""
    frozen = guards.frozen.sentence if guards.frozen else ""
    return tuple(filter(None, (label, glass, frozen, recovery)))


def labelled(preview: Preview, guards: Guards, *, environment: str, recovery: str = "") -> Preview:
    """Return a preview with the conditions, and with the environment and an open break-glass before its sentences."""
    shown = replace(preview, conditions=sentences(guards, environment=environment, recovery=recovery))
    label = ", ".join(filter(None, (environment, "break-glass" if guards.break_glass else "")))
    if not label:
        return shown
    shown = replace(shown, sentence=f"[{label}] {preview.sentence or ''}".strip())
    if isinstance(shown, (MailPreview, ToolPreview)) and shown.masked_sentence is not None:
        shown = replace(shown, masked_sentence=f"[{label}] {shown.masked_sentence}")
    return shown
