"""Finds paths along foreign keys, and the column of a relation that names, dates, places or values a row."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.providers.offline_model.query import Field
from agent.providers.offline_model.schema_parser import Column, ForeignKey, Relation
from agent.providers.offline_model.tokenizer import words_of
from agent.text.words import word_set

_NAMES = ("name", "full name", "title", "display name", "label", "subject", "company", "company name", "username")
_CODES = word_set("number code reference ref sku isbn slug no")
_MONEY = word_set("total amount price cost salary budget revenue value sum payment fee balance spend wage sale")
_PRICES = word_set("price cost amount total fee rate")
_BIRTH = word_set("birth dob birthday born birthdate")
_NO_EVENT = word_set("updated modified deleted due synced changed expire expires end until")
_PLACES = word_set("city town country region location place state office branch site room")
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

    def path(self, source: Relation, target: Relation, *, via: ForeignKey | None = None) -> tuple[JoinStep, ...] | None:
        """Return the shortest path from `source` to `target`, or None when there is none or more than one of that length.

        Paths that only lead up come first: they keep one row for each row of `source`.
        """
        if source.id == target.id and via is None:
            return ()
        for down in (False, True):
            paths = list(self._shortest(source, target, down=down, via=via))
            if paths:
                return paths[0] if len(paths) == 1 else None
        return None

    def parents(self, relation: Relation) -> Iterator[tuple[ForeignKey, Relation]]:
        """Yield each foreign key of `relation` with the relation that it refers to."""
        for key in relation.foreign_keys:
            if key.target in self.by_id:
                yield key, self.by_id[key.target]

    def _steps(self, relation: Relation, *, down: bool) -> Iterator[JoinStep]:
        for key, parent in self.parents(relation):
            yield JoinStep(key=key, source=relation, target=parent, up=True)
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
                if any(step.target.id == taken.source.id for taken in path) or (
                    step.target.id == source.id and via is None
                ):
                    continue
                longer = (*path, step)
                if step.target.id == target.id and (via is None or step.key == via):
                    best = len(longer)
                    yield longer
                elif step.target.id != source.id:
                    queue.append((step.target, longer))


def display_field(relation: Relation, *, via: ForeignKey | None = None) -> Field | None:
    """Return what names a row for a person: its name or title, or its first and last name; None when it has neither."""
    named = {words_of(column.name): column for column in relation.columns if column.textual and column.readable}
    own = words_of(relation.name)
    for name in _NAMES:
        words = words_of(name)
        column = named.get(words) or named.get((*own, *words))
        if column:
            return Field(relation=relation, column=column, via=via)
    first, last = (named.get((end, "name")) or named.get((f"{end}name",)) for end in ("first", "last"))
    if first and last:
        return Field(relation=relation, column=first, second=last, via=via)
    ending = [column for words, column in named.items() if words[-1] in ("name", "title")]
    return Field(relation=relation, column=ending[0], via=via) if len(ending) == 1 else None


def code_column(relation: Relation) -> Column | None:
    """Return the column with codes such as INV-0042, None when there is not exactly one."""
    coded = [c for c in relation.columns if c.textual and c.readable and _CODES.intersection(words_of(c.name))]
    keys = [c for c in relation.columns if c.textual and c.key]
    codes = coded or keys
    return codes[0] if len(codes) == 1 else None


def event_time_column(relation: Relation) -> Column | None:
    """Return the column with the time of the event that a row stands for, None when there is none."""
    times = [c for c in relation.columns if c.temporal and c.readable and not _NO_EVENT.intersection(words_of(c.name))]
    events = [c for c in times if words_of(c.name)[0] != "created" and not _BIRTH.intersection(words_of(c.name))]
    own = set(words_of(relation.name))
    for candidates in ([c for c in events if own.intersection(words_of(c.name))], events[:1], times):
        if candidates:
            return candidates[0]
    return None


def amount_column(relation: Relation, *, prices: bool = False) -> Column | None:
    """Return the column with the worth of a row, None when there is none or several could be it."""
    measures = [c for c in relation.columns if c.numeric and c.readable and not relation.is_link(c)]
    named = [c for c in measures if (_PRICES if prices else _MONEY).intersection(words_of(c.name))]
    if named:
        exact = named if len(named) == 1 else [c for c in named if len(words_of(c.name)) == 1]
        return exact[0] if len(exact) == 1 else None
    fractional = [c for c in measures if c.fractional]
    return fractional[0] if len(fractional) == 1 and not prices else None


def birth_column(relation: Relation) -> Column | None:
    """Return the date of birth."""
    return next((c for c in relation.columns if c.temporal and _BIRTH.intersection(words_of(c.name))), None)


def is_person(relation: Relation) -> bool:
    """Return whether rows are people, for whom "oldest" is about their birth."""
    names = {words_of(column.name) for column in relation.columns}
    return birth_column(relation) is not None or bool(
        names & {("first", "name"), ("last", "name"), ("surname",), ("salary",)}
    )


def _name_and_comment_words(column: Column) -> tuple[str, ...]:
    return (*words_of(column.name), *words_of(column.comment)[:2])


def place_column(relation: Relation) -> Column | None:
    """Return the column with the place of a row, None when there is not exactly one."""
    places = [
        c for c in relation.columns if c.textual and c.readable and _PLACES.intersection(_name_and_comment_words(c))
    ]
    return places[0] if len(places) == 1 else None
