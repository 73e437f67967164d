"""Decides which parts of the catalogs are kept for comparison and which may be shown, by the deny-list and the masking. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from agent.learning.discovery.catalog import Catalog, Row
from agent.learning.discovery.drift import part_text
from agent.learning.discovery.identifiers import one_line, qualified
from agent.privacy.sensitive import DenyList

_SIGNATURE_CHARS = 300


def signature(row: Row) -> str:
    """Return the unique name of a function: `public.f(integer)`."""
    return f"{qualified(row['schema'], row['name'])}({one_line(row['identity'], _SIGNATURE_CHARS)})"


class AllowedParts:
    """The parts of one catalog that a deny-list allows. `names` are the relations that are not denied, `masked` columns by relation."""

    def __init__(
        self, catalog: Catalog, deny: DenyList, names: Mapping[int, str], masked: Mapping[str, frozenset[str]]
    ) -> None:
        self._catalog, self._deny, self._names, self._masked = catalog, deny, names, masked

    def of(self, row: Row) -> Iterator[tuple[str, str, str, str | None]]:
        """Yield the part as (object, element, attribute, text) unless it is denied; a text that was not read is None."""
        name = self._object(row)
        if name is None or self._is_denied(row):
            return
        text = (
            None
            if row["value"] is None
            else part_text(row["value"], hidden=row["hidden"] or self._is_hidden(name, row))
        )
        yield name, row["element"], row["attribute"], text

    def _object(self, row: Row) -> str | None:
        if row["class"] == "relation":
            return self._names.get(row["oid"])
        if row["class"] == "function":
            return self._functions.get(row["oid"])
        return self._types.get(row["oid"]) if row["class"] == "type" else str(row["object"])

    def _is_denied(self, row: Row) -> bool:
        for oid in row["named_relations"] or ():
            if oid is not None and (oid in self._denied or self._names_denied(oid, row)):
                return True
        own = row["oid"] if row["class"] == "relation" else None
        return own is not None and (self._names_denied(own, row) or self._of_denied_partition(row))

    def _names_denied(self, oid: int, row: Row) -> bool:
        schema, name = self._places.get(oid, ("", ""))
        return any(
            column is not None and self._deny.column(schema, name, column) for column in row["named_columns"] or ()
        )

    def _of_denied_partition(self, row: Row) -> bool:
        return any(row["element"].startswith(label) for label in self._denied_partitions.get(row["oid"], ()))

    def _is_hidden(self, name: str, row: Row) -> bool:
        of_masked = self._masked.get(name, frozenset()).intersection(row["named_columns"] or ())
        if row["attribute"] in {"default", "generated as"} and of_masked:
            return True
        own = [row["oid"]] if row["class"] == "relation" else []
        return row["is_expression"] and any(oid in self._with_denied for oid in [*own, *(row["named_relations"] or ())])

    @cached_property
    def _places(self) -> dict[int, tuple[str, str]]:
        return {row["oid"]: (row["schema"], row["name"]) for row in self._catalog.relations}

    @cached_property
    def _denied(self) -> frozenset[int]:
        denied = {oid for oid, place in self._places.items() if self._deny.table(*place)}
        members = [row for rows in self._catalog.members.values() for row in rows]
        return frozenset(denied) | {
            row["oid"] for row in members if row["root"] in denied or self._deny.table(row["schema"], row["name"])
        }

    @cached_property
    def _with_denied(self) -> frozenset[int]:
        if not self._deny.patterns:
            return frozenset()
        columns = {oid: [row["name"] for row in rows] for oid, rows in self._catalog.columns.items()}
        return frozenset(oid for oid, place in self._places.items() if self._deny.fits(*place, columns.get(oid, ())))

    @cached_property
    def _denied_partitions(self) -> dict[int, list[str]]:
        return {
            root: [
                f"partition {qualified(row['schema'], row['name'])}" for row in rows if self._deny.table(row["schema"], row["name"])
            ]
            for root, rows in self._catalog.members.items()
        }  # fmt: skip

    @cached_property
    def _functions(self) -> dict[int, str]:
        return {
            row["oid"]: signature(row)
            for row in self._catalog.functions
            if not self._denied & set(row["row_types"] or ())
        }

    @cached_property
    def _types(self) -> dict[int, str]:
        return {row["oid"]: qualified(row["schema"], row["name"]) for row in self._catalog.types}
