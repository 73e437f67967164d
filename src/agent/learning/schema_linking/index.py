"""Ranks the relations that a question is about: a lexical index over one structure, and the foreign keys as a graph. Pure.

Terms are stems; the fewer relations a term occurs in, the more it weighs. A name counts more than a column, a column more
than a comment. A word may stand for a related one (customers, clients) or a longer one (repo, repository); one that occurs
nowhere may be a misspelling.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import takewhile

from agent.learning.discovery.rendering import relation_text
from agent.learning.discovery.structure import AppStructure, Function, Relation, relations
from agent.text.words import related, stems

_NAME, _COLUMN, _VALUE, _COMMENT, _COLUMN_COMMENT, _SCHEMA = 4.0, 1.6, 1.6, 1.4, 0.8, 0.6
_RELATED, _MISSPELT, _PREFIX = 0.5, 0.7, 0.5
# A word counts as a longer one that begins with it (repo, repository), and as a shorter one with which it begins. The shorter
# needs a letter more: "lately" begins like "late" by chance.
_LEAST_PREFIX, _LEAST_SHORTER, _LEAST_LONGER = 3, 4, 3
_MAX_TERMS = 200
_MAX_MISSPELT = 20
_MAX_HOPS = 4
# How many other relations of a name a question links. In a database with a schema for each tenant, all would fill the prompt.
_NAMESAKES = 2


@dataclass(frozen=True, slots=True)
class SchemaIndex:
    """The index of one structure. Relations are identified by their position in `relations`.

    `postings` gives for each stem the relations in which it occurs, each with the highest weight; `neighbours` gives for each
    relation those that a foreign key joins to it, the referenced ones first.
    """

    relations: Sequence[Relation]
    functions: Sequence[Function]
    positions: Mapping[str, int]
    name_stems: Sequence[frozenset[str]]
    postings: Mapping[str, Mapping[int, float]]
    neighbours: Sequence[Sequence[int]]
    _sorted_stems: Sequence[str] = ()
    _texts: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def text(self, relation: Relation, *, explained: frozenset[str] = frozenset()) -> str:
        """Return the block of one relation with all its columns, those `explained` with their whole comment.

        Without `explained` it is rendered once.
        """
        name, limit = relation["qualified"], len(relation["columns"])
        if explained:
            return relation_text(relation, limit=limit, explained=explained)
        if name not in self._texts:
            self._texts[name] = relation_text(relation, limit=limit)
        return self._texts[name]

    @classmethod
    def build(cls, structure: AppStructure) -> SchemaIndex:
        """Build the index of `structure`. It takes about 0.2 ms for each relation."""
        indexed = relations(structure)
        positions = {relation["qualified"]: position for position, relation in enumerate(indexed)}
        postings: dict[str, dict[int, float]] = defaultdict(dict)
        for position, relation in enumerate(indexed):
            for term, weight in _terms(relation):
                postings[term][position] = max(weight, postings[term].get(position, 0.0))
        return cls(
            relations=indexed,
            functions=structure.get("functions", []),
            positions=positions,
            name_stems=[frozenset(stems(relation["name"])) for relation in indexed],
            postings=postings,
            neighbours=_neighbours(indexed, positions),
            _sorted_stems=sorted(postings),
        )

    def rank(self, question: str) -> list[tuple[int, float]]:
        """Return the relations that share a term with the question, with their scores, best first."""
        terms = self.terms(question)
        scores: dict[int, float] = defaultdict(float)
        for term, certainty in terms.items():
            rarity = self._rarity(term)
            for position, weight in self.postings[term].items():
                scores[position] += certainty * rarity * weight
        for position in scores:
            scores[position] += self._name_bonus(position, terms)
        order = self._order_namesakes(scores, set(stems(question)))
        return sorted(scores.items(), key=lambda item: (-item[1], order.get(item[0], 0), self._size_order(item[0])))

    def terms(self, question: str) -> dict[str, float]:
        """Return the indexed stems that `question` contains or means, each with a certainty of 0 to 1."""
        terms: dict[str, float] = {}
        unknown = []
        for term in list(dict.fromkeys(stems(question)))[:_MAX_TERMS]:
            known = term in self.postings
            if known:
                terms[term] = 1.0
            synonyms = [other for other in related(term) if other in self.postings]
            for other in synonyms:
                terms[other] = max(terms.get(other, 0.0), _RELATED)
            longer_or_shorter = self._sharing_a_prefix(term)
            for other in longer_or_shorter:
                terms[other] = max(terms.get(other, 0.0), _PREFIX)
            if not (known or synonyms or longer_or_shorter):
                unknown.append(term)
        for term in unknown[:_MAX_MISSPELT]:
            for other in self._misspelt(term):
                terms[other] = max(terms.get(other, 0.0), _MISSPELT)
        for term in self._unspaced(question):
            terms[term] = 1.0
        return terms

    def is_mostly_unknown(self, question: str) -> bool:
        """Return whether most of the question's words occur nowhere in the schema."""
        terms = set(stems(question))
        return len(terms & self.postings.keys()) < len(terms) / 2

    def path(self, start: int, end: int) -> list[int]:
        """Return the relations between two, along the shortest chain of foreign keys; [] when there is none or it is too long."""
        previous_of: dict[int, int] = {start: start}
        queue = deque([(start, 0)])
        while queue:
            position, hops = queue.popleft()
            if position == end:
                return _walk_back(previous_of, start, end)
            if hops < _MAX_HOPS:
                for other in self.neighbours[position]:
                    if other not in previous_of:
                        previous_of[other] = position
                        queue.append((other, hops + 1))
        return []

    def central(self) -> list[int]:
        """Return all relations, those with the most foreign keys and rows first: for a question that names none."""
        return sorted(range(len(self.relations)), key=self._size_order)

    def matching_functions(self, question: str, limit: int) -> list[Function]:
        """Return the executable functions whose name, or most of it, is in the question, best first; comments count a little."""
        terms = set(stems(question))
        scored = [
            (len(terms & named) / len(named) + 0.1 * len(terms & set(stems(function["comment"]))), function)
            for function in self.functions
            if (named := set(stems(function["name"]))) and function["executable"] and function["returns"] != "trigger"
        ]
        good = [(score, function) for score, function in scored if score >= 0.7]
        return [function for _, function in sorted(good, key=lambda item: -item[0])[:limit]]

    def _order_namesakes(self, scores: dict[int, float], terms: Set[str]) -> Mapping[int, int]:
        """Return the order of relations that share a name: first that of a named schema, then the one that the name means.

        All get the best score of the group, so that no row count or column decides; all but a few are removed from `scores`.
        """
        order: dict[int, int] = {}
        for group in {self._group(position) for position in scores if self.relations[position]["namesakes"]}:
            best = max(scores.get(position, 0.0) for position in group)
            for rank, position in enumerate(sorted(group, key=lambda position: self._namesake_order(position, terms))):
                if rank <= _NAMESAKES:
                    scores[position], order[position] = best, rank
                else:
                    scores.pop(position, None)
        return order

    def _group(self, position: int) -> tuple[int, ...]:
        relation = self.relations[position]
        names = [relation["qualified"], *relation["namesakes"]]
        return tuple(sorted(self.positions[name] for name in names if name in self.positions))

    def _namesake_order(self, position: int, terms: Set[str]) -> tuple[bool, bool, str]:
        relation = self.relations[position]
        named = set(stems(relation["schema"]))
        is_named = bool(named) and named <= terms
        return not is_named, relation["meant"] != relation["qualified"], relation["qualified"]

    def _rarity(self, term: str) -> float:
        return math.log(1 + len(self.relations) / len(self.postings[term]))

    def _name_bonus(self, position: int, terms: Mapping[str, float]) -> float:
        # A name that occurs in full beats a longer one that contains the same word: orders, order_items.
        named = self.name_stems[position]
        hit = [term for term in named if term in terms]
        return sum(terms[term] * self._rarity(term) for term in hit) * _NAME * len(hit) / len(named) if hit else 0.0

    def _size_order(self, position: int) -> tuple[bool, float, str]:
        relation = self.relations[position]
        is_meant = relation["meant"] in ("", relation["qualified"])
        return (
            not is_meant,
            -(len(self.neighbours[position]) + math.log10(1 + (relation["rows"] or 0))),
            relation["qualified"],
        )

    def _sharing_a_prefix(self, term: str) -> list[str]:
        """Return the stems that begin with `term`, and those with which it begins."""
        if not term.isalpha():
            return []
        shorter = [
            term[:end] for end in range(_LEAST_SHORTER, len(term) - _LEAST_LONGER + 1) if term[:end] in self.postings
        ]
        if len(term) < _LEAST_PREFIX:
            return shorter
        start = bisect_left(self._sorted_stems, term)
        longer = takewhile(lambda stem: stem.startswith(term), self._sorted_stems[start:])
        return [*shorter, *(stem for stem in longer if len(stem) >= len(term) + _LEAST_LONGER)]

    def _misspelt(self, term: str) -> list[str]:
        if len(term) < 4 or not term.isalpha():
            return []
        allowed = 1 if len(term) < 8 else 2
        return [
            word
            for word in self.postings
            if word[0] == term[0] and abs(len(word) - len(term)) <= allowed and _distance(word, term) <= allowed
        ]

    def _unspaced(self, question: str) -> list[str]:
        # In scripts without spaces, a name is searched inside of the question.
        if question.isascii():
            return []
        flat = " ".join(stems(question))
        return [term for term in self.postings if not term.isascii() and len(term) > 1 and term in flat]


def _terms(relation: Relation) -> Iterator[tuple[str, float]]:
    yield from _weighed(relation["name"], _NAME)
    yield from _weighed(relation["comment"], _COMMENT)
    if relation["schema"] != "public":
        yield from _weighed(relation["schema"], _SCHEMA)
    for column in relation["columns"]:
        yield from _weighed(column["name"], _COLUMN)
        yield from _weighed(column["comment"], _COLUMN_COMMENT)
        for value in column["values"]:
            yield from _weighed(value, _VALUE)
    for _, label in relation["profile"].get("labels", ()):
        yield from _weighed(label, _VALUE)


def _weighed(text: str, weight: float) -> Iterator[tuple[str, float]]:
    for term in stems(text) if text else ():
        yield term, weight


def _neighbours(indexed: Sequence[Relation], positions: Mapping[str, int]) -> list[list[int]]:
    outward: list[list[int]] = [[] for _ in indexed]
    inward: list[list[int]] = [[] for _ in indexed]
    for position, relation in enumerate(indexed):
        for key in relation["foreign_keys"]:
            target = positions.get(key["target"])
            if target is not None and target != position:
                outward[position].append(target)
                inward[target].append(position)
    degree = [len(out) + len(back) for out, back in zip(outward, inward, strict=True)]

    def by_weight(position: int) -> float:
        return -(degree[position] + math.log10(1 + (indexed[position]["rows"] or 0)))

    return [
        list(dict.fromkeys([*out, *sorted(back, key=by_weight)])) for out, back in zip(outward, inward, strict=True)
    ]


def _walk_back(previous_of: Mapping[int, int], start: int, end: int) -> list[int]:
    between: list[int] = []
    position = end
    while (position := previous_of[position]) != start:
        between.append(position)
    return between[::-1]


def _distance(left: str, right: str) -> int:
    """Return the edit distance of two words; swapping two adjacent letters is one edit."""
    earlier: list[int] = []
    previous = list(range(len(right) + 1))
    for i, left_letter in enumerate(left, start=1):
        current = [i]
        for j, right_letter in enumerate(right, start=1):
            cost = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (left_letter != right_letter))
            if i > 1 and j > 1 and left_letter == right[j - 2] and left[i - 2] == right_letter:
                cost = min(cost, earlier[j - 2] + 1)
            current.append(cost)
        earlier, previous = previous, current
    return previous[-1]
