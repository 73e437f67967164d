"""The words by which a question can name parts of a schema, and what they mean there.

A table or column goes by the words of its name (`placed_at` also by "placed", `manager_id` also by "manager"), a value by its
label, and other words by the meaning that a remembered fact gave them. Letter case is no signal.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from agent.providers.offline_model.memory_parser import Meaning
from agent.providers.offline_model.query import Defined, Measure
from agent.providers.offline_model.schema_parser import Column, ForeignKey, Relation
from agent.providers.offline_model.tokenizer import Sentence, words_of
from agent.text.words import word_set

_LONGEST_NAME = 8  # words
# What a table's comment calls its rows: "The practices of the group", "Appointments, past and coming".
_HEAD = re.compile(
    r"(?:the |our |all )?(?P<noun>[a-z]{3,}s|people)(?= (?:of|that|who|which|to|in|at|from|for)\b|,|$)", re.I
)
_PREFIXES = word_set("tbl tb t dim fact vw v app")
_KEY_ENDS = word_set("id fk no code key")
_TIME_ENDS = word_set("at on date time ts timestamp")
_FLAG_BEGINS = word_set("is has have was")
_IRREGULAR_PARTICIPLES = word_set("sent paid sold given made born shipped left bought built held lost won")
_VERBS = {
    "hire": "hired", "release": "released", "create": "created", "publish": "published", "order": "ordered", "ship": "shipped",
    "return": "returned", "delivery": "delivered", "deliver": "delivered", "approval": "approved", "cancel": "cancelled", "join": "joined",
    "close": "closed", "open": "opened", "start": "started", "enrollment": "enrolled", "completion": "completed", "admission": "admitted",
}  # fmt: skip
_FLAG_ENDS = ("bool", "flag")
_BIRTHS = word_set("birth birthdate birthday dob")
_SYNONYMS = (word_set("client customer"), word_set("employee staff"), word_set("film movie"))
# Words that a column's short name must not take from the grammar.
_RESERVED = word_set("in on at of by for from to not no and or with last first date time total count number")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationName:
    """A relation; `via` when it is named by its role ("manager" for `manager_id`); `guess` when by a synonym."""

    relation: Relation
    via: ForeignKey | None = None
    qualified: bool = False
    dotted_only: bool = False
    guess: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnName:
    """A column; `short` when only a part of its name is used ("shipped" for `shipped_at`), `negated` for "unshipped".

    It is a `state` when the name alone says something of a row: a yes/no column, or "shipped" for its time.
    """

    relation: Relation
    column: Column
    short: bool = False
    negated: bool = False
    state: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueName:
    """A value of a column; `memory` names the fact that gave the word its meaning."""

    relation: Relation
    column: Column
    value: str
    memory: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinedName:
    """Words that a remembered fact defines for rows of `relation`; with `noun` they name the rows by themselves, else with `before` after them."""

    relation: Relation
    condition: Defined
    noun: bool = False
    before: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinedMeasure:
    """Words that a remembered fact defines as a number: an aggregate of the rows of `relation` that meet `condition`."""

    relation: Relation
    measure: Measure
    condition: Defined


Term: TypeAlias = RelationName | ColumnName | ValueName | DefinedName | DefinedMeasure
NamedTerm: TypeAlias = tuple[tuple[str, ...], Term]


@dataclass(frozen=True, slots=True)
class Names:
    """The terms of a schema by their words."""

    relations: tuple[Relation, ...]
    terms: dict[tuple[str, ...], list[Term]] = field(default_factory=lambda: defaultdict(list))

    def at(self, s: Sentence, start: int) -> Iterator[tuple[Term, int]]:
        """Yield each term that the words at `start` name, with the end of these words; the longest first."""
        for end in range(min(start + _LONGEST_NAME, len(s.tokens)), start, -1):
            tokens = s.tokens[start:end]
            if tokens[0].kind != "word" or not {"word", "number"}.issuperset(token.kind for token in tokens):
                continue  # a number may continue a name (sales_2024) but not begin one
            words = tuple(word for token in tokens for word in words_of(token.low))
            spelled = tuple(word for token in tokens for word in words_of(token.text))
            for term in dict.fromkeys([*self.terms.get(words, ()), *self.terms.get(spelled, ())]):
                if not getattr(term, "dotted_only", False) or tokens[-1].dotted or (tokens[1:2] and tokens[1].dotted):
                    yield term, end

    def with_defined(self, found: Iterable[NamedTerm]) -> Names:
        """Return these names and the defined ones."""
        terms: dict[tuple[str, ...], list[Term]] = defaultdict(
            list, {words: list(some) for words, some in self.terms.items()}
        )
        for words, term in found:
            if words and term not in terms[words]:
                terms[words].append(term)
        return Names(relations=self.relations, terms=terms)

    def known(self, s: Sentence) -> set[int]:
        """Return the places of the words that are part of a name."""
        return {at for start in range(len(s.tokens)) for _, end in self.at(s, start) for at in range(start, end)}

    def meant(self, found: Sequence[RelationName], schema: str | None) -> list[RelationName]:
        """Return those of the relations with one name that it means, in `schema` if that is named.

        More than one when the schema text says that it may mean several.
        """
        inside = [name for name in found if schema and name.relation.schema == schema]
        if inside or (len(found) < 2 and not any(name.relation.shared for name in found)):
            return inside or list(found)
        targets = {name.relation.unqualified_target for name in found}
        if None in targets:
            return list(found)
        if len({target[0] for target in targets if target} & {"public"}) == 1:
            targets = {target for target in targets if target and target[0] == "public"}
        by_id = {relation.id: relation for relation in self.relations}
        return [
            RelationName(relation=by_id.get(target) or Relation(schema=target[0], name=target[1], shared=True))
            for target in targets
            if target
        ]


def names_of(relations: Sequence[Relation], meanings: Iterable[Meaning] = ()) -> Names:
    """Return the names of `relations` and their columns, with the words that `meanings` explain."""
    names = Names(relations=tuple(relations))
    found: list[NamedTerm] = []
    for relation in relations:
        found += _relation_terms(relation, relations)
        for column in relation.columns:
            found += _column_terms(relation, column)
            found += _value_terms(relation, column)
    found += _meaning_terms(relations, meanings)
    for words, term in found:
        for form in {words, ("".join(words),)}:  # "playlisttrack" for playlist_track
            if all(form) and form and term not in names.terms[form]:
                names.terms[form].append(term)
    return names


def _relation_terms(relation: Relation, relations: Sequence[Relation]) -> Iterator[NamedTerm]:
    words, bare, schema = words_of(relation.name), bare_name(relation), words_of(relation.schema)
    term = RelationName(relation=relation)
    yield from {words: term, bare: term}.items()
    taken = {name for other in relations for name in (words_of(other.name), bare_name(other))}
    for group in _SYNONYMS:
        if len(bare) == 1 and bare[0] in group:
            yield from (
                ((other,), RelationName(relation=relation, guess=True)) for other in group if (other,) not in taken
            )
    head = _called(relation)
    columns = {
        words_of(name) for other in relations for name in (*(c.name for c in other.columns), *other.more_columns)
    }
    if head and [_called(other) for other in relations].count(head) == 1 and head not in taken | columns:
        yield head, RelationName(relation=relation, guess=True)
    qualified = RelationName(relation=relation, qualified=True, dotted_only=not relation.shared)
    yield (*schema, *words), qualified
    yield (*schema, "schema", *words), qualified
    by_id = {other.id: other for other in relations}
    for key in relation.foreign_keys:
        role, target = words_of(key.columns[0]), by_id.get(key.target)
        role = role[:-1] if len(role) > 1 and role[-1] in _KEY_ENDS else role
        if len(key.columns) == 1 and target and role != bare_name(target):
            yield role, RelationName(relation=target, via=key)


def _called(relation: Relation) -> tuple[str, ...]:
    """Return what the comment of a table calls its rows."""
    head = _HEAD.match(relation.comment)
    return words_of(head["noun"]) if head else ()


def _column_terms(relation: Relation, column: Column) -> Iterator[NamedTerm]:
    words = words_of(column.name)
    states = list(_states(column, words))
    yield words, ColumnName(relation=relation, column=column, state=column.boolean)
    for short in _short_names(relation, column, words):
        if not _RESERVED.issuperset(short):
            yield short, ColumnName(relation=relation, column=column, short=True, state=short in states)
    for state in states:
        for prefix in ("in", "un", "non"):
            yield (
                (prefix + state[0], *state[1:]),
                ColumnName(relation=relation, column=column, short=True, negated=True, state=True),
            )


def _states(column: Column, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield what a column says of a row without a verb: "active" for is_active, "paid" for paid_at."""
    if column.boolean:
        said = words[1:] if len(words) > 1 and words[0] in _FLAG_BEGINS else words
        end = next((end for end in _FLAG_ENDS if said[-1].endswith(end)), "")
        yield tuple(word for word in (*said[:-1], said[-1].removesuffix(end)) if word)
    elif column.temporal and len(words) == 2 and words[0] in _VERBS:
        yield (_VERBS[words[0]],)
    elif column.temporal and len(words) == 2 and words[-1] in _TIME_ENDS and is_participle(words[0]):
        yield words[:1]


def is_participle(word: str) -> bool:
    """Return whether `word` says that something was done: shipped, paid."""
    return word.endswith("ed") or word in _IRREGULAR_PARTICIPLES


def _short_names(relation: Relation, column: Column, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if column.boolean:
        yield from _states(column, words)
    elif len(words) > 1 and ((column.temporal and words[-1] in _TIME_ENDS) or (column.numeric and words[-1] == "year")):
        yield words[:-1]
    if words[0] in _VERBS and (column.temporal or words[-1] == "year"):
        yield (_VERBS[words[0]],)
    if column.temporal and _BIRTHS.intersection(words):
        yield ("born",)
    own = bare_name(relation)
    if len(words) > len(own) and words[: len(own)] == own:
        yield words[len(own) :]


def _value_terms(relation: Relation, column: Column) -> Iterator[NamedTerm]:
    for value in column.values:
        if any(c.isalpha() for c in value) and len(value) > 1:
            yield words_of(value), ValueName(relation=relation, column=column, value=value)


def _meaning_terms(relations: Sequence[Relation], meanings: Iterable[Meaning]) -> Iterator[NamedTerm]:
    for meaning in meanings:
        for relation in relations:
            column_words, table = _split_table(meaning, relation)
            if table and table != bare_name(relation):
                continue
            for column in relation.columns:
                if words_of(column.name) == column_words and not column.values_exclude(meaning.value):
                    term = ValueName(relation=relation, column=column, value=meaning.value, memory=meaning.source)
                    yield meaning.phrase, term


def _split_table(meaning: Meaning, relation: Relation) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split "campaign status" into the column status and the table campaigns, where there is such a table."""
    bare = bare_name(relation)
    if not meaning.table and len(meaning.column) > len(bare) and meaning.column[: len(bare)] == bare:
        return meaning.column[len(bare) :], bare
    return meaning.column, meaning.table


def bare_name(relation: Relation) -> tuple[str, ...]:
    """Return the words of a table's name without a prefix such as `tbl_`."""
    words = words_of(relation.name)
    return words[1:] if len(words) > 1 and words[0] in _PREFIXES else words
