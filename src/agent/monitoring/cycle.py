"""One run of the monitor: every check that is due looks, the alerts follow what was found, and the run is recorded.

A check that fails or hangs stops no other one; its alerts stay as they were.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
import structlog
from psycopg.types.json import Jsonb

from agent.db import load_queries
from agent.db.failures import log_message
from agent.errors import AgentError
from agent.monitoring.alerts import Changes, apply
from agent.monitoring.records import Alert, Check, CheckRun, Finding, MonitorRun
from agent.monitoring.watch import Watch
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
_PATIENCE = timedelta(minutes=10)
_CHECK_SECONDS = 30.0
_OWN = "monitor"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """A run and the alerts that it opened and resolved."""

    run: MonitorRun
    opened: tuple[Alert, ...] = ()
    resolved: tuple[Alert, ...] = ()


async def run_cycle(
    checks: Sequence[Check], *, runtime: Runtime, every: timedelta | None = None, least: timedelta = timedelta()
) -> Cycle:
    """Run the checks once, unless another monitor runs now or ran less than `least` ago. `every` is how often it is to run."""
    scope = {"database_id": runtime.database_id}
    await runtime.execute(_QUERIES["lose_runs"], **scope, patience=_PATIENCE)
    begun = await runtime.one(_QUERIES["begin_run"], **scope, every=every, least=least)
    if begun is None:
        return Cycle(run=MonitorRun(id=None, status="skipped"))
    watch = Watch(runtime=runtime, now=begun["now"])
    for row in await watch.own(_QUERIES["states"]):
        watch.states[row["check_name"]] = row["state"]
    skipped = {name.strip() for name in runtime.settings.monitor_skip.split(",")}
    runs: list[CheckRun] = []
    opened: list[Alert] = []
    resolved: list[Alert] = []
    costly = False
    try:
        for check in checks:
            if is_cancelled():
                raise asyncio.CancelledError
            if check.name in skipped or not _is_due(watch, check) or (check.samples and costly):
                runs.append(CheckRun(name=check.name, skipped=True))
                continue
            done, changes = await _look(check, watch)
            costly = costly or bool(check.every)
            runs.append(done)
            opened += changes.opened
            resolved += changes.resolved
    finally:
        await watch.close()
    changes = await apply(_FAILING, _failures(runs, watch), runtime=runtime)
    opened, resolved = [*opened, *changes.opened], [*resolved, *changes.resolved]
    await watch.store()
    ended = await runtime.one(
        _QUERIES["finish_run"], **scope, id=begun["id"], checks=Jsonb([asdict(one) for one in runs]), opened=len(opened),
        resolved=len(resolved), statement_ms=watch.statement_ms,
    )  # fmt: skip
    await runtime.execute(_QUERIES["forget"], **scope)
    for alert in opened:
        _log.warning("alert_opened", id=alert.id, severity=alert.severity, message=alert.message, action=alert.action)
    for alert in resolved:
        _log.info("alert_resolved", id=alert.id, message=alert.message)
    run = MonitorRun.from_row(ended) if ended else MonitorRun(id=begun["id"], status="lost")
    return Cycle(run=run, opened=tuple(opened), resolved=tuple(resolved))


def _is_due(watch: Watch, check: Check) -> bool:
    """Return whether a check's time has come. A clock that was put back does not silence it."""
    last = watch.states.get(_OWN, {}).get(check.name)
    if last is None or not check.every:
        return True
    return not timedelta() <= watch.now - datetime.fromisoformat(last) < check.every


async def _look(check: Check, watch: Watch) -> tuple[CheckRun, Changes]:
    watch.begin(check.name)
    began = time.perf_counter()
    findings: list[Finding] = []
    changes = Changes()
    error = ""
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            findings = await check.look(watch)
        changes = await apply(check, findings, runtime=watch.runtime)
        watch.states.setdefault(_OWN, {})[check.name] = watch.now.isoformat()
    except psycopg.Error as failed:
        error = log_message(failed)
    except (AgentError, TimeoutError) as failed:
        error = str(failed) or f"It took longer than {_CHECK_SECONDS:.0f} s."
    except Exception as failed:  # the edge of a check: the others must go on
        _log.exception("check_crashed", check=check.name)
        error = f"{type(failed).__name__}: see the log."
    if error:
        _log.warning("check_failed", check=check.name, error=error)
    milliseconds = round((time.perf_counter() - began) * 1_000, 1)
    return CheckRun(name=check.name, milliseconds=milliseconds, findings=len(findings), error=error[:500]), changes


def is_cancelled() -> bool:
    """Return whether somebody has asked this task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _nothing(watch: Watch) -> list[Finding]:
    """The findings of this check come from the others."""
    del watch
    return []


_FAILING = Check(name="monitor", about="Checks of the monitor itself", look=_nothing, opens_after=2)


def _failures(runs: Sequence[CheckRun], watch: Watch) -> list[Finding]:
    """Return a finding for each check that failed, and one in place of them all if the application is away."""
    failed = [one for one in runs if one.error]
    del watch
    if len(failed) > len([one for one in runs if not one.skipped]) // 3 and len({one.error for one in failed}) == 1:
        return [_failed("checks", f"{len(failed)} checks cannot look: {failed[0].error}", failed[0].error)]
    return [_failed(one.name, f"The check {one.name!r} cannot look: {one.error}", one.error) for one in failed]


def _failed(subject: str, message: str, error: str) -> Finding:
    return Finding(
        subject=subject,
        severity="MEDIUM",
        message=message,
        action="Give agent_reader what the message names (`agent setup`), or leave the check out with AGENT_MONITOR_SKIP.",
        evidence={"error": error},
    )


async def recent_runs(limit: int, *, runtime: Runtime) -> list[MonitorRun]:
    """Return the newest runs about this database."""
    rows: list[dict[str, Any]] = await runtime.all(
        _QUERIES["runs"], database_id=runtime.database_id, limit=max(1, min(limit, 1_000))
    )
    return [MonitorRun.from_row(row) for row in rows]
