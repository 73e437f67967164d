"""Reads what people defined, by the grammar that reads questions, and gives the defined words their place among the names.

    Gold clients are the ones with a budget of 20,000 or more.      We call a client a slow payer once three or more of its invoices are overdue.
    The coastal practices are Pier Lane and Lighthouse.             Revenue means the total of paid invoices.

A defined word then stands wherever a label, a table or a number can stand, beside everything else that a question may say. Only
what a human or the agent noted counts; what can be read in no way, or in several, defines nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from agent.providers.offline_model.join_graph import JoinGraph, naming_fields, text_fields
from agent.providers.offline_model.memory_parser import TRUSTED, MemoryLine
from agent.providers.offline_model.names import DefinedMeasure, DefinedName, NamedTerm, Names, RelationName
from agent.providers.offline_model.query import (
    Comparison,
    Condition,
    Defined,
    Field,
    LiteralValue,
    Measure,
    Query,
    Wanted,
)
from agent.providers.offline_model.ranking import aggregate, measured
from agent.providers.offline_model.reader import Reader, TooManyReadings
from agent.providers.offline_model.rows import rows
from agent.providers.offline_model.schema_parser import Relation
from agent.providers.offline_model.tokenizer import clean, sentence_of, words_of
from agent.text.countries import country_codes

_LONGEST = 240
_MOST_DEFINITIONS = 12  # in one prompt
_MOST_READINGS = 60
_MOST_WORDS, _MOST_STEPS = 24, 600  # of a definition that is read
_BEGINS = re.compile(
    r"^(?:remember|note|for us|with us|here|by the way|in our (?:house|company|terms))[,:]? (?:that )?", re.I
)
_ENDS = re.compile(r"(?:,? (?:here|for us|with us|to us|in our (?:house|company|terms)))$", re.I)
_ELSE = re.compile(
    r"^(?:everything|anything|all the|the|all) (?:else|rest|others?) (?:is|are|counts? as|go(?:es)? under) (?P<other>[\w-]+)$",
    re.I,
)
_CONDITION = r"(?P<condition>(?:with|without|that|who|which|whose|of|from|in|where|on|at|placed|made|opened|hired|born|\w{3,}ed)\b.+)"
_IF = r"(?:once|when|whenever|if|as soon as)"
_ARTICLE = r"(?:an? |the |our |any )?"
_ROWS = tuple(
    re.compile(form, re.I)
    for form in (
        # gold clients are the ones with ...
        rf"^{_ARTICLE}(?P<phrase>(?!an? |the |our )[\w-]+(?: [\w-]+)??) (?P<noun>[\w-]+) (?:is|are|means?) (?:the |an? |any |all )?(?:ones?|those|(?P=noun)s?) {_CONDITION}$",
        # we call a client a slow payer once ...; we consider an order big if ...
        rf"^(?:we|i|people) (?:call|consider|treat) {_ARTICLE}(?P<noun>[\w-]+) (?:as )?{_ARTICLE}(?P<whole>[\w-]+(?: [\w-]+)?) (?:{_IF}|(?=with\b)) ?(?P<condition>.+)$",
        # a client is (called) a slow payer once ...
        rf"^{_ARTICLE}(?P<noun>[\w-]+) (?:is|are|counts?|is called|is considered|are considered|are called|counts? as) {_ARTICLE}(?P<whole>[\w-]+(?: [\w-]+)?) {_IF} (?P<condition>.+)$",
        # by gold clients we mean those with ...
        rf"^(?:by |when (?:we|i) say ){_ARTICLE}(?P<phrase>[\w-]+(?: [\w-]+)??) (?P<noun>[\w-]+),? (?:we|i) mean (?:the |an? )?(?:ones?|those|(?P=noun)s?) {_CONDITION}$",
        # clients with ... are (called) whales; tickets with priority 3 count as urgent
        rf"^{_ARTICLE}(?P<noun>[\w-]+) (?P<condition>(?:with|without|that|who|which|whose|from|in|where)\b.+?) (?:are|is|counts? as|(?:are|is) (?:called|considered|known as)) {_ARTICLE}(?P<either>[\w-]+(?: [\w-]+)?)$",
        # anything over 45 minutes is a long visit; visits over 45 minutes are long
        rf"^(?:anything|everything|whatever|all) (?P<condition>(?:over|above|under|below|with|of|from|in|longer|more|less|at)\b.+?) (?:is|are|counts? as|is called) {_ARTICLE}(?P<phrase>[\w-]+) (?P<noun>[\w-]+)$",
        rf"^{_ARTICLE}(?P<noun>[\w-]+) (?P<condition>(?:over|above|under|below|of|longer|more|less|at least|at most)\b.+?) (?:are|is|counts? as|(?:are|is) (?:called|considered|known as)) {_ARTICLE}(?P<either>[\w-]+(?: [\w-]+)?)$",
        # vip contacts are the primary ones
        rf"^{_ARTICLE}(?P<phrase>(?!an? |the |our )[\w-]+) (?P<noun>[\w-]+) (?:is|are|means?) (?:the |an? )?(?P<label>[\w-]+(?: [\w-]+)?) (?:ones?|(?P=noun)s?)$",
        # a whale is a client with ...
        rf"^{_ARTICLE}(?P<whole>[\w-]+(?: [\w-]+)?) (?:is|are|means?) {_ARTICLE}(?P<noun>[\w-]+) {_CONDITION}$",
    )
)
_QUOTED = re.compile(r"[\"'\u201c\u201d\u2018\u2019]([\w-]+(?: [\w-]+){0,2})[\"'\u201c\u201d\u2018\u2019]")
_ITEM = r"[\w'&. -]{1,40}?"
_SETS = (
    re.compile(
        rf"^(?:by |when (?:we|i) say )?{_ARTICLE}(?P<phrase>(?!an? |the |our )[\w-]+(?: [\w-]+)?),?(?:(?: (?:are|is|means?|includes?|covers?|comprises?|consists? of|(?:we|i) mean)|:| =)) (?P<all>(?:all|every|any)(?: of the)?(?: (?:the )?[\w-]+)? (?:except|but|other than|apart from) )?(?P<items>{_ITEM}(?:, {_ITEM})*,? and {_ITEM})$",
        re.I,
    ),
    re.compile(
        rf"^(?P<items>{_ITEM}(?:, {_ITEM})*,? and {_ITEM}) (?:go under|fall under|count as|are called|are known as|belong to|make up|form|are (?:in|on|at|part of)|are) {_ARTICLE}(?P<phrase>[\w-]+(?: [\w-]+)?)$",
        re.I,
    ),
)  # fmt: skip
# "by patients we mean animals", "AM stands for account manager", "we call sites practices"
_ALIASES = (
    re.compile(rf"^(?:by |when (?:we|i) say )?{_ARTICLE}(?P<phrase>[\w-]+(?: (?!we |i )[\w-]+)?),?(?: (?:(?:we|i) mean|means?|stands? for|refers? to|is short for|is another word for|is the same as|=)) {_ARTICLE}(?P<meant>[\w-]+(?: [\w-]+){{0,2}})$", re.I),
    re.compile(rf"^(?:we|i|people) (?:call|say) (?:our |the )?(?P<meant>[\w-]+) {_ARTICLE}(?P<phrase>[\w-]+)$", re.I),
    re.compile(rf"^{_ARTICLE}(?P<meant>[\w-]+) (?:are|is) (?:also )?(?:called|known as|referred to as) {_ARTICLE}(?P<phrase>[\w-]+(?: [\w-]+)?)$", re.I),
)  # fmt: skip
_MEASURE = re.compile(
    r"^(?:by |our |the )?(?P<phrase>(?!an? )[\w-]+(?: [\w-]+){0,2}?),? (?:(?:we|i) mean|means|is defined as|is) (?P<value>(?:the )?(?:total|sum|average|number|highest|lowest)\b.+)$",
    re.I,
)
_NUMBER = r"(?P<number>[$€£]?\d[\d,]*(?:\.\d+)?|one|two|three|four|five|six|seven|eight|nine|ten)"
_MORE, _LESS = (
    r"(?:or|and) (?:more|above|over|up|longer|older|upwards)",
    r"(?:or|and) (?:less|fewer|below|under|shorter|younger)",
)
# What the grammar reads in one form only. A word of measure after the number may be a column ("45 minutes") or none ("20,000 euros").
_PLAINER = (
    (re.compile(rf"\b{_NUMBER} or more of (?:its|their|his|her) (?P<what>[\w-]+) (?:is|are) (?P<state>[\w-]+)", re.I), r"with at least \g<number> \g<state> \g<what>"),
    (re.compile(rf"\b(?P<of>of )?{_NUMBER}(?P<unit> [a-z]+)? {_MORE}\b(?P<rest>(?: \w+)?)", re.I), r"\g<of>at least \g<number>\g<unit>\g<rest>"),
    (re.compile(rf"\b(?P<of>of )?{_NUMBER}(?P<unit> [a-z]+)? {_LESS}\b(?P<rest>(?: \w+)?)", re.I), r"\g<of>at most \g<number>\g<unit>\g<rest>"),
    (re.compile(r"\b(with|of) an? (?=\w)", re.I), r"\1 "),
)  # fmt: skip
# "if its budget is over 5000", "when it takes 45 minutes"
_SUBJECT = (
    (re.compile(r"^(?:its|their|his|her) (?=\w)", re.I), "whose "),
    (re.compile(r"^(?:it|they|he|she)(?: is|'s| are|'re| was| were) (?=over|above|under|below|more|less|at least|at most)", re.I), "with "),
    (re.compile(r"^(?:it|they|he|she)(?: is|'s| are|'re) ", re.I), "that are "),
    (re.compile(r"^(?:it|they|he|she) (?:has|have|had) ", re.I), "with "),
    (re.compile(r"^(?:it|they) (?:takes?|lasts?|costs?) ", re.I), "with "),
    (re.compile(r"^(?:there (?:is|are)) ", re.I), "with "),
)  # fmt: skip
_UNIT = re.compile(r"(?P<kept>\bat (?:least|most) [$€£]?[\d,.]*\d) [a-z]+$", re.I)
_OF = re.compile(r"^of (?=at (?:least|most) )", re.I)


@dataclass(frozen=True, slots=True)
class _Known:
    """What a definition is read with: the names of the schema, its foreign keys, and the memory that is to be named."""

    names: Names
    graph: JoinGraph
    memory: str

    def reader(self, text: str) -> Reader:
        """Return a reader of a text; one of too many words reads nothing."""
        s = sentence_of(text)
        return Reader(
            s if len(s.tokens) <= _MOST_WORDS else sentence_of(""), self.names, self.graph, most_steps=_MOST_STEPS
        )


def with_definitions(names: Names, graph: JoinGraph, lines: Iterable[MemoryLine]) -> Names:
    """Return the names with the words that trusted facts among `lines` define."""
    facts = (line for line in lines if line.trust in TRUSTED and line.kind in ("fact", "feedback"))
    terms = [term for line in islice(facts, _MOST_DEFINITIONS) for term in _defined(line, names, graph)]
    return names.with_defined(terms) if terms else names


def _defined(line: MemoryLine, names: Names, graph: JoinGraph) -> Iterator[NamedTerm]:
    text = clean(line.text).strip().rstrip(".! ")
    if len(text) > _LONGEST:
        return
    first, *others = re.split(r"(?<=\w)[.;] (?=\w)", text)
    sentence = _QUOTED.sub(r"\1", _ENDS.sub("", _BEGINS.sub("", first))).strip()
    known = _Known(names, graph, f"memory {line.id}")
    other = next((match["other"] for one in others if (match := _ELSE.match(one))), "")
    if others and not other:
        return  # more was said than is understood
    rules = (_rows_terms, _set_terms, _alias_terms, _measure_terms)
    found = next((some for rule in rules if (some := list(rule(sentence, known)))), [])
    yield from found
    if other:
        yield from _opposites(found, other)


def _rows_terms(sentence: str, known: _Known) -> Iterator[NamedTerm]:
    """Yield "gold" for clients, or "slow payer" in the place of a noun."""
    for form in _ROWS:
        match = form.match(sentence)
        groups = match.groupdict() if match else {}
        query = _read(groups["noun"], groups.get("condition"), groups.get("label"), known) if groups else None
        if query is None:
            continue
        either = groups.get("either") or ""
        whole = groups.get("whole") or either
        phrase = whole or groups["phrase"]
        defined = Defined(phrase=phrase, conditions=query.conditions, memory=known.memory)
        before = groups["noun"] if either or not whole else ""
        yield words_of(phrase), DefinedName(relation=query.main, condition=defined, noun=bool(whole), before=before)
        return


def _read(noun: str, condition: str | None, label: str | None, known: _Known) -> Query | None:
    """Return the rows that a definition means, if the grammar reads them in exactly one way."""
    plural = noun if noun.lower().endswith("s") else f"{noun}s"
    texts = [] if condition is None else list(_plainer(condition))
    asked = (
        [f"{label} {plural}"]
        if label
        else [way for text in texts for way in (f"{plural} {text}", f"{plural} with {text}")]
    )
    for text in asked:
        found = _readings(text, known)
        if found:
            return found[0] if len(found) == 1 and found[0].conditions else None
    return None


def _readings(text: str, known: _Known) -> list[Query]:
    r = known.reader(text)
    try:
        found = [query for query, end in islice(rows(r, 0), _MOST_READINGS) if r.at_end(end)]
    except TooManyReadings:
        return []
    return _likeliest([one for one in found if not (one.groups or one.measure or one.order or one.limit or one.fields)])


def _likeliest(found: Sequence[Query]) -> list[Query]:
    """Return the readings with the fewest guesses, each once."""
    fewest = min((one.guesses for one in found), default=0)
    return list(dict.fromkeys(one for one in found if one.guesses == fewest))


def _plainer(condition: str) -> Iterator[str]:
    """Yield a condition as the grammar reads it: with its words of measure, then without the last one."""
    for form, plainer in (*_SUBJECT, *_PLAINER):
        condition = form.sub(plainer, condition)
    condition = " ".join(condition.split())
    yield condition
    yield _OF.sub("", condition)
    yield _UNIT.sub(r"\g<kept>", condition)


def _set_terms(sentence: str, known: _Known) -> Iterator[NamedTerm]:
    """Yield the words for a set of values: "coastal practices", "core markets", "exotics"."""
    for form in _SETS:
        match = form.match(sentence)
        if match is None:
            continue
        items = [re.sub(r"(?i)^(?:the|our) ", "", one.strip()) for one in re.split(r",? and |, ", match["items"])]
        terms = list(_named_set(match["phrase"], items, known))
        if terms:
            yield from _opposites(terms, match["phrase"]) if match.groupdict().get("all") else terms
            return


@dataclass(frozen=True, slots=True)
class _Set:
    """A set of values as it was said: "Our core markets are Germany and Poland"."""

    phrase: str
    items: tuple[str, ...]
    memory: str

    def of(self, conditions: Iterable[Condition]) -> Defined:
        """Return that a row has one of the values."""
        return Defined(phrase=self.phrase, conditions=tuple(conditions), memory=self.memory, either=True)

    def in_fields(self, fields: Sequence[Field], items: Sequence[str] = ()) -> Iterator[Defined]:
        """Yield the set for columns of which the data must tell which one holds the values."""
        if fields:
            yield self.of(Wanted(text=item, fields=tuple(fields)) for item in items or self.items)

    def as_labels(self, relation: Relation) -> Iterator[Defined]:
        """Yield the set for each column of `relation` of which the schema text shows all of the values."""
        for column in relation.columns:
            by_words = {words_of(value): value for value in column.values}
            values = [by_words.get(words_of(item), "") for item in self.items]
            if column.readable and all(values):
                place = Field(relation=relation, column=column)
                literals = [LiteralValue(text=value, number=column.numeric) for value in values]
                yield self.of(Comparison(field=place, operator="=", value=value) for value in literals)


def _named_set(phrase: str, items: Sequence[str], known: _Known) -> Iterator[NamedTerm]:
    """Yield the words of a set: the last of them may name a table or a column; else a column with such values is searched."""
    said, names, values = words_of(phrase), known.names, _Set(phrase, tuple(items), known.memory)
    noun, adjective = said[-1:], said[:-1]
    tables = [one.relation for one in names.terms.get(noun, ()) if isinstance(one, RelationName) and one.via is None]
    columns = [
        (relation, Field(relation=relation, column=column))
        for relation in names.relations
        for column in relation.columns
        if column.readable and words_of(column.name) == noun
    ]
    if adjective and tables:
        for relation in tables:
            for condition in list(values.as_labels(relation)) or values.in_fields(naming_fields(relation)):
                yield adjective, DefinedName(relation=relation, condition=condition, before=phrase.rpartition(" ")[2])
    elif adjective and columns:
        for relation, place in columns:
            for condition in values.in_fields([place]):
                yield from ((words, DefinedName(relation=relation, condition=condition)) for words in (said, adjective))
    else:
        yield from _set_anywhere(said, values, known)


def _set_anywhere(said: tuple[str, ...], values: _Set, known: _Known) -> Iterator[NamedTerm]:
    """Yield the words for values of a column that is not named: of the labels that the schema shows, else the data must tell."""
    labelled = [(one, condition) for one in known.names.relations for condition in values.as_labels(one)]
    yield from ((said, DefinedName(relation=one, condition=condition, noun=True)) for one, condition in labelled)
    for relation in known.names.relations if not labelled else ():
        own = text_fields(relation)
        above = [place for parent, via in known.graph.above(relation) for place in text_fields(parent, via=via)]
        for condition in (*values.in_fields(own), *_countries(values, own, above)):
            yield said, DefinedName(relation=relation, condition=condition)


def _countries(values: _Set, own: Sequence[Field], above: Sequence[Field]) -> Iterator[Defined]:
    """Yield a set of countries by their codes, where a column of countries is near."""
    codes = [country_codes(item) for item in values.items]
    near = ([place for place in fields if "country" in words_of(place.column.name)] for fields in (own, above))
    fields = next((some for some in near if some), [])
    for some in zip(*codes, strict=False) if all(codes) else ():
        yield from values.in_fields(fields, some)


def _alias_terms(sentence: str, known: _Known) -> Iterator[NamedTerm]:
    """Yield another word for a table, a column or a label."""
    terms = known.names.terms
    for form in _ALIASES:
        match = form.match(sentence)
        meant = terms.get(words_of(match["meant"]), []) if match else []
        named = [term for term in meant if isinstance(term, RelationName)] or meant
        if match and named and words_of(match["phrase"]) not in terms:
            yield from ((words_of(match["phrase"]), term) for term in named)
            return


def _measure_terms(sentence: str, known: _Known) -> Iterator[NamedTerm]:
    """Yield the words for a number: "revenue" for the total of paid invoices."""
    match = _MEASURE.match(sentence)
    found = _numbers(match["value"], known) if match else []
    measure = found[0].measure if len(found) == 1 else None
    if match and measure and measure.field and not (found[0].groups or found[0].order):
        said = Defined(phrase=match["phrase"], conditions=found[0].conditions, memory=known.memory)
        yield words_of(match["phrase"]), DefinedMeasure(relation=found[0].main, measure=measure, condition=said)


def _numbers(text: str, known: _Known) -> list[Query]:
    """Return the aggregates that a text can mean; a column alone means its sum."""
    r = known.reader(text)
    try:
        found = [query for query, end in islice(aggregate(r, 0), _MOST_READINGS) if r.at_end(end)] or [
            replace(query, measure=Measure(function="sum", field=place))
            for query, place, end in islice(measured(r, 0), _MOST_READINGS)
            if r.at_end(end) and not query.measure and not place.column.temporal
        ]
    except TooManyReadings:
        return []
    return _likeliest(found)


def _opposites(terms: Sequence[NamedTerm], other: str) -> Iterator[NamedTerm]:
    """Yield what "everything else is brand" defines: the rows that are none of the set."""
    for words, term in terms:
        if isinstance(term, DefinedName) and term.condition.either:
            condition = Defined(
                phrase=other,
                conditions=term.condition.conditions,
                memory=term.condition.memory,
                either=True,
                negated=True,
            )
            own = words_of(other)
            noun = words[-1:] if len(words) > 1 and len(own) == 1 else ()
            for said in {own, (*own, *noun)}:
                yield said, DefinedName(relation=term.relation, condition=condition, noun=term.noun, before=term.before)
