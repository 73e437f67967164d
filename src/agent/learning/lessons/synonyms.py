"""Words that people use for a table that has another name: "accounts" where the schema has clients. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from agent.learning.discovery.structure import AppStructure, relations
from agent.learning.lessons.lesson import Evidence, Finding, Findings, PastTurn, key_of
from agent.learning.lessons.statement import as_one_line, digest_of, read_select, used_objects
from agent.text.words import STOP_WORDS, related, stem, stems, words

NAME = "synonyms"
_FEWEST, _MOST_OF_ALL, _LONGEST = 3, 0.5, 200


def find_synonyms(evidence: Evidence) -> Findings:
    """Return the words that several conversations used, always about the same one table, and that no name holds."""
    named = _names(evidence.structure)
    answered = [(turn, tables) for turn in evidence.turns if (tables := _tables(turn, evidence.structure))]
    using: dict[str, list[tuple[PastTurn, frozenset[str]]]] = defaultdict(list)
    for turn, tables in answered:
        for word in set(_counted(turn.question)) - named:
            using[word].append((turn, tables))
    return Findings(
        known=[one for word, turns in using.items() for one in _finding(word, turns, len(answered), evidence.structure)]
    )


def _finding(
    word: str, turns: list[tuple[PastTurn, frozenset[str]]], answered: int, structure: AppStructure
) -> Iterator[Finding]:
    threads = {turn.thread or str(turn.memory) for turn, _ in turns}
    always = frozenset.intersection(*(tables for _, tables in turns))
    if len(threads) < _FEWEST or len(always) != 1 or len(turns) > _MOST_OF_ALL * answered:
        return
    (table,) = always
    alone = [turn for turn, tables in turns if len(tables) == 1]
    sql = f"SELECT 1 FROM {table}"
    select = read_select(sql)
    spelled = next((one for turn, _ in turns for one in words(turn.question) if stem(one) == word), word)
    if alone and select is not None:
        yield Finding(
            key=key_of(word, table), content=f'People say "{spelled}" for the rows of {table}.', objects=(table,),
            digest=digest_of(select, structure), sources=tuple(sorted(turn.memory for turn, _ in turns)), support=len(threads),
            detail={"sql": sql},
        )  # fmt: skip


def _tables(turn: PastTurn, structure: AppStructure) -> frozenset[str]:
    if turn.corrected or turn.repeats or len(turn.examples) != 1 or len(turn.question) > _LONGEST:
        return frozenset()
    select = read_select(as_one_line(turn.examples[0]) or "")
    return frozenset((used_objects(select, structure) if select else None) or ())


def _counted(question: str) -> Iterator[str]:
    """Yield the stems of the nouns that are asked for: after "how many", "which", "list", "our" and the like."""
    spoken = words(question)
    for before, word in pairwise(spoken):
        if (
            before in ("many", "which", "list", "our", "all", "of", "the", "any")
            and word not in STOP_WORDS
            and word.isalpha()
        ):
            yield stem(word)


def _names(structure: AppStructure) -> set[str]:
    """Return the stems of all names of the schema and of their usual synonyms."""
    found = {
        word
        for one in relations(structure)
        for name in (one["name"], *(c["name"] for c in one["columns"]))
        for word in stems(name)
    }
    return found | {other for word in found for other in related(word)}
