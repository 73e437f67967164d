"""Tell the model what holds here and now: the date, the server, the limits, and what may be changed.

The text stays the same for a day unless somebody changes the settings or the read-only mode, so it stands before the history.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from agent.execution.controls import controls
from agent.providers.mail import NOT_SET_UP
from agent.runtime import Runtime
from agent.types import ActorRights

_MINOR = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the model is told; `version` is the server's number, `tools` the names of the tools that it has."""

    today: date
    time_zone: str
    version: int
    max_rows: int
    statement_timeout: float
    max_rounds: int
    actor_rights: ActorRights
    read_only: bool
    tools: Collection[str]


async def facts_here(tools: Collection[str], *, runtime: Runtime) -> str:
    """Return the facts of this runtime as text."""
    server = await runtime.app.facts("agent_reader")
    settings, zone = runtime.settings, _zone(server.time_zone)
    return facts_text(
        Facts(
            today=datetime.now(zone).date(),
            time_zone=str(zone),
            version=server.version,
            max_rows=settings.max_rows,
            statement_timeout=settings.statement_timeout,
            max_rounds=settings.max_rounds,
            actor_rights=settings.actor_rights,
            read_only=(await controls.state(runtime=runtime)).read_only,
            tools=tools,
        )
    )


def facts_text(facts: Facts) -> str:
    """Return the facts as lines of the instructions. Pure."""
    server = f"PostgreSQL {facts.version // _MINOR}.{facts.version % _MINOR}"
    today = f"{facts.today:%A}, {facts.today.isoformat()}"
    lines = [
        f"- Today is {today}; the time zone of the database is {facts.time_zone}. The server is {server}.",
        f"- A result has at most {facts.max_rows:,} rows: count and sum in SQL.",
        f"- A statement may run {facts.statement_timeout:g} s, and a turn has {facts.max_rounds} rounds of tool calls.",
        _RIGHTS[facts.actor_rights],
    ]
    if facts.read_only:
        lines.append("- The read-only mode is on: every change is refused. Say so, and propose none.")
    if "send_email" not in facts.tools:
        lines.append(f"- No mail can be sent. {NOT_SET_UP}")
    return "\n".join(lines)


_RIGHTS: dict[ActorRights, str] = {
    "data": "- You may change rows, but not tables: CREATE, ALTER and DROP are refused. Say so when one is asked for.",
    "schema": "- You may change rows, and also the application's tables (CREATE, ALTER, DROP).",
}


def _zone(name: str) -> ZoneInfo:
    """Return the zone, or UTC for one that has no common name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")
