"""Defines the structure of one application database, as JSON-compatible values.

It is stored in `agents.discovered_databases` and returned unchanged, so it consists of TypedDicts. `qualified` is an object's
name as SQL (`public."Order"`); all other names are unquoted, as in the catalogs.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from agent.learning.discovery.drift import Parts

RelationKind = Literal["TABLE", "PARTITIONED TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW"]
RowSecurity = Literal["off", "on", "some", "blind"]


class Column(TypedDict):
    """A column. `base` is the type behind a domain. `values` are its enum labels, check-constraint values or common values; never of a `masked` one. With `more_values`, there may be others.

    `range` are the first and the last day of a column of times, about; never of a `masked` one.
    `null_share` is 0 to 1 and `distinct` the estimated number of values; both None where we can read no statistics.
    """

    name: str
    type: str
    base: str
    numeric: bool
    nullable: bool
    default: str | None
    identity: bool
    generated: bool
    comment: str
    readable: bool
    masked: bool
    values: list[str]
    more_values: bool
    null_share: float | None
    distinct: int | None
    range: NotRequired[list[str] | None]


class ForeignKey(TypedDict):
    """A foreign key, as in pg_constraint: `columns[i]` refers to `target_columns[i]` of the relation `target`.

    `partitions` are the qualified names of the only partitions that have it; empty: the relation as a whole has it.
    """

    name: str
    columns: list[str]
    target: str
    target_columns: list[str]
    on_delete: str
    on_update: str
    partitions: list[str]


class PartitionPart(TypedDict):
    """A key, check, index or trigger that only partitions have, as `definition`; no `partitions`: every one has it."""

    definition: str
    partitions: list[str]


class Check(TypedDict):
    """A check constraint on `columns`."""

    name: str
    columns: list[str]
    definition: str


class Index(TypedDict):
    """An index. `columns` has an empty name where the index holds an expression."""

    name: str
    method: str
    columns: list[str]
    unique: bool
    partial: bool
    definition: str


class Trigger(TypedDict):
    """A trigger: `when` is "before insert or update", `function` what it calls."""

    name: str
    when: str
    function: str
    enabled: bool


class Policy(TypedDict):
    """A row-level security policy. `applies` says whether it applies to the reading login."""

    name: str
    command: str
    permissive: bool
    roles: list[str]
    applies: bool


class Profile(TypedDict):
    """Facts on recent data from the server's statistics, for which no table is scanned.

    `inserted`, `updated` and `deleted` count rows since the statistics were reset. `rows_before` was the estimate at
    `before`. `newest` is the greatest value of `newest_column`. `statistics` is false where row-level security or
    a missing ANALYZE hides what the columns hold. `labels` are the rows of a small table that others refer to, each as its key
    and label, as they were on the day `labels_on`.
    """

    inserted: int
    updated: int
    deleted: int
    analyzed_at: str | None
    newest_column: str | None
    newest: str | None
    rows_before: int | None
    before: str | None
    statistics: bool
    labels: NotRequired[list[list[str]]]
    labels_on: NotRequired[str]


class Relation(TypedDict):
    """A table, view, materialised, foreign or partitioned table. `rows` is an estimate, None when unknown; sizes are bytes.

    `namesakes` are the other relations of the same name in any case; `meant` is the relation that the plain name means, ""
    where it is ambiguous.
    """

    schema: str
    name: str
    qualified: str
    kind: RelationKind
    comment: str
    rows: int | None
    bytes: int
    readable: bool
    row_security: RowSecurity
    partitions: int
    partition_key: str | None
    of_partitions: list[PartitionPart]
    inherits: list[str]
    columns: list[Column]
    primary_key: list[str]
    unique: list[list[str]]
    foreign_keys: list[ForeignKey]
    checks: list[Check]
    indexes: list[Index]
    triggers: list[Trigger]
    policies: list[Policy]
    meant: str
    namesakes: list[str]
    profile: Profile


class Relationship(TypedDict):
    """A foreign key between two relations: `source` refers to `target`."""

    name: str
    source: str
    columns: list[str]
    target: str
    target_columns: list[str]


class Function(TypedDict):
    """A function, procedure, aggregate or window function. `signature` names it uniquely: `public.f(integer)`."""

    schema: str
    name: str
    signature: str
    kind: Literal["FUNCTION", "PROCEDURE", "AGGREGATE", "WINDOW FUNCTION"]
    arguments: str
    returns: str
    volatility: Literal["immutable", "stable", "volatile"]
    security_definer: bool
    language: str
    executable: bool
    comment: str


class DataType(TypedDict):
    """An enum (`labels`), domain (`base`), composite (`attributes`) or range type (`base`) of the application."""

    schema: str
    name: str
    qualified: str
    kind: Literal["ENUM", "DOMAIN", "COMPOSITE", "RANGE"]
    labels: list[str]
    base: str
    attributes: list[str]
    comment: str


class Extension(TypedDict):
    """An installed extension; its objects are not listed."""

    name: str
    version: str


class AppStructure(TypedDict, total=False):
    """The structure of one database. An empty dict means that it was never discovered.

    `tables` holds tables of every kind, `views` views and materialised views. `unreadable` names relations that the reading
    login may not read, `blind` those that look empty to it because of row-level security, `some` those that show it only some
    rows. `changed` and `removed` name the objects that the last discovery found different; `changes` has a line for each part
    that changed, and `history` the last such lines of each object, with their day. `parts` is what is compared (see `drift`).

    `catalogs` is a hash of the catalogs, `fingerprint` one of `catalogs` and of the settings. `kept` is a hash of the settings
    that decide which parts are kept; `rules` is a hash of these settings as they apply to the names in the database. Times are
    ISO 8601.
    """

    format: int
    database: str
    server_version: int
    tables: list[Relation]
    views: list[Relation]
    relationships: list[Relationship]
    functions: list[Function]
    enums: list[DataType]
    types: list[DataType]
    extensions: list[Extension]
    unreadable: list[str]
    blind: list[str]
    some: list[str]
    fingerprint: str
    catalogs: str
    rules: str
    changed: list[str]
    removed: list[str]
    changes: list[str]
    history: dict[str, list[str]]
    parts: Parts
    kept: str
    discovered_at: str


def relations(structure: AppStructure) -> list[Relation]:
    """Return tables and views together."""
    return [*structure.get("tables", []), *structure.get("views", [])]
