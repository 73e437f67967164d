"""`/api/knowledge`: what the agent knows of the application's structure, learning it again, and whether it has changed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.learning.auto_discover import auto_discovery
from agent.learning.schema_linking.linking import describe, link_schema

router = APIRouter(prefix="/api/knowledge", tags=["knowledge"], route_class=IdempotentRoute)
_TOKENS = 100_000


class Knowledge(BaseModel):
    """The structure as the model would get it. `tables` is what a question needs, and null where nothing was asked."""

    text: str
    tables: list[str] | None = None
    tokens: int | None = None


class Discovery(BaseModel):
    """What learning the structure found, and what has changed since the last time."""

    database: str
    tables: int
    views: int
    relationships: int
    functions: int
    changes: list[str] = Field(description="One line for each part that changed.")


class Drift(BaseModel):
    """Whether the application has changed since it was learned."""

    changed: bool


@router.get("", **needs("viewer"))
async def get_knowledge(
    runtime: Acting,
    *,
    name: Annotated[str | None, Query(min_length=1, max_length=500, description="An object, such as clients.")] = None,
    question: Annotated[
        str | None, Query(min_length=1, max_length=4_000, description="What the model would get for it.")
    ] = None,
) -> Knowledge:
    """Return what is known of one object, for a question, or of everything in short."""
    if question is not None:
        linked = await link_schema(question, runtime=runtime)
        return Knowledge(text=linked.text, tables=list(linked.tables), tokens=linked.tokens)
    return Knowledge(text=await describe(name, token_budget=_TOKENS, known_only=True, runtime=runtime))


@router.post("/refresh", **needs("operator"))
async def refresh(runtime: Acting) -> Discovery:
    """Learn the application's structure again. It reads catalogs and statistics."""
    found = await auto_discovery.discover_app_structure(runtime=runtime)
    counts = {part: len(found[part]) for part in ("tables", "views", "relationships", "functions")}
    return Discovery(database=found["database"], changes=list(found["changes"]), **counts)


@router.get("/drift", **needs("viewer"))
async def drift(runtime: Acting) -> Drift:
    """Say whether the application's structure has changed since it was learned."""
    return Drift(changed=await auto_discovery.has_changed(runtime=runtime))
