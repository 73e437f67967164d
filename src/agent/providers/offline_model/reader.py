"""What a grammar rule reads at one place of a question: words, numbers, values, and names of the schema.

A rule yields each thing that may stand at a place, with the place after it. Nothing is skipped: a rule that cannot place a word
yields nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from agent.providers.offline_model.join_graph import JoinGraph, display_field
from agent.providers.offline_model.names import (
    ColumnName,
    DefinedMeasure,
    DefinedName,
    Names,
    RelationName,
    Term,
    ValueName,
)
from agent.providers.offline_model.query import Comparison, Condition, Defined, Field, LiteralValue, TimeRange, Wanted
from agent.providers.offline_model.schema_parser import ForeignKey, Relation
from agent.providers.offline_model.tokenizer import Sentence, number_of
from agent.text.words import related, word_set
from agent.text.words import stem as common_stem

_MOST_STEPS = 5_000
# A value without quotes ends at the end of the sentence, or before one of these.
_CLAUSE_BEGINS = word_set(
    """
    in on at from of by for with without where whose that which who sorted ordered grouped per and or not since before after
    between during until over under above below more less last this next are is was were have has had do does did each
    , ? ! . ; : = to as but than having named called
    """
)
# Words of the grammar, which begin no value and are no unknown words.
GRAMMAR = _CLAUSE_BEGINS | word_set(
    """
    a an the all any every our my their its his her show list give get display find fetch print tell me us what how many much
    number count total sum average avg mean maximum max minimum min highest lowest largest smallest biggest most least
    fewest top bottom first latest newest oldest earliest recent no yes true false there we you i it they please can could
    exist exists sort order group sorting ascending descending asc desc only just same distinct different ones those these
    equal equals contains containing like starts ends begins empty null missing set day week month quarter year days weeks
    january february march april june july august september october november december
    delete remove drop insert add create cancel send truncate grant alter move copy make set change update write mail why
    longest shortest cheapest expensive heaviest lightest youngest tallest costly best worst popular value values
    months years ago today yesterday tomorrow as to into also now so about when who whom
    """
)

Place = int


class TooManyReadings(Exception):
    """The question can be read in too many ways to try them all."""


@dataclass(slots=True)
class Reader:
    """A question and the names that its words may mean. `schema` is the one that it names; `notes` say why a rule yields nothing."""

    s: Sentence
    names: Names
    graph: JoinGraph
    schema: str | None = None
    notes: list[str] = field(default_factory=list)
    found: dict[Place, list[tuple[Term, Place]]] = field(default_factory=dict)
    furthest: Place = 0
    steps: int = 0
    most_steps: int = _MOST_STEPS

    def step(self, at: Place) -> None:
        """Note that the words before `at` have their place."""
        self.furthest = max(self.furthest, at)
        self.steps += 1
        if self.steps > self.most_steps:
            raise TooManyReadings

    def terms(self, at: Place) -> list[tuple[Term, Place]]:
        """Return what the words at `at` name, the longest names first."""
        if at not in self.found:
            self.found[at] = list(self.names.at(self.s, at))
        return self.found[at]

    def word(self, at: Place, *phrases: str) -> Place | None:
        """Return the place after the first of `phrases` that stands at `at`."""
        return next((end for phrase in phrases if (end := self.s.match(at, phrase))), None)

    def skip(self, at: Place, phrase: str) -> Place:
        """Return the place after as many of `phrase` as stand at `at`."""
        while end := self.s.match(at, phrase):
            at = end
        return at

    def at_end(self, at: Place) -> bool:
        """Return whether only closing signs are left."""
        return self.skip(at, ".|?|!") == len(self.s.tokens)

    def number(self, at: Place) -> Iterator[tuple[str, Place]]:
        """Yield the number at `at` as SQL writes it."""
        number = number_of(self.s.tokens[at]) if self.s.free(at) else None
        if number is not None:
            yield number, at + 1

    def value(self, at: Place, *, named: bool = False) -> Iterator[tuple[str, Place]]:
        """Yield the values that begin at `at`, exactly as they are written: one in quotes, or any stretch that ends before a clause.

        Where the question names its column (`named`), a value may begin with a word of the grammar.
        """
        if not self.s.free(at):
            return
        first = self.s.tokens[at]
        if first.kind == "quoted":
            yield first.text, at + 1
            return
        if (first.kind == "symbol" and first.low in _CLAUSE_BEGINS) or first.low in (
            _CLAUSE_BEGINS if named else GRAMMAR - {"the", "a", "an"}
        ):
            return
        for end in range(at + 1, len(self.s.tokens) + 1):
            if any(token.kind == "quoted" for token in self.s.tokens[at:end]):
                return
            if self.s.tokens[end - 1].low == "?":
                return
            if end == len(self.s.tokens) or self.s.tokens[end].low in _CLAUSE_BEGINS:
                yield self.s.span(at, end), end

    def relations(self, at: Place) -> Iterator[tuple[RelationName, Place]]:
        """Yield the relations that the words at `at` name by their own name; after a dot they are no name of their own."""
        if self.s.free(at) and self.s.tokens[at].dotted:
            return
        for end, found in self._relation_names(at).items():
            qualified = [name for name in found if name.qualified]
            dotted = any(token.dotted for token in self.s.tokens[at + 1 : end])
            plain = [] if dotted else [name for name in found if not name.qualified and name.via is None]
            for name in (*qualified, *self.names.meant(plain, self.schema)):
                yield name, end

    def roles(self, at: Place, main: Relation) -> Iterator[tuple[RelationName, Place]]:
        """Yield the relations that the words at `at` name by the role that they have for a row of `main`, or by their name."""
        for end, found in self._relation_names(at).items():
            keys = [name for name in found if name.via in main.foreign_keys]
            yield from ((name, end) for name in keys)
            # Of tables with one name, the rows refer to one: archive orders have archive clients.
            referred = {key.target for key in main.foreign_keys}
            own = [name for name in found if not name.qualified and name.via is None and name.relation.id in referred]
            if own and not keys:
                yield from ((name, end) for name in own)
            elif not keys:
                yield from ((name, end) for name, other in self.relations(at) if other == end)

    def _relation_names(self, at: Place) -> dict[Place, list[RelationName]]:
        found: dict[Place, list[RelationName]] = {}
        for term, end in self.terms(at):
            if isinstance(term, RelationName):
                found.setdefault(end, []).append(term)
        return found

    def columns(self, at: Place, main: Relation) -> Iterator[tuple[ColumnName, Field, Place]]:
        """Yield the columns that the words at `at` name: those of `main`; else those of the rows that it refers to."""
        for name, end in self._columns_of(at, main):
            yield name, Field(relation=main, column=name.column), end
        if next(self._columns_of(at, main), None) is None:
            yield from self._columns_above(at, main)

    def _columns_of(self, at: Place, relation: Relation) -> Iterator[tuple[ColumnName, Place]]:
        """Yield the columns of `relation` by their full name, else by a part of it."""
        named = [
            (term, end)
            for term, end in self.terms(at)
            if isinstance(term, ColumnName) and term.relation.id == relation.id and term.column.readable
        ]
        full = [(term, end) for term, end in named if not term.short]
        yield from full or named

    def _columns_above(self, at: Place, main: Relation) -> Iterator[tuple[ColumnName, Field, Place]]:
        roles = list(self.roles(at, main))
        for parent, via in self.graph.above(main):
            if via is None:
                for name, end in self._columns_of(at, parent):
                    if not name.short and name.column.name not in parent.key:
                        yield name, Field(relation=parent, column=name.column), end
            for role, after in roles:  # "album title" of tracks
                if role.relation.id == parent.id and role.via in (None, via):
                    for name, end in self._columns_of(self.skip(after, "'s"), parent):
                        yield name, Field(relation=parent, column=name.column, via=via), end
        yield from self._columns_by_own_name(at, main)

    def _columns_by_own_name(self, at: Place, main: Relation) -> Iterator[tuple[ColumnName, Field, Place]]:
        """Yield the column of "client name" for clients, and the only name of a row for "name"."""
        for role, after in self.relations(at):
            if role.relation.id == main.id:
                yield from ((n, Field(relation=main, column=n.column), end) for n, end in self._columns_of(after, main))
        end = self.word(at, "name|names")
        named = display_field(main) if end else None
        if end and named:
            yield ColumnName(relation=main, column=named.column, short=True), named, end

    def labels(self, at: Place, main: Relation) -> Iterator[tuple[Condition, Place]]:
        """Yield the condition that a label or state of `main` at `at` stands for: "paused", "active", "unpaid", "sent or overdue"."""
        for found, end in self._label(at, main):
            yield found, end
            if isinstance(found, Comparison) and found.operator == "=" and found.value:
                yield from self._or_labels((found,), end, main)

    def _or_labels(self, found: tuple[Comparison, ...], at: Place, main: Relation) -> Iterator[tuple[Condition, Place]]:
        """Yield one of several labels of a column: "sent, draft or overdue"."""
        last, comma = self.word(at, "or", ", or"), self.word(at, ",")
        for other, end in self._label(last or comma or -1, main) if last or comma else ():
            if isinstance(other, Comparison) and other.field == found[0].field and other.value:
                several = (*found, other)
                if last:
                    phrase = " or ".join(one.value.text for one in several if one.value)
                    yield Defined(phrase=phrase, conditions=several, memory="", either=True), end
                else:
                    yield from self._or_labels(several, end, main)

    def _label(self, at: Place, main: Relation) -> Iterator[tuple[Condition, Place]]:
        defined = {end for term, end in self.terms(at) if isinstance(term, DefinedName) and term.relation.id == main.id}
        for term, end in self.terms(at):
            if (
                isinstance(term, ValueName)
                and term.relation.id == main.id
                and term.column.readable
                and end not in defined
            ):
                yield label_condition(term), end
            if isinstance(term, ColumnName) and term.relation.id == main.id and term.state and term.column.readable:
                yield state_condition(Field(relation=main, column=term.column), holds=not term.negated), end
            if isinstance(term, DefinedName) and term.relation.id == main.id:
                yield term.condition, end

    def defined_rows(self, at: Place) -> Iterator[tuple[Relation, Condition, Place]]:
        """Yield the rows that a word alone means: by what was remembered ("slow payers"), or by the only label that it is ("nurses")."""
        labels = [(term, end) for term, end in self.terms(at) if isinstance(term, ValueName) and term.column.readable]
        if (
            len(labels) == 1
            and len(self.terms(at)) == 1
            and self._is_plural(labels[0][1] - 1)
            and not labels[0][0].memory
        ):
            yield labels[0][0].relation, label_condition(labels[0][0]), labels[0][1]
        for term, end in self.terms(at):
            if isinstance(term, DefinedName) and term.noun:
                yield term.relation, term.condition, end
            if (
                isinstance(term, DefinedName)
                and term.before
                and self.s.free(end)
                and _same(term.before, self.s.tokens[end].low)
            ):
                yield term.relation, term.condition, end + 1
            if isinstance(term, ValueName) and term.memory and term.column.readable and self._is_plural(end - 1):
                yield term.relation, label_condition(term), end

    def defined_measures(self, at: Place) -> Iterator[tuple[DefinedMeasure, Place]]:
        """Yield the numbers that words at `at` mean by what was remembered: "revenue"."""
        yield from ((term, end) for term, end in self.terms(at) if isinstance(term, DefinedMeasure))

    def _is_plural(self, at: Place) -> bool:
        return self.s.tokens[at].low != self.s.tokens[at].stem


def _same(noun: str, word: str) -> bool:
    """Return whether a word is a noun, or a usual synonym of it."""
    one, other = common_stem(noun.lower()), common_stem(word)
    return one == other or one in related(other)


def label_condition(term: ValueName) -> Comparison:
    """Return the comparison with a label, or with the value that a fact gives to a word."""
    value = LiteralValue(text=term.value, number=term.column.numeric)
    place = Field(relation=term.relation, column=term.column)
    return Comparison(field=place, operator="=", value=value, memory=term.memory, inferred=True)


def state_condition(place: Field, *, holds: bool) -> Comparison:
    """Return that a yes/no column is true, or that a time is set."""
    if place.column.boolean:
        return Comparison(field=place, operator="=", negated=not holds)
    return Comparison(field=place, operator="is not null" if holds else "is null", inferred=True)


def negated(condition: Condition) -> Condition | None:
    """Return the opposite of `condition`, or None when it is not exactly one."""
    match condition:
        case Comparison(operator="is null"):
            return replace(condition, operator="is not null")
        case Comparison(operator="is not null"):
            return replace(condition, operator="is null")
        case Comparison(operator="=" | "contains" | "starts" | "ends"):
            return replace(condition, negated=not condition.negated)
        case TimeRange() | Wanted() | Defined():
            return replace(condition, negated=not condition.negated)
    return None


def key_condition(relation: Relation, number: str, *, via: ForeignKey | None = None) -> Comparison | None:
    """Return that the only key of `relation` is `number`, or None when no number can be its key."""
    key = relation.column(relation.key[0]) if len(relation.key) == 1 else None
    if key is None or not key.numeric:
        return None
    value = LiteralValue(text=number, number=True)
    return Comparison(field=Field(relation=relation, column=key, via=via), operator="=", value=value)
