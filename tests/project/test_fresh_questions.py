"""The fresh questions are sound: each gold statement runs, finds something, and no question is in both halves."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import psycopg
import pytest
from benchmarks.offline.fresh import SCHEMAS, Half, Kind, faults, questions, schema_of

from agent.testing.cluster import Cluster

HALVES = get_args(Half)
EVERYTHING = [question for half in HALVES for question in questions(half)]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_each_gold_statement_finds_what_a_person_would_expect(cluster: Cluster, schema: str) -> None:
    with psycopg.connect(cluster.empty_database()) as conn:
        conn.execute(schema_of(schema).encode())
        conn.commit()
        found = [fault for one in EVERYTHING if one.schema == schema for fault in faults(conn, one)]
    assert found == []


@pytest.mark.parametrize("half", HALVES)
def test_a_half_holds_each_kind_and_schema_and_some_that_cannot_be_answered(half: Half) -> None:
    asked = questions(half)
    assert len(asked) == 90
    assert {one.kind for one in asked} == set(get_args(Kind))
    assert min(Counter(one.schema for one in asked).values()) >= 20
    assert sorted(Counter(one.schema for one in asked)) == sorted(SCHEMAS)
    unanswered = [one for one in asked if one.sql is None]
    assert {one.kind for one in unanswered} == {"impossible", "remember"}
    assert 8 <= len(unanswered) <= 12
    assert [one.question for one in asked if (one.kind in ("change", "remember")) != bool(one.check)] == []


def test_no_question_is_in_both_halves() -> None:
    assert len({(one.schema, one.question.lower()) for one in EVERYTHING}) == len(EVERYTHING)
