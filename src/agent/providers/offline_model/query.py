"""The meaning of a question as values: one `Query`, from which the SQL and the answer's wording are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from agent.providers.offline_model.schema_parser import Column, ForeignKey, Relation

Function = Literal["count", "sum", "avg", "min", "max"]
Operator = Literal["=", "same", "<>", "<", "<=", ">", ">=", "is null", "is not null", "contains", "starts", "ends"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A column of the main relation or of a relation above it; `via` picks the foreign key where there are several.

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
    """`field` compared with `value` ("same": in any letter case); `memory` names the fact that it comes from.

    `inferred` when the question does not name the column; `absent` when no row has the value.
    """

    field: Field
    operator: Operator
    value: LiteralValue | None = None
    memory: str = ""
    inferred: bool = False
    absent: bool = False
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """`field` from `lower` up to but not including `upper` (SQL expressions, None: open); `text` is the question's wording."""

    field: Field
    lower: str | None
    upper: str | None
    text: str
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A value whose column the data must tell: one of `fields` holds `text`. With `named` the question names the column."""

    text: str
    fields: tuple[Field, ...]
    named: bool = False
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """The main relation's rows that have `least` to `most` rows of `relation`: `least` 1 means some, `most` 0 means none."""

    relation: Relation
    via: ForeignKey | None = None
    least: int | None = 1
    most: int | None = None
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Defined:
    """What a remembered fact calls `phrase`: all of `conditions` hold for a row of the main relation, or one of them (`either`)."""

    phrase: str
    conditions: tuple[Condition, ...]
    memory: str
    either: bool = False
    negated: bool = False


Condition: TypeAlias = Comparison | TimeRange | Wanted | Related | Defined


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """An aggregate; `count` without a field counts rows, with one its distinct values.

    With `below` it is one of the rows of that relation that belong to a row of the main relation.
    """

    function: Function
    field: Field | None = None
    below: Related | None = None


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
    """One question about rows of `main`; `guesses` counts words that are no full names, and decides between readings."""

    main: Relation
    fields: tuple[Field, ...] = ()
    measure: Measure | None = None
    groups: tuple[Group, ...] = ()
    conditions: tuple[Condition, ...] = ()
    order: Order | None = None
    limit: int | None = None
    guesses: int = field(default=0, compare=False)

    @property
    def absent(self) -> bool:
        """Return whether it asks for a value that no row has."""
        return _is_absent(self.conditions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """Why a question is not understood; `need` is a relation whose columns are missing, `no_relation` that none was named."""

    reason: str
    need: Relation | None = None
    no_relation: bool = False


def _is_absent(conditions: tuple[Condition, ...]) -> bool:
    return any(
        one.absent if isinstance(one, Comparison) else isinstance(one, Related | Defined) and _is_absent(one.conditions)
        for one in conditions
    )
