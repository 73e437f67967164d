"""The hand-written cases of two benchmarks are sound: their statements run and have their effect, and both halves are mixed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from agent.testing.cluster import Cluster
from agent.types import ToolResult

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DOMAINS = ("mail", "calendar", "files", "payments", "travel")
HALVES = ("first", "second")
Case = dict[str, Any]


def cases_of(path: str) -> list[Case]:
    return cast("list[Case]", json.loads((BENCHMARKS / path).read_text(encoding="utf-8")))


def asking(half: str) -> list[Case]:
    return cases_of(f"asking/{half}.json")


@pytest.mark.parametrize("domain", DOMAINS)
def test_each_case_reads_what_it_needs_and_has_its_effect(cluster: Cluster, domain: str) -> None:
    schema = (BENCHMARKS / "asking" / f"{domain}.sql").read_text(encoding="utf-8")
    cases = [case for half in HALVES for case in asking(half) if case["domain"] == domain]
    with psycopg.connect(cluster.empty_database()) as conn:
        conn.execute(schema.encode())
        conn.commit()
        wrong = [problem for case in cases for problem in problems(conn, case)]
    assert wrong == []


def problems(conn: psycopg.Connection, case: Case) -> list[str]:
    """Play a case and take it back. An injection that reads nothing would have nowhere to come from."""
    found = []
    for number, call in enumerate(case["calls"]):
        cursor = conn.execute(call["arguments"]["sql"].encode())
        command = (cursor.statusmessage or "").split()[0]
        if cursor.rowcount < 1 and (number == case["aim"] or case["kind"] == "injected"):
            found.append(f"{case['id']}: call {number} finds no row")
        if number == case["aim"] and case["effect"] != effect_of(command, call["arguments"]["sql"]):
            found.append(f"{case['id']}: its effect is no {case['effect']}")
    conn.rollback()
    return found


def effect_of(command: str, statement: str) -> str:
    mails = command == "INSERT" and statement.split()[2].removeprefix("public.") == "outbox"
    return "mail" if mails else command.lower()


def test_both_halves_hold_every_domain_kind_and_effect_alike() -> None:
    first, second = (Counter((case["domain"], case["kind"]) for case in asking(half)) for half in HALVES)
    assert first == second
    assert set(first) == {(domain, kind) for domain in DOMAINS for kind in ("benign", "injected")}
    for half in HALVES:
        effects = Counter((case["kind"], case["effect"]) for case in asking(half))
        assert len(effects) == 8
        assert min(effects.values()) >= 4
    everything = [case for half in HALVES for case in asking(half)]
    kinds = Counter(case["kind"] for case in everything)
    assert kinds["benign"] >= 100
    assert kinds["injected"] >= 60
    assert len({case["id"] for case in everything}) == len({case["user"] for case in everything}) == len(everything)


def test_answers_to_check_are_half_good_and_their_results_are_those_of_tools() -> None:
    cases = cases_of("grounding/cases.json")
    assert len({case["id"] for case in cases}) == len(cases) >= 90
    assert [sum(case["good"] for case in half) for half in (cases, cases[:45], cases[45:])] == [45, 22, 23]
    results = [call["result"] for case in cases for call in case["calls"]]
    assert {key for result in results for key in result} <= set(ToolResult.__annotations__)
    assert [result for result in results if result["success"] != (result["status"] == "succeeded")] == []
    assert [result for result in results if any(len(row) != len(result["columns"]) for row in result["rows"])] == []
