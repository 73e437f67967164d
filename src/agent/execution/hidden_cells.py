"""Hides the cells of a result that are made of secret columns, and tells the model so. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.execution.reads.reader import Hidden
from agent.learning.discovery.secret_columns import SecretColumns
from agent.privacy.sensitive import HIDDEN
from agent.provenance.written_values import column_sources
from agent.statements.keyed_secrets import keyed_places, without_keyed
from agent.statements.parser import Statement
from agent.statements.secret_use import SecretUse, listed
from agent.types import ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedSecrets:
    """What an approved statement does with secrets, which columns hold some, and whether a human has `opened` them."""

    use: SecretUse = field(default_factory=lambda: SecretUse(followed=False))
    columns: SecretColumns = field(default_factory=SecretColumns)
    opened: bool = False


def hidden_in(use: SecretUse, *, approved: bool = False, read_secrets: bool = False) -> Hidden | None:
    """Return which columns of a read are hidden; None for none. What a human `approved` is shown.

    Under `read_secrets` a secret is shown where the cell is the value itself. What is made of it (a part, a digest, a longer
    text) stays hidden: nobody could follow where that goes.
    """
    hidden = tuple(
        bool(source) and not approved and not (read_secrets and bare)
        for source, bare in zip(use.sources, use.bare, strict=True)
    )
    return Hidden(names=use.names, hidden=hidden) if any(hidden) else None


def without_keys(result: ToolResult, statement: Statement) -> ToolResult:
    """Hide the values in a result that JSON holds under a key that names a secret, such as "password"."""
    places = keyed_places(statement, len(result.get("columns") or ()))
    if "rows" in result:
        result["rows"] = [
            [
                HIDDEN if place in places and isinstance(cell, (str, int, float)) else without_keyed(cell)
                for place, cell in enumerate(row)
            ]
            for row in result["rows"]
        ]
    return result


def with_sources(result: ToolResult, use: SecretUse, hidden: Hidden | None) -> ToolResult:
    """Add to the result which columns hold secrets; its message says what is hidden and how a human can open it."""
    result["secrets"] = [", ".join(source) for source in use.sources]
    if hidden is not None:
        covered = sorted(
            {column for source, hides in zip(use.sources, hidden.hidden, strict=True) if hides for column in source}
        )
        message = (
            f"{listed(covered)}: a secret, so its cells are hidden. If its values are needed, call execute_sql with "
            "show_secrets true: a human is then asked."
        )
        result["message"] = f"{result.get('message', '')} {message}".strip()
    return result


def without_hidden(result: ToolResult, statement: Statement, secrets: ApprovedSecrets) -> ToolResult:
    """Hide the secrets in the result of an approved statement, unless a human has opened them."""
    use, names = secrets.use, result.get("columns") or []
    if not names:
        return result
    if not use.followed or len(use.sources) != len(names):
        use = _use_by_names(names, statement, secrets.columns)
    if not any(use.sources):
        return result
    hidden = hidden_in(use, approved=secrets.opened)
    if hidden is not None:
        result["rows"] = [
            [HIDDEN if hides and cell is not None else cell for hides, cell in zip(hidden.hidden, row, strict=True)]
            for row in result.get("rows") or []
        ]
    return with_sources(result, use, hidden)


def _use_by_names(names: list[str], statement: Statement, columns: SecretColumns) -> SecretUse:
    """Return the use of secrets of a statement that the server did not resolve: what is not surely open counts as secret."""
    tables = [(name.schema, name.name) for name in statement.names.relations]
    if not any(columns.table(*table) for table in tables):
        return SecretUse(sources=tuple(() for _ in names), bare=tuple(True for _ in names), names=tuple(names))
    columns_read = column_sources(statement.node) if statement.kind == "SelectStmt" else None
    sources = []
    for place, name in enumerate(names):
        source = columns_read[place] if columns_read is not None and len(columns_read) == len(names) else None
        is_open = source is not None and not columns.column(source.schema, source.table, source.name)
        sources.append(() if is_open else (str(source or name),))
    return SecretUse(sources=tuple(sources), bare=tuple(False for _ in names), names=tuple(names))
