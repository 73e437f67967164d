"""Hides secrets in a preview's rows: cells of secret columns, texts that repeat one, and texts that look like one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from agent.approval.preview import Effect
from agent.execution.dry_run.secret_constants import gives_secret, names_secret
from agent.execution.writes.statement_runner import Change
from agent.learning.discovery.secret_columns import SecretColumns
from agent.privacy.masking import MASK, Values, rows_with_cells, texts_of, without_secrets

# Columns that hold the value in a row that names a secret, as in a table of settings.
_VALUE_COLUMNS = frozenset({"value", "values", "val", "data", "content", "setting", "text", "secret_value"})


def secret_columns_of(place: str, names: Sequence[str], secrets: SecretColumns) -> list[str]:
    """Return which of these columns hold secrets; `place` is the table's name with or without its schema."""
    dots = [number for number, character in enumerate(place) if character == "."]
    tables = [("", place), *((place[:dot], place[dot + 1 :]) for dot in dots)]
    known = [table for table in tables if table in secrets.known or any(name == table[1] for _, name in secrets.known)]
    return [name for name in names if any(secrets.column(*table, name) for table in known or tables[-1:])]


@dataclass(frozen=True, slots=True)
class Hider:
    """Hides the secrets of one preview: `values` are those in its rows; `reads` says that new values may copy others."""

    secrets: SecretColumns
    values: Values
    reads: bool = False

    @classmethod
    def of(cls, changes: Mapping[str, Sequence[Change]], secrets: SecretColumns, *, reads: bool) -> Hider:
        """Build a hider for a preview of these changed rows, by table."""
        return cls(secrets, Values.of(_secret_texts(changes, secrets)), reads)

    def columns(self, place: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return the secret columns of these rows before and after."""
        names = dict.fromkeys(name for row in rows for side in _sides(row) for name in side)
        return secret_columns_of(place, list(names), self.secrets)

    def rows(self, place: str, rows: Sequence[Any]) -> list[Any]:
        """Return these rows of a table without any secret."""
        hidden = self.columns(place, rows)
        masked = [
            each for row in rows for each in rows_with_cells([row], partial(self._cell, hidden, _names_a_secret(row)))
        ]
        return [_without_new_values(row) for row in masked] if self.reads else masked

    def text(self, text: str) -> str:
        """Return a text without any of these secrets, and without what has the form of a key."""
        return self.values.cut_from(str(without_secrets(text)))

    def notices(self, notices: Sequence[str], *, any_secret: bool) -> list[str]:
        """Return the database's notices without secrets; only their number where they may be about rows with secrets."""
        if any_secret and notices:
            return [
                f"The database said something ({len(notices)} notices) that is not shown: it changes rows with secrets."
            ]
        return [self.text(notice) for notice in notices]

    def _cell(self, hidden: Sequence[str], setting: bool, name: str, value: Any) -> Any:  # noqa: FBT001  # bound by partial
        if value is None:
            return None
        if name in hidden or (setting and name.casefold() in _VALUE_COLUMNS):
            return MASK
        value = without_secrets(value)
        if isinstance(value, str):
            return MASK if gives_secret(value) else self.values.cut_from(value)
        return MASK if self.values.repeated_in(value) else value


def keyed_effect(effect: Effect | None, key: Callable[[str], str]) -> Effect | None:
    """Return an effect with its digests keyed."""
    if effect is None:
        return None
    cells = {name: [key(digest) for digest in pair] for name, pair in effect["cells"].items()}
    return Effect(rows=key(effect["rows"]), cells=cells, whole=key(effect["whole"]))


def _secret_texts(changes: Mapping[str, Sequence[Change]], secrets: SecretColumns) -> Iterator[str]:
    for place, of_table in changes.items():
        for change in of_table:
            for side in (change.before or {}, change.after or {}):
                for name in secret_columns_of(place, list(side), secrets):
                    yield from texts_of(side[name])


def _without_new_values(row: Mapping[str, Any]) -> dict[str, Any]:
    before, after = _sides(row)
    new = {name: MASK if value is not None and before.get(name) != value else value for name, value in after.items()}
    return {**row, "after": new if row.get("after") is not None else None}


def _sides(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return row.get("before") or {}, row.get("after") or {}


def _names_a_secret(row: Mapping[str, Any]) -> bool:
    return any(isinstance(value, str) and names_secret(value) for side in _sides(row) for value in side.values())
