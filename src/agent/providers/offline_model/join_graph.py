"""Finds paths along foreign keys, and the columns of a relation that name a row, date its event or measure it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.privacy.secret_names import is_secret
from agent.providers.offline_model.query import Field
from agent.providers.offline_model.schema_parser import Column, ForeignKey, Relation
from agent.providers.offline_model.tokenizer import words_of
from agent.text.words import word_set

_NAMES = ("name", "full name", "title", "display name", "label", "subject", "company", "company name", "username")
_BOOKKEEPING = word_set("updated update modified deleted synced changed due expire expires end ends until")
_CALLING = word_set("name title code number sku isbn slug username email reference")
_MAX_STEPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinStep:
    """One foreign key on a path; `up` leads from the row with the key to the row that it refers to."""

    key: ForeignKey
    source: Relation
    target: Relation
    up: bool


class JoinGraph:
    """The relations of a schema and the foreign keys between them."""

    def __init__(self, relations: Sequence[Relation]) -> None:
        self.by_id = {relation.id: relation for relation in relations}
        self._paths: dict[object, tuple[JoinStep, ...] | None] = {}
        self._above: dict[object, list[tuple[Relation, ForeignKey | None]]] = {}

    def path(self, source: Relation, target: Relation, *, via: ForeignKey | None = None) -> tuple[JoinStep, ...] | None:
        """Return the shortest path from `source` to `target`, or None when there is none or more than one of that length.

        Paths that only lead up come first: they keep one row for each row of `source`. `via` must be a step of the path.
        """
        asked = (source.id, target.id, via)
        if asked not in self._paths:
            self._paths[asked] = self._path(source, target, via)
        return self._paths[asked]

    def _path(self, source: Relation, target: Relation, via: ForeignKey | None) -> tuple[JoinStep, ...] | None:
        if source.id == target.id and via is None:
            return ()
        below = [key for key in target.foreign_keys if key.target == source.id]
        if via is None and len(below) == 1 and not any(_names(key, target) for key in source.foreign_keys):
            return (JoinStep(key=below[0], source=source, target=target, up=False),)
        for down in (False, True):
            paths = list(self._shortest(source, target, down=down, via=via))
            plain = [path for path in paths if len(path) == 1 and _names(path[0].key, path[0].target)]
            if paths:
                return plain[0] if len(plain) == 1 else paths[0] if len(paths) == 1 else None
        return None

    def above(self, source: Relation) -> list[tuple[Relation, ForeignKey | None]]:
        """Return the relations that `source` refers to, also indirectly, if only one shortest way leads there.

        Where two keys of `source` refer to one relation, it comes once for each of them, or once by the key that bears its name.
        """
        if source.id not in self._above:
            self._above[source.id] = list(self._all_above(source))
        return self._above[source.id]

    def _all_above(self, source: Relation) -> Iterator[tuple[Relation, ForeignKey | None]]:
        for relation in self.by_id.values():
            direct = [key for key in source.foreign_keys if key.target == relation.id]
            if relation.id != source.id and self.leads_up(source, relation):
                yield relation, None
            elif len(direct) > 1 or (direct and relation.id == source.id):
                yield from ((relation, key) for key in direct)

    def leads_up(self, source: Relation, target: Relation, *, via: ForeignKey | None = None) -> bool:
        """Return whether one path from `source` to `target` leads only to referred rows."""
        path = self.path(source, target, via=via)
        return path is not None and all(step.up for step in path)

    def _steps(self, relation: Relation, *, down: bool) -> Iterator[JoinStep]:
        for key in relation.foreign_keys:
            if key.target in self.by_id:
                yield JoinStep(key=key, source=relation, target=self.by_id[key.target], up=True)
        if down:
            for other in self.by_id.values():
                for key in other.foreign_keys:
                    if key.target == relation.id:
                        yield JoinStep(key=key, source=relation, target=other, up=False)

    def _shortest(
        self, source: Relation, target: Relation, *, down: bool, via: ForeignKey | None
    ) -> Iterator[tuple[JoinStep, ...]]:
        queue: deque[tuple[Relation, tuple[JoinStep, ...]]] = deque([(source, ())])
        best: int | None = None
        while queue:
            relation, path = queue.popleft()
            if len(path) >= (best if best is not None else _MAX_STEPS):
                continue
            for step in self._steps(relation, down=down):
                longer = (*path, step)
                if step.target.id == target.id and (via is None or any(taken.key == via for taken in longer)):
                    best = len(longer)
                    yield longer
                elif step.target.id != source.id and all(step.target.id != taken.source.id for taken in path):
                    queue.append((step.target, longer))


def _names(key: ForeignKey, target: Relation) -> bool:
    """Return whether a key is called as the table that it refers to, as `language_id` beside `original_language_id`."""
    words = words_of(key.columns[0])
    return key.target == target.id and len(key.columns) == 1 and words_of(target.name) in (words, words[:-1])


def display_field(relation: Relation, *, via: ForeignKey | None = None) -> Field | None:
    """Return what names a row for a person: its name or title, or its first and last name; None when it has neither."""
    named = {words_of(column.name): column for column in relation.columns if column.textual and column.readable}
    own = words_of(relation.name)
    first, last = (named.get((end, "name")) or named.get((f"{end}name",)) for end in ("first", "last"))
    if first and last:
        return Field(relation=relation, column=first, second=last, via=via)
    for name in (*_NAMES, relation.name):
        words = words_of(name)
        column = named.get(words) or named.get((*own, *words))
        if column:
            return Field(relation=relation, column=column, via=via)
    ending = [column for words, column in named.items() if words[-1] in ("name", "title")]
    return Field(relation=relation, column=ending[0], via=via) if len(ending) == 1 else None


def row_field(relation: Relation, *, via: ForeignKey | None = None) -> Field | None:
    """Return what stands for a row in a result: its name, else its key."""
    key = relation.column(relation.key[0]) if len(relation.key) == 1 else None
    return display_field(relation, via=via) or (Field(relation=relation, column=key, via=via) if key else None)


def text_fields(relation: Relation, *, via: ForeignKey | None = None) -> list[Field]:
    """Return the fields of `relation` that can hold a word: names, codes and keys of text, and first with last name.

    A column with secrets is none: a look-up in it would ask a human first.
    """
    fields = [
        Field(relation=relation, column=column, via=via)
        for column in relation.columns
        if column.readable
        and not is_secret(column.name, type_name=column.type, comment=column.comment, table=relation.name)
        and not (column.numeric or column.temporal or column.boolean or column.opaque)
    ]
    named = display_field(relation, via=via)
    return [*fields, named] if named and named.second else fields


def naming_fields(relation: Relation) -> list[Field]:
    """Return the fields by which people call a row: its name and the parts of that, names, unique texts, codes and keys."""
    fields = text_fields(relation)
    named = display_field(relation)
    own = {named.column.name} if named else set()
    calling = [
        field
        for field in fields
        if field.second
        or field.column.name in own
        or field.column.unique
        or field.column.key
        or _CALLING.intersection(words_of(field.column.name))
    ]
    return calling or fields


def event_columns(relation: Relation) -> list[Column]:
    """Return the columns that can date the event that a row stands for.

    That is the one that bears the table's name (`loaned_at` of loans), else the only one that every row has, else all. The time
    at which a row was created counts only if there is no other, the time at which it was changed or ends never.
    """
    times = [column for column in relation.columns if column.temporal and column.readable]
    events = [column for column in times if not _BOOKKEEPING.intersection(words_of(column.name))]
    others = [column for column in events if words_of(column.name)[0] not in ("created", "inserted")]
    own = words_of(relation.name)[-1]
    bearing = [column for column in others if words_of(column.name)[0].startswith(own)]
    required = [column for column in others if column.required]
    return next((found for found in (bearing, required) if len(found) == 1), others or events)


def measure_columns(relation: Relation) -> list[Column]:
    """Return the columns with numbers that are no keys."""
    return [c for c in relation.columns if c.numeric and c.readable and not relation.is_link(c)]
