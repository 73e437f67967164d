"""The rows of a preview without secrets: cells of secret columns, what repeats one of them, and what says that it is one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from agent.approval.preview import Effect
from agent.execution.dry_run.secret_constants import gives_secret, names_secret
from agent.execution.writes.statement_runner import Change
from agent.learning.discovery.secret_columns import SecretColumns
from agent.privacy.masking import MASK, Values, changed_rows, texts_of, without_secrets

# Of a row that names a secret, as one of a table of settings does.
_VALUE_COLUMNS = frozenset({"value", "values", "val", "data", "content", "setting", "text", "secret_value"})


def secret_columns_of(place: str, names: Sequence[str], secrets: SecretColumns) -> list[str]:
    """Which of these columns hold secrets; `place` is the table's name as a preview has it, with its schema or without."""
    dots = [number for number, character in enumerate(place) if character == "."]
    tables = [("", place), *((place[:dot], place[dot + 1 :]) for dot in dots)]
    known = [table for table in tables if table in secrets.known or any(name == table[1] for _, name in secrets.known)]
    return [name for name in names if any(secrets.column(*table, name) for table in known or tables[-1:])]


@dataclass(frozen=True, slots=True)
class Hider:
    """Hides the secrets of one preview: `values` are all that were seen in its rows."""

    secrets: SecretColumns
    values: Values
    reads: bool = False

    @classmethod
    def of(cls, changes: Mapping[str, Sequence[Change]], secrets: SecretColumns, *, reads: bool) -> Hider:
        """For a preview of these changed rows, by table; `reads` says that new values may be made of secrets elsewhere."""
        return cls(secrets, Values.of(_secret_texts(changes, secrets)), reads)

    def columns(self, place: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """The secret columns of these rows before and after."""
        names = dict.fromkeys(name for row in rows for side in _sides(row) for name in side)
        return secret_columns_of(place, list(names), self.secrets)

    def rows(self, place: str, rows: Sequence[Any]) -> list[Any]:
        """These rows of a table without any secret."""
        hidden = self.columns(place, rows)
        shown = [one for row in rows for one in changed_rows([row], partial(self._cell, hidden, _names_one(row)))]
        return [_without_new(row) for row in shown] if self.reads else shown

    def text(self, text: str) -> str:
        """A text without any secret that was seen, or that has the form of a key."""
        return self.values.cut_from(str(without_secrets(text)))

    def notices(self, notices: Sequence[str], *, any_secret: bool) -> list[str]:
        """What the database said: nothing where it may have looked at secrets."""
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
    """The digests of an effect under a key."""
    if effect is None:
        return None
    cells = {name: [key(digest) for digest in pair] for name, pair in effect["cells"].items()}
    return Effect(rows=key(effect["rows"]), cells=cells, whole=key(effect["whole"]))


def _secret_texts(changes: Mapping[str, Sequence[Change]], secrets: SecretColumns) -> Iterator[str]:
    for place, seen in changes.items():
        for change in seen:
            for side in (change.before or {}, change.after or {}):
                for name in secret_columns_of(place, list(side), secrets):
                    yield from texts_of(side[name])


def _without_new(row: Mapping[str, Any]) -> dict[str, Any]:
    before, after = _sides(row)
    new = {name: MASK if value is not None and before.get(name) != value else value for name, value in after.items()}
    return {**row, "after": new if row.get("after") is not None else None}


def _sides(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return row.get("before") or {}, row.get("after") or {}


def _names_one(row: Mapping[str, Any]) -> bool:
    return any(isinstance(value, str) and names_secret(value) for side in _sides(row) for value in side.values())
