"""Writes a `Query` as SQL: quoted identifiers, values as literals, joins along foreign keys only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from agent.providers.offline_model.join_graph import JoinGraph, JoinStep, display_field
from agent.providers.offline_model.query import Comparison, Condition, Field, Group, LiteralValue, Query, Related
from agent.providers.offline_model.schema_parser import Column, Relation
from agent.providers.offline_model.tokenizer import words_of
from agent.text.words import word_set

DEFAULT_ROWS = 20  # of an answer, when the question gives no number

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
# Reserved words of Postgres that people use as names; they need quotes.
_RESERVED = word_set(
    """
    all analyse analyze and any array as asc authorization between binary both case cast check collate column
    constraint create cross current_date current_user default deferrable desc distinct do else end except false
    fetch for foreign freeze from full grant group having ilike in initially inner intersect into is isnull join
    lateral leading left like limit localtime natural not notnull null offset on only or order outer overlaps
    placing primary references returning right select session_user similar some symmetric table tablesample then to
    trailing true union unique user using variadic verbose when where window with
    """
)


def identifier(name: str) -> str:
    """Return `name` as SQL writes it."""
    if _PLAIN.fullmatch(name) and name not in _RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return `text` as a string literal; a backslash means itself."""
    return "'" + text.replace("\x00", "").replace("'", "''") + "'"


def table(relation: Relation) -> str:
    """Return the name with its schema."""
    return f"{identifier(relation.schema)}.{identifier(relation.name)}"


class CannotJoin(Exception):
    """No single path along foreign keys leads to a relation of the question."""


@dataclass(slots=True)
class _Joins:
    """The FROM clause as it grows, with an alias for each path from the main relation."""

    main: Relation
    graph: JoinGraph
    taken: set[str] = field(default_factory=set)
    aliases: dict[tuple[JoinStep, ...], str] = field(default_factory=dict)
    clauses: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.aliases[()] = self._alias(self.main)
        self.clauses.append(_from(self.main, self.aliases[()]))

    def reach(self, relation: Relation, via: object = None, *, fan_out: bool = False) -> str:
        """Return the alias of `relation`, joined if need be; `fan_out` allows paths that multiply rows."""
        path = self.graph.path(self.main, relation, via=via)  # type: ignore[arg-type]  # a ForeignKey or None
        if path is None or not (fan_out or all(step.up for step in path)):
            raise CannotJoin(f"no single foreign key leads from {self.main.name} to {relation.name}")
        for length in range(1, len(path) + 1):
            if path[:length] not in self.aliases:
                self._join(path[:length])
        return self.aliases[path]

    def _join(self, path: tuple[JoinStep, ...]) -> None:
        step = path[-1]
        alias = self._alias(step.target)
        self.aliases[path] = alias
        on = _on(step, self.aliases[path[:-1]], alias)
        self.clauses.append(f"JOIN {_from(step.target, alias)} ON {on}")

    def _alias(self, relation: Relation) -> str:
        alias, number = relation.name, 2
        while alias in self.taken:
            alias, number = f"{relation.name}_{number}", number + 1
        self.taken.add(alias)
        return identifier(alias)


def render(query: Query, graph: JoinGraph) -> str:
    """Return the SELECT that answers `query`. Raises `CannotJoin`."""
    joins = _Joins(main=query.main, graph=graph)
    where = [_condition(condition, joins) for condition in query.conditions]
    where += [_related(related, joins) for related in query.related]
    groups = [_group(group, joins) for group in query.groups]
    selected = [part for group in groups for part in group[0]] + _selected(query, joins)
    order = _order(query, joins)
    clauses = [f"SELECT {', '.join(selected)}", "FROM " + " ".join(joins.clauses)]
    if where:
        clauses.append("WHERE " + " AND ".join(where))
    if groups:
        clauses.append("GROUP BY " + ", ".join(part for group in groups for part in group[1]))
    if order:
        clauses.append(f"ORDER BY {order}")
    if query.measure is None or query.groups:
        # One row more than the answer shows tells whether there are more.
        clauses.append(f"LIMIT {query.limit or DEFAULT_ROWS + 1}")
    return " ".join(clauses)


def render_update(relation: Relation, column: Column, value: str, where: Comparison) -> str:
    """Return the UPDATE of one column in the rows of `relation` that `where` selects."""
    condition = _compared(where, expression(where.field, identifier(relation.name)))
    return f"UPDATE {table(relation)} SET {identifier(column.name)} = {value} WHERE {condition}"


def value_for(column: Column, text: str) -> str | None:
    """Return `text` as a literal for `column`, or None when the column cannot hold it."""
    if column.numeric:
        return text if re.fullmatch(r"-?\d{1,30}(\.\d{1,30})?", text) else None
    if column.boolean:
        return text.lower() if text.lower() in ("true", "false") else None
    if column.values:
        text = next((value for value in column.values if value.lower() == text.lower()), text)
    return literal(text)


def expression(wanted: Field, alias: str) -> str:
    """Return the SQL of a field."""
    first = f"{alias}.{identifier(wanted.column.name)}"
    return f"concat_ws(' ', {first}, {alias}.{identifier(wanted.second.name)})" if wanted.second else first


def _from(relation: Relation, alias: str) -> str:
    return table(relation) if alias == identifier(relation.name) else f"{table(relation)} AS {alias}"


def _on(step: JoinStep, near: str, far: str) -> str:
    holder, target = (near, far) if step.up else (far, near)
    pairs = zip(step.key.columns, step.key.targets, strict=True)
    return " AND ".join(f"{target}.{identifier(t)} = {holder}.{identifier(c)}" for c, t in pairs)


def _field(wanted: Field, joins: _Joins, *, fan_out: bool = False) -> str:
    return expression(wanted, joins.reach(wanted.relation, wanted.via, fan_out=fan_out))


def _selected(query: Query, joins: _Joins) -> list[str]:
    if query.measure:
        return [f"{_measure(query, joins)} AS {_measure_name(query)}"]
    if query.groups:
        return []
    if query.fewest:
        name = display_field(query.main)
        names = [_field(name, joins)] if name else [f"{joins.aliases[()]}.{identifier(k)}" for k in query.main.key]
        return [*names, f"{_count_below(query.fewest, joins)} AS {identifier(query.fewest.relation.name)}"]
    if query.fields:
        return _aliased([(_field(wanted, joins), wanted) for wanted in _with_display(query)])
    if all(column.readable for column in query.main.columns):
        return [f"{joins.aliases[()]}.*"]
    return [f"{joins.aliases[()]}.{identifier(c.name)}" for c in query.main.columns if c.readable]


def _with_display(query: Query) -> tuple[Field, ...]:
    """Return the fields, with the name of the row first when several rows may come."""
    name = display_field(query.main)
    one_row = any(isinstance(c, Comparison) and c.operator == "=" and c.field.column.key for c in query.conditions)
    if name is None or one_row or name in query.fields:
        return query.fields
    return (name, *query.fields)


def _aliased(parts: list[tuple[str, Field]]) -> list[str]:
    names = [wanted.column.name for _, wanted in parts]
    aliased = []
    for sql, wanted in parts:
        if names.count(wanted.column.name) > 1:
            aliased.append(f"{sql} AS {identifier(f'{wanted.relation.name}_{wanted.column.name}')}")
        else:
            aliased.append(f"{sql} AS name" if wanted.second else sql)
    return aliased


def _measure(query: Query, joins: _Joins) -> str:
    assert query.measure is not None  # noqa: S101  # callers have checked
    measure = query.measure
    if measure.field is not None:
        return f"{measure.function}({_field(measure.field, joins)})"
    fanned = any(not step.up for path in joins.aliases for step in path)
    if not fanned:
        return "count(*)"
    if len(query.main.key) != 1:
        raise CannotJoin(f"{query.main.name} has no single key to count by")
    return f"count(DISTINCT {joins.aliases[()]}.{identifier(query.main.key[0])})"


def _measure_name(query: Query) -> str:
    measure = query.measure
    if measure is None or measure.field is None:
        return "count"
    return identifier(f"{measure.function}_{measure.field.column.name}")


def _group(group: Group, joins: _Joins) -> tuple[list[str], list[str]]:
    """Return what a group selects and what it groups by."""
    sql = _field(group.field, joins, fan_out=True)
    if group.unit:
        cut = f"date_trunc('{group.unit}', {sql})::date"
        return [f"{cut} AS {group.unit}"], [cut]
    name = "name" if group.field.second else group.field.column.name
    selected = f"{sql} AS {identifier(_group_name(group, name))}"
    if not group.whole or not group.field.relation.key:
        return [selected], [sql]
    alias = joins.reach(group.field.relation, group.field.via, fan_out=True)
    keys = [f"{alias}.{identifier(key)}" for key in group.field.relation.key]
    return [selected], [*keys, *([] if sql in keys else [sql])]


def _group_name(group: Group, name: str) -> str:
    if not group.whole:
        return name
    words = words_of(group.field.via.columns[0])[:-1] if group.field.via else words_of(group.field.relation.name)
    return "_".join(words)


def _order(query: Query, joins: _Joins) -> str | None:
    if query.fewest:
        return f"{_count_below(query.fewest, joins)} ASC, 1"
    direction = "DESC NULLS LAST" if query.order and query.order.descending else "ASC NULLS LAST"
    if query.order:
        wanted = query.order.field
        if wanted is None:
            return f"{_measure(query, joins)} {direction}, 1"
        return f"{_field(wanted, joins)} {direction}"
    if query.groups:
        timed = query.groups[0].unit is not None
        return "1" if timed or query.measure is None else f"{_measure(query, joins)} DESC NULLS LAST, 1"
    if query.measure is None and query.main.key:
        return ", ".join(f"{joins.aliases[()]}.{identifier(key)}" for key in query.main.key)
    return None


def _condition(condition: Condition, joins: _Joins) -> str:
    path = joins.graph.path(joins.main, condition.field.relation, via=condition.field.via)
    if path and not all(step.up for step in path):
        return _exists(path, [condition], joins)
    return _bare_condition(condition, _field(condition.field, joins))


def _bare_condition(condition: Condition, sql: str) -> str:
    if isinstance(condition, Comparison):
        return _compared(condition, sql)
    bounds = []
    if condition.lower:
        bounds.append(f"{sql} >= {condition.lower}")
    if condition.upper:
        bounds.append(f"{sql} < {condition.upper}")
    return " AND ".join(bounds)


def _compared(condition: Comparison, sql: str) -> str:
    column = condition.field.column
    if condition.value is None:
        if condition.operator in ("is null", "is not null"):
            blank = column.textual
            test = f"coalesce({sql}, '') = ''" if blank else f"{sql} IS NULL"
            return test if condition.operator == "is null" else f"NOT ({test})" if blank else f"{sql} IS NOT NULL"
        return sql if condition.operator == "=" else f"NOT {sql}"
    text = condition.value.text
    match condition.operator:
        case "contains":
            return f"{sql} ILIKE {literal('%' + _like(text) + '%')}"
        case "starts":
            return f"{sql} ILIKE {literal(_like(text) + '%')}"
        case "word":
            return f"{sql} ~* {literal(_word_pattern(text))}"
        case _:
            return _plain(condition, sql, condition.value)


def _plain(condition: Comparison, sql: str, value: LiteralValue) -> str:
    operator = "IS DISTINCT FROM" if condition.operator == "<>" else condition.operator
    if value.number or not condition.field.column.textual or condition.field.column.values or value.text == "":
        right = value.text if value.number and not condition.field.column.textual else literal(value.text)
        return f"{sql} {operator} {right}"
    return f"lower({sql}) {operator} lower({literal(value.text)})"


def _like(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)


def _word_pattern(text: str) -> str:
    """Return a regular expression that finds `text` as whole words."""
    escaped = re.sub(r"([^\w\s])", r"\\\1", text)
    return rf"(^|\W){escaped}($|\W)"


def _exists(path: tuple[JoinStep, ...], conditions: list[Condition], joins: _Joins, *, count: bool = False) -> str:
    """Return an EXISTS, or with `count` a count, over rows below the main relation's row."""
    inner = _Joins(main=path[0].target, graph=joins.graph, taken=set(joins.taken))
    where = [_on(path[0], joins.aliases[()], inner.aliases[()])]
    inner.reach(path[-1].target)
    where += [_bare_condition(condition, _field(condition.field, inner)) for condition in conditions]
    body = f"FROM {' '.join(inner.clauses)} WHERE {' AND '.join(where)}"
    return f"(SELECT count(*) {body})" if count else f"EXISTS (SELECT 1 {body})"


def _related(related: Related, joins: _Joins) -> str:
    path = _path_below(related, joins)
    conditions = list(related.conditions)
    if related.most == 0:
        return "NOT " + _exists(path, conditions, joins)
    if related.least == 1 and related.most is None:
        return _exists(path, conditions, joins)
    bounds = [f">= {related.least}"] if related.least is not None else []
    bounds += [f"<= {related.most}"] if related.most is not None else []
    return " AND ".join(f"{_count_below(related, joins)} {bound}" for bound in bounds)


def _count_below(related: Related, joins: _Joins) -> str:
    return _exists(_path_below(related, joins), list(related.conditions), joins, count=True)


def _path_below(related: Related, joins: _Joins) -> tuple[JoinStep, ...]:
    path = joins.graph.path(joins.main, related.relation)
    if not path or path[0].up:
        raise CannotJoin(f"no single foreign key leads from {related.relation.name} to {joins.main.name}")
    return path
