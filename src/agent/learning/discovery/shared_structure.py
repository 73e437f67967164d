"""Takes from a structure what comes from the data, for a model provider that may not see it. Pure."""

from __future__ import annotations

from typing import cast

from agent.learning.discovery.structure import AppStructure, Column, Profile, Relation
from agent.types import DataSharing


def shared_structure(structure: AppStructure, level: DataSharing) -> AppStructure:
    """Return a structure as it is shown at this level.

    Below `rows` it has no values that were seen in the data (those of enums and checks stay); with `schema` also no numbers of
    rows and of values.
    """
    if level == "rows" or not structure:
        return structure
    shown = {
        name: [_relation(one, counts=level != "schema") for one in cast("list[Relation]", structure.get(name, []))]
        for name in ("tables", "views")
    }
    return cast("AppStructure", {**structure, **shown})


def _relation(relation: Relation, *, counts: bool) -> Relation:
    profile = cast("Profile", {**relation["profile"], "newest": None, "labels": []})
    shown: Relation = {
        **relation,
        "columns": [_column(one, counts=counts) for one in relation["columns"]],
        "profile": profile,
    }
    return shown if counts else {**shown, "rows": None}


def _column(column: Column, *, counts: bool) -> Column:
    seen = column["more_values"]
    shown: Column = {**column, "values": [] if seen else column["values"], "more_values": False, "range": None}
    return shown if counts else {**shown, "null_share": None, "distinct": None}
