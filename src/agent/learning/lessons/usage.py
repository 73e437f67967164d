"""How people's questions really use the schema: joins that no foreign key declares, and filters that nearly every answer has. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from agent.learning.discovery.structure import AppStructure, relations
from agent.learning.lessons.lesson import Evidence, Finding, Findings, PastTurn, key_of
from agent.learning.lessons.statement import Comparison, Select, as_one_line, digest_of, read_select, used_objects

JOINS, FILTERS = "joins", "filters"
# In so many conversations a join or a filter is seen, and in this part of those that use the table.
_FEWEST_JOINS, _FEWEST_FILTERS, _SHARE = 2, 3, 0.8


@dataclass(slots=True)
class _Seen:
    """The conversations and memories in which something was seen."""

    threads: set[str] = field(default_factory=set)
    memories: set[int] = field(default_factory=set)

    def add(self, turn: PastTurn) -> None:
        self.threads.add(turn.thread or str(turn.memory))
        self.memories.add(turn.memory)


def find_joins(evidence: Evidence) -> Findings:
    """Return the joins by columns that no foreign key declares, and that several conversations used."""
    declared = _declared(evidence.structure)
    seen: dict[tuple[tuple[str, str], tuple[str, str]], _Seen] = defaultdict(_Seen)
    for turn, _, comparison in _comparisons(evidence):
        one, other = (comparison.table, comparison.column), (comparison.other_table, comparison.other_column)
        if comparison.operator == "=" and comparison.other_table and one[0] != other[0]:
            pair = (min(one, other), max(one, other))
            if pair not in declared:
                seen[pair].add(turn)
    return Findings(
        known=[
            _finding(
                f"To join {a} with {b}, answers used {a}.{x} = {b}.{y}.",
                f"SELECT 1 FROM {a} a JOIN {b} b ON a.{_quoted(x)} = b.{_quoted(y)}", found, evidence.structure,
            )
            for ((a, x), (b, y)), found in seen.items() if len(found.threads) >= _FEWEST_JOINS
        ]
    )  # fmt: skip


def find_filters(evidence: Evidence) -> Findings:
    """Return the conditions with a constant that nearly every answer about a table has."""
    seen: dict[tuple[str, str, str, str], _Seen] = defaultdict(_Seen)
    using: dict[str, _Seen] = defaultdict(_Seen)
    for turn, select in _selects(evidence.turns):
        for table in used_objects(select, evidence.structure) or ():
            using[table].add(turn)
    for turn, _, comparison in _comparisons(evidence):
        if not comparison.other_table:
            seen[comparison.table, comparison.column, comparison.operator, comparison.other].add(turn)
    return Findings(
        known=[
            _finding(
                f"Answers about {table} nearly always have the condition {column} {operator} {constant}.",
                f"SELECT 1 FROM {table} WHERE {_quoted(column)} IS NOT NULL", found, evidence.structure,
            )
            for (table, column, operator, constant), found in seen.items()
            if len(found.threads) >= _FEWEST_FILTERS and len(found.threads) >= _SHARE * len(using[table].threads)
        ]
    )  # fmt: skip


def _finding(content: str, sql: str, found: _Seen, structure: AppStructure) -> Finding:
    select = read_select(sql)
    return Finding(
        key=key_of(content), content=content, sources=tuple(sorted(found.memories)), support=len(found.threads),
        objects=(used_objects(select, structure) if select else None) or (),
        digest=digest_of(select, structure) if select else "", detail={"sql": sql},
    )  # fmt: skip


def _selects(turns: Iterable[PastTurn]) -> Iterator[tuple[PastTurn, Select]]:
    for turn in turns:
        for sql in turn.examples if not (turn.corrected or turn.repeats) else ():
            select = read_select(as_one_line(sql) or "")
            if select is not None:
                yield turn, select


def _comparisons(evidence: Evidence) -> Iterator[tuple[PastTurn, Select, Comparison]]:
    """Yield the comparisons in what answered, with qualified names; those of unknown tables are left out."""
    names = _qualified(evidence.structure)
    for turn, select in _selects(evidence.turns):
        for one in select.comparisons:
            table, other = names.get(one.table), names.get(one.other_table) if one.other_table else ""
            if table is not None and other is not None:
                yield turn, select, Comparison(table, one.column, one.operator, one.other, other, one.other_column)


def _qualified(structure: AppStructure) -> Mapping[str, str]:
    names = {one["qualified"]: one["qualified"] for one in relations(structure)}
    return {one["name"]: one["qualified"] for one in relations(structure) if one["meant"] == one["qualified"]} | names


def _declared(structure: AppStructure) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    pairs = [
        ((key["source"], column), (key["target"], target))
        for key in structure.get("relationships", [])
        for column, target in zip(key["columns"], key["target_columns"], strict=False)
    ]
    return {(min(pair), max(pair)) for pair in pairs}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
