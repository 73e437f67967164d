"""Research campaigns: durable work that mines recorded runs, one depth after the other.

Whoever works on a campaign holds it for some time and says so at each step. When a process dies, another one goes on with the
step that was not done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import psycopg
import structlog

import agent.optimization.sessions as sessions
from agent.db import load_queries
from agent.errors import AgentError, BudgetExceeded, InvalidInput
from agent.optimization.history import SOURCES, recorded
from agent.optimization.ids import key_of, not_there
from agent.optimization.mining import LEAST_RUNS, as_json, findings
from agent.optimization.records import Campaign
from agent.runtime import Runtime
from agent.sync.payloads import checked_name

_QUERIES = load_queries(__package__)
_log = structlog.get_logger(__name__)
_HELD_SECONDS = 60.0
_POLL_SECONDS = 0.2
_FIELDS = frozenset({"topic", "data_sources", "mining_depth", "session_id"})


async def launch(given: Mapping[str, Any], *, runtime: Runtime) -> Campaign:
    """Queue a campaign. Without a depth it looks at single events; without sources, at the recorded runs."""
    if unknown := given.keys() - _FIELDS:
        raise InvalidInput(f"A campaign has no field {str(min(unknown))[:100]!r}: use {', '.join(sorted(_FIELDS))}.")
    sources = given.get("data_sources") or ["execution_history"]
    if not isinstance(sources, list | tuple) or any(one not in SOURCES for one in sources):
        raise InvalidInput(f"data_sources must be some of {', '.join(SOURCES)}.")
    depth = given.get("mining_depth", 1)
    if type(depth) is not int or not 1 <= depth <= 3:
        raise InvalidInput("mining_depth must be 1 (single events), 2 (pairs) or 3 (sequences).")
    session_id = given.get("session_id")
    session = await sessions.get(session_id, runtime=runtime) if session_id else await sessions.active(runtime)
    row = await runtime.one(
        _QUERIES["launch_campaign"], topic=checked_name(given.get("topic"), what="topic"), data_sources=list(dict.fromkeys(sources)),
        mining_depth=depth, session_id=session.session_id if session else None, by=runtime.user,
    )  # fmt: skip
    assert row is not None  # noqa: S101  # an insert returns its row
    return Campaign.from_row(row)


async def get(campaign_id: str, *, runtime: Runtime) -> Campaign:
    """Return a campaign. Raises `NotFound`."""
    row = await runtime.one(_QUERIES["campaign"], campaign_id=key_of(campaign_id, "research campaign"))
    if row is None:
        raise not_there(campaign_id, "research campaign")
    return Campaign.from_row(row)


async def every(*, runtime: Runtime) -> list[Campaign]:
    """Return the newest campaigns."""
    return [Campaign.from_row(row) for row in await runtime.all(_QUERIES["campaigns"])]


async def cancel(campaign_id: str, *, runtime: Runtime) -> Campaign:
    """Stop a campaign; what it found stays. One that is over stays as it is."""
    await runtime.execute(_QUERIES["cancel_campaign"], campaign_id=key_of(campaign_id, "research campaign"))
    return await get(campaign_id, runtime=runtime)


async def resume(campaign_id: str, *, runtime: Runtime) -> Campaign:
    """Let a campaign that was cancelled or that failed go on with the step that was not done."""
    await runtime.execute(_QUERIES["resume_campaign"], campaign_id=key_of(campaign_id, "research campaign"))
    return await get(campaign_id, runtime=runtime)


async def finish(campaign_id: str, *, runtime: Runtime) -> Campaign:
    """Return a campaign when it is over: work on it here, or wait for whoever does."""
    until = time.monotonic() + runtime.settings.improve_seconds
    while True:
        await work_on(campaign_id, runtime=runtime)
        campaign = await get(campaign_id, runtime=runtime)
        if campaign.status not in ("queued", "running"):
            return campaign
        if time.monotonic() > until:
            raise BudgetExceeded(f"Research campaign {campaign_id} is not over yet: ask again later.")
        await asyncio.sleep(_POLL_SECONDS)


async def continue_all(*, runtime: Runtime) -> None:
    """Work on every campaign that waits, or that a dead process had."""
    for row in await runtime.all(_QUERIES["open_campaigns"]):
        await work_on(str(row["campaign_id"]), runtime=runtime)


async def work_on(campaign_id: str, *, runtime: Runtime) -> None:
    """Do the steps of a campaign that are to be done, unless somebody else does. A failure is noted in its row."""
    holder, key = uuid4(), key_of(campaign_id, "research campaign")
    row = await runtime.one(_QUERIES["hold_campaign"], campaign_id=key, holder=holder, seconds=_HELD_SECONDS)
    if row is None:
        return
    campaign = Campaign.from_row(row)
    try:
        session = await sessions.get(campaign.session_id, runtime=runtime) if campaign.session_id else None
        async with sessions.working(session, runtime=runtime) as work:
            await _steps(campaign, key, holder, work, runtime)
    except BudgetExceeded as error:
        await _over(key, holder, "failed", str(error), runtime)
    except (AgentError, psycopg.Error) as error:
        _log.warning("campaign_failed", campaign_id=campaign_id, error=str(error))
        await _over(key, holder, "failed", f"{type(error).__name__}: resume it when this is mended.", runtime)


async def _steps(campaign: Campaign, key: UUID, holder: UUID, work: sessions.Work, runtime: Runtime) -> None:
    runs = await recorded(sources=campaign.data_sources, runtime=runtime)
    found = list(campaign.findings)
    for depth in range(campaign.steps_done + 1, campaign.mining_depth + 1):
        work.check()
        found += await asyncio.to_thread(findings, runs, depth)
        row = await runtime.one(
            _QUERIES["campaign_step"], campaign_id=key, holder=holder, steps=depth, findings=as_json(found), seconds=_HELD_SECONDS
        )  # fmt: skip
        if row is None:  # it was cancelled, or another process took it over
            return
    await _over(key, holder, "done", _summary(len(runs), len(found)), runtime)


def _summary(runs: int, found: int) -> str:
    if runs < LEAST_RUNS:
        return f"There are {runs} runs with a known outcome; mining needs {LEAST_RUNS}."
    return f"{found} findings in {runs} runs."


async def _over(key: UUID, holder: UUID, status: str, reason: str, runtime: Runtime) -> None:
    await runtime.execute(_QUERIES["end_campaign"], campaign_id=key, holder=holder, status=status, reason=reason)
