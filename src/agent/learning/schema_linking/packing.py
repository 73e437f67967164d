"""Packs relations into text within a token budget: all of them in full when they fit, else each in the best form that fits.

20 of 23 tables shown; describe_schema shows each in full.

TABLE public.orders ~5000 rows               in full: what the question is about
  id bigint pk
  ...

TABLE public.clients ~120 rows               compact: keys and asked columns, the others by name
  id bigint pk
  (also name, city)

TABLE public.offices ~4 rows                 dense: all the rest, until the budget is used
  (id pk, city)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.learning.discovery.rendering import MAX_COLUMNS, dense_text, key_columns, long_comments, relation_text
from agent.learning.discovery.structure import Relation
from agent.learning.schema_linking.index import SchemaIndex
from agent.text.tokens import BYTES_PER_TOKEN, estimate_tokens
from agent.text.words import stems

# How many relations are shown in full, and how many more with the types of their keys, before the others get room.
_IN_FULL, _COMPACT = 6, 6
_MAX_MATCHING_COLUMNS = 10
_NOTE_BYTES = 120
_LEAST_FOR_NOTE = 360  # bytes; in less, tables matter more than their number
_LEAST_LINE = 60
_MASKED = re.compile(r"^  [^\n]* masked(?: |$)", re.MULTILINE)
_MASKED_NOTE = " masked: personal or secret, so no values are listed here; a query may still return them."
_LEAST_FOR_MASKED = 1_200  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedSchema:
    """The schema text for one question, with its estimated `tokens`.

    `tables` are the relations in it with their columns and keys, most relevant first; `chosen` are those of them that the
    question is about. `whole` says that every relation is in it in full.
    """

    text: str
    tables: tuple[str, ...]
    tokens: int
    whole: bool = False
    chosen: tuple[str, ...] = ()


class Pack:
    """Collects blocks of text within a token budget; `asked` are the stems that the question contains or means."""

    def __init__(self, budget: int, index: SchemaIndex, asked: frozenset[str] = frozenset()) -> None:
        self._index = index
        self._asked = asked
        self._room = budget * BYTES_PER_TOKEN
        self._blocks: dict[str, str] = {}
        self._tables: list[str] = []
        self._others: list[str] = []
        self._explains = False
        self._has_note = False
        self._is_whole = False

    @property
    def tokens_left(self) -> int:
        """Return the room that is left."""
        return self._room // BYTES_PER_TOKEN

    def add(self, block: str) -> bool:
        """Add a block that is no relation if it fits, and return whether it was added."""
        if not block or not self._takes(block):
            return False
        self._others.append(block)
        return True

    def add_note_room(self) -> None:
        """Keep room for the line that says how many tables are shown, unless there is hardly room for a table."""
        self._has_note = self._room >= _LEAST_FOR_NOTE
        if not self._has_note:
            return
        self._explains = self._room >= _LEAST_FOR_MASKED
        self._room -= _NOTE_BYTES + (len(_MASKED_NOTE) if self._explains else 0)

    def add_whole(self, order: Sequence[int]) -> bool:
        """Add every relation in full, in the order of the index, if all fit; `order` names the most relevant first.

        The comments of columns are whole if these fit too, else only where a column is asked for.
        """
        relations = self._index.relations
        for explained in (long_comments, self._asked_comments):
            texts = {item["qualified"]: self._index.text(item, explained=explained(item)) for item in relations}
            size = sum(map(_size, texts.values()))
            if size <= self._room:
                self._room -= size
                self._blocks, self._is_whole = texts, True
                first = [relations[position]["qualified"] for position in order]
                self._tables = list(dict.fromkeys([*first, *texts]))
                return True
        return False

    def add_described(self, relation: Relation) -> None:
        """Add a relation with all its columns and their whole comments if it fits, else as it fits."""
        whole = self._index.text(relation, explained=long_comments(relation))
        if self._takes(whole):
            self._blocks[relation["qualified"]] = whole
            self._tables.append(relation["qualified"])
        else:
            self.add_relation(relation, limit=len(relation["columns"]))

    def add_relation(self, relation: Relation, *, rank: int = 0, limit: int = MAX_COLUMNS) -> bool:
        """Add a relation in the longest form that fits; one of a low rank (a high number) gets a shorter form."""
        for block in self._forms(relation, rank=rank, limit=limit):
            if self._takes(block):
                self._blocks[relation["qualified"]] = block
                self._tables.append(relation["qualified"])
                return True
        return False

    def add_relations(self, positions: Sequence[int], *, first_rank: int = 0) -> None:
        """Add relations while there is room: the first in full, the next compact, and the others dense.

        Where the most relevant one does not fit, no other takes its place: it might have the same name.
        """
        new = [position for position in positions if self._index.relations[position]["qualified"] not in self._blocks]
        for rank, position in enumerate(new, start=first_rank):
            if self._room < _LEAST_LINE:
                return
            if not self.add_relation(self._index.relations[position], rank=rank) and rank == 0:
                return

    def add_others(self, positions: Sequence[int]) -> None:
        """Add relations that the question does not lead to, dense, while there is room."""
        self.add_relations(positions, first_rank=_IN_FULL + _COMPACT)

    def complete(self) -> None:
        """Use the room that is left: show relations in full, the most relevant first."""
        for name in self._tables:
            relation = self._index.relations[self._index.positions[name]]
            full, compact = next(self._forms(relation)), self._blocks[name]
            if 0 < _size(full) - _size(compact) <= self._room:
                self._room -= _size(full) - _size(compact)
                self._blocks[name] = full

    def linked(self, chosen: Sequence[int] = (), *, note: bool = False) -> LinkedSchema:
        """Return the text; with `note`, its first line says how many tables are shown."""
        blocks = [*self._blocks.values(), *self._others]
        text = "\n\n".join([*([self._note()] if note and self._has_note and blocks else []), *blocks])
        about = [self._index.relations[position]["qualified"] for position in chosen]
        return LinkedSchema(
            text=text, tables=tuple(self._tables), tokens=estimate_tokens(text), whole=self._is_whole,
            chosen=tuple(name for name in about if name in self._blocks),
        )  # fmt: skip

    def _asked_comments(self, relation: Relation) -> frozenset[str]:
        return long_comments(relation).intersection(_matching_columns(relation, self._asked))

    def _note(self) -> str:
        shown, all_of_them = len(self._blocks), len(self._index.relations)
        hint = "" if self._is_whole else "; describe_schema shows each in full"
        has_masked = self._explains and any(_MASKED.search(block) for block in self._blocks.values())
        return f"{shown} of {all_of_them} tables shown{hint}.{_MASKED_NOTE if has_masked else ''}"

    def _takes(self, block: str) -> bool:
        size = _size(block)
        if size > self._room:
            return False
        self._room -= size
        return True

    def _forms(self, relation: Relation, *, rank: int = 0, limit: int = MAX_COLUMNS) -> Iterator[str]:
        """Yield the relation's block in each form for its rank, the longest first."""
        matching = _matching_columns(relation, self._asked)
        if rank < _IN_FULL and len(relation["columns"]) <= limit:
            yield self._index.text(relation, explained=self._asked_comments(relation))
        elif rank < _IN_FULL:
            yield relation_text(relation, limit=limit, first=matching, explained=matching)
        dense = dense_text(relation)
        if rank < _IN_FULL + _COMPACT or dense is None:
            yield relation_text(relation, only={*key_columns(relation), *matching}, others=True, explained=matching)
        if dense is not None:
            yield dense
        if not self._blocks:  # a tiny budget
            keys = relation["primary_key"]
            yield relation_text(relation, only=keys or [column["name"] for column in relation["columns"][:3]])


def _size(block: str) -> int:
    return len(block.encode()) + 2  # and the blank line before it


def _matching_columns(relation: Relation, asked: frozenset[str]) -> list[str]:
    """Return the columns that share words with the question, those with most shared words first."""
    shared = [(len(asked.intersection(stems(column["name"]))), column["name"]) for column in relation["columns"]]
    best = sorted((pair for pair in shared if pair[0]), key=lambda pair: -pair[0])
    return [name for _, name in best[:_MAX_MATCHING_COLUMNS]]
