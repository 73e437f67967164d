"""The meaning of a question as values: one `Query`, from which the SQL and the answer's wording are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from agent.providers.offline_model.schema_parser import Column, ForeignKey, Relation

Function = Literal["count", "sum", "avg", "min", "max"]
Operator = Literal["=", "<>", "<", "<=", ">", ">=", "is null", "is not null", "contains", "starts", "word"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A column of the main relation or of a relation that joins reach; `via` picks the foreign key where there are several.

    `second` is a second column that a space joins to it: the last name after the first name.
    """

    relation: Relation
    column: Column
    second: Column | None = None
    via: ForeignKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiteralValue:
    """A value from the question; the SQL quotes it unless it is a `number`."""

    text: str
    number: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`field` compared with `value`; `memory` names the remembered fact that the comparison comes from."""

    field: Field
    operator: Operator
    value: LiteralValue | None = None
    memory: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """`field` from `lower` up to but not including `upper` (SQL expressions, None: open); `text` is the question's wording."""

    field: Field
    lower: str | None
    upper: str | None
    text: str


Condition: TypeAlias = Comparison | TimeRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """The main relation's rows that have `least` to `most` rows of `relation`: `least` 1 means some, `most` 0 means none."""

    relation: Relation
    least: int | None = None
    most: int | None = None
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """An aggregate; `count` without a field counts rows."""

    function: Function
    field: Field | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One result row for each value of `field`, for each `unit` of its time, or (`whole`) for each row of its relation."""

    field: Field
    unit: str | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Sorted by `field`, or by the measure when `field` is None."""

    field: Field | None
    descending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question about rows of `main`; `fewest` ranks them by how few related rows they have, zero included."""

    main: Relation
    fields: tuple[Field, ...] = ()
    measure: Measure | None = None
    groups: tuple[Group, ...] = ()
    conditions: tuple[Condition, ...] = ()
    related: tuple[Related, ...] = ()
    order: Order | None = None
    limit: int | None = None
    fewest: Related | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """Why a question is not understood: `unknown` words, `need` for the columns of a relation, or `no_relation` recognised."""

    reason: str
    unknown: tuple[str, ...] = ()
    need: Relation | None = None
    no_relation: bool = False
