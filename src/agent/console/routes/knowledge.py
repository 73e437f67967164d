"""`/console/knowledge`: the application's tables with their relations, columns and profiles, and what has changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from markupsafe import Markup

from agent.console.graph_layout import Box, draw
from agent.console.rendering import ConsoleRoute, done, page, segment
from agent.console.visits import ROOT, Form, Visitor, needs
from agent.errors import NotFound
from agent.learning.auto_discover import auto_discovery
from agent.learning.discovery.structure import AppStructure, Relation, relations

router = APIRouter(prefix=f"{ROOT}/knowledge", route_class=ConsoleRoute)
_MOST_WITH_COLUMNS, _MOST_COLUMNS, _MOST_NEAR = 16, 9, 40
_PER_PAGE = 100


@router.get("", dependencies=needs("viewer"))
async def show(
    request: Request, visit: Visitor, name: Annotated[str, Query(max_length=200)] = "", view: Annotated[str, Query(max_length=10)] = "list",
    *, near: Annotated[str, Query(max_length=300)] = "", first: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> Response:  # fmt: skip
    """Show the tables as a list or as a diagram: all, those whose name holds a text, or those around one table."""
    structure = await auto_discovery.get_cached_structure(runtime=visit.runtime)
    every = relations(structure)
    found = [one for one in every if name.casefold() in one["qualified"].casefold()]
    shown = _around(near, structure) if near else {one["qualified"] for one in found}
    diagram = (
        _diagram([one for one in every if one["qualified"] in shown], structure, near) if view == "diagram" else None
    )
    return await page(
        request, visit, "knowledge.html", structure=structure, found=found[first : first + _PER_PAGE], total=len(found), first=first,
        per_page=_PER_PAGE, name=name, view=view, near=near, diagram=diagram, shown=len(shown),
        drift=await auto_discovery.has_changed(runtime=visit.runtime) if structure else False,
    )  # fmt: skip


@router.post("/refresh", dependencies=needs("operator"))
async def refresh(request: Request, visit: Visitor, form: Form) -> Response:
    """Learn the structure again."""
    found = await auto_discovery.discover_app_structure(runtime=visit.runtime)
    changes = found["changes"]
    said = f"{len(changes)} changes: {'; '.join(changes[:5])}" if changes else "Nothing has changed."
    return done(request, form, f"{len(found['tables'])} tables and {len(found['views'])} views were read. {said}")


@router.get("/table", dependencies=needs("viewer"))
async def table(request: Request, visit: Visitor, name: Annotated[str, Query(max_length=300)]) -> Response:
    """Show one table or view with its columns, keys, rules and profile."""
    structure = await auto_discovery.get_cached_structure(runtime=visit.runtime)
    found = next((one for one in relations(structure) if one["qualified"] == name), None)
    if found is None:
        raise NotFound(f"No table {name!r} is known. It may be new: learn the structure again.")
    towards = [one for one in structure["relationships"] if one["target"] == name]
    near = _around(name, structure)
    diagram = _diagram([one for one in relations(structure) if one["qualified"] in near], structure, name)
    history = structure.get("history", {}).get(name, [])
    return await page(
        request, visit, "table.html", table=found, towards=towards, diagram=diagram, history=history, keys=_keys(found)
    )


def _around(name: str, structure: AppStructure) -> set[str]:
    """Return a table with those that it refers to, and those that refer to it."""
    near = [
        one["target"] if one["source"] == name else one["source"]
        for one in structure.get("relationships", [])
        if name in (one["source"], one["target"])
    ]
    return {name, *near[:_MOST_NEAR]}


def _diagram(shown: Sequence[Relation], structure: AppStructure, chosen: str) -> Markup:
    names = {one["qualified"] for one in shown}
    with_columns = len(shown) <= _MOST_WITH_COLUMNS
    boxes = [
        Box(
            id=one["qualified"], title=one["qualified"].removeprefix("public."), href=f"{ROOT}/knowledge/table?name={segment(one['qualified'])}",
            lines=_column_lines(one) if with_columns else (),
        )
        for one in shown
    ]  # fmt: skip
    edges = [
        (one["source"], one["target"])
        for one in structure.get("relationships", [])
        if one["source"] in names and one["target"] in names
    ]
    return draw(boxes, edges, label=f"{len(boxes)} tables and {len(set(edges))} relations between them", chosen=chosen)


def _column_lines(relation: Relation) -> list[str]:
    keys = set(relation["primary_key"])
    lines = [
        f"{'# ' if one['name'] in keys else ''}{one['name']}  {one['type']}"
        for one in relation["columns"][:_MOST_COLUMNS]
    ]
    more = len(relation["columns"]) - _MOST_COLUMNS
    return [*lines, f"and {more} more"] if more > 0 else lines


def _keys(relation: Relation) -> dict[str, list[dict[str, Any]]]:
    """Return for each column the foreign keys that it is part of."""
    keys: dict[str, list[dict[str, Any]]] = {}
    for key in relation["foreign_keys"]:
        for column, target in zip(key["columns"], key["target_columns"], strict=False):
            keys.setdefault(column, []).append({"target": key["target"], "column": target})
    return keys
