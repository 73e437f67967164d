"""Looks up in which columns the data has the values of a question, and places them there.

The look-up is one bounded query. What it finds in one column is used, in several asked, nowhere said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Any

from agent.providers.offline_model.query import (
    Comparison,
    Condition,
    Defined,
    Field,
    LiteralValue,
    Query,
    Related,
    TimeRange,
    Wanted,
)
from agent.providers.offline_model.sql_writer import as_text, identifier, literal, table

_MOST_BRANCHES = 120
_MOST_PLACED = 24

Place = tuple[str, str, str, str, str]  # schema, table, column, second column, text


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """The places to search, and the SQL that searches them; `too_many` when that would be no small query."""

    places: tuple[Place, ...]
    sql: str
    too_many: bool


def wanted_in(conditions: Iterable[Condition]) -> Iterator[Wanted]:
    """Yield the values that the data must place."""
    for condition in conditions:
        if isinstance(condition, Wanted):
            yield condition
        elif isinstance(condition, Related | Defined):
            yield from wanted_in(condition.conditions)


def all_conditions(query: Query) -> Iterator[Condition]:
    """Yield the conditions of a query, and those of the rows that it measures."""
    yield from query.conditions
    if query.measure and query.measure.below:
        yield query.measure.below


def look_up(queries: Sequence[Query]) -> LookUp | None:
    """Return the look-up of all values in `queries`, or None when there is nothing to look up."""
    fields: dict[Place, Field] = {
        _place(place, wanted.text): place
        for query in queries
        for wanted in wanted_in(all_conditions(query))
        for place in wanted.fields
    }
    if not fields:
        return None
    branches = [_branch(number, fields[place], place[-1]) for number, place in enumerate(fields)]
    return LookUp(places=tuple(fields), sql=" UNION ALL ".join(branches), too_many=len(branches) > _MOST_BRANCHES)


def is_look_up(sql: str) -> bool:
    """Return whether a statement only looks values up."""
    return sql.startswith("(SELECT DISTINCT ")


def _place(place: Field, text: str) -> Place:
    second = place.second.name if place.second else ""
    return (*place.relation.id, place.column.name, second, text)


def _branch(number: int, place: Field, text: str) -> str:
    """Return the SELECT for one column: the spellings of `text` in it, at most a few."""
    sql = as_text(place, identifier(place.relation.name))
    source = table(place.relation)
    return (
        f"(SELECT DISTINCT {number} AS place, {sql} = {literal(text)} AS exact FROM {source}"
        f" WHERE lower({sql}) = lower({literal(text)}) LIMIT 2)"
    )


def places_found(search: LookUp, result: Mapping[str, Any]) -> dict[Place, bool]:
    """Return the places that hold their text: True when they hold it exactly so, False in another letter case."""
    found: dict[Place, bool] = {}
    for row in result.get("rows") or []:
        number, exact = int(row[0]), str(row[1]).lower() in ("true", "t")
        place = search.places[number]
        found[place] = found.get(place, False) or exact
    return found


def placed(query: Query, found: Mapping[Place, bool]) -> list[Query]:
    """Return `query` once for each way in which the data places its values; none when a value is nowhere."""
    ways = product(*(_ways(condition, found) for condition in query.conditions))
    queries = [replace(query, conditions=conditions) for conditions in islice(ways, _MOST_PLACED)]
    below = query.measure.below if query.measure else None
    if not below or not query.measure:
        return queries
    measures = [replace(query.measure, below=way) for way in _ways(below, found) if isinstance(way, Related)]
    return [replace(one, measure=measure) for one in queries for measure in measures]


def _ways(condition: Condition, found: Mapping[Place, bool]) -> list[Condition]:
    match condition:
        case Wanted():
            return list(_places_of(condition, found))
        case Defined(either=True):
            return _one_column(condition, found)
        case Related() | Defined():
            inner = product(*(_ways(one, found) for one in condition.conditions))
            return [replace(condition, conditions=conditions) for conditions in islice(inner, _MOST_PLACED)]
    return [condition]


def _one_column(defined: Defined, found: Mapping[Place, bool]) -> list[Condition]:
    """Return a set of values once for each column that holds the most of them; a value that no row has is said to be nowhere."""
    ways = [{way.field: way for way in _ways(one, found) if isinstance(way, Comparison)} for one in defined.conditions]
    held = Counter(field for way in ways for field in way)
    most = max(held.values(), default=0)
    fields = [field for field, count in held.items() if count == most and 2 * most >= len(ways)]
    return [
        replace(
            defined,
            conditions=tuple(_in_column(way, field, one) for way, one in zip(ways, defined.conditions, strict=True)),
        )
        for field in fields
    ]


def _in_column(way: Mapping[Field, Comparison], field: Field, wanted: Condition) -> Condition:
    text = wanted.text if isinstance(wanted, Wanted) else ""
    return way.get(field) or Comparison(field=field, operator="same", value=LiteralValue(text=text), absent=True)


def _places_of(wanted: Wanted, found: Mapping[Place, bool]) -> Iterator[Condition]:
    held = {place: found[key] for place in wanted.fields if (key := _place(place, wanted.text)) in found}
    columns = [place for place in held if place.second is None]
    value = LiteralValue(text=wanted.text)
    for place in columns or held:
        operator = "=" if held[place] else "same"
        yield Comparison(field=place, operator=operator, value=value, inferred=not wanted.named, negated=wanted.negated)  # type: ignore[arg-type]  # one of two operators
    if wanted.named and not held:
        place = wanted.fields[0]
        yield Comparison(field=place, operator="same", value=value, absent=True, negated=wanted.negated)


def contradicts(conditions: Sequence[Condition]) -> bool:
    """Return whether two conditions cannot hold at once: "in 2009 and in 2010". No row would say nothing about either."""
    once = [_what_it_fixes(condition) for condition in conditions]
    fixed = [what for what in once if what is not None]
    inner = (one.conditions for one in conditions if isinstance(one, Related))
    return len(fixed) != len(set(fixed)) or any(contradicts(part) for part in inner)


def _what_it_fixes(condition: Condition) -> object:
    match condition:
        case Comparison(operator="=" | "same" | "is null" | "is not null", negated=False):
            return condition.field.relation.id, condition.field.column.name, condition.field.via
        case Defined(either=True, negated=False):
            fields = {one.field for one in condition.conditions if isinstance(one, Comparison)}
            place = next(iter(fields)) if len(fields) == 1 else None
            return (place.relation.id, place.column.name, place.via) if place else None
        case TimeRange(negated=False) if condition.lower and condition.upper:
            return condition.field.relation.id, condition.field.column.name, condition.field.via
        case Related(least=1, most=None) if condition.conditions:
            return condition.relation.id, condition.via
    return None


def sought(queries: Sequence[Query]) -> tuple[list[str], list[str]]:
    """Return the texts that the queries look for, and the tables in which they do."""
    wanted = [one for query in queries for one in wanted_in(all_conditions(query))]
    tables = dict.fromkeys(place.relation.display_name for one in wanted for place in one.fields)
    return list(dict.fromkeys(one.text for one in wanted)), list(tables)
