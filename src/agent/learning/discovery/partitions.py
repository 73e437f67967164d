"""Merges what only partitions have into their parent: keys, checks, indexes and triggers, as after a dump and restore. Pure.

A foreign key on which all partitions with one agree becomes the parent's. Where they differ, each key lists its partitions.
A primary or unique key of each partition is no key of the parent, because two partitions may hold the same value: it stays
listed as the partitions'.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.learning.discovery.catalog import Catalog, Row
from agent.learning.discovery.identifiers import one_line, qualified
from agent.learning.discovery.structure import ForeignKey, PartitionPart

_DEFINITION_CHARS = 300
_INDEX = re.compile(r"CREATE (?P<unique>UNIQUE )?INDEX .*? USING (?P<rest>.*)", re.DOTALL)
_Edges = Callable[[Iterable[Row]], list[ForeignKey]]


def roots_of(catalog: Catalog) -> dict[int, tuple[str, str]]:
    """Return schema and name of the table into which each partition is merged, by the partition's OID."""
    places = {row["oid"]: (row["schema"], row["name"]) for row in catalog.relations}
    return {row["oid"]: places[row["root"]] for rows in catalog.members.values() for row in rows}


@dataclass(frozen=True, slots=True)
class Partitions:
    """The partitions of one table on every level, without denied ones, and the parts that only they have."""

    catalog: Catalog
    members: Sequence[Row]
    denies: Callable[[Row], bool]

    @classmethod
    def of(cls, catalog: Catalog, root: int, *, denies: Callable[[Row], bool]) -> Partitions:
        """Return the partitions of the table `root`; `denies` says whether a row's columns, or its schema and name, are denied."""
        members = [row for row in catalog.members.get(root, ()) if not denies({**row, "columns": ()})]
        return cls(catalog, members, denies)

    def foreign_keys(self, own: Sequence[ForeignKey], edges: _Edges) -> list[ForeignKey]:
        """Return the table's foreign keys: its `own` and its partitions'; `edges` converts constraints to keys."""
        groups: dict[tuple[object, ...], list[tuple[str, ForeignKey]]] = defaultdict(list)
        for member in self.members:
            for key in edges(self._rows(self.catalog.constraints, member)):
                groups[_edge(key)].append((_name(member), key))
        for key in own:
            groups.pop(_edge(key), None)
        targets: Mapping[tuple[str, ...], list[str]] = defaultdict(list)
        for group in groups.values():
            targets[tuple(group[0][1]["columns"])].append(group[0][1]["target"])
        return [*own, *(_merged(group, len(targets[tuple(group[0][1]["columns"])]) == 1) for group in groups.values())]

    def parts(self) -> list[PartitionPart]:
        """Return the partitions' other parts, each definition once."""
        holders: Mapping[str, set[str]] = defaultdict(set)
        for member in self.members:
            for definition in self._definitions(member):
                holders[definition].add(_name(member))
        leaves = {_name(row) for row in self.members} - {_name(row) for row in self.members if self._below(row)}
        return [
            PartitionPart(definition=definition, partitions=[] if self._covered(names) >= leaves else sorted(names))
            for definition, names in sorted(holders.items())
        ]

    def _definitions(self, member: Row) -> Iterator[str]:
        for row in self._rows(self.catalog.constraints, member):
            if row["type"] != "f" and row["definition"]:
                yield one_line(row["definition"], _DEFINITION_CHARS)
        for row in self._rows(self.catalog.indexes, member):
            match = _INDEX.match(row["definition"] or "")
            if match and row["valid"]:
                yield one_line(f"{match['unique'] or ''}INDEX USING {match['rest']}", _DEFINITION_CHARS)
        for row in self.catalog.triggers.get(member["oid"], ()):
            yield f"trigger calling {qualified(row['function_schema'], row['function_name'])}"

    def _rows(self, grouped: Mapping[int, Sequence[Row]], member: Row) -> list[Row]:
        place = {"schema": member["schema"], "name": member["name"]}
        return [row for row in grouped.get(member["oid"], ()) if not self.denies({**row, **place})]

    def _covered(self, names: set[str]) -> set[str]:
        """Return the names of these partitions and of all below them."""
        level = [row for row in self.members if _name(row) in names]
        covered = set(names)
        while level:
            level = [child for row in level for child in self._below(row)]
            covered.update(map(_name, level))
        return covered

    def _below(self, member: Row) -> list[Row]:
        return [row for row in self.members if row["parent"] == member["oid"]]


def _merged(group: Sequence[tuple[str, ForeignKey]], is_agreed: bool) -> ForeignKey:  # noqa: FBT001  # a private rule's one choice
    first = min(group, key=lambda item: item[1]["name"])[1]
    partitions = [] if is_agreed else sorted({partition for partition, _ in group})
    return ForeignKey(**{**first, "partitions": partitions})


def _edge(key: ForeignKey) -> tuple[object, ...]:
    return (*key["columns"], key["target"], *key["target_columns"], key["on_delete"], key["on_update"])


def _name(member: Row) -> str:
    return qualified(member["schema"], member["name"])
