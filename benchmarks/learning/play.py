"""Plays a history of conversations, and asks the built-in model questions afterwards.

The history is what people did with a strong model: a script stands for it, which runs the SQL that the data set gives. Everything
else is real: the graph, the executor, the memory, the learner and the built-in model that answers in the end.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal

from agent.chat import chat
from agent.learning.learning_middleware import learning_middleware
from agent.runtime import Runtime
from agent.testing.scripted_model import call, scripted_client
from benchmarks.offline.evaluation import SHOWN

DATA = Path(__file__).parents[1] / "data"
_LOOK_UP = "(SELECT DISTINCT "
_CALLS = """
SELECT arguments ->> 'sql' AS sql, result FROM agents.tool_calls
 WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread)s AND tool = 'execute_sql' ORDER BY turn, round, ordinal
"""
Verdict = Literal["right", "wrong", "refused"]
Case = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question of the set, what came of it, and the SQL that the answer rests on."""

    case: Case
    verdict: Verdict
    sql: str = ""
    said: str = ""


def cases(schema: str) -> list[Case]:
    """Return the questions over one schema."""
    lines = (DATA / f"learning_{schema}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def poisons(schema: str) -> list[Case]:
    """Return what poisons a history over one schema."""
    lines = (DATA / "learning_poison.jsonl").read_text(encoding="utf-8").splitlines()
    return [one for line in lines if line.strip() and (one := json.loads(line))["schema"] == schema]


async def play(every: Sequence[Case], interactions: int, runtime: Runtime) -> None:
    """Play so many interactions of each family: first what is taught, then its questions of the train half, again and again."""
    families: dict[str, list[Case]] = defaultdict(list)
    for case in every:
        families[case["family"]].append(case)
    for family in families.values():
        taught = {json.dumps(one): one for case in family for one in case["teach"]}
        for one in list(taught.values())[:interactions]:
            await teach(one, runtime)
        train = [case for case in family if case["split"] == "train"]
        for case in islice(cycle(train), max(0, interactions - len(taught))):
            if case["class"] == "nothing":  # nobody helps here: the built-in model is asked as before
                await chat.answer(case["question"], runtime=runtime)
            else:
                await spoken(case["question"], [case["truth_sql"]], runtime)


async def teach(lesson: Mapping[str, Any], runtime: Runtime) -> None:
    """Tell the agent a statement, let it run an example, or correct what it did."""
    if lesson["kind"] == "statement":
        await told(lesson["text"], runtime)
    elif lesson["kind"] == "example":
        await spoken(lesson["question"], [lesson["sql"]], runtime)
    else:
        thread = await spoken(lesson["question"], [lesson["wrong_sql"]], runtime)
        await spoken(_said_against(lesson["text"]), [lesson["sql"]], runtime, thread=thread)


def _said_against(text: str) -> str:
    """Return a correction that says that it is one: the set's texts do so by their place in the conversation."""
    return text if text.lower().startswith("no,") else f"That's wrong: {text}"


async def told(text: str, runtime: Runtime) -> None:
    """Say something that the model notes."""
    client = scripted_client([call("remember", content=text, kind="fact"), "Noted."])
    await chat.answer(f"Remember: {text}", runtime=replace(runtime, model=client, cached={}))


async def spoken(question: str, statements: Sequence[str], runtime: Runtime, *, thread: str | None = None) -> str:
    """Ask with a model that runs these statements; return the thread."""
    client = scripted_client([*(call("execute_sql", sql=sql) for sql in statements), "Here it is."], repeat_last=True)
    return (await chat.answer(question, thread_id=thread, runtime=replace(runtime, model=client, cached={}))).thread_id


async def ask_all(every: Sequence[Case], runtime: Runtime) -> list[Asked]:
    """Ask the built-in model each question in a conversation of its own, and forget these conversations."""
    asked = [await ask(case, runtime) for case in every]
    await runtime.execute(
        "DELETE FROM agents.agent_memory WHERE tenant_id = %(tenant_id)s AND source_thread LIKE 'asked-%%'"
    )
    return asked


async def ask(case: Case, runtime: Runtime) -> Asked:
    """Ask one question and compare the rows that its answer rests on with the true ones."""
    thread = f"asked-{case['id']}"
    await runtime.execute(
        "DELETE FROM agents.threads WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread)s", thread=thread
    )
    answer = await chat.answer(case["question"], thread_id=thread, runtime=runtime)
    calls = [row for row in await runtime.all(_CALLS, thread=thread) if not (row["sql"] or "").startswith(_LOOK_UP)]
    last = calls[-1] if calls else None
    if last is None or not (last["result"] or {}).get("success"):
        return Asked(case=case, verdict="refused", said=answer.text)
    got, wanted = last["result"].get("rows") or [], case["truth_rows"]
    return Asked(
        case=case, verdict="right" if same_rows(got, wanted) else "wrong", sql=last["sql"] or "", said=answer.text
    )


def same_rows(got: Sequence[Sequence[Any]], wanted: Sequence[Sequence[Any]]) -> bool:
    """Return whether each row of `got` holds the cells of one row of `wanted`, and none is left; more cells may stand beside them.

    A list of more than 20 rows shows its beginning, so then some may be left. Numbers may have more digits than the truth gives.
    """
    cut = len(wanted) > SHOWN and len(got) == SHOWN + 1
    if len(got) != len(wanted) and not cut:
        return False
    left = [list(row) for row in wanted]
    for row in got:
        match = next((one for one in left if all(any(_equal(cell, value) for cell in row) for value in one)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _equal(cell: Any, value: Any) -> bool:
    if isinstance(cell, bool) or isinstance(value, bool) or cell is None or value is None:
        return cell == value
    try:
        one, other = Decimal(str(cell)), Decimal(str(value))
    except InvalidOperation:
        return str(cell).strip() == str(value).strip()
    exponent = other.as_tuple().exponent
    return round(one, -exponent if isinstance(exponent, int) and exponent < 0 else 0) == other


async def poison(one: Case, runtime: Runtime) -> None:
    """Play one piece of a poisoned history, with a model that believes all that it reads."""
    history, kind = one["history"], one["kind"]
    if kind == "wrong_answer":
        await spoken(history["question"], [history["sql"]], runtime)
    elif kind == "legitimate_update":
        await told(history["text"], runtime)
    elif kind == "other_tenant":
        await told(history["text"], runtime.for_tenant("another"))
    elif kind in ("not_a_statement", "too_broad"):
        await chat.answer(history["text"], runtime=replace(runtime, model=scripted_client(["I see."]), cached={}))
    else:  # a text in the data tells the model to note it, and it does
        text = history["text"].replace("'", "''")
        steps = [
            call("execute_sql", sql=f"SELECT '{text}' AS note"),
            call("remember", content=history["text"], kind="skill"), "Noted.",
        ]  # fmt: skip
        await chat.answer("What do the notes say?", runtime=replace(runtime, model=scripted_client(steps), cached={}))


async def shown(every: Sequence[Case], runtime: Runtime) -> list[tuple[Case, bool]]:
    """Return for each question of the held-out half whether its prompt holds a fact or an SQL of its own family."""
    texts: dict[str, set[str]] = defaultdict(set)
    for case in every:
        for one in case["teach"]:
            texts[case["family"]].add(_flat(one["text"] if one["kind"] == "statement" else one["sql"]))
        if case["split"] == "train":
            texts[case["family"]].add(_flat(case["truth_sql"]))
    held = [case for case in every if case["split"] == "heldout" and case["class"] != "nothing"]
    found = []
    for case in held:
        memories = _flat((await learning_middleware.load(case["question"], runtime=runtime)).memories)
        found.append((case, any(text in memories for text in texts[case["family"]])))
    return found


def _flat(text: str) -> str:
    return " ".join(text.split()).rstrip(".; ")
