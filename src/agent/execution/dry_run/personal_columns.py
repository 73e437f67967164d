"""Finds the columns of a preview that look personal by their names; `agent.privacy.masking` hides their values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.privacy.sensitive import looks_sensitive


def personal_columns(table: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the columns of a table's rows that look personal or secret; `table` may be qualified."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [
        name
        for name in names
        if looks_sensitive(
            name, table=table.rpartition(".")[2], siblings=names, numeric=all(_is_number(row.get(name)) for row in rows)
        )
    ]


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
