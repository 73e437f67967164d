"""The memories that benchmarks search are consistent, and the many made ones differ, are quick to make, and can be asked about."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

from benchmarks.memory.conversation_topics import TOPICS
from benchmarks.memory.conversations import conversations
from benchmarks.memory.text import texts

LABELLED = json.loads((Path(__file__).parents[2] / "benchmarks/memory/labelled.json").read_text(encoding="utf-8"))


def test_what_is_labelled_exists_and_is_balanced() -> None:
    memories = {one["id"]: one for one in LABELLED["memories"]}
    assert len(memories) == len(LABELLED["memories"]) >= 240
    assert {one["speaker"] for one in memories.values()} == {"anna", "ben", "carla", "david", "eve"}
    kinds = Counter(one["kind"] for one in memories.values())
    assert kinds["fact"] >= 60
    assert kinds["feedback"] >= 15
    for one in memories.values():
        assert ("content" in one) != ("question" in one)
    queries = LABELLED["queries"]
    assert len({(query["text"], query["thread"]) for query in queries}) == len(queries) == 80
    for query in queries:
        assert query["relevant"]
        assert set(query["relevant"]) <= set(memories)
        assert set(query["must"]) == {name for name in query["relevant"] if memories[name]["kind"] == "fact"}
        assert set(query.get("stale", ())) <= set(memories) - set(query["relevant"])
        assert query["thread"] is None or query["thread"] in {one["thread"] for one in memories.values()}
    assert sum(bool(query["must"]) for query in queries) >= 70
    assert sum("stale" in query for query in queries) >= 20
    assert len(set(LABELLED["unrelated"])) == 40


def test_turns_of_a_thread_follow_each_other_in_time() -> None:
    threads: dict[str, list[tuple[int, str]]] = {}
    for one in LABELLED["memories"]:
        threads.setdefault(one["thread"], []).append((one["turn"], one["said_at"]))
    for turns in threads.values():
        assert [turn for turn, _ in turns] == list(range(1, len(turns) + 1))
        assert [said for _, said in turns] == sorted(said for _, said in turns)


def test_half_of_the_queries_for_a_fact_resemble_an_earlier_turn() -> None:
    asked = [set(one["question"].lower().split()) for one in LABELLED["memories"] if one["kind"] == "interaction"]

    def resembles(text: str) -> bool:
        words = set(text.lower().split())
        return max(len(words & other) / len(words | other) for other in asked) >= 0.5

    assert sum(resembles(query["text"]) for query in LABELLED["queries"] if query["must"]) >= 35


def test_made_texts_differ_and_repeat_themselves_for_a_seed() -> None:
    start = time.monotonic()
    made = list(texts(20_000, seed=3))
    assert time.monotonic() - start < 15  # takes one
    assert len({content for _, content in made}) == 20_000
    assert 0.37 < sum(kind == "interaction" for kind, _ in made) / 20_000 < 0.43
    assert list(texts(200, seed=3)) == made[:200] != list(texts(200, seed=4))
    words = Counter(word for kind, content in made if kind == "fact" for word in content.lower().split())
    assert len(words) > 10_000
    assert sum(count for _, count in words.most_common(200)) > 0.5 * words.total()


def test_questions_about_chats_are_answered_by_what_the_named_person_said() -> None:
    made = list(conversations(20, seed=5))
    assert sum(len(one.questions) for one in made) >= 300
    assert len(TOPICS) >= 60
    kinds = Counter(question.kind for one in made for question in one.questions)
    assert min(kinds["changed"], kinds["both"]) >= 40
    apart = []
    for one in made:
        turns = {turn.id: turn for turn in one.turns}
        assert 80 <= len(turns) == len(one.turns) <= 300
        assert [turn.said_at for turn in one.turns] == sorted(turn.said_at for turn in one.turns)
        assert (one.turns[-1].said_at - one.turns[0].said_at).days >= 14
        for question in one.questions:
            for name, answer in zip(question.evidence, question.answer, strict=True):
                assert answer.lower() in turns[name].text.lower()
                assert question.about in (None, turns[name].speaker)
            words = set(question.text.lower().strip("?").split())
            apart.append(len(words & set(turns[question.evidence[0]].text.lower().split())))
    assert sorted(apart)[len(apart) // 2] <= 1  # a question and its evidence share hardly a word
