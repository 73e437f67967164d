"""Defines the previews that approvers see and sign: of a statement's effects, a mail, or another tool's proposal. Pure.

Our code holds a preview as a typed value. The row of the queue, `--json` and an interrupt hold the JSON of `to_json`. A
decision is bound to the `fingerprint`, a hash of that JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any, ClassVar, TypedDict


class RowChange(TypedDict):
    """One affected row; `changed` names the columns that differ. `before` is None for a new row, `after` for a deleted one."""

    before: dict[str, Any] | None
    after: dict[str, Any] | None
    changed: list[str]


class TableEffect(TypedDict):
    """The number of rows that a statement changed in one table, by its triggers and cascades too."""

    table: str
    inserted: int
    updated: int
    deleted: int


class Effect(TypedDict):
    """Digests of what a statement did to its table, for comparison with another run of it.

    `rows` is the digest of the rows' keys; `cells` has the digests of the old and the new values of each column that
    changed in any row. Where no key says which new values belong together (new rows, tables without a key), `whole` is the
    digest of whole rows without the volatile columns; else ''. Digests do not depend on the order of rows.
    """

    rows: str
    cells: dict[str, list[str]]
    whole: str


class OtherTable(TypedDict):
    """Changed rows that the statement does not return: of cascades, triggers and rules, or of a statement that returns none.

    `effect` must be the same when the statement runs, except in the columns in `volatile`; None if it is not known completely.
    """

    table: str
    rows: list[RowChange]
    more: bool
    personal: list[str]
    secret: list[str]
    effect: Effect | None
    volatile: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _CommonFields:
    """The fields of all previews. `origins` are warnings about values from untrusted sources.

    `not_previewed` has sentences about what the preview does not show. `masked` is True in a preview for a person who may not
    see personal values. None stands for a field that a preview does not have.
    """

    # Fields that the JSON has only if they are not empty.
    _omitted_if_empty: ClassVar[frozenset[str]] = frozenset({"origins", "remarks", "masked", "fingerprint"})

    sentence: str | None = None
    origins: tuple[str, ...] = ()
    not_previewed: tuple[str, ...] | None = None
    masked: bool = False
    fingerprint: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the preview as JSON, as it is stored and as callers get it."""
        nulls = {"row_count"} if self.masked else {"row_count", "effect"}
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name.rstrip("_"): list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if (value or name not in self._omitted_if_empty) and (value is not None or name in nulls)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementPreview(_CommonFields):
    """What a statement would do. `row_count` is None if no rows were counted; `more` says that not all rows are in `rows`.

    `sql` is the statement that will run; `lock` is the strongest lock that it took on a relation of the application, or ''.
    `effect` must be the same when it runs, except in the columns in `volatile`; None if only the number of rows is known.
    `steady` says whether `tables` must be the same too, and `others` are the rows that `tables` counts. `goes` are objects
    that a DROP or TRUNCATE removes too. `tried` is False if there was no dry run: no effect is known or compared, and `code`
    is a digest of the code that the statement may run, else ''. `shown_sql` is the statement as everybody may see it. A
    preview holds no value of a `secret` column, and its digests are under a key. `signature` is the keyed digest of a
    statement that is built again when it runs. `remarks` are repeated with the result. `undo` says whether it can be undone;
    `not_restored` is what the undo of an earlier change leaves as it is.
    """

    _omitted_if_empty: ClassVar[frozenset[str]] = _CommonFields._omitted_if_empty | {"undo", "not_restored"}

    sentence: str = ""
    not_previewed: tuple[str, ...] = ()
    sql: str = ""
    shown_sql: str | None = None
    signature: str | None = None
    row_count: int | None = None
    columns: tuple[str, ...] = ()
    rows: tuple[RowChange, ...] = ()
    more: bool = False
    tables: tuple[TableEffect, ...] = ()
    others: tuple[OtherTable, ...] = ()
    goes: tuple[str, ...] = ()
    tried: bool = False
    code: str = ""
    lock: str = ""
    effect: Effect | None = None
    volatile: tuple[str, ...] = ()
    steady: bool = False
    personal: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    undo: str = ""
    not_restored: tuple[TableEffect, ...] = ()

    @property
    def sql_for_everybody(self) -> str:
        """Return the statement without secrets."""
        return self.shown_sql or self.sql


@dataclass(frozen=True, slots=True, kw_only=True)
class MailPreview(_CommonFields):
    """A mail: its `text` as recipients read it, its `links`, its sender `from_`, and its route: `via` outbox or SMTP at `place`."""

    _omitted_if_empty: ClassVar[frozenset[str]] = frozenset({"masked", "fingerprint"})

    masked_sentence: str | None = None
    text: str = ""
    links: tuple[str, ...] = ()
    via: str = ""
    place: str = ""
    from_: str = ""
    not_previewed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPreview(_CommonFields):
    """Another tool's proposal, as a `text`. The fields from `version` on describe a new tool: its hash, rights and tests."""

    masked_sentence: str | None = None
    text: str | None = None
    version: int | None = None
    content_hash: str | None = None
    capabilities: tuple[str, ...] | None = None
    hosts: tuple[str, ...] | None = None
    tests: tuple[str, ...] | None = None


Preview = StatementPreview | MailPreview | ToolPreview

CHANGED = ToolPreview(
    not_previewed=("This request was changed after it was asked. It is not executed, whatever is decided.",),
    fingerprint="changed",
)


def preview_from_json(value: Any) -> Preview | None:
    """Return the preview in JSON, which an earlier version may have written: unknown keys are ignored, missing ones get defaults."""
    if not isinstance(value, Mapping):
        return None
    kind = StatementPreview if "sql" in value else MailPreview if "via" in value else ToolPreview
    given = {field.name: value[key] for field in fields(kind) if (key := field.name.rstrip("_")) in value}
    values: dict[str, Any] = {name: tuple(item) if isinstance(item, list) else item for name, item in given.items()}
    return kind(**values)


def as_statement(preview: Preview | None) -> StatementPreview:
    """Return a statement's preview as it is, and an empty one for every other preview."""
    return preview if isinstance(preview, StatementPreview) else StatementPreview()


def signed(preview: Preview) -> Preview:
    """Return a preview with its fingerprint."""
    return replace(preview, fingerprint=fingerprint(preview.to_json()))


def fingerprint(preview: Mapping[str, Any]) -> str:
    """Return the hash of a preview's JSON without its fingerprint."""
    return digest({name: value for name, value in preview.items() if name != "fingerprint"})


def is_intact(stored: Any) -> bool:
    """Return whether a stored preview matches its fingerprint; one that Python code gave may have none."""
    if not isinstance(stored, Mapping):
        return stored is None
    return "fingerprint" not in stored or bool(stored["fingerprint"] == fingerprint(stored))


def digest(value: Any) -> str:
    """Return a hash of JSON that stays the same through a jsonb column, which writes 1e3 as 1000 and sorts keys."""
    text = json.dumps(_canonical(value), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    # By its digits, as jsonb reads it: the float 1e23 itself is a little less than 10 to the 23rd.
    return int(Decimal(repr(value))) if isinstance(value, float) and value.is_integer() else value
