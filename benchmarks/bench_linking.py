"""Measure whether the schema text holds every table and column that a question needs.

The first set has been tuned on. The fresh one was written without a look at the linker, and nothing is tuned on it.

`LINKING_QUESTIONS=questions.json LINKING_SCHEMA=schema.sql` adds a set from outside: a list of [question, [table, ...]].
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import psycopg

from agent.learning.auto_discover import auto_discovery
from agent.learning.schema_linking.index import SchemaIndex
from agent.learning.schema_linking.linking import link
from agent.providers.offline_model.schema_parser import parse_schema
from agent.runtime import open_runtime
from agent.testing.cluster import Cluster
from agent.text.tokens import estimate_tokens
from benchmarks.linking.company import QUESTIONS as COMPANY_QUESTIONS
from benchmarks.linking.fresh.campus import CAMPUS
from benchmarks.linking.fresh.campus import QUESTIONS as CAMPUS_QUESTIONS
from benchmarks.linking.fresh.clinic import CLINIC
from benchmarks.linking.fresh.clinic import QUESTIONS as CLINIC_QUESTIONS
from benchmarks.linking.fresh.forge import FORGE
from benchmarks.linking.fresh.forge import QUESTIONS as FORGE_QUESTIONS
from benchmarks.linking.hotels import HOTELS
from benchmarks.linking.hotels import QUESTIONS as HOTEL_QUESTIONS
from benchmarks.linking.library import LIBRARY
from benchmarks.linking.library import QUESTIONS as LIBRARY_QUESTIONS
from benchmarks.report import Report
from benchmarks.wide_schema import ddl

_BUDGET = 4_000
_SMALL_BUDGET = 700  # the small schema does not fit into it
_ALL_FIT, _NOT_ALL_FIT = 0.99, 0.97


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A question and the columns, as (table, column), that its answer needs; the column "" stands for the table only."""

    question: str
    columns: Set[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the text of one question lacks, as table.column, and its tokens; `whole`: the schema fits in full."""

    need: Need
    missing: Sequence[str]
    tokens: int
    whole: bool


async def measure(report: Report) -> None:
    """Ask each schema its questions within the budget, and print the share that lacks nothing."""
    cluster = Cluster()
    try:
        library = await _index(cluster, "library", LIBRARY)
        hotels = await _index(cluster, "hotels", HOTELS)
        company = await _index(cluster, "wide", ddl())
        tuned = [(library, LIBRARY_QUESTIONS), (hotels, HOTEL_QUESTIONS), (company, COMPANY_QUESTIONS)]
        _report_set(report, tuned, "tuned")
        clinic = await _index(cluster, "clinic", CLINIC)
        campus = await _index(cluster, "campus", CAMPUS)
        forge = await _index(cluster, "forge", FORGE)
        fresh = [(clinic, CLINIC_QUESTIONS), (campus, CAMPUS_QUESTIONS), (forge, FORGE_QUESTIONS)]
        _report_set(report, fresh, "fresh")
        cramped = [_outcome(library, need, _SMALL_BUDGET) for need in _needs(LIBRARY_QUESTIONS)]
        _report(report, cramped, f"the small schema in {_SMALL_BUDGET} tokens", bar=None)
        if outside := os.environ.get("LINKING_QUESTIONS"):
            await _measure_outside(report, cluster, Path(outside), Path(os.environ["LINKING_SCHEMA"]))
    finally:
        cluster.close()


def _report_set(report: Report, asked: Sequence[tuple[SchemaIndex, str]], name: str) -> None:
    outcomes = [_outcome(index, need, _BUDGET) for index, questions in asked for need in _needs(questions)]
    _report(report, [one for one in outcomes if one.whole], f"{name}, all fits", bar=_ALL_FIT)
    _report(report, [one for one in outcomes if not one.whole], f"{name}, not all fits", bar=_NOT_ALL_FIT)


async def _measure_outside(report: Report, cluster: Cluster, questions: Path, schema: Path) -> None:
    index = await _index(cluster, "outside", schema.read_text(encoding="utf-8"))
    asked = json.loads(questions.read_text(encoding="utf-8"))
    needs = [
        Need(question=question, columns={(_full_name(table), "") for table in tables}) for question, tables in asked
    ]
    _report(report, [_outcome(index, need, _BUDGET) for need in needs], questions.name, bar=_ALL_FIT)


async def _index(cluster: Cluster, name: str, script: str) -> SchemaIndex:
    def fill(conn: psycopg.Connection) -> None:
        conn.execute(script.encode())

    runtime = await open_runtime(cluster.database(cluster.template(name, fill)))
    try:
        return SchemaIndex.build(await auto_discovery.discover_app_structure(runtime=runtime))
    finally:
        await runtime.close()


def _needs(text: str) -> list[Need]:
    """Parse lines of `question | table.column ...`."""
    needs = []
    for line in text.strip().splitlines():
        question, _, names = line.partition(" | ")
        split = [name.rpartition(".") for name in names.split()]
        needs.append(Need(question=question, columns={(_full_name(table), column) for table, _, column in split}))
    return needs


def _full_name(table: str) -> str:
    return table if "." in table else f"public.{table}"


def _outcome(index: SchemaIndex, need: Need, budget: int) -> Outcome:
    """Link one question. A needed table must be there with its keys (not only as a name), and each needed column by name."""
    _check(index, need)
    linked = link(index, need.question, token_budget=budget)
    shown = {f"{relation.schema}.{relation.name}": relation for relation in parse_schema([linked.text])}
    missing = [
        f"{table}.{column}"
        for table, column in sorted(need.columns)
        if table not in linked.tables
        or not (column == "" or shown[table].column(column) or column in shown[table].more_columns)
    ]
    whole = estimate_tokens("\n\n".join(map(index.text, index.relations))) <= budget
    return Outcome(need=need, missing=missing, tokens=linked.tokens, whole=whole)


def _check(index: SchemaIndex, need: Need) -> None:
    for table, column in need.columns:
        names = {item["name"] for item in index.relations[index.positions[table]]["columns"]}
        assert column in {"", *names}, f"{need.question}: there is no {table}.{column}"


def _report(report: Report, outcomes: Sequence[Outcome], name: str, *, bar: float | None) -> None:
    complete = sum(not one.missing for one in outcomes)
    most = max(one.tokens for one in outcomes)
    share = complete / len(outcomes)
    for one in outcomes:
        if one.missing and bar is not None:
            report.note(f"{one.need.question!r} lacks {', '.join(one.missing)}")
    what = f"every needed table and column present, {len(outcomes)} questions, {name}"
    reached = f"{complete} of {len(outcomes)} ({share:.1%}), at most {most} tokens"
    if bar is None:
        report.note(f"{what}: {reached}")
    else:
        report.bar(
            what, bar=f">= {bar:.0%} within {_BUDGET:,} tokens", reached=reached, ok=share >= bar and most <= _BUDGET
        )
    report.note(f"{name}: median {statistics.median(one.tokens for one in outcomes):.0f} tokens")
