"""Plans that begin by themselves, at the times of a cron expression in a time zone. The upkeep of every minute begins those that are due, each time once.

A time that was missed, because no process was there, is made up for once. The plan acts for who scheduled it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog

import agent.orchestration.store as store
from agent.db import load_queries
from agent.errors import AgentError, InvalidInput, NotFound
from agent.orchestration.plan import Plan, read_plan
from agent.runtime import Runtime
from agent.sync.payloads import checked_name

_MOST = 1_000
_CHANGE = timedelta(hours=3)  # no clock is put forward or back by more
_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A plan that begins by itself; `last_run` is the newest run, `error` why it could not begin the last time."""

    name: str
    plan_id: str
    cron: str
    time_zone: str
    enabled: bool
    next_at: datetime
    last_run: UUID | None
    error: str | None
    requested_by: str | None


def next_time(cron: str, after: datetime, time_zone: str = "UTC") -> datetime:
    """Return the next time of a cron expression on the clocks of a time zone. Raises `InvalidInput`.

    Where clocks are put forward, a time that they skip is an hour later. Where they are put back, a time comes once, at the first; one of
    every hour (`*` or `*/2` as the hour) comes both times.
    """
    from croniter import croniter  # start-up: plans without a schedule do not need it

    zone = _zone(time_zone)
    if len(cron) > 200 or len(cron.split()) != 5 or not croniter.is_valid(cron):
        raise InvalidInput(
            f"{cron[:100]!r} is no time: write minute, hour, day, month and weekday, such as '0 6 * * 1-5'."
        )
    repeats = cron.split()[1].startswith("*")
    clock = croniter(cron, after.astimezone(zone).replace(tzinfo=None) - _CHANGE)
    best: datetime | None = None
    while True:
        try:
            shown: datetime = clock.get_next(datetime)  # what the clocks show, which may come never, once or twice
        except (ValueError, KeyError) as error:  # croniter's own are ValueErrors
            raise InvalidInput(f"{cron[:100]!r} never comes: {str(error)[:200]}.") from None
        times = [shown.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in ((0, 1) if repeats else (0,))]
        if best is not None and times[0] > best + _CHANGE:
            return best
        best = min([one for one in times if one > after] + ([best] if best else []), default=None)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(f"There is no time zone {name[:100]!r}: use a name such as 'Europe/Berlin'.") from None


async def schedule(
    name: str, plan: Mapping[str, Any] | Plan, cron: str, *, time_zone: str = "UTC", runtime: Runtime
) -> Schedule:
    """Let a plan begin at the times of a cron expression; the schedule of this name is replaced. Raises `InvalidInput`."""
    checked_name(name, what="The name of a schedule")
    checked = read_plan(plan)
    if len(await listed(runtime=runtime)) >= _MOST:
        raise InvalidInput(f"There are {_MOST:,} schedules already: remove some.")
    values = {
        "name": name,
        "definition": json.dumps(checked.as_json()),
        "cron": cron,
        "time_zone": time_zone,
        "by": runtime.user,
    }
    row = await runtime.one(_QUERIES["set_schedule"], **values, next_at=next_time(cron, datetime.now(UTC), time_zone))
    assert row is not None  # noqa: S101  # it is made or replaced
    return Schedule(**row)


async def unschedule(name: str, *, runtime: Runtime) -> None:
    """Let a plan begin by itself no more. Raises `NotFound`."""
    if not await runtime.execute(_QUERIES["end_schedule"], name=name):
        raise NotFound(f"There is no schedule {name[:100]!r}: `agent plans state` lists them.")


async def listed(*, runtime: Runtime) -> list[Schedule]:
    """Return the schedules, what comes next first."""
    return [Schedule(**row) for row in await runtime.all(_QUERIES["schedules"])]


async def begin_due(*, runtime: Runtime) -> int:
    """Begin the plans whose time has come, and return how many. Whoever else does the same at this time begins none twice."""
    began = 0
    for row in await runtime.all(_QUERIES["due"]):
        name, at = row["name"], row["next_at"]
        acting = runtime.for_tenant(runtime.tenant_id, user=row["requested_by"], masked=True)
        run_id, error, following = None, None, datetime.now(UTC) + timedelta(days=1)
        try:
            following = next_time(row["cron"], datetime.now(UTC), row["time_zone"])
            key = f"schedule:{at.isoformat()}:{sha256(name.encode()).hexdigest()}"
            owned = await store.begin(read_plan(row["definition"]), key=key, queued=True, runtime=acting)
            # Whoever notes the time first need not be who began the run.
            run_id = owned.run_id if owned else await store.by_key(key, runtime=acting)
        except AgentError as refused:
            error = str(refused)[:2_000]
            _log.warning("schedule_not_begun", schedule=name, error=error)
        after = {"name": name, "was": at, "next_at": following, "run_id": run_id, "error": error}  # fmt: skip
        began += bool(await runtime.execute(_QUERIES["begun"], **after) and run_id)
    return began
