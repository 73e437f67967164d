"""Ask the built-in model questions over several databases through the real schema linking and executor, and judge what comes back.

`fresh.py` has the questions of somebody who has not seen the grammar. `tuned_<schema>.json` are those on which it was built: "sql"
gives the right rows (null: it must be refused or asked back); for a change it is run after its approval and must return the one value
`check`; for `remember`, `check` is the text that must be stored.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import psycopg
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, ToolMessage
from psycopg.sql import SQL, Identifier

from agent.approval.human_approval import human_approval_queue
from agent.demo.application import fill_demo
from agent.errors import AgentError
from agent.execution.execution_tools import tool_specs
from agent.execution.safe_executor import safe_executor
from agent.learning.auto_discover import auto_discovery
from agent.learning.schema_linking.linking import link_schema
from agent.providers.chat.client import create_chat_client
from agent.runtime import Runtime, open_runtime
from agent.testing.cluster import Cluster
from benchmarks.offline.fresh import Half, questions
from benchmarks.offline.hospital import HOSPITAL, HOSPITAL_SCHEMA
from benchmarks.offline.questions import DEMO, LIBRARY, LIBRARY_SCHEMA, ODD, ODD_SCHEMA
from benchmarks.offline.second import DEMO_SECOND, LIBRARY_SECOND, ODD_SECOND

HERE = Path(__file__).parent
SHOWN = 20  # rows of an answer
_LOOK_UP = "(SELECT DISTINCT "
_READS = ("execute_sql", "query_data")

Verdict = Literal["right", "wrong", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One case with its verdict. A question that must be refused is right when it is."""

    case: dict[str, Any]
    verdict: Verdict
    said: str
    sql: str = ""


@dataclass(slots=True)
class _Talk:
    """What one question came to: each call with its result, and the answer."""

    calls: list[tuple[str, dict[str, Any], dict[str, Any]]]
    answer: str = ""

    @property
    def last(self) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
        """The call that the answer rests on; a look-up of a value is none."""
        calls = [c for c in self.calls if c[0] not in ("describe_schema", "search_memory")]
        return calls[-1] if calls and not str(calls[-1][1].get("sql", "")).startswith(_LOOK_UP) else None


def fresh_cases(half: Half) -> list[dict[str, Any]]:
    """Return the questions of one half that somebody wrote who has not seen the grammar."""
    return [asdict(question) for question in questions(half)]


def cases_of(path: Path) -> list[dict[str, Any]]:
    """Return the cases of a set."""
    return json.loads(path.read_text(encoding="utf-8"))


def tuned_sets() -> list[Path]:
    """Return the files with sets on which the grammar was built."""
    return sorted(HERE.glob("tuned_*.json"))


def earlier_sets() -> list[dict[str, Any]]:
    """Return the questions over the demonstration, a library, a hospital and a schema with odd names."""
    sets = {
        "demo": (*DEMO, *DEMO_SECOND), "library": (*LIBRARY, *LIBRARY_SECOND), "odd": (*ODD, *ODD_SECOND), "hospital": HOSPITAL,
    }  # fmt: skip
    return [
        {
            "schema": name,
            "question": case.asked,
            "kind": name,
            "sql": case.sql,
            "ordered": case.ordered,
            "memories": case.memories,
        }
        for name, cases in sets.items()
        for case in cases
    ]


def _fill(schema: str) -> Any:
    earlier = {"library": LIBRARY_SCHEMA, "odd": ODD_SCHEMA, "hospital": HOSPITAL_SCHEMA}
    if schema == "demo":
        return fill_demo
    text = earlier.get(schema) or (HERE / "schemas" / f"{schema}.sql").read_text(encoding="utf-8")
    return lambda conn: conn.execute(text)


async def judge_all(cluster: Cluster, cases: Sequence[dict[str, Any]]) -> list[Judged]:
    """Ask every case, each schema in a database of its own; a change gets a fresh copy of it."""
    judged = []
    for name in dict.fromkeys(case["schema"] for case in cases):
        template = cluster.template(f"offline_{name}", _fill(name))
        runtime = await _opened(cluster, template)
        for case in (case for case in cases if case["schema"] == name):
            if case["kind"] in ("change", "remember"):
                await runtime.close()
                runtime = await _opened(cluster, template)
            judged.append(await judge(case, runtime))
        await runtime.close()
    return judged


async def _opened(cluster: Cluster, template: str) -> Runtime:
    runtime = await open_runtime(cluster.database(template))
    await auto_discovery.discover_app_structure(runtime=runtime)
    return runtime


async def judge(case: dict[str, Any], runtime: Runtime) -> Judged:
    """Ask one case through the real schema linking and the real executor, and compare what came with what is right."""
    asked = case["question"]
    talk = await _ask([asked] if isinstance(asked, str) else asked, case.get("memories", ()), runtime)
    last = talk.last
    done = last[2].get("success") if last else False
    sql = str(last[1].get("sql", last[1])) if last else ""
    verdict: Verdict
    if case["kind"] == "remember":
        content = last[1].get("content") if last and last[0] == "remember" else None
        wanted_text = case["check"]["remember"] if isinstance(case["check"], dict) else case["check"]
        verdict = "right" if content and str(wanted_text) in str(content) else "wrong" if content else "refused"
    elif not done and case.get("either"):
        verdict = "right"
    elif case["sql"] is None:
        verdict = "wrong" if last else "right"
    elif not done:
        verdict = "refused"
    elif case["kind"] == "change" and isinstance(case["check"], dict):
        verdict = "right" if await _is_set(case["check"], runtime) else "wrong"
    elif case["kind"] == "change":
        rows = await _rows(case["sql"], runtime)
        verdict = "right" if len(rows) == 1 and equal(rows[0][0], case["check"]) else "wrong"
    else:
        got = last[2].get("rows") or [] if last and last[0] in _READS else []
        readings = [await _rows(one, runtime) for one in (case["sql"], *case.get("also", ()))]
        fits = [same(got, one, ordered=bool(case.get("ordered")), ties="WITH TIES" in sql) for one in readings]
        verdict = "right" if any(fits) else "wrong"
    return Judged(case=case, verdict=verdict, said=talk.answer, sql=sql)


async def _ask(questions: Sequence[str], memories: Sequence[str], runtime: Runtime) -> _Talk:
    """Return the talk about the last of `questions`; the ones before it are only its history."""
    client = create_chat_client(runtime.settings)
    also: tuple[str, ...] = ()
    for question in questions:
        linked = await link_schema(question, also=also, runtime=runtime)
        also = tuple(dict.fromkeys((*linked.tables[:3], *also)))
    system = SystemMessage("\n\n".join(["You answer.", linked.text, "\n".join(memories)]))
    messages: list[BaseMessage] = [system, *map(HumanMessage, questions)]
    talk = _Talk(calls=[])
    for _ in range(8):
        answer = (await client.answer(messages, tool_specs())).message
        messages.append(answer)
        if not answer.tool_calls:
            talk.answer = answer.text
            return talk
        for call in answer.tool_calls:
            result = await _run(call["name"], call["args"], runtime)
            talk.calls.append((call["name"], call["args"], result))
            messages.append(ToolMessage(json.dumps(result, default=str), tool_call_id=call["id"]))
    raise AssertionError(f"no answer to {questions!r} after eight rounds")


async def _run(name: str, arguments: dict[str, Any], runtime: Runtime) -> dict[str, Any]:
    try:
        result = await safe_executor.execute(name, arguments, wait=False, runtime=runtime)
        if result.get("status") == "waiting":
            await human_approval_queue.decide(result["approval_id"], "approve", runtime=runtime)
            result = await safe_executor.run_approved(result["approval_id"], runtime=runtime)
    except AgentError as error:
        return {"success": False, "status": "failed", "error": str(error)}
    return dict(result)


async def _is_set(check: dict[str, Any], runtime: Runtime) -> bool:
    ((key, number),) = check["key"].items()
    names = [Identifier(name) for name in (check["column"], check["table"], key)]
    async with await psycopg.AsyncConnection.connect(runtime.settings.database_url.get_secret_value()) as conn:
        query = SQL("select {} = %s from {} where {} = %s").format(*names)
        return await (await conn.execute(query, (check["value"], number))).fetchone() == (True,)


async def _rows(sql: str, runtime: Runtime) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(runtime.settings.database_url.get_secret_value()) as conn:
        return await (await conn.execute(sql.encode())).fetchall()


def same(got: Sequence[Sequence[Any]], wanted: Sequence[Sequence[Any]], *, ordered: bool, ties: bool = False) -> bool:
    """Return whether `got` has the rows of `wanted`, whose cells it may surround with more.

    A long list shows its beginning, so it must have as many rows of `wanted` as it shows. Where equal ranks come together, more may come.
    """
    cut = len(wanted) > SHOWN and len(got) == SHOWN + 1
    if not cut and len(got) != len(wanted) and not (ties and len(got) > len(wanted)):
        return False
    if ordered and not ties:
        return all(holds(row, part) for row, part in zip(got, wanted, strict=False))
    few, many = (got, list(wanted)) if cut else (wanted, list(got))
    for one in few:
        match = next((other for other in many if (holds(one, other) if cut else holds(other, one))), None)
        if match is None:
            return False
        many.remove(match)
    return True


def holds(row: Sequence[Any], part: Sequence[Any]) -> bool:
    """Return whether each cell of `part` is a cell of `row`, or a word of one (a first name in a full name)."""
    return all(any(equal(cell, value) or str(value) in str(cell).split(" ") for cell in row) for value in part)


# The zeros at the end of a fraction of a second: Python writes six digits, Postgres as many as are needed.
_FRACTION = re.compile(r"(:\d\d(?:\.\d*[1-9])?)\.?0*(?=[+-]|$)")


def equal(one: Any, other: Any) -> bool:
    """Return whether two cells are the same; numbers may differ in the digits behind the tenth."""
    try:
        first, second = Decimal(str(one)), Decimal(str(other))
    except ArithmeticError:
        texts = [_FRACTION.sub(r"\1", str(value).strip().replace("T", " ")) for value in (one, other)]
        return texts[0] == texts[1] or (
            len(texts[0]) >= 10 and min(texts, key=len) == max(texts, key=len)[: len(min(texts, key=len))]
        )
    if isinstance(one, bool) or isinstance(other, bool):
        return one == other
    return abs(first - second) <= abs(second) * Decimal("1e-10")


def tally(judged: Sequence[Judged]) -> dict[str, Counter[str]]:
    """Return the verdicts by kind."""
    counts: dict[str, Counter[str]] = {}
    for one in judged:
        counts.setdefault(one.case["kind"], Counter())[one.verdict] += 1
    return counts
