"""What a question asks of the data, as values: one `Query`, which SQL and the answer's wording are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from agent.providers.offline_model.schema_parser import Column, ForeignKey, Relation

Function = Literal["count", "sum", "avg", "min", "max"]
Comparison = Literal["=", "<>", "<", "<=", ">", ">=", "is null", "is not null", "contains", "starts", "word"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A column of the main relation or of one that it reaches; `via` picks the foreign key where there are several.

    `second` is joined to it by a space: a last name after the first name.
    """

    relation: Relation
    column: Column
    second: Column | None = None
    via: ForeignKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A value as the user gave it: SQL decides by `number` whether it is quoted."""

    text: str
    number: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """`field` compared with `values`; `memory` names the remembered fact that this comes from."""

    field: Field
    comparison: Comparison
    value: Given | None = None
    memory: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class During:
    """`field` inside a span of time, by SQL expressions; `text` is how the question said it."""

    field: Field
    lower: str | None
    upper: str | None
    text: str


Condition: TypeAlias = Compared | During


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """The main relation's rows with (`least` 1) or without (`most` 0) rows of `relation`, or with so many of them."""

    relation: Relation
    least: int | None = None
    most: int | None = None
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What is computed: `count` without a field counts rows."""

    function: Function
    field: Field | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One line of the result for each value of `field`, or for each `unit` of its time, or (`whole`) for each row of its relation."""

    field: Field
    unit: str | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Sorted by `field`, or by the measure when it is None."""

    field: Field | None
    descending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question about rows of `main`; `fewest` ranks them by how few related rows they have, none included."""

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
    """Why a question is not understood; `unknown` are the words, `need` is a relation whose columns are wanted first."""

    reason: str
    unknown: tuple[str, ...] = ()
    need: Relation | None = None
    no_relation: bool = False
