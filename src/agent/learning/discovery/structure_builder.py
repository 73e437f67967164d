"""Builds the structure from catalog rows and applies the deny-list and the masking rules. Pure.

Denied names are left out here, before anything is stored, saved to memory or shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final, get_args

from agent.learning.discovery.allowed_parts import AllowedParts
from agent.learning.discovery.catalog import Catalog, Row, TimeColumn
from agent.learning.discovery.column_profiles import (
    common_values,
    days,
    distinct_estimate,
    holds_sensitive_values,
    leading_time_column,
    listed_values,
    row_estimate,
    showable,
)
from agent.learning.discovery.drift import Parts, group_parts
from agent.learning.discovery.identifiers import one_line, qualified, short_type
from agent.learning.discovery.lookups import Lookup, lookups
from agent.learning.discovery.namesakes import Order, namesakes
from agent.learning.discovery.partitions import Partitions, roots_of
from agent.learning.discovery.row_readers import (
    DEFINITION_CHARS,
    check_of,
    data_type_of,
    function_of,
    index_of,
    trigger_of,
)
from agent.learning.discovery.secret_columns import SecretRules, column_is_secret
from agent.learning.discovery.structure import (
    AppStructure,
    Column,
    ForeignKey,
    Index,
    Policy,
    Profile,
    Relation,
    RelationKind,
    Relationship,
    RowSecurity,
    relations,
)
from agent.privacy.sensitive import DenyList, looks_sensitive

# Increase it when the same catalogs would give another structure: a stored structure of another format is discovered again.
FORMAT: Final = 5

_BLOCK = 8192
# A column's comment may explain its codes; the schema text has it whole where the column is asked for.
_COLUMN_COMMENT_CHARS = 1_000
_KINDS: Final[Mapping[str, RelationKind]] = {
    "r": "TABLE", "p": "PARTITIONED TABLE", "f": "FOREIGN TABLE", "v": "VIEW", "m": "MATERIALIZED VIEW",
}  # fmt: skip
_ACTIONS = {"a": "no action", "r": "restrict", "c": "cascade", "n": "set null", "d": "set default"}
_COMMANDS = {"r": "select", "a": "insert", "w": "update", "d": "delete", "*": "all"}
_VIEWS = {"VIEW", "MATERIALIZED VIEW"}

assert set(_KINDS.values()) == set(get_args(RelationKind))  # noqa: S101  # a new kind must be named in both places


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules for building a structure: denied names, secret columns, whether personal values are masked, the schema order."""

    deny: DenyList = field(default_factory=DenyList)
    secrets: SecretRules = field(default_factory=SecretRules)
    mask: bool = True
    order: Order = field(default_factory=Order)


def assemble(catalog: Catalog, rules: Rules, known: AppStructure) -> AppStructure:
    """Return the structure of a catalog snapshot, without newest values, changes and the time of discovery.

    A busy relation stays as it is in `known`.
    """
    allowed = [row for row in catalog.relations if not rules.deny.table(row["schema"], row["name"])]
    denied = {row["oid"] for row in catalog.relations} - {row["oid"] for row in allowed}
    names = {row["oid"]: qualified(row["schema"], row["name"]) for row in allowed}
    labels = {row["oid"]: row["labels"] for row in catalog.types if row["labels"]}
    veiled = _views_of_denied(catalog, rules)
    roots = roots_of(catalog)
    before = {relation["qualified"]: relation for relation in relations(known)}
    built = [
        before[names[row["oid"]]]
        if row["oid"] in catalog.busy and names[row["oid"]] in before
        else _RelationBuilder(catalog, rules, names, labels, veiled, roots, row).relation()
        for row in allowed
    ]
    built = _with_namesakes(built, rules.order)
    types = [data_type_of(row) for row in catalog.types]
    return AppStructure(
        format=FORMAT,
        database=catalog.database,
        server_version=catalog.server_version,
        tables=[relation for relation in built if relation["kind"] not in _VIEWS],
        views=[relation for relation in built if relation["kind"] in _VIEWS],
        relationships=[edge for relation in built for edge in _relationships(relation)],
        functions=[function_of(row) for row in catalog.functions if not denied & set(row["row_types"] or ())],
        enums=[item for item in types if item["kind"] == "ENUM"],
        types=[item for item in types if item["kind"] != "ENUM"],
        extensions=[{"name": row["name"], "version": row["version"]} for row in catalog.extensions],
        parts=_parts(catalog, rules, names, built, known),
        unreadable=[relation["qualified"] for relation in built if not relation["readable"]],
        blind=[relation["qualified"] for relation in built if relation["row_security"] == "blind"],
        some=[relation["qualified"] for relation in built if relation["row_security"] == "some"],
        fingerprint=catalog.fingerprint,
    )


def _parts(
    catalog: Catalog, rules: Rules, names: Mapping[int, str], built: Sequence[Relation], known: AppStructure
) -> Parts:
    """Return the parts for comparison, without those that name a denied object and without texts that may name one."""
    before = known.get("parts", {})
    masked = {
        relation["qualified"]: frozenset(column["name"] for column in relation["columns"] if column["masked"])
        for relation in built
    }
    allowed = AllowedParts(catalog, rules.deny, names, masked)
    parts = group_parts((part for row in catalog.parts for part in allowed.of(row)), before)
    busy = {names[oid]: before[names[oid]] for oid in catalog.busy if oid in names and names[oid] in before}
    return {**parts, **busy}


def _views_of_denied(catalog: Catalog, rules: Rules) -> set[int]:
    """Return the OIDs of views that may show a denied table or column under another name: their values are left out."""
    if not rules.deny.patterns:
        return set()
    denied = {
        row["oid"]
        for row in catalog.relations
        if rules.deny.table(row["schema"], row["name"])
        or any(rules.deny.column(row["schema"], row["name"], c["name"]) for c in catalog.columns.get(row["oid"], ()))
    }
    views = [row for row in catalog.relations if row["sources"]]
    while more := {row["oid"] for row in views if denied.intersection(row["sources"])} - denied:
        denied |= more
    return {row["oid"] for row in views} & denied


def _with_namesakes(built: Sequence[Relation], order: Order) -> list[Relation]:
    """Add to each relation the others of its name and the one that the plain name means."""
    groups = namesakes((relation["schema"], relation["name"]) for relation in built)
    return [
        Relation(**{**relation, "meant": qualified(*meant) if meant else "", "namesakes": others})
        for relation in built
        for group in [groups[relation["name"].casefold()]]
        for meant in [order.meant(group)]
        for others in [[qualified(*name) for name in group if name != (relation["schema"], relation["name"])]]
    ]


def time_columns(structure: AppStructure) -> list[TimeColumn]:
    """Return the columns whose newest value an index gives; those of tables with most inserts first."""
    tables = [table for table in structure["tables"] if _is_cheap_to_read(table)]
    tables.sort(key=lambda table: (-table["profile"]["inserted"], table["qualified"]))
    return [
        TimeColumn(schema=table["schema"], table=table["name"], column=table["profile"]["newest_column"])
        for table in tables
        if table["profile"]["newest_column"]
    ]


def lookup_tables(structure: AppStructure) -> list[Lookup]:
    """Return the lookup tables whose rows are cheap to read."""
    return [
        lookup for lookup in lookups(structure) if lookup.table["kind"] == "TABLE" and _is_cheap_to_read(lookup.table)
    ]


def _is_cheap_to_read(table: Relation) -> bool:
    # A policy may call any function; a foreign server or a hundred partitions may be slow.
    return (
        table["readable"]
        and table["row_security"] == "off"
        and table["kind"] != "FOREIGN TABLE"
        and table["partitions"] <= 100
    )


@dataclass(frozen=True, slots=True)
class _RelationBuilder:
    """Builds one relation from its catalog row and the rest of the snapshot."""

    catalog: Catalog
    rules: Rules
    names: Mapping[int, str]
    labels: Mapping[int, Sequence[str]]
    veiled: Set[int]
    roots: Mapping[int, tuple[str, str]]
    row: Row

    def relation(self) -> Relation:
        row, oid = self.row, self.row["oid"]
        folded = self.catalog.partitions.get(oid)
        constraints = self._constraints(oid)
        partitions = Partitions.of(self.catalog, oid, denies=self._denies_row)
        rows = row_estimate(row, folded)
        columns = self._columns(constraints, rows)
        indexes = [index_of(index, hide=self._has_denied()) for index in self._indexes()]
        policies = [_policy(policy) for policy in self.catalog.policies.get(oid, ())]
        return Relation(
            schema=row["schema"],
            name=row["name"],
            qualified=self.names[oid],
            kind=_KINDS[row["kind"]],
            comment=one_line(row["comment"]),
            rows=rows,
            bytes=((folded or row)["pages"] + (0 if folded else row["more_pages"])) * _BLOCK,
            readable=row["readable"],
            row_security=_row_security(row, self.catalog.policies.get(oid, ())),
            partitions=folded["partitions"] if folded else 0,
            partition_key=None if self._has_denied() else one_line(folded["partition_key"] if folded else None) or None,
            of_partitions=partitions.parts(),
            inherits=[self.names[parent] for parent in row["parents"] or () if parent in self.names],
            columns=columns,
            primary_key=next((key["columns"] for key in constraints if key["type"] == "p"), []),
            unique=[key["columns"] for key in constraints if key["type"] == "u"],
            foreign_keys=partitions.foreign_keys(self._foreign_keys(constraints), self._foreign_keys),
            checks=[check_of(key) for key in constraints if key["type"] in {"c", "x"}],
            indexes=indexes,
            triggers=[trigger_of(trigger) for trigger in self.catalog.triggers.get(oid, ())],
            policies=policies,
            meant=self.names[oid],
            namesakes=[],
            profile=self._profile(folded, columns, indexes),
        )

    def _columns(self, constraints: Sequence[Row], rows: int | None) -> list[Column]:
        own_columns = self.catalog.columns.get(self.row["oid"], ())
        siblings = [column["name"] for column in own_columns]
        allowed_values = _allowed_values(constraints)
        statistics = self._statistics()
        keys = {name for key in constraints if key["type"] in {"p", "f"} for name in key["columns"] or ()}
        return [
            self._column(
                column,
                siblings=siblings,
                keys=keys,
                allowed=allowed_values.get(column["name"], []),
                statistics=statistics.get(column["name"]),
                rows=rows,
            )
            for column in own_columns
            if not self._denies(column["name"])
        ]

    def _column(
        self,
        column: Row,
        *,
        siblings: Sequence[str],
        keys: Set[str],
        allowed: Sequence[str],
        statistics: Row | None,
        rows: int | None,
    ) -> Column:
        numeric = column["category"] == "N"
        masked = self.rules.mask and (
            looks_sensitive(
                column["name"],
                table=self.row["name"],
                siblings=siblings,
                category=column["category"],
                type_name=column["base"] or column["type"],
                is_key=column["name"] in keys,
            )
            or holds_sensitive_values(statistics)
        )
        masked = masked or self._is_secret(column)
        values, more_values = ([], False) if masked else self._values(column, allowed, statistics)
        hide = masked or (column["generated"] and self._has_denied())
        return Column(
            name=column["name"],
            type=short_type(column["type"]),
            base=short_type(column["base"]) if column["base"] else "",
            numeric=numeric,
            nullable=not column["not_null"],
            default=None if hide else one_line(column["default"], DEFINITION_CHARS) or None,
            identity=column["identity"],
            generated=column["generated"] or column["always"],
            comment=one_line(column["comment"], _COLUMN_COMMENT_CHARS),
            readable=column["readable"] and self.row["readable"],
            masked=masked,
            values=values,
            more_values=more_values,
            null_share=round(statistics["null_share"], 4) if statistics else None,
            distinct=distinct_estimate(statistics, rows),
            range=None if masked else days(statistics),
        )

    def _is_secret(self, column: Row) -> bool:
        facts = (column["name"], column["type"], column["base"], column["category"], column["comment"] or "")
        return column_is_secret(self.row["schema"], self.row["name"], facts, self.rules.secrets)

    def _values(self, column: Row, allowed: Sequence[str], statistics: Row | None) -> tuple[list[str], bool]:
        """Return the values to show, and whether there may be others."""
        for check in self.catalog.domain_checks.get(column["type_oid"], ()):
            allowed = allowed or listed_values(check["definition"] or "")
        possible = self.labels.get(column["labels_of"]) or allowed
        if shown := showable(possible):
            return shown, len(shown) < len(possible)
        common = common_values(column["name"], statistics, numeric=column["category"] == "N")
        return common, bool(common)

    def _constraints(self, oid: int) -> list[Row]:
        return [row for row in self.catalog.constraints.get(oid, ()) if not self._names_denied(row["columns"] or ())]

    def _foreign_keys(self, constraints: Iterable[Row]) -> list[ForeignKey]:
        return [edge for key in constraints if key["type"] == "f" for edge in self._foreign_key(key)]

    def _foreign_key(self, key: Row) -> list[ForeignKey]:
        schema, name = key["target_schema"], key["target_name"]
        if self.rules.deny.table(schema, name):
            return []
        # A partition's rows belong to its parent, which is in the structure in its place.
        schema, name = self.roots.get(key["target_oid"], (schema, name))
        if any(self.rules.deny.column(schema, name, column) for column in key["target_columns"]):
            return []
        return [
            ForeignKey(
                name=key["name"],
                columns=key["columns"],
                target=qualified(schema, name),
                target_columns=key["target_columns"],
                on_delete=_ACTIONS[key["on_delete"]],
                on_update=_ACTIONS[key["on_update"]],
                partitions=[],
            )
        ]

    def _profile(self, folded: Row | None, columns: Sequence[Column], indexes: Sequence[Index]) -> Profile:
        source = folded or self.row
        return Profile(
            inserted=source["inserted"] or 0,
            updated=source["updated"] or 0,
            deleted=source["deleted"] or 0,
            analyzed_at=source["analyzed_at"],
            newest_column=None if self.row["oid"] in self.veiled else leading_time_column(columns, indexes),
            newest=None,
            rows_before=None,
            before=None,
            statistics=bool(self._statistics()),
        )

    def _statistics(self) -> dict[str, Row]:
        oid = self.row["oid"]
        if oid in self.veiled:
            return {}
        folded = self.catalog.partitions.get(oid)
        own = self.catalog.statistics.get(oid)
        # Autovacuum never analyses a partitioned table itself; its fullest partition represents it best.
        rows = own or (self.catalog.statistics.get(folded["leaf"]) if folded else None) or ()
        return {row["name"]: row for row in rows}

    def _indexes(self) -> list[Row]:
        return [
            row
            for row in self.catalog.indexes.get(self.row["oid"], ())
            if row["valid"] and not self._names_denied(row["columns"] or ())
        ]

    def _denies(self, column: str) -> bool:
        return self.rules.deny.column(self.row["schema"], self.row["name"], column)

    def _denies_row(self, row: Row) -> bool:
        return self._names_denied(row["columns"] or ()) or self.rules.deny.table(row["schema"], row["name"])

    def _names_denied(self, columns: Sequence[str]) -> bool:
        return any(self._denies(column) for column in columns)

    def _has_denied(self) -> bool:
        return bool(self.rules.deny.patterns) and self._names_denied(
            [column["name"] for column in self.catalog.columns.get(self.row["oid"], ())]
        )


def _allowed_values(constraints: Sequence[Row]) -> dict[str, list[str]]:
    checks = [key for key in constraints if key["type"] == "c" and len(key["columns"] or ()) == 1]
    return {key["columns"][0]: values for key in checks if (values := listed_values(key["definition"] or ""))}


def _row_security(row: Row, policies: Sequence[Row]) -> RowSecurity:
    if not row["secured"]:
        return "off"
    applying = [policy for policy in policies if policy["applies"] and policy["command"] in {"r", "*"}]
    permissive = [policy["shows_all"] for policy in applying if policy["permissive"]]
    if not row["readable"]:
        return "on"
    if not permissive:
        return "blind"
    restricted = any(not policy["shows_all"] for policy in applying if not policy["permissive"])
    return "some" if restricted or not any(permissive) else "on"


def _relationships(relation: Relation) -> list[Relationship]:
    return [
        Relationship(
            name=key["name"],
            source=relation["qualified"],
            columns=key["columns"],
            target=key["target"],
            target_columns=key["target_columns"],
        )
        for key in relation["foreign_keys"]
    ]


def _policy(row: Row) -> Policy:
    return Policy(
        name=row["name"],
        command=_COMMANDS[row["command"]],
        permissive=row["permissive"],
        roles=row["roles"] or ["public"],
        applies=row["applies"],
    )
