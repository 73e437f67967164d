"""What an approver looks at first in the rows of a preview: which columns, and how many rows of which tables. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent.approval.preview import RowChange, TableEffect

NAMING = ("name", "full_name", "title", "label", "slug", "email")


def columns_to_show(rows: Sequence[RowChange], *, without: set[str]) -> list[str]:
    """Return what tells rows apart first (the first column, a name), then what changes; all columns of new and deleted rows."""
    names = list(dict.fromkeys(name for row in rows for name in {**(row["before"] or {}), **(row["after"] or {})}))
    if any(row["before"] is None or row["after"] is None for row in rows):
        return names
    telling = [*names[:1], *[name for name in NAMING if name in names][:1]]
    changed = [name for name in names if name in changed_columns(rows) and name not in without]
    return list(dict.fromkeys([*telling, *changed]))


def changed_columns(rows: Sequence[RowChange]) -> set[str]:
    """Return the columns that change in a row that stays."""
    if any(row["before"] is None or row["after"] is None for row in rows):
        return set()
    return {name for row in rows for name in row["changed"]}


def effect(table: TableEffect) -> str:
    """Return what happens to the rows of one table: `public.clients 3 updated`."""
    counts = {"inserted": table["inserted"], "updated": table["updated"], "deleted": table["deleted"]}
    counted = [f"{count:,} {kind}" for kind, count in counts.items() if count]
    return f"{table['table']} {', '.join(counted)}"
