"""Finds views that show rows to users of the application's API which policies would hide, for `agent status`."""

from __future__ import annotations

from dataclasses import dataclass

from agent.db.logins import PLATFORM_SCHEMAS
from agent.db.queries import fetch_all
from agent.db.reader_rights import policy_bypassing_views
from agent.learning.discovery.identifiers import qualified
from agent.runtime import Runtime

_SCHEMAS = """
SELECT nspname::text AS name FROM pg_catalog.pg_namespace
 WHERE nspname <> ALL (%s) AND nspname !~ '^pg_' AND nspname <> 'information_schema'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposedView:
    """A view that shows too much, why it does, and whether agent_reader may read it."""

    name: str
    why: str
    granted: bool


async def exposed_views(*, runtime: Runtime) -> list[ExposedView]:
    """Return the application's views that bypass row-level security or read `auth`, without those in AGENT_READ_VIEWS."""
    settings = runtime.settings
    async with runtime.app.connection("agent_assessor") as conn:
        schemas = list(settings.chosen_schemas)
        if not schemas:
            rows = await fetch_all(conn, _SCHEMAS, [list(PLATFORM_SCHEMAS)])
            schemas = [row["name"] for row in rows]
        query = policy_bypassing_views(schemas, listed=settings.listed_views, bypass_rls=settings.reader_bypass_rls)
        rows = await fetch_all(conn, query)
    return [
        ExposedView(
            name=qualified(row["schema"], row["name"]), why=" and ".join(row["why"]), granted=bool(row["granted"])
        )
        for row in rows
    ]
