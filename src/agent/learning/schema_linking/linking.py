"""Selects the part of the schema that is relevant to a question, as compact text within a token budget.

question -> ranked relations -> join paths between the best -> their foreign-key neighbours -> text until the budget is used
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import combinations

from agent.errors import NotFound
from agent.learning.auto_discover import auto_discovery
from agent.learning.discovery.identifiers import parse_name, quote_name
from agent.learning.discovery.rendering import (
    function_text,
    listing,
    name_list,
    partition_text,
    type_text,
)
from agent.learning.discovery.structure import AppStructure, DataType, Function, Relation
from agent.learning.schema_linking.index import SchemaIndex
from agent.learning.schema_linking.packing import LinkedSchema, Pack
from agent.learning.semantic_search import semantic_search
from agent.runtime import Runtime, current_runtime
from agent.text.tokens import BYTES_PER_TOKEN, estimate_tokens

# Relations that score below these shares of the best score are no hits, or are not worth a join path (core).
_HIT, _CORE = 0.2, 0.5
_MAX_HITS, _MAX_CORE, _MAX_NEIGHBOURS, _MAX_FUNCTIONS = 30, 6, 12, 5
# How many of the chosen relations bring their neighbours first, and how many further steps along foreign keys are taken.
_FIRST, _MORE_STEPS = 12, 3
_MAX_SIMILAR = 5
_MAX_QUESTION_CHARS = 20_000
_INDEXED_STRUCTURES = 16

_indexes: OrderedDict[tuple[str, str, str, str], SchemaIndex] = OrderedDict()


async def link_schema(
    question: str, *, token_budget: int | None = None, also: Sequence[str] = (), runtime: Runtime | None = None
) -> LinkedSchema:
    """Return the schema text for `question`, within `token_budget` (default: the setting).

    `also` names relations that were used earlier in the conversation. A database that was never discovered is discovered
    first.
    """
    runtime = runtime or await current_runtime()
    index = await _index(runtime)
    budget = runtime.settings.schema_tokens if token_budget is None else token_budget
    similar = await _similar_relations(index, question, runtime)
    return link(index, question, token_budget=budget, also=[*similar, *also])


def link(index: SchemaIndex, question: str, *, token_budget: int, also: Sequence[str] = ()) -> LinkedSchema:
    """Return the schema text for `question` from an index: the whole schema when it fits, in a fixed order. Pure."""
    question = question[:_MAX_QUESTION_CHARS]
    chosen = choose(index, question, also=also)
    pack = Pack(token_budget, index, frozenset(index.terms(question)))
    pack.add_note_room()
    whole = pack.add_whole(chosen)
    near = _outward(index, chosen)
    if not whole:
        pack.add_relations(near)
    for function in index.matching_functions(question, _MAX_FUNCTIONS):
        pack.add(function_text(function))
    if not whole:
        pack.add_others(index.central())
        pack.complete()
    return pack.linked(chosen, note=True)


def choose(index: SchemaIndex, question: str, *, also: Sequence[str] = ()) -> list[int]:
    """Return the positions of the relations for `question`: the best, those that join them, other hits, neighbours."""
    ranked = index.rank(question)
    best = ranked[0][1] if ranked else 0.0
    hits = [position for position, score in ranked[:_MAX_HITS] if score >= _HIT * best]
    earlier = [index.positions[name] for name in also if name in index.positions]
    core = [position for position, score in ranked[:_MAX_CORE] if score >= _CORE * best]
    ends = _unique([*core, *earlier[:2]])
    joined = [position for start, end in combinations(ends, 2) for position in index.path(start, end)]
    return _unique([*ends, *joined, *earlier, *_merged(hits, _around(index, core)[:_MAX_NEIGHBOURS])])


async def describe(
    name: str | None, *, token_budget: int | None = None, known_only: bool = False, runtime: Runtime | None = None
) -> str:
    """Return the text of one relation, function or type in full, or the list of relations when `name` is None.

    When there is no such name, the text says so and names the nearest ones; with `known_only`, raises `NotFound`.
    """
    runtime = runtime or await current_runtime()
    budget = runtime.settings.schema_tokens if token_budget is None else token_budget
    index = await _index(runtime)
    if name is None or not name.strip():
        return _list(index, budget)
    matches = _find(index, name)
    relation = _meant_of(matches)
    if relation is None and matches:
        lines = [f"{len(matches)} relations have that name; name one with its schema:", *map(listing, matches)]
        return _cut_to("\n".join(lines), budget)
    if relation is not None:
        pack = Pack(budget, index)
        pack.add_described(relation)
        structure = await auto_discovery.current_structure(runtime=runtime)
        details = [*_details(relation, index), *structure.get("history", {}).get(relation["qualified"], ())]
        pack.add(_cut_to("\n".join(details), pack.tokens_left))
        return pack.linked().text
    structure = await auto_discovery.current_structure(runtime=runtime)
    other = _other_object(structure, name)
    if known_only and not other:
        raise NotFound(_not_found_message(index, name))
    return _cut_to(other or _not_found_message(index, name), budget)


def _outward(index: SchemaIndex, chosen: Sequence[int]) -> list[int]:
    """Return `chosen`, then the neighbours of its first relations, then the neighbours of all these, and so on."""
    near = _unique([*chosen, *_around(index, chosen[:_FIRST])])
    for _ in range(_MORE_STEPS):
        near = _unique([*near, *_around(index, near)])
    return near


def _around(index: SchemaIndex, core: Sequence[int]) -> list[int]:
    """Return the neighbours of `core`: the first of each, then the second of each, and so on."""
    lists = [index.neighbours[position] for position in core]
    longest = max(map(len, lists), default=0)
    return _unique([neighbours[turn] for turn in range(longest) for neighbours in lists if turn < len(neighbours)])


def _merged(hits: Sequence[int], around: Sequence[int]) -> list[int]:
    # Neighbours that are also hits come first; then both lists in turn.
    both = [position for position in hits if position in set(around)]
    turns = [position for pair in zip(hits, around, strict=False) for position in pair]
    return [*both, *turns, *hits, *around]


def _unique(positions: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(positions))


async def _similar_relations(index: SchemaIndex, question: str, runtime: Runtime) -> list[str]:
    """Return relations of similar meaning, if the embedder is semantic and the question shares few words with the schema."""
    if not runtime.embedder.semantic or not index.is_mostly_unknown(question[:_MAX_QUESTION_CHARS]):
        return []
    memories = await semantic_search.search_memories(
        question, _MAX_SIMILAR, kinds=["schema"], mode="dense", runtime=runtime
    )
    return [memory.subject for memory in memories if memory.subject]


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
    """Return the relations of that name, with or without a schema; in any case unless the name is quoted."""
    wanted = name.strip()
    if wanted in index.positions:
        return [index.relations[index.positions[wanted]]]
    as_sql = parse_name(wanted) or ()
    exact = [item for item in index.relations if as_sql in {(item["name"],), (item["schema"], item["name"])}]
    if exact and '"' in wanted:
        return exact
    unquoted = wanted.replace('"', "")
    folded = [item for item in index.relations if unquoted.casefold() in _spellings(item)]
    exact = [item for item in folded if unquoted in {item["name"], f"{item['schema']}.{item['name']}"}]
    return exact if exact and (unquoted != wanted or "." in unquoted) else folded


def _meant_of(matches: Sequence[Relation]) -> Relation | None:
    """Return the only match, or the one that the plain name means; else None."""
    meant = [relation for relation in matches if relation["meant"] == relation["qualified"]]
    chosen = matches if len(matches) == 1 else meant
    return chosen[0] if len(chosen) == 1 else None


def _details(relation: Relation, index: SchemaIndex) -> Iterator[str]:
    """Yield the lines that `describe` adds below a relation's block. None looks like a column."""
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


def _not_found_message(index: SchemaIndex, name: str) -> str:
    nearest = [index.relations[position]["qualified"] for position, _ in index.rank(name)[:5]]
    hint = f" The nearest are {', '.join(nearest)}." if nearest else ""
    return f"There is no table, view, function or type {name.strip()[:100]!r}.{hint}"


def _spellings(item: Relation | Function | DataType) -> set[str]:
    return {item["name"].casefold(), f"{item['schema']}.{item['name']}".casefold()}
