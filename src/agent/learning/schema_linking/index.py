"""Which relations a question is about: a lexical index over one structure, and the foreign keys as a graph. Pure.

Terms are stems weighed by how few relations they occur in. A name counts more than a column, a column more than a
comment. A word that occurs nowhere may stand for a related one (customers, clients) or be a misspelling.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from agent.learning.discovery.rendering import relation_text
from agent.learning.discovery.structure import AppStructure, Function, Relation, relations
from agent.text.words import related, stems

_NAME, _COLUMN, _VALUE, _COMMENT, _COLUMN_COMMENT, _SCHEMA = 4.0, 1.6, 1.6, 1.4, 0.8, 0.6
_RELATED, _MISSPELT = 0.5, 0.7
_MAX_TERMS = 200
_MAX_MISSPELT = 20
_MAX_HOPS = 4
# A question that names one of several namesakes links so many of the others; a schema a tenant would fill the prompt.
_NAMESAKES = 2


@dataclass(frozen=True, slots=True)
class SchemaIndex:
    """The index of one structure. Relations are named by their position in `relations`.

    `postings` gives, for each stem, the relations that it occurs in and the weight of the best place; `neighbours` the
    relations that a foreign key joins to one, those that it refers to first.
    """

    relations: Sequence[Relation]
    functions: Sequence[Function]
    positions: Mapping[str, int]
    name_stems: Sequence[frozenset[str]]
    postings: Mapping[str, Mapping[int, float]]
    neighbours: Sequence[Sequence[int]]
    _texts: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def text(self, relation: Relation) -> str:
        """The block of one relation, all its columns; written once."""
        name = relation["qualified"]
        if name not in self._texts:
            self._texts[name] = relation_text(relation, limit=len(relation["columns"]))
        return self._texts[name]

    @classmethod
    def build(cls, structure: AppStructure) -> SchemaIndex:
        """Index `structure`; takes about 0.2 ms a relation."""
        found = relations(structure)
        positions = {relation["qualified"]: place for place, relation in enumerate(found)}
        postings: dict[str, dict[int, float]] = defaultdict(dict)
        for place, relation in enumerate(found):
            for term, weight in _terms(relation):
                postings[term][place] = max(weight, postings[term].get(place, 0.0))
        return cls(
            relations=found,
            functions=structure.get("functions", []),
            positions=positions,
            name_stems=[frozenset(stems(relation["name"])) for relation in found],
            postings=postings,
            neighbours=_neighbours(found, positions),
        )

    def rank(self, question: str) -> list[tuple[int, float]]:
        """Relations with their scores, best first; only those that the question has a word for."""
        asked = self.terms(question)
        scores: dict[int, float] = defaultdict(float)
        for term, certainty in asked.items():
            rarity = self._rarity(term)
            for place, weight in self.postings[term].items():
                scores[place] += certainty * rarity * weight
        for place in scores:
            scores[place] += self._name_bonus(place, asked)
        turns = self._take_turns(scores, set(stems(question)))
        return sorted(scores.items(), key=lambda item: (-item[1], turns.get(item[0], 0), self._size_order(item[0])))

    def terms(self, question: str) -> dict[str, float]:
        """The indexed stems that `question` speaks of, with a certainty of 0 to 1."""
        asked: dict[str, float] = {}
        unknown = []
        for term in list(dict.fromkeys(stems(question)))[:_MAX_TERMS]:
            known = term in self.postings
            if known:
                asked[term] = 1.0
            near = [other for other in related(term) if other in self.postings]
            for other in near:
                asked[other] = max(asked.get(other, 0.0), _RELATED)
            if not known and not near:
                unknown.append(term)
        for term in unknown[:_MAX_MISSPELT]:
            for other in self._misspelt(term):
                asked[other] = max(asked.get(other, 0.0), _MISSPELT)
        for term in self._unspaced(question):
            asked[term] = 1.0
        return asked

    def is_strange(self, question: str) -> bool:
        """Whether most of the question's words occur nowhere in the schema."""
        asked = set(stems(question))
        return len(asked & self.postings.keys()) < len(asked) / 2

    def path(self, start: int, end: int) -> list[int]:
        """The relations between two, along the shortest chain of foreign keys; empty when there is none or it is long."""
        came_from: dict[int, int] = {start: start}
        queue = deque([(start, 0)])
        while queue:
            place, hops = queue.popleft()
            if place == end:
                return _walk_back(came_from, start, end)
            if hops < _MAX_HOPS:
                for other in self.neighbours[place]:
                    if other not in came_from:
                        came_from[other] = place
                        queue.append((other, hops + 1))
        return []

    def central(self) -> list[int]:
        """All relations, those with the most foreign keys and rows first: for a question that names none."""
        return sorted(range(len(self.relations)), key=self._size_order)

    def matching_functions(self, question: str, limit: int) -> list[Function]:
        """Functions whose whole name, or most of whose description, the question speaks of."""
        asked = set(stems(question))
        scored = [
            (len(asked & named) / len(named) + 0.1 * len(asked & set(stems(function["comment"]))), function)
            for function in self.functions
            if (named := set(stems(function["name"]))) and function["executable"] and function["returns"] != "trigger"
        ]
        good = [(score, function) for score, function in scored if score >= 0.7]
        return [function for _, function in sorted(good, key=lambda item: -item[0])[:limit]]

    def _take_turns(self, scores: dict[int, float], said: Set[str]) -> Mapping[int, int]:
        """Which comes first of relations that share a name: of the schema that was named, else the one that the name means.

        They share the best score of them, so that no row count or column decides; all but a few are left out of `scores`.
        """
        turns: dict[int, int] = {}
        for group in {self._group(place) for place in scores if self.relations[place]["namesakes"]}:
            best = max(scores.get(place, 0.0) for place in group)
            for turn, place in enumerate(sorted(group, key=lambda place: self._turn(place, said))):
                if turn <= _NAMESAKES:
                    scores[place], turns[place] = best, turn
                else:
                    scores.pop(place, None)
        return turns

    def _group(self, place: int) -> tuple[int, ...]:
        relation = self.relations[place]
        names = [relation["qualified"], *relation["namesakes"]]
        return tuple(sorted(self.positions[name] for name in names if name in self.positions))

    def _turn(self, place: int, said: Set[str]) -> tuple[bool, bool, str]:
        relation = self.relations[place]
        named = set(stems(relation["schema"]))
        is_named = bool(named) and named <= said
        return not is_named, relation["meant"] != relation["qualified"], relation["qualified"]

    def _rarity(self, term: str) -> float:
        return math.log(1 + len(self.relations) / len(self.postings[term]))

    def _name_bonus(self, place: int, asked: Mapping[str, float]) -> float:
        # A name that is spoken of in full beats a longer one that only holds the same word: orders, order_items.
        named = self.name_stems[place]
        hit = [term for term in named if term in asked]
        return sum(asked[term] * self._rarity(term) for term in hit) * _NAME * len(hit) / len(named) if hit else 0.0

    def _size_order(self, place: int) -> tuple[bool, float, str]:
        relation = self.relations[place]
        is_meant = relation["meant"] in ("", relation["qualified"])
        return (
            not is_meant,
            -(len(self.neighbours[place]) + math.log10(1 + (relation["rows"] or 0))),
            relation["qualified"],
        )

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
        # Scripts without spaces: a name is found inside the question.
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


def _weighed(text: str, weight: float) -> Iterator[tuple[str, float]]:
    for term in stems(text) if text else ():
        yield term, weight


def _neighbours(found: Sequence[Relation], positions: Mapping[str, int]) -> list[list[int]]:
    outward: list[list[int]] = [[] for _ in found]
    inward: list[list[int]] = [[] for _ in found]
    for place, relation in enumerate(found):
        for key in relation["foreign_keys"]:
            target = positions.get(key["target"])
            if target is not None and target != place:
                outward[place].append(target)
                inward[target].append(place)
    return [list(dict.fromkeys([*out, *back])) for out, back in zip(outward, inward, strict=True)]


def _walk_back(came_from: Mapping[int, int], start: int, end: int) -> list[int]:
    between: list[int] = []
    place = end
    while (place := came_from[place]) != start:
        between.append(place)
    return between[::-1]


def _distance(left: str, right: str) -> int:
    """Edits between two words; swapping two neighbouring letters is one."""
    earlier: list[int] = []
    previous = list(range(len(right) + 1))
    for i, one in enumerate(left, start=1):
        current = [i]
        for j, other in enumerate(right, start=1):
            cost = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (one != other))
            if i > 1 and j > 1 and one == right[j - 2] and left[i - 2] == other:
                cost = min(cost, earlier[j - 2] + 1)
            current.append(cost)
        earlier, previous = previous, current
    return previous[-1]
