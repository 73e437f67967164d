"""Questions on applications as people build them on Supabase: nothing is asked needlessly, and no answer about some rows looks like one about all.

`pytest -s` prints the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from tests.cases.supabase_starters import STARTERS, Starter

from agent.chat import chat
from agent.db import setup
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.testing.running import running
from agent.testing.supabase import SupabaseCluster

BEGINNING = "Of the rows that I may see (row-level security of "


@pytest.fixture(scope="module")
def supabase() -> Iterator[SupabaseCluster]:
    cluster = SupabaseCluster()
    yield cluster
    cluster.close()


@pytest.mark.parametrize("as_user", [False, True], ids=["as nobody", "as a user"])
@pytest.mark.parametrize("starter", STARTERS, ids=lambda starter: starter.name)
async def test_ten_questions_need_nobody_and_are_right_or_say_of_which_rows_they_are(
    supabase: SupabaseCluster, starter: Starter, as_user: bool
) -> None:
    user = '{"sub": "00000000-0000-0000-0000-000000000001", "email": "p1@firm.example"}'
    reading = {"read_as_role": "authenticated", "read_as_claims": user} if as_user else {}
    settings = supabase.database(supabase.template("blank"), model="offline", ask_from="MEDIUM", **reading)
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as admin:
        admin.execute(starter.sql.encode())
        admin.execute("analyze")
        setup.set_up(settings)
        print(f"\n{starter.name}, {'as a user' if as_user else 'as nobody'}")
        async with running(settings) as runtime:
            for question in starter.questions:
                text, rows, sql = await answered(question, runtime)
                truth = [list(row) for row in admin.execute(sql.encode())]
                hidden = text.startswith(BEGINNING)
                print(
                    f"  {'some rows' if hidden else 'all rows ':9}  {question[:70]:70}  {' '.join(text.split())[:110]}"
                )
                assert hidden or [list(map(str, row)) for row in rows] == [list(map(str, row)) for row in truth], (
                    question,
                    text,
                )


async def answered(question: str, runtime: Runtime) -> tuple[str, list[list[Any]], str]:
    """The answer to a question or statement, with the rows that it comes from, and the statement. Nobody is asked."""
    if question.startswith(("SELECT", "WITH")):
        result = await safe_executor.execute("execute_sql", {"sql": question}, require_approval=False, runtime=runtime)
        assert result["success"], (question, result)
        return ": ".join([*result.get("remarks", []), str(result["rows"])]), result["rows"], question
    answer = await chat.answer(question, runtime=runtime)
    assert (answer.approvals, answer.error) == ((), None), answer
    (statement,) = answer.sources["statements"]
    result = await safe_executor.execute(
        "execute_sql", {"sql": statement["sql"]}, require_approval=False, runtime=runtime
    )
    return answer.text, result["rows"], statement["sql"]
