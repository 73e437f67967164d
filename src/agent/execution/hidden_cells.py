"""Which cells of a result are hidden because they are made of secret columns, and how the model is told so. Pure."""

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
    """Of an approved statement: what it does with secrets, which columns are some, and whether a human has opened them."""

    use: SecretUse = field(default_factory=lambda: SecretUse(followed=False))
    columns: SecretColumns = field(default_factory=SecretColumns)
    opened: bool = False


def hidden_in(use: SecretUse, *, approved: bool = False, read_secrets: bool = False) -> Hidden | None:
    """What is hidden of a read; None for nothing. What a human `approved` is shown.

    Under `read_secrets` a value by itself is: where parts, digests and longer texts go nobody could follow.
    """
    hidden = tuple(
        bool(source) and not approved and not (read_secrets and bare)
        for source, bare in zip(use.sources, use.bare, strict=True)
    )
    return Hidden(names=use.names, hidden=hidden) if any(hidden) else None


def without_keys(result: ToolResult, statement: Statement) -> ToolResult:
    """The result without the secrets that stand in JSON under a key that names one."""
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
    """The result with which of its columns hold secrets; the model is told what is hidden, and how a human can open it."""
    result["secrets"] = [", ".join(source) for source in use.sources]
    if hidden is not None:
        covered = sorted(
            {one for source, hides in zip(use.sources, hidden.hidden, strict=True) if hides for one in source}
        )
        told = (
            f"{listed(covered)}: a secret, so its cells are hidden. If its values are needed, call execute_sql with "
            "show_secrets true: a human is then asked."
        )
        result["message"] = f"{result.get('message', '')} {told}".strip()
    return result


def without_hidden(result: ToolResult, statement: Statement, secrets: ApprovedSecrets) -> ToolResult:
    """The result of an approved statement, its secrets hidden but for those that a human has opened."""
    use, names = secrets.use, result.get("columns") or []
    if not names:
        return result
    if not use.followed or len(use.sources) != len(names):
        use = _by_names(names, statement, secrets.columns)
    if not any(use.sources):
        return result
    hidden = hidden_in(use, approved=secrets.opened)
    if hidden is not None:
        result["rows"] = [
            [HIDDEN if hides and cell is not None else cell for hides, cell in zip(hidden.hidden, row, strict=True)]
            for row in result.get("rows") or []
        ]
    return with_sources(result, use, hidden)


def _by_names(names: list[str], statement: Statement, columns: SecretColumns) -> SecretUse:
    """The same of a statement that the server did not resolve: what is not plainly a column that holds no secret may be one."""
    tables = [(name.schema, name.name) for name in statement.names.relations]
    if not any(columns.table(*table) for table in tables):
        return SecretUse(sources=tuple(() for _ in names), bare=tuple(True for _ in names), names=tuple(names))
    shown = column_sources(statement.node) if statement.kind == "SelectStmt" else None
    sources = []
    for place, name in enumerate(names):
        source = shown[place] if shown is not None and len(shown) == len(names) else None
        is_open = source is not None and not columns.column(source.schema, source.table, source.name)
        sources.append(() if is_open else (str(source or name),))
    return SecretUse(sources=tuple(sources), bare=tuple(False for _ in names), names=tuple(names))
