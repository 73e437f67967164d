"""Writes a `Query` as SQL: quoted identifiers, values as literals, joins along foreign keys only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from agent.providers.offline_model.join_graph import JoinGraph, JoinStep, display_field
from agent.providers.offline_model.query import (
    Comparison,
    Condition,
    Defined,
    Field,
    Group,
    Query,
    Related,
    TimeRange,
)
from agent.providers.offline_model.schema_parser import Relation
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
        self.aliases[()] = self.alias(self.main)
        self.clauses.append(_from(self.main, self.aliases[()]))

    @property
    def own(self) -> str:
        """The alias of the main relation."""
        return self.aliases[()]

    def reach(self, relation: Relation, via: object = None, *, kind: str = "LEFT JOIN") -> str:
        """Return the alias of `relation`, joined if need be. A LEFT JOIN leads up only; a JOIN may multiply rows."""
        path = self.graph.path(self.main, relation, via=via)  # type: ignore[arg-type]  # a ForeignKey or None
        if path is None or (kind != "JOIN" and not all(step.up for step in path)):
            raise CannotJoin(f"no single foreign key leads from {self.main.display_name} to {relation.display_name}")
        for length in range(1, len(path) + 1):
            if path[:length] not in self.aliases:
                self._join(path[:length], kind)
        return self.aliases[path]

    @property
    def fanned(self) -> bool:
        """Whether a row of the main relation may come more than once."""
        return any(not step.up for path in self.aliases for step in path)

    def _join(self, path: tuple[JoinStep, ...], kind: str) -> None:
        step = path[-1]
        alias = self.alias(step.target)
        self.aliases[path] = alias
        self.clauses.append(f"{kind} {_from(step.target, alias)} ON {_on(step, self.aliases[path[:-1]], alias)}")

    def alias(self, relation: Relation) -> str:
        """Return a name for `relation` that nothing else in this statement has."""
        alias, number = relation.name, 2
        while alias in self.taken:
            alias, number = f"{relation.name}_{number}", number + 1
        self.taken.add(alias)
        return identifier(alias)


def render(query: Query, graph: JoinGraph) -> str:
    """Return the SELECT that answers `query`. Raises `CannotJoin`."""
    joins = _Joins(main=query.main, graph=graph)
    groups = [_group(group, joins) for group in query.groups]
    where = [sql for condition in query.conditions if (sql := _condition(condition, joins))]
    selected = [part for group in groups for part in group[0]] + _selected(query, joins)
    order = _order(query, joins)
    clauses = [f"SELECT {', '.join(selected)}", "FROM " + " ".join(joins.clauses)]
    if where:
        clauses.append("WHERE " + " AND ".join(where))
    if groups:
        clauses.append("GROUP BY " + ", ".join(part for group in groups for part in group[1]))
    if order:
        clauses.append(f"ORDER BY {order}")
    if returns_rows(query):
        clauses.append(_limit(query))
    return " ".join(clauses)


def returns_rows(query: Query) -> bool:
    """Return whether the answer is a table rather than one number."""
    return query.measure is None or bool(query.groups) or query.measure.below is not None


def _limit(query: Query) -> str:
    """Return the limit. Rows that rank equally come together; one row more than an answer shows tells that there are more."""
    if query.limit is None:
        return f"LIMIT {DEFAULT_ROWS + 1}"
    return f"FETCH FIRST {query.limit} ROWS WITH TIES" if query.order else f"LIMIT {query.limit}"


def expression(wanted: Field, alias: str) -> str:
    """Return the SQL of a field."""
    first = f"{alias}.{identifier(wanted.column.name)}"
    return f"concat_ws(' ', {first}, {alias}.{identifier(wanted.second.name)})" if wanted.second else first


def as_text(wanted: Field, alias: str) -> str:
    """Return the SQL of a field as text, so that it compares with a word."""
    sql = expression(wanted, alias)
    return sql if wanted.second or wanted.column.textual else f"{sql}::text"


def _from(relation: Relation, alias: str) -> str:
    return table(relation) if alias == identifier(relation.name) else f"{table(relation)} AS {alias}"


def _on(step: JoinStep, near: str, far: str) -> str:
    holder, target = (near, far) if step.up else (far, near)
    pairs = zip(step.key.columns, step.key.targets, strict=True)
    return " AND ".join(f"{target}.{identifier(t)} = {holder}.{identifier(c)}" for c, t in pairs)


def _alias_of(wanted: Field, joins: _Joins) -> str:
    return joins.reach(wanted.relation, wanted.via)


def _field(wanted: Field, joins: _Joins) -> str:
    return expression(wanted, _alias_of(wanted, joins))


def _selected(query: Query, joins: _Joins) -> list[str]:
    if query.measure:
        name = display_field(query.main)
        keys = [f"{joins.own}.{identifier(key)}" for key in query.main.key]
        shown = (
            ([_field(name, joins) + (" AS name" if name.second else "")] if name else keys)
            if query.measure.below
            else []
        )
        return [*shown, f"{_measure(query, joins)} AS {_measure_name(query)}"]
    if query.groups:
        return []
    if query.fields:
        return _aliased([(_field(wanted, joins), wanted) for wanted in _with_display(query)])
    if all(column.readable for column in query.main.columns):
        return [f"{joins.own}.*"]
    return [f"{joins.own}.{identifier(c.name)}" for c in query.main.columns if c.readable]


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
    measure = query.measure
    if measure is None:
        raise CannotJoin("there is nothing to compute")
    if measure.below is not None:
        return _below(measure.below, joins, measure.function, measure.field)
    if measure.field is not None:
        if joins.fanned:
            raise CannotJoin(f"a row of {query.main.display_name} would count more than once")
        distinct = "DISTINCT " if measure.function == "count" else ""
        return f"{measure.function}({distinct}{_field(measure.field, joins)})"
    if not joins.fanned:
        return "count(*)"
    if len(query.main.key) != 1:
        raise CannotJoin(f"{query.main.display_name} has no single key to count by")
    return f"count(DISTINCT {joins.own}.{identifier(query.main.key[0])})"


def _measure_name(query: Query) -> str:
    measure = query.measure
    if measure is None or measure.field is None:
        return identifier(measure.below.relation.name) if measure and measure.below else "count"
    return identifier(f"{measure.function}_{measure.field.column.name}")


def _group(group: Group, joins: _Joins) -> tuple[list[str], list[str]]:
    """Return what a group selects and what it groups by."""
    alias = joins.reach(group.field.relation, group.field.via, kind="JOIN")
    sql = expression(group.field, alias)
    if group.unit:
        cut = f"date_trunc('{group.unit}', {sql})::date"
        return [f"{cut} AS {group.unit}"], [cut]
    name = "name" if group.field.second else group.field.column.name
    selected = f"{sql} AS {identifier(_group_name(group, name))}"
    if not group.whole or not group.field.relation.key:
        return [selected], [sql]
    keys = [f"{alias}.{identifier(key)}" for key in group.field.relation.key]
    return [selected], [*keys, *([] if sql in keys else [sql])]


def _group_name(group: Group, name: str) -> str:
    if not group.whole:
        return name
    words = words_of(group.field.via.columns[0])[:-1] if group.field.via else words_of(group.field.relation.name)
    return "_".join(words) or name


def _order(query: Query, joins: _Joins) -> str | None:
    if query.order:
        direction = "DESC NULLS LAST" if query.order.descending else "ASC NULLS LAST"
        wanted = query.order.field
        position = str(len(query.groups) + len(_selected(query, _Joins(query.main, joins.graph))))
        return f"{position if wanted is None else _field(wanted, joins)} {direction}"
    if query.groups:
        timed = query.groups[0].unit is not None
        return "1" if timed or query.measure is None else f"{_measure(query, joins)} DESC NULLS LAST, 1"
    if query.measure is None and query.main.key:
        return ", ".join(f"{joins.own}.{identifier(key)}" for key in query.main.key)
    return None


def _condition(condition: Condition, joins: _Joins) -> str:
    match condition:
        case Related():
            return _related(condition, joins)
        case Comparison():
            sql = _compared(condition, _alias_of(condition.field, joins))
            return f"({sql}) IS NOT TRUE" if condition.negated and condition.value else sql
        case TimeRange():
            sql = _in_time(condition, _field(condition.field, joins))
            return f"({sql}) IS NOT TRUE" if condition.negated else sql
        case Defined():
            sql = (" OR " if condition.either else " AND ").join(_condition(one, joins) for one in condition.conditions)
            if not sql:
                return ""  # a number of all rows
            return f"({sql}) IS NOT TRUE" if condition.negated else f"({sql})"
    raise CannotJoin(f"the column of {condition.text!r} is not known")


def _in_time(condition: TimeRange, sql: str) -> str:
    lower = condition.lower
    if lower and condition.field.column.type.lower() == "date":
        lower = lower.replace("now()", "current_date")  # a day has no time of day
    bounds = [f"{sql} >= {lower}"] if lower else []
    return " AND ".join([*bounds, *([f"{sql} < {condition.upper}"] if condition.upper else [])])


def _compared(condition: Comparison, alias: str) -> str:
    """Return the comparison; a negated one with a value is turned around by the caller."""
    sql, text = expression(condition.field, alias), as_text(condition.field, alias)
    if condition.value is None:
        return _without_value(condition, sql)
    value = condition.value.text
    match condition.operator:
        case "contains":
            return f"{text} ILIKE {literal('%' + _like(value) + '%')}"
        case "starts":
            return f"{text} ILIKE {literal(_like(value) + '%')}"
        case "ends":
            return f"{text} ILIKE {literal('%' + _like(value))}"
        case "same":
            return f"lower({text}) = lower({literal(value)})"
        case _:
            right = value if condition.value.number else literal(value)
            return f"{sql if condition.value.number or condition.field.column.values else text} {condition.operator} {right}"


def _without_value(condition: Comparison, sql: str) -> str:
    column = condition.field.column
    if condition.operator in ("is null", "is not null"):
        blank = column.textual
        test = f"coalesce({sql}, '') = ''" if blank else f"{sql} IS NULL"
        return test if condition.operator == "is null" else f"NOT ({test})" if blank else f"{sql} IS NOT NULL"
    return f"{sql} IS NOT TRUE" if condition.negated else sql


def _like(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)


def _related(related: Related, joins: _Joins) -> str:
    if related.most == 0:
        return f"NOT EXISTS (SELECT 1 {_rows_below(related, joins)[0]})"
    if related.least == 1 and related.most is None:
        return f"EXISTS (SELECT 1 {_rows_below(related, joins)[0]})"
    count = _below(related, joins, "count", None)
    bounds = [f">= {related.least}"] if related.least is not None else []
    bounds += [f"<= {related.most}"] if related.most is not None else []
    return " AND ".join(f"{count} {bound}" for bound in bounds)


def _below(related: Related, joins: _Joins, function: str, wanted: Field | None) -> str:
    """Return an aggregate of the related rows, each of which counts once."""
    body, inner = _rows_below(related, joins)
    return f"(SELECT {function}({_field(wanted, inner) if wanted else '*'}) {body})"


def _rows_below(related: Related, joins: _Joins) -> tuple[str, _Joins]:
    """Return FROM and WHERE of the rows of `related` that belong to the main relation's row, and their joins."""
    path = joins.graph.path(joins.main, related.relation, via=related.via)
    if path is None:
        raise CannotJoin(
            f"no single foreign key leads from {joins.main.display_name} to {related.relation.display_name}"
        )
    inner = _Joins(main=related.relation, graph=joins.graph, taken=joins.taken)
    where = [_belongs(path, inner.own, joins)] if path else [_same_row(related.relation, inner.own, joins.own)]
    where += [sql for condition in related.conditions if (sql := _condition(condition, inner))]
    return f"FROM {' '.join(inner.clauses)} WHERE {' AND '.join(where)}", inner


def _same_row(relation: Relation, one: str, other: str) -> str:
    if not relation.key:
        raise CannotJoin(f"{relation.display_name} has no key")
    return " AND ".join(f"{one}.{identifier(key)} = {other}.{identifier(key)}" for key in relation.key)


def _belongs(path: tuple[JoinStep, ...], far: str, joins: _Joins) -> str:
    """Return that the row `far` at the end of `path` belongs to the main relation's row."""
    step = path[-1]
    if len(path) == 1:
        return _on(step, joins.own, far)
    alias = joins.alias(step.source)
    before = _belongs(path[:-1], alias, joins)
    return f"EXISTS (SELECT 1 FROM {_from(step.source, alias)} WHERE {_on(step, alias, far)} AND {before})"
