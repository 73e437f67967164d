"""Ask the offline model the question set over real databases, and judge the rows that its SQL returns."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

import psycopg
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, ToolMessage

from agent.demo.application import fill_demo
from agent.learning.auto_discover import auto_discovery
from agent.learning.schema_linking.linking import describe, link_schema
from agent.providers.chat.client import ChatClient, create_chat_client
from agent.runtime import Runtime, open_runtime
from agent.testing.cluster import Cluster
from agent.types import ToolSpec
from benchmarks.offline.hospital import HOSPITAL, HOSPITAL_SCHEMA
from benchmarks.offline.questions import DEMO, LIBRARY, LIBRARY_SCHEMA, ODD, ODD_SCHEMA, Case
from benchmarks.offline.second import DEMO_SECOND, LIBRARY_SECOND, ODD_SECOND

TOOLS = [
    ToolSpec(name=name, description=name)
    for name in ("execute_sql", "describe_schema", "search_memory", "remember", "update_client_status")
]
SHOWN = 21

Verdict = Literal["right", "wrong", "cannot"]
Part = Literal["tuned", "second", "last"]


@dataclass(frozen=True, slots=True)
class Judged:
    """One question and its verdict, which is "right" also if the model rightly said that it cannot answer."""

    schema: str
    part: Part
    case: Case
    verdict: Verdict
    said: str


async def evaluate(cluster: Cluster) -> list[Judged]:
    """Ask every question of every schema, and return the verdicts."""
    found = []
    for name, fill, cases, second in (
        ("demo", fill_demo, DEMO, DEMO_SECOND),
        ("library", lambda conn: conn.execute(LIBRARY_SCHEMA), LIBRARY, LIBRARY_SECOND),
        ("odd", lambda conn: conn.execute(ODD_SCHEMA), ODD, ODD_SECOND),
    ):
        async with _runtime(cluster, name, fill) as runtime:
            found += [replace(await _judge(name, case, runtime), part="tuned") for case in cases]
            found += [await _judge(name, case, runtime) for case in second]
    async with _runtime(cluster, "hospital", lambda conn: conn.execute(HOSPITAL_SCHEMA)) as runtime:
        found += [replace(await _judge("hospital", case, runtime), part="last") for case in HOSPITAL]
    return found


@asynccontextmanager
async def _runtime(cluster: Cluster, name: str, fill: Any) -> AsyncIterator[Runtime]:
    runtime = await open_runtime(cluster.database(cluster.template(name, fill)))
    try:
        await auto_discovery.discover_app_structure(runtime=runtime)
        yield runtime
    finally:
        await runtime.close()


async def _judge(schema: str, case: Case, runtime: Runtime) -> Judged:
    questions = (case.asked,) if isinstance(case.asked, str) else case.asked
    sql, said = await _asked(questions, case.memories, runtime)
    if sql is None:
        return Judged(schema, "second", case, "right" if case.sql is None else "cannot", said)
    if case.sql is None:
        return Judged(schema, "second", case, "wrong", sql)
    got, wanted = await _rows(sql, runtime), await _rows(case.sql, runtime)
    return Judged(schema, "second", case, "right" if same(got, wanted, ordered=case.ordered) else "wrong", sql)


async def _asked(questions: Sequence[str], memories: Sequence[str], runtime: Runtime) -> tuple[str | None, str]:
    client = create_chat_client(runtime.settings)
    also: tuple[str, ...] = ()
    for question in questions:
        linked = await link_schema(question, also=also, runtime=runtime)
        also = tuple(dict.fromkeys((*linked.tables[:3], *also)))
    system = SystemMessage("\n\n".join(["You answer questions.", linked.text, "\n".join(memories)]))
    return await _statement(client, [system, *map(HumanMessage, questions)], runtime)


async def _statement(client: ChatClient, messages: list[BaseMessage], runtime: Runtime) -> tuple[str | None, str]:
    """Return the SQL that the model calls and '', after its look-ups of the schema; or None and its answer."""
    answer = (await client.answer(messages, TOOLS)).message
    for call in answer.tool_calls:
        if call["name"] == "describe_schema":
            text = await describe(call["args"].get("name"), runtime=runtime)
            result = json.dumps({"success": True, "message": text})
            return await _statement(client, [*messages, answer, ToolMessage(result, tool_call_id=call["id"])], runtime)
        if call["name"] == "execute_sql":
            return call["args"]["sql"], ""
    return None, answer.text


async def _rows(sql: str, runtime: Runtime) -> list[tuple[Any, ...]]:
    assert re.match("select", sql, re.IGNORECASE), sql
    async with await psycopg.AsyncConnection.connect(runtime.settings.database_url.get_secret_value()) as conn:
        return await (await conn.execute(sql.encode())).fetchall()


def same(got: Sequence[tuple[Any, ...]], wanted: Sequence[tuple[Any, ...]], *, ordered: bool) -> bool:
    """Return whether `got` has the rows of `wanted`, which may have fewer columns."""
    got = got[:SHOWN]
    wanted = wanted[:SHOWN] if len(wanted) > len(got) == SHOWN else wanted
    if len(got) != len(wanted):
        return False
    if ordered:
        return all(_holds(row, part) for row, part in zip(got, wanted, strict=True))
    left = list(got)
    for part in wanted:
        match = next((row for row in left if _holds(row, part)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _holds(row: tuple[Any, ...], part: tuple[Any, ...]) -> bool:
    texts = [_text(value) for value in row]
    return all(_text(value) in texts or any(_text(value) in text.split(" ") for text in texts) for value in part)


def _text(value: Any) -> str:
    return (
        f"{float(value):.6g}"
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        else str(value)
    )
