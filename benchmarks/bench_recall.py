"""Measure recall: how much of what goes into prompts is relevant, and whether every stated fact gets there.

The sets lie in `benchmarks/memory/`: memories, queries with the memories that are relevant to each and the statements that must be
found, and texts to which nothing is relevant. `labelled.json` was written by somebody who has not seen the search.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.learning.learning_middleware import Interaction, interaction_text
from agent.learning.memory import NewMemory, agent_memory
from agent.learning.memory.correction import correction_in
from agent.learning.memory.turns import is_refusal
from agent.learning.semantic_search import semantic_search
from agent.runtime import Runtime, open_runtime
from agent.testing.cluster import Cluster
from benchmarks.report import Report

_SETS = Path(__file__).parent / "memory"
_TURNS = 1_000  # earlier turns that resemble the questions, when facts must still be found


@dataclass(frozen=True, slots=True)
class Recalled:
    """What one query recalled, by the ids of its set."""

    query: str
    ids: Sequence[str]
    relevant: frozenset[str]
    must: frozenset[str]


def _memory(item: Mapping[str, Any]) -> NewMemory:
    """Return a memory of a set as the agent would have stored it."""
    source: dict[str, Any] = {"source_thread": item.get("thread"), "source_turn": item.get("turn"), "speaker": item.get("speaker")}  # fmt: skip
    if item["kind"] != "interaction":
        trust = "agent" if item.get("speaker") == "agent" else "human"
        return NewMemory(content=item["content"], kind=item["kind"], trust=trust, **source)
    sql = [item["sql"]] if item.get("sql") else []
    said = Interaction(question=item["question"], answer=item.get("answer") or "", statements=sql)
    metadata = {"question": item["question"], "statements": sql}
    return NewMemory(content=interaction_text(said), kind="interaction", metadata=metadata, **source)


def _asked(item: Mapping[str, Any], memories: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return a turn as the agent keeps it: one that corrects the turn before it asks that turn's question again."""
    correction = correction_in(item["question"])
    before = [
        one["question"]
        for one in memories
        if correction
        and one["kind"] == "interaction"
        and one["thread"] == item["thread"]
        and one["turn"] < item["turn"]
    ]
    return {**item, "question": f"{before[-1]} ({correction.statement})"} if correction and before else item


async def _filled(cluster: Cluster, memories: Sequence[Mapping[str, Any]]) -> tuple[Runtime, dict[int, str]]:
    """Tell the agent a set in its order: what is stated replaces and corrects, and what is no answer is not kept."""
    runtime = await open_runtime(cluster.database(cluster.template("blank")))
    kept = [item for item in memories if item["kind"] != "interaction" or not is_refusal(item.get("answer") or "")]
    turns = [_asked(item, memories) for item in kept if item["kind"] == "interaction"]
    saved = await agent_memory.save_many([_memory(item) for item in turns], runtime=runtime)
    ids = {memory.id: str(item["id"]) for memory, item in zip(saved, turns, strict=True)}
    for item in (item for item in kept if item["kind"] != "interaction"):
        wrong: list[int] = []
        if item["kind"] == "feedback" and item.get("turn"):
            before = await agent_memory.turn_memories(item["thread"], item["turn"] - 1, runtime=runtime)
            wrong = [memory.id for memory in before if memory.kind == "interaction"]
        taught = await agent_memory.teach(_memory(item), corrects=wrong, runtime=runtime)
        if taught.memory is not None:
            ids.setdefault(taught.memory.id, str(item["id"]))
    return runtime, ids


async def _recall(queries: Sequence[Mapping[str, Any]], ids: Mapping[int, str], runtime: Runtime) -> list[Recalled]:
    found = []
    for query in queries:
        context = await semantic_search.get_relevant_context(
            query["text"], shown=(query["thread"], 0) if query.get("thread") else None, note_use=False, runtime=runtime
        )
        recalled = [ids[memory.id] for memory in context.memories]
        relevant, must = (frozenset(map(str, query.get(name, ()))) for name in ("relevant", "must"))
        found.append(Recalled(query["text"], recalled, relevant | must, must))
    return found


def _repeated(memories: Sequence[Mapping[str, Any]], queries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the memories, and so many turns that ask what the queries ask that they crowd the facts."""
    asked = [
        {"id": f"again {n}", "kind": "interaction", "question": f"{queries[n % len(queries)]['text']} ({n})",
         "answer": f"It is {n}.", "sql": f"select {n}", "thread": f"crowd {n // 9}", "turn": n % 9 + 1, "speaker": "ben"}
        for n in range(_TURNS)
    ]  # fmt: skip
    return [*asked, *memories]


async def _measure_set(name: str, data: Mapping[str, Any], cluster: Cluster, report: Report) -> None:
    runtime, ids = await _filled(cluster, data["memories"])
    found = await _recall(data["queries"], ids, runtime)
    unrelated = await _recall([{"text": text} for text in data["unrelated"]], ids, runtime)
    await runtime.close()
    right = sum(len(one.relevant.intersection(one.ids)) for one in found)
    shown = sum(len(one.ids) for one in found)
    report.bar(
        f"relevant among what is recalled ({name})", bar=">= 80 %",
        reached=f"{right / max(shown, 1):.0%} of {shown}", ok=right >= 0.8 * shown,
    )  # fmt: skip
    _facts_bar(f"stated facts that are found ({name})", found, report)
    loud = [one.query for one in unrelated if one.ids]
    report.bar(f"unrelated texts recall nothing ({name})", bar="0", reached=f"{len(loud)} {loud[:3]}", ok=not loud)
    crowded, ids = await _filled(cluster, _repeated(data["memories"], data["queries"]))
    _facts_bar(
        f"the same among {_TURNS} turns that ask alike ({name})", await _recall(data["queries"], ids, crowded), report
    )
    await crowded.close()


def _facts_bar(what: str, found: Sequence[Recalled], report: Report) -> None:
    lost = [f"{one.query!r} lacks {sorted(one.must.difference(one.ids))}" for one in found if one.must - {*one.ids}]
    wanted = sum(bool(one.must) for one in found)
    report.bar(what, bar="100 %", reached=f"{wanted - len(lost)} of {wanted} {lost[:3] or ''}".strip(), ok=not lost)


async def measure(report: Report) -> None:
    """Measure every set of `benchmarks/memory/`."""
    cluster = Cluster()
    try:
        for path in sorted(_SETS.glob("*.json")):
            await _measure_set(path.stem, json.loads(path.read_text(encoding="utf-8")), cluster, report)
    finally:
        cluster.close()
