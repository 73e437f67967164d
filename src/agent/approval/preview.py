"""What an approver is shown of an action, and signs: a statement's effects, a mail, or what another tool proposes. Pure.

Inside it is a typed value, outside (in the row of the queue, in `--json`, in an interrupt) the JSON of `to_json`. A decision
is bound to its `fingerprint`, a hash of that JSON.
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
    """Rows that were changed beside the statement's own: by cascades, triggers and rules, or by a form that returns none.

    `effect` is what must be the same when it runs, but for the columns in `volatile`; None where not all of it is known.
    """

    table: str
    rows: list[RowChange]
    more: bool
    personal: list[str]
    secret: list[str]
    effect: Effect | None
    volatile: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What all previews hold. `origins` warn of values that nobody trusted gave; `not_previewed` are sentences.

    `masked` is one for a person who may not see personal values. None stands for what a preview does not hold.
    """

    # Not in the JSON where they are empty.
    _left_out: ClassVar[frozenset[str]] = frozenset({"origins", "remarks", "masked", "fingerprint"})

    sentence: str | None = None
    origins: tuple[str, ...] = ()
    not_previewed: tuple[str, ...] | None = None
    masked: bool = False
    fingerprint: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the preview as it is stored, and shown outside."""
        nulls = {"row_count"} if self.masked else {"row_count", "effect"}
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name.rstrip("_"): list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if (value or name not in self._left_out) and (value is not None or name in nulls)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementPreview(_Shown):
    """What a statement would do. `row_count` is None where nothing was counted; `more` says that not all rows are shown.

    `sql` is the statement that will run; `lock` is the strongest lock that it took on a relation of the application, or ''.
    `effect` is what must be the same when it runs, but for the columns in `volatile`; None where only the number of rows is
    known. `steady` says whether `tables` must be the same too, and `others` are the rows behind these numbers. `goes` are
    objects that a DROP or TRUNCATE removes too. `tried` is False where nothing of this is known, and so nothing is compared:
    `code` is then a digest of the code that the statement may run, else ''. `shown_sql` is the statement as everybody may see
    it. No value of a `secret` column is in it, and digests are under a key. `signature` stands for a statement that is made
    again when it runs. `remarks` are told with the result too.
    """

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

    @property
    def sql_for_everybody(self) -> str:
        """Return the statement without secrets."""
        return self.shown_sql or self.sql


@dataclass(frozen=True, slots=True, kw_only=True)
class MailPreview(_Shown):
    """A mail: its `text` as its recipients read it, and its `links`. It goes `via` the outbox or SMTP at `place`, `from_` an address."""

    _left_out: ClassVar[frozenset[str]] = frozenset({"masked", "fingerprint"})

    masked_sentence: str | None = None
    text: str = ""
    links: tuple[str, ...] = ()
    via: str = ""
    place: str = ""
    from_: str = ""
    not_previewed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPreview(_Shown):
    """What another tool proposes, as a `text`. From `version` on it is of a new tool: its code's hash, rights and tests."""

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
    """Return the preview that JSON holds, also of an earlier version: unknown keys are ignored, missing ones have defaults."""
    if not isinstance(value, Mapping):
        return None
    kind = StatementPreview if "sql" in value else MailPreview if "via" in value else ToolPreview
    given = {field.name: value[key] for field in fields(kind) if (key := field.name.rstrip("_")) in value}
    values: dict[str, Any] = {name: tuple(item) if isinstance(item, list) else item for name, item in given.items()}
    return kind(**values)


def as_statement(preview: Preview | None) -> StatementPreview:
    """Return the preview of a statement; an empty one for anything else."""
    return preview if isinstance(preview, StatementPreview) else StatementPreview()


def signed(preview: Preview) -> Preview:
    """Return a preview with its fingerprint."""
    return replace(preview, fingerprint=fingerprint(preview.to_json()))


def fingerprint(shown: Mapping[str, Any]) -> str:
    """Return the hash of what was shown."""
    return digest({name: value for name, value in shown.items() if name != "fingerprint"})


def is_intact(stored: Any) -> bool:
    """Return whether a stored preview is what was shown: what Python code asked with may have no fingerprint."""
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
