"""From a question to the part of the schema that matters for it, as compact text inside a token budget.

question -> ranked relations -> join paths between the best -> their foreign-key neighbours -> text until the budget is full
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from agent.errors import NotFound
from agent.learning.auto_discover import auto_discovery
from agent.learning.discovery.identifiers import parse_name, quote_name
from agent.learning.discovery.rendering import (
    MAX_COLUMNS,
    function_text,
    key_columns,
    listing,
    name_list,
    partition_text,
    relation_text,
    type_text,
)
from agent.learning.discovery.structure import AppStructure, DataType, Function, Relation
from agent.learning.schema_linking.index import SchemaIndex
from agent.learning.semantic_search import semantic_search
from agent.runtime import Runtime, current_runtime
from agent.text.tokens import BYTES_PER_TOKEN, estimate_tokens
from agent.text.words import stems

# Scores below these shares of the best one are noise (hits) or not worth a join path (core).
_HIT, _CORE = 0.2, 0.5
_MAX_HITS, _MAX_CORE, _MAX_NEIGHBOURS, _MAX_FUNCTIONS = 30, 6, 12, 5
_NAMES_PART = 2
_MAX_ASKED_COLUMNS, _MAX_MEANT = 10, 5
_MAX_QUESTION_CHARS = 20_000
_INDEXED_STRUCTURES = 16

_indexes: OrderedDict[tuple[str, str, str, str], SchemaIndex] = OrderedDict()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedSchema:
    """Schema text for one question: its `tables` by qualified name, most relevant first, and its estimated `tokens`."""

    text: str
    tables: tuple[str, ...]
    tokens: int


async def link_schema(
    question: str, *, token_budget: int | None = None, also: Sequence[str] = (), runtime: Runtime | None = None
) -> LinkedSchema:
    """The relations that matter for `question`, never more text than `token_budget` (default: the setting).

    `also` names relations that were used earlier in the conversation. A database that was never discovered is
    discovered first.
    """
    runtime = runtime or await current_runtime()
    index = await _index(runtime)
    budget = runtime.settings.schema_tokens if token_budget is None else token_budget
    meant = await _meant(index, question, runtime)
    return link(index, question, token_budget=budget, also=[*meant, *also])


def link(index: SchemaIndex, question: str, *, token_budget: int, also: Sequence[str] = ()) -> LinkedSchema:
    """As `link_schema`, for an index at hand."""
    question = question[:_MAX_QUESTION_CHARS]
    places = choose(index, question, also=also)
    pack = _Pack(token_budget, index)
    if not places:
        _overview(index, pack)
    asked = frozenset(stems(question))
    for place in places:
        pack.add_relation(index.relations[place], asked)
    for function in index.matching_functions(question, _MAX_FUNCTIONS):
        pack.add(function_text(function))
    if places and index.is_strange(question):
        pack.add_names([index.relations[place] for place in index.central()])
    return pack.linked()


def choose(index: SchemaIndex, question: str, *, also: Sequence[str] = ()) -> list[int]:
    """Positions of the relations for `question`: the best, those that join them, the other hits, the neighbours."""
    ranked = index.rank(question)
    best = ranked[0][1] if ranked else 0.0
    hits = [place for place, score in ranked[:_MAX_HITS] if score >= _HIT * best]
    earlier = [index.positions[name] for name in also if name in index.positions]
    core = [place for place, score in ranked[:_MAX_CORE] if score >= _CORE * best]
    joined = [
        place for one, other in combinations(_unique([*core, *earlier[:2]]), 2) for place in index.path(one, other)
    ]
    return _unique([*core, *joined, *earlier, *_merged(hits, _around(index, core))])


async def describe(
    name: str | None, *, token_budget: int | None = None, known_only: bool = False, runtime: Runtime | None = None
) -> str:
    """One relation, function or type in full, or the list of relations when `name` is None.

    When there is no such name, the text says so and names the nearest; with `known_only` it is raised as `NotFound`.
    """
    runtime = runtime or await current_runtime()
    budget = runtime.settings.schema_tokens if token_budget is None else token_budget
    index = await _index(runtime)
    if name is None or not name.strip():
        return _list(index, budget)
    found = _find(index, name)
    relation = _meant_of(found)
    if relation is None and found:
        return _cut_to(
            "\n".join([f"{len(found)} have that name; say which, with its schema:", *map(listing, found)]), budget
        )
    if relation is not None:
        pack = _Pack(budget, index)
        pack.add_relation(relation, frozenset(), limit=len(relation["columns"]))
        structure = await auto_discovery.current_structure(runtime=runtime)
        details = [*_details(relation, index), *structure.get("history", {}).get(relation["qualified"], ())]
        pack.add(_cut_to("\n".join(details), pack.tokens_left))
        return pack.linked().text
    structure = await auto_discovery.current_structure(runtime=runtime)
    other = _other_object(structure, name)
    if known_only and not other:
        raise NotFound(_nearest(index, name))
    return _cut_to(other or _nearest(index, name), budget)


class _Pack:
    """Blocks of text that stay inside a token budget."""

    def __init__(self, budget: int, index: SchemaIndex) -> None:
        self._index = index
        self._room = budget * BYTES_PER_TOKEN
        self._blocks: list[str] = []
        self._tables: list[str] = []

    def takes(self, blocks: Iterable[str]) -> bool:
        """Whether all of `blocks` fit."""
        room = self._room
        for block in blocks:
            room -= _size(block)
            if room < 0:
                return False
        return True

    def add(self, block: str) -> bool:
        """Add `block` when it fits."""
        size = _size(block)
        if not block or size > self._room:
            return False
        self._room -= size
        self._blocks.append(block)
        return True

    def add_relation(self, relation: Relation, asked: frozenset[str], *, limit: int = MAX_COLUMNS) -> None:
        """Add a relation in full, else with what the question and joins need, else only its keys; or leave it out."""
        for block in self._forms(relation, asked, limit):
            if self.add(block):
                self._tables.append(relation["qualified"])
                return

    def _forms(self, relation: Relation, asked: frozenset[str], limit: int) -> Iterator[str]:
        """The relation's block, longest form first."""
        if len(relation["columns"]) <= limit:
            yield self._index.text(relation)
        else:
            yield relation_text(relation, limit=limit, first=_asked_columns(relation, asked))
        yield relation_text(relation, only={*key_columns(relation), *_asked_columns(relation, asked)})
        yield relation_text(
            relation, only=relation["primary_key"] or [column["name"] for column in relation["columns"][:3]]
        )

    def add_names(self, relations: Iterable[Relation]) -> None:
        """Add the bare names of relations that are not there yet, in part of the room: what a model can ask about."""
        lines, room = [], self._room // _NAMES_PART
        for relation in relations:
            line = f"{relation['kind']} {relation['qualified']}"
            if relation["qualified"] not in self._tables and (room := room - _size(line)) > 0:
                lines.append(line)
        self.add("\n".join(lines))

    @property
    def tokens_left(self) -> int:
        return self._room // BYTES_PER_TOKEN

    def linked(self) -> LinkedSchema:
        text = "\n\n".join(self._blocks)
        return LinkedSchema(text=text, tables=tuple(self._tables), tokens=estimate_tokens(text))


def _size(block: str) -> int:
    return len(block.encode()) + 2  # and the blank line before it


def _asked_columns(relation: Relation, asked: frozenset[str]) -> list[str]:
    """The columns that share most words with the question, those first."""
    shared = [(len(asked.intersection(stems(column["name"]))), column["name"]) for column in relation["columns"]]
    best = sorted((pair for pair in shared if pair[0]), key=lambda pair: -pair[0])
    return [name for _, name in best[:_MAX_ASKED_COLUMNS]]


def _overview(index: SchemaIndex, pack: _Pack) -> None:
    """A question that names nothing: a small schema whole, of a large one the names of what is central."""
    places = index.central()
    if pack.takes(index.text(index.relations[place]) for place in places):
        for place in places:
            pack.add_relation(index.relations[place], frozenset())
        return
    for place in places[:50]:
        pack.add(listing(index.relations[place]))


def _around(index: SchemaIndex, core: Sequence[int]) -> list[int]:
    shares = [index.neighbours[place] for place in core]
    return _unique([share[turn] for turn in range(_MAX_NEIGHBOURS) for share in shares if turn < len(share)])[
        :_MAX_NEIGHBOURS
    ]


def _merged(hits: Sequence[int], around: Sequence[int]) -> list[int]:
    # A neighbour that the question also speaks of comes first; then both lists in turn.
    both = [place for place in hits if place in set(around)]
    turns = [place for pair in zip(hits, around, strict=False) for place in pair]
    return [*both, *turns, *hits, *around]


def _unique(places: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(places))


async def _meant(index: SchemaIndex, question: str, runtime: Runtime) -> list[str]:
    """Relations near in meaning, for a question that shares few words with the schema and an embedder that can tell."""
    if not runtime.embedder.semantic or not index.is_strange(question[:_MAX_QUESTION_CHARS]):
        return []
    found = await semantic_search.search_memories(question, _MAX_MEANT, kinds=["schema"], mode="dense", runtime=runtime)
    return [memory.subject for memory in found if memory.subject]


async def _index(runtime: Runtime) -> SchemaIndex:
    structure = await auto_discovery.current_structure(runtime=runtime)
    key = (runtime.tenant_id, runtime.database_id, structure["fingerprint"], structure["discovered_at"])
    index = _indexes.get(key)
    if index is None:
        index = _indexes[key] = SchemaIndex.build(structure)
        while len(_indexes) > _INDEXED_STRUCTURES:
            _indexes.popitem(last=False)
    return index


def _find(index: SchemaIndex, name: str) -> list[Relation]:
    """The relations of that name, with or without a schema, in any case; those of another case only without quotes."""
    wanted = name.strip()
    if wanted in index.positions:
        return [index.relations[index.positions[wanted]]]
    as_sql = parse_name(wanted) or ()
    exact = [one for one in index.relations if as_sql in {(one["name"],), (one["schema"], one["name"])}]
    if exact and '"' in wanted:
        return exact
    flat = wanted.replace('"', "")
    folded = [relation for relation in index.relations if flat.casefold() in _spellings(relation)]
    exact = [relation for relation in folded if flat in {relation["name"], f"{relation['schema']}.{relation['name']}"}]
    return exact if exact and (flat != wanted or "." in flat) else folded


def _meant_of(found: Sequence[Relation]) -> Relation | None:
    """The only one, or the one that the name alone means."""
    meant = [relation for relation in found if relation["meant"] == relation["qualified"]]
    chosen = found if len(found) == 1 else meant
    return chosen[0] if len(chosen) == 1 else None


def _details(relation: Relation, index: SchemaIndex) -> Iterator[str]:
    """What describe adds below a relation's block; each a line, none in the form of a column."""
    yield from (f"unique ({name_list(columns)})" for columns in relation["unique"] if len(columns) > 1)
    yield from (check["definition"] for check in relation["checks"])
    yield from (item["definition"] for item in relation["indexes"] if item["definition"])
    yield from (partition_text(item) for item in relation["of_partitions"])
    for trigger in relation["triggers"]:
        yield f"trigger {quote_name(trigger['name'])} {trigger['when']}: {trigger['function']}"
    for other in index.relations:
        for key in other["foreign_keys"]:
            if key["target"] == relation["qualified"]:
                yield f"referenced by {other['qualified']}({name_list(key['columns'])})"
    profile = relation["profile"]
    if profile["newest_column"] and profile["newest"]:
        yield f"newest {quote_name(profile['newest_column'])}: {profile['newest']}"


def _list(index: SchemaIndex, budget: int) -> str:
    lines = [listing(relation) for relation in index.relations]
    lines += [function_text(function) for function in index.functions if function["returns"] != "trigger"]
    return _cut_to("\n".join(lines), budget) if lines else "The database has no tables that the agent can see."


def _cut_to(text: str, budget: int) -> str:
    if estimate_tokens(text) + 1 <= budget:
        return text
    lines, room = [], budget * BYTES_PER_TOKEN - 60
    for line in text.splitlines():
        room -= len(line.encode()) + 1
        if room < 0:
            break
        lines.append(line)
    return "\n".join([*lines, f"... and {len(text.splitlines()) - len(lines)} more; describe one by its name"])


def _other_object(structure: AppStructure, name: str) -> str:
    wanted = name.strip().replace('"', "").casefold()
    functions = [function_text(f) for f in structure["functions"] if wanted in _spellings(f)]
    types = [type_text(t) for t in [*structure["enums"], *structure["types"]] if wanted in _spellings(t)]
    return "\n".join([*functions, *types])


def _nearest(index: SchemaIndex, name: str) -> str:
    near = [index.relations[place]["qualified"] for place, _ in index.rank(name)[:5]]
    hint = f" The nearest are {', '.join(near)}." if near else ""
    return f"There is no table, view, function or type {name.strip()[:100]!r}.{hint}"


def _spellings(item: Relation | Function | DataType) -> set[str]:
    return {item["name"].casefold(), f"{item['schema']}.{item['name']}".casefold()}
