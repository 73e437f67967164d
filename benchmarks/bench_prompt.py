"""Measure the requests that a model gets: tokens of the tools and of a first request, and how much of each was sent before.

What a request has in common with the one before it, from its beginning, is what a provider's cache serves. A set-up is plain
without mail, with nothing to undo, and without a table of clients.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, takewhile
from statistics import median

import psycopg
from langchain_core.messages import convert_to_openai_messages

from agent.chat import chat
from agent.demo.application import fill_demo
from agent.execution import available_tools
from agent.runtime import Runtime, open_runtime
from agent.testing.cluster import Cluster
from agent.testing.scripted_model import call, scripted_client
from agent.text.tokens import estimate_tokens
from benchmarks.linking.hotels import HOTELS
from benchmarks.linking.library import LIBRARY
from benchmarks.report import Report

_TOOLS_BAR, _PREFIX_BAR = 1_100, 0.85
_BYTES_OF_JSON = 3.8  # measured: 8,560 bytes of compact tool schemas were 2,258 tokens
_SQL = {
    "demo": "SELECT status, count(*) FROM public.orders GROUP BY status",
    "library": "SELECT title, count(*) FROM public.book GROUP BY title",
    "hotels": "SELECT title FROM public.hotel",
}
_QUESTIONS = (
    "How many of them are there?",
    "And by state?",
    "Which one was the newest?",
    "What did that cost us last year?",
    "Who was responsible?",
    "Show the ten largest",
    "How does that compare with the year before?",
    "And without the cancelled ones?",
)


async def measure(report: Report) -> None:
    """Print the tokens of three set-ups and what their requests have in common."""
    cluster = Cluster()
    try:
        for name, fill in (("library", _filled(LIBRARY)), ("demo", fill_demo), ("hotels", _filled(HOTELS))):
            runtime = await open_runtime(cluster.database(cluster.template(f"prompt_{name}", fill)))
            try:
                await _measure_setup(report, name, runtime)
            finally:
                await runtime.close()
    finally:
        cluster.close()


def _filled(script: str):  # type: ignore[no-untyped-def]  # a template's function
    def fill(conn: psycopg.Connection) -> None:
        conn.execute(script.encode())

    return fill


async def _measure_setup(report: Report, name: str, runtime: Runtime) -> None:
    tools = [
        {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
        for spec in await available_tools.usable(runtime=runtime)
    ]
    written = json.dumps(tools, separators=(",", ":"), ensure_ascii=False)
    tokens = round(len(written) / _BYTES_OF_JSON)
    if name == "library":
        report.bar(
            f"tools of a plain set-up ({len(tools)} tools)", bar=f"<= {_TOOLS_BAR:,} tokens", reached=f"{tokens:,} tokens",
            ok=tokens <= _TOOLS_BAR,
        )  # fmt: skip
    else:
        report.note(f"{name}: {len(tools)} tools, {tokens:,} tokens")
    turns = await _conversation(name, written, runtime)
    report.note(
        f"{name}: a first request has {tokens + estimate_tokens(turns[0][0]) - estimate_tokens(written):,} tokens"
    )
    within = [_share(*pair) for turn in turns for pair in pairwise(turn)]
    across = [_share(before[-1], after[0]) for before, after in pairwise(turns)]
    report.note(f"{name}: {min(within):.0%} of each request after the first of its turn was sent before, at least")
    reached = f"{median(across):.0%} (at least {min(across):.0%})"
    what = f"{name}: of the first request of a turn was sent in the turn before, {len(across)} turns"
    if name == "hotels":  # the schema does not fit: another part of it is shown for each question
        report.note(f"{what}, where the schema does not fit: {reached}")
    else:
        report.bar(what, bar=f">= {_PREFIX_BAR:.0%}", reached=reached, ok=median(across) >= _PREFIX_BAR)


async def _conversation(name: str, tools: str, runtime: Runtime) -> list[list[str]]:
    """Play a conversation with one read in each turn; return the requests of each turn as texts."""
    steps = [
        step for _ in _QUESTIONS for step in (call("execute_sql", sql=_SQL[name]), "There are some of each state.")
    ]
    client = scripted_client(steps)
    turns = []
    for question in _QUESTIONS:
        before = len(client.requests)
        await chat.answer(question, thread_id="thread", runtime=replace(runtime, model=client))
        turns.append([tools + _as_text(messages) for messages in client.requests[before:]])
    return turns


def _as_text(messages: Sequence[object]) -> str:
    return json.dumps(convert_to_openai_messages(messages), ensure_ascii=False)  # type: ignore[arg-type]  # messages


def _share(before: str, after: str) -> float:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False))
    return sum(1 for _ in same) / len(after)
