"""The words by which a question can mention a schema, and where it does.

A table or column goes by the words of its name (`placed_at` also by "placed", `client_id` also by its table), a value by its
label, and other words by the meaning that a remembered fact gave them. The longest match wins; what is ambiguous stays so until
the rest of the sentence decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from agent.providers.offline_model.join_graph import display_field
from agent.providers.offline_model.memory_parser import Meaning
from agent.providers.offline_model.namesakes import (
    AmbiguousTable,
    is_ambiguous,
    qualified_names,
    schema_mention,
    unqualified_relations,
)
from agent.providers.offline_model.schema_parser import Column, ForeignKey, Relation
from agent.providers.offline_model.tokenizer import FILLER, GRAMMAR_WORDS, Sentence, words_of
from agent.text.words import word_set

_PREFIXES = word_set("tbl tb t dim fact vw v app")
_TIME_SUFFIXES = word_set("at on date time ts")
_SYNONYMS = (
    frozenset({"client", "customer"}),
    frozenset({"employee", "staff"}),
    frozenset({"doctor", "physician"}),
    frozenset({"book", "title"}),
    frozenset({"invoice", "bill"}),
)
_NAME_ENDS = word_set("of in for from by with that which when where used per as is are to on at and or")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationName:
    """A relation; `via` when it is mentioned by its role ("manager" for `manager_id`)."""

    relation: Relation
    via: ForeignKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnName:
    """A column; `short` when only a part of its name is used ("shipped" for `shipped_at`), `negated` for "unshipped"."""

    relation: Relation
    column: Column
    short: bool = False
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueName:
    """A value of a column; `memory` names the fact that gave the word its meaning."""

    relation: Relation
    column: Column
    value: str
    memory: str = ""


Term: TypeAlias = RelationName | ColumnName | ValueName


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """Tokens `start` to `end` (exclusive) of a sentence and all that they can mean."""

    start: int
    end: int
    terms: tuple[Term, ...]

    @property
    def relations(self) -> tuple[RelationName, ...]:
        return tuple(term for term in self.terms if isinstance(term, RelationName))

    @property
    def named_relations(self) -> list[Relation]:
        """Return the relations that are mentioned by their name, each once."""
        return list({name.relation.id: name.relation for name in self.relations if name.via is None}.values())

    @property
    def columns(self) -> tuple[ColumnName, ...]:
        return tuple(term for term in self.terms if isinstance(term, ColumnName))

    @property
    def values(self) -> tuple[ValueName, ...]:
        return tuple(term for term in self.terms if isinstance(term, ValueName))


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The terms of a schema by their words."""

    relations: tuple[Relation, ...]
    terms: dict[tuple[str, ...], list[Term]] = field(default_factory=lambda: defaultdict(list))

    @property
    def longest(self) -> int:
        return max(map(len, self.terms), default=0)

    def mentions(self, sentence: Sentence) -> list[Mention]:
        """Return where the unused words of `sentence` mention the schema, from left to right without overlap.

        Where tables share a name, only the meant ones stay; words that name a schema are marked as used. Raises `AmbiguousTable`.
        """
        mentions = []
        at, longest = 0, self.longest
        while at < len(sentence.tokens):
            mention = self._mention_at(sentence, at, longest)
            if mention:
                mentions.append(mention)
            at = mention.end if mention else at + 1
        return self._resolve_namesakes(sentence, mentions)

    def _resolve_namesakes(self, sentence: Sentence, mentions: Sequence[Mention]) -> list[Mention]:
        named = self._with_named_schema(sentence, mentions)
        near = {key.target for relation in named.values() for key in relation.foreign_keys}
        return [replace(mention, terms=self._resolved_terms(mention, named, near)) for mention in mentions]

    def _with_named_schema(self, sentence: Sentence, mentions: Sequence[Mention]) -> dict[tuple[str, str], Relation]:
        """Return the relations whose schema the sentence names, before their name or anywhere after it."""
        named = {relation.id: relation for relation in self.relations if relation.id in sentence.qualified}
        for mention in mentions:
            tokens = sentence.tokens[mention.start : mention.end]
            words, is_dotted = [token.low for token in tokens], any(token.dotted for token in tokens[1:])
            own_name = [relation for relation in mention.named_relations if words_of(relation.name) == _stems(words)]
            is_shared = any(relation.shared for relation in mention.named_relations)
            if own_name and len(own_name) < len(mention.named_relations) and is_shared and not is_dotted:
                # "archive orders" where there are archive.orders and public.archive_orders
                raise AmbiguousTable(mention.named_relations)
            for relation in mention.named_relations:
                after = schema_mention(sentence, relation, since=mention.end)
                is_before = _stems(words) in qualified_names(relation)
                schema_words = words if is_before else [sentence.tokens[at].low for at in after]
                is_certain = is_dotted or "schema" in schema_words
                if not schema_words or (not is_certain and self._has_other_meaning(relation, of_all=not is_before)):
                    continue
                named[relation.id] = relation
                sentence.use(after.start, after.stop)
        sentence.qualified.update(named)
        return named

    def _has_other_meaning(self, relation: Relation, *, of_all: bool) -> bool:
        """Return whether the words of a relation's schema may mean something else.

        For a shared name, only labels and columns of the tables with this name count, and they raise `AmbiguousTable`. For another name,
        everything counts if `of_all`.
        """
        words = words_of(relation.schema)
        others = [term for at in range(len(words)) for term in self.terms.get(words[at:], ())]
        if any(
            o.relation.unqualified_target == relation.unqualified_target and not isinstance(o, RelationName)
            for o in others
            if relation.shared
        ):
            raise AmbiguousTable(
                other for other in self.relations if other.unqualified_target == relation.unqualified_target
            )
        return of_all and not relation.shared and bool(others)

    def _resolved_terms(
        self, mention: Mention, named: Mapping[tuple[str, str], Relation], near: Set[tuple[str, str]]
    ) -> tuple[Term, ...]:
        """Return the terms of `mention` without those of tables that its words do not mean."""
        chosen = [relation for relation in mention.named_relations if relation.id in named]
        if len(chosen) > 1:
            raise AmbiguousTable(chosen)
        if not chosen and is_ambiguous(mention.named_relations):
            chosen = unqualified_relations(mention.named_relations, self.relations, near)
        if not chosen:
            return tuple(self._without_namesakes(mention.terms, {*named, *near}))
        others = [term for term in mention.terms if not isinstance(term, RelationName) or term.via]
        kept = {*named, *near, *(relation.id for relation in chosen)}
        return (*(RelationName(relation=relation) for relation in chosen), *self._without_namesakes(others, kept))

    def _without_namesakes(self, terms: Sequence[Term], kept: Set[tuple[str, str]]) -> list[Term]:
        """Drop terms of a table that its plain name does not mean, when the table that it means has a term too."""
        present = {term.relation.id for term in terms}
        return [
            term for term in terms
            if term.relation.id in kept or term.relation.unqualified_target in {None, term.relation.id} or term.relation.unqualified_target not in present
        ]  # fmt: skip

    def _mention_at(self, sentence: Sentence, at: int, longest: int) -> Mention | None:
        for length in range(min(longest, len(sentence.tokens) - at), 0, -1):
            span = range(at, at + length)
            kinds = [sentence.tokens[i].kind for i in span if sentence.free(i)]
            if len(kinds) < length or kinds[0] != "word" or not {"word", "number"}.issuperset(kinds):
                continue  # a number may continue a name (sales_2024) but not begin one
            stems = tuple(word for i in span for word in words_of(sentence.tokens[i].low))
            terms = self.terms.get(stems)
            if terms and not (length > 1 and self._splits(stems, terms)):
                return Mention(start=at, end=at + length, terms=tuple(terms))
        return None

    def _splits(self, stems: tuple[str, ...], terms: Sequence[Term]) -> bool:
        """Return whether "paid invoices" is a label and a table, although some view has a column paid_invoices."""
        ends_in_relation = any(isinstance(term, RelationName) for term in self.terms.get(stems[-1:], ()))
        return ends_in_relation and all(isinstance(term, ColumnName) for term in terms)


def lexicon_of(relations: Sequence[Relation], meanings: Iterable[Meaning] = ()) -> Lexicon:
    """Return the lexicon of `relations`, with the words that `meanings` explain."""
    lexicon = Lexicon(relations=tuple(relations))
    for relation in relations:
        _add(lexicon, _relation_terms(relation, relations))
        for column in relation.columns:
            _add(lexicon, _column_terms(relation, column))
        _add(lexicon, _name_terms(relation))
    _add(lexicon, _comment_terms(lexicon))
    for relation in relations:
        for column in relation.columns:
            _add(lexicon, _value_terms(relation, column))
    _add(lexicon, _meaning_terms(relations, meanings))
    for relation in relations:
        free = words_of(relation.schema) not in lexicon.terms
        names = [
            words for words in qualified_names(relation) if relation.shared or (free and words not in lexicon.terms)
        ]
        _add(lexicon, ((words, RelationName(relation=relation)) for words in names))
    return lexicon


def _stems(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(word for text in texts for word in words_of(text))


NamedTerm: TypeAlias = tuple[tuple[str, ...], Term]


def _add(lexicon: Lexicon, named: Iterable[NamedTerm]) -> None:
    for words, term in list(named):
        if words and not FILLER.issuperset(words) and term not in lexicon.terms[words]:
            lexicon.terms[words].append(term)


def _relation_terms(relation: Relation, relations: Sequence[Relation]) -> Iterator[NamedTerm]:
    bare = _bare_name(relation)
    term = RelationName(relation=relation)
    yield words_of(relation.name), term
    yield bare, term
    taken = {name for other in relations for name in words_of(other.name)}
    for group in _SYNONYMS:
        if len(bare) == 1 and bare[0] in group:
            yield from (((other,), term) for other in group - taken)
    by_id = {other.id: other for other in relations}
    for key in relation.foreign_keys:
        role = words_of(key.columns[0])
        target = by_id.get(key.target)
        named = len(key.columns) == 1 and len(role) > 1 and role[-1] in ("id", "fk", "no", "code")
        if named and target and role[:-1] != words_of(target.name):
            yield role[:-1], RelationName(relation=target, via=key)


def _column_terms(relation: Relation, column: Column) -> Iterator[NamedTerm]:
    words = words_of(column.name)
    yield words, ColumnName(relation=relation, column=column)
    short = ColumnName(relation=relation, column=column, short=True)
    if column.temporal and len(words) > 1 and words[-1] in _TIME_SUFFIXES:
        yield words[:-1], short
        yield from _negated(words[:-1], short)
    if column.numeric and len(words) > 1 and words[-1] == "year":
        yield words[:-1], short
    if column.boolean:
        adjective = words[1:] if len(words) > 1 and words[0] in ("is", "has", "have", "was") else words
        yield adjective, short
        yield from _negated(adjective, short)
    own = words_of(relation.name)
    if len(words) > len(own) and words[: len(own)] == own and words[len(own) :] not in (("id",), ("at",)):
        yield words[len(own) :], short


def _name_terms(relation: Relation) -> Iterator[NamedTerm]:
    """Yield "name" for the column `full_name`, as in "names of doctors"."""
    name = display_field(relation)
    if name and not any(words_of(column.name) == ("name",) for column in relation.columns):
        last = words_of(name.column.name)[-1:]
        if last == ("name",) and name.second is None:
            yield last, ColumnName(relation=relation, column=name.column, short=True)


def _negated(words: tuple[str, ...], short: ColumnName) -> Iterator[NamedTerm]:
    for prefix in ("in", "un", "non"):
        yield (prefix + words[0], *words[1:]), replace(short, negated=True)


def _comment_terms(lexicon: Lexicon) -> Iterator[NamedTerm]:
    """Yield names from comments ("net salary in euros") that no other name and no other comment claims."""
    claimed: dict[tuple[str, ...], list[Term]] = defaultdict(list)
    for relation in lexicon.relations:
        for words in _comment_names(relation.comment):
            claimed[words].append(RelationName(relation=relation))
        for column in relation.columns:
            for words in _comment_names(column.comment):
                claimed[words].append(ColumnName(relation=relation, column=column))
    for words, terms in claimed.items():
        if len(terms) == 1 and words not in lexicon.terms:
            yield words, terms[0]


def _comment_names(comment: str) -> Iterator[tuple[str, ...]]:
    """Yield the noun phrase at the start of a comment, and its last word."""
    words: list[str] = []
    for word in comment.replace(",", " of ").replace(";", " of ").replace(".", " of ").split()[:4]:
        if word.lower() in _NAME_ENDS:
            break
        words += words_of(word)
    words = [word for word in words if word not in FILLER]
    if words and not GRAMMAR_WORDS.intersection(words):
        yield from {tuple(words), (words[-1],)}


def _value_terms(relation: Relation, column: Column) -> Iterator[NamedTerm]:
    for value in column.values:
        if any(c.isalpha() for c in value) and len(value) > 1:
            yield words_of(value), ValueName(relation=relation, column=column, value=value)


def _meaning_terms(relations: Sequence[Relation], meanings: Iterable[Meaning]) -> Iterator[NamedTerm]:
    for meaning in meanings:
        for relation in relations:
            column_words, table = _split_table(meaning, relation)
            if table and table != _bare_name(relation):
                continue
            for column in relation.columns:
                if words_of(column.name) == column_words and not column.values_exclude(meaning.value):
                    yield (
                        meaning.phrase,
                        ValueName(relation=relation, column=column, value=meaning.value, memory=meaning.source),
                    )


def _split_table(meaning: Meaning, relation: Relation) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split "campaign status" into the column status and the table campaigns, where there is such a table."""
    bare = _bare_name(relation)
    if not meaning.table and len(meaning.column) > len(bare) and meaning.column[: len(bare)] == bare:
        return meaning.column[len(bare) :], bare
    return meaning.column, meaning.table


def _bare_name(relation: Relation) -> tuple[str, ...]:
    words = words_of(relation.name)
    return words[1:] if len(words) > 1 and words[0] in _PREFIXES else words
