"""Finds what a statement would show of columns and tables on the deny-list, in whatever form it names them. Pure.

Names are judged without resolving scopes, so some harmless statements are refused too, but none that shows a denied column
is accepted. Whole rows count: `*`, `t.*`, a table's alias used as a value, columns renamed by an alias.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agent.privacy.sensitive import DenyList
from agent.statements.parser import Message, Name, Statement, kind_of, name_of, walk
from agent.statements.resolver import Relation, Resolution


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """The denied part of a relation: the `whole` relation, or `columns`; `allowed` are its other columns."""

    name: Name
    whole: bool = False
    columns: frozenset[str] = frozenset()
    allowed: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """Return the message for the model."""
        if self.whole:
            return f"{self.name} is denied by AGENT_DENY and cannot be read."
        if not self.allowed:
            return f"{self.name} shows columns that AGENT_DENY denies; read the tables behind it, without those."
        return (
            f"{', '.join(sorted(self.columns))} of {self.name} is denied by AGENT_DENY. Name columns, without *; "
            f"allowed are: {', '.join(self.allowed)}."
        )


def denied_relations(deny: DenyList, resolution: Resolution) -> list[Denied]:
    """Return what is denied of the relations that a statement reaches, with their partitions and parents and their views."""
    return [denied for relation in resolution.relations.values() if (denied := _denied(deny, relation)) is not None]


def _denied(deny: DenyList, relation: Relation) -> Denied | None:
    family = [relation.name, *(name for name, _ in relation.kin)]
    if any(deny.table(name.schema, name.name) for name in family):
        return Denied(name=relation.name, whole=True)
    if any(_shows_denied(deny, name, column) for name, column in relation.shows):
        return Denied(name=relation.name, columns=frozenset(relation.columns), allowed=())
    named = {
        column for column in relation.columns if any(deny.column(name.schema, name.name, column) for name in family)
    }
    columns = frozenset(named | {column for column, other in relation.derived if other in named})
    if not columns:
        return None
    allowed = tuple(column for column in relation.columns if column not in columns)
    return Denied(name=relation.name, columns=columns, allowed=allowed)


def columns_read(
    columns: Iterable[tuple[int, int]], relations: Mapping[int, Relation], denied: Iterable[Denied]
) -> list[Denied]:
    """Return the denied relations of which a denied column is among the (relation, column) pairs that the server reads."""
    by_name = {part.name: part for part in denied}
    parts = []
    for number, column in columns:
        relation = relations.get(number)
        part = by_name.get(relation.name) if relation else None
        if relation and part and (part.whole or column == 0 or relation.numbers.get(column) in part.columns):
            parts.append(part)
    return parts


def _shows_denied(deny: DenyList, name: Name, column: str) -> bool:
    return deny.column(name.schema, name.name, column) if column else deny.table(name.schema, name.name)


def shown_relations(statement: Statement, denied: Iterable[Denied]) -> list[Denied]:
    """Return the denied relations of which the statement would show something denied."""
    return [part for part in denied if part.whole or not part.allowed or _shows(statement, part)]


def _shows(statement: Statement, denied: Denied) -> bool:
    aliases = _aliases(statement.node, denied.name)
    return any(_message_shows(message, aliases, denied) for _, message in statement.parts)


def _aliases(node: Message, name: Name) -> frozenset[str]:
    """Return every name by which the statement can refer to rows of the relation, with those of joins over it."""
    aliases = {name.name}
    for message in walk(node):
        kind = kind_of(message)
        if kind == "RangeVar" and message.relname == name.name and message.HasField("alias"):
            aliases.add(message.alias.aliasname)
        elif kind == "JoinExpr" and name.name in {inner.relname for inner in _direct_tables(message)}:
            aliases |= {alias.aliasname for alias in (message.alias, message.join_using_alias) if alias.aliasname}
    return frozenset(aliases)


def _message_shows(message: Message, aliases: frozenset[str], denied: Denied) -> bool:
    kind = kind_of(message)
    if kind == "ColumnRef":
        return _column_shows(message, aliases, denied.columns)
    if kind in {"A_Indirection", "FuncCall", "JoinExpr"}:
        return _other_shows(message, kind, denied)
    if kind == "RangeVar":
        # The statement could refer to renamed columns by names that are not denied.
        return message.relname == denied.name.name and bool(message.alias.colnames)
    if kind == "SelectStmt":
        return _has_bare_star(message.target_list) and _reads(message.from_clause, denied.name)
    if kind in {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}:
        exprs = message.returning_clause.exprs
        return _has_bare_star(exprs) and denied.name.name in {table.relname for table in _direct_tables(message)}
    return False


def _column_shows(message: Message, aliases: frozenset[str], columns: frozenset[str]) -> bool:
    words = [part.string.sval for part in message.fields if part.HasField("string")]
    starred = len(words) < len(message.fields)
    if starred:
        # In RETURNING, old.* and new.* are rows of the target.
        return bool(words) and words[-1] in aliases | {"old", "new"}
    return words[-1] in columns or (len(words) == 1 and words[0] in aliases | {"old", "new"})


def _other_shows(message: Message, kind: str, denied: Denied) -> bool:
    if kind == "FuncCall":  # email(clients) is clients.email
        return name_of(message.funcname).name in denied.columns
    if kind == "A_Indirection":  # (c).email
        return any(
            part.HasField("a_star") or (part.HasField("string") and part.string.sval in denied.columns)
            for part in message.indirection
        )
    using = {part.string.sval for part in message.using_clause}
    if message.alias.colnames and denied.name.name in {table.relname for table in _direct_tables(message)}:
        return True
    natural = message.is_natural and denied.name.name in {table.relname for table in _direct_tables(message)}
    return natural or bool(using & denied.columns)


def _has_bare_star(targets: Iterable[Message]) -> bool:
    return any(
        len(target.res_target.val.column_ref.fields) == 1
        and target.res_target.val.column_ref.fields[0].HasField("a_star")
        for target in targets
    )


def _reads(from_clause: Iterable[Message], name: Name) -> bool:
    return any(table.relname == name.name for item in from_clause for table in _direct_tables(item))


def _direct_tables(message: Message) -> Iterator[Message]:
    """Yield the tables whose columns an unqualified `*` at this level would show: those inside subqueries are left out."""
    pending = [message]
    while pending:
        current = pending.pop()
        kind = kind_of(current)
        if kind == "RangeVar":
            yield current
        elif kind not in {"RangeSubselect", "SubLink", "RangeFunction", "CommonTableExpr"}:
            for field, value in current.ListFields():
                if field.message_type is not None:
                    pending.extend([value] if hasattr(value, "ListFields") else value)
