"""What a proposed tool is tried with before a human is asked, and how its code reads: values apart, rows whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from postgast import deparse
from postgast import parse as tree_of
from tests.cases.created_tool_cases import proposal

from agent.approval.human_approval import human_approval_queue
from agent.errors import InvalidArguments
from agent.execution import available_tools
from agent.execution.created_tools.parameters import bind
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.types import ToolResult

SHOP = """
create table public.sales (id int primary key, shop text, amount numeric(12,2), sold date, paid boolean, tags text[]);
insert into public.sales select n, 'shop ' || n % 3, 1.00 + n / 100.0, '2026-01-01', true, '{a}' from generate_series(1, 250) n;
create table public.notes (id int primary key, body text);
insert into public.notes values (1, repeat('x', 400000));
"""
TRUTH = sum(100 + n for n in range(1, 251)) / 100
Query = Callable[..., list[Any]]


@pytest.fixture
def shop(runtime: Runtime) -> Query:
    url = runtime.settings.database_url.get_secret_value()

    def query(statement: str) -> list[Any]:
        with psycopg.connect(url, autocommit=True) as conn:
            cursor = conn.execute(statement)
            return cursor.fetchall() if cursor.description else []

    query(SHOP)
    return query


def reading(code: str, *answers: Any, expected: Any, function: str = "execute_sql", **changes: Any) -> dict[str, Any]:
    given = [{"function": function, "value": value} for value in answers]
    whole = {
        "parameters": {"type": "object", "properties": {}}, "code": code, "capabilities": [function],
        "tests": [{"expected": expected, "answers": given}], "description": "Reads the sales of the shop.",
    }  # fmt: skip
    return proposal("read_sales", **{**whole, **changes})


async def proposed(arguments: dict[str, Any]) -> ToolResult:
    return await safe_executor.execute("create_new_tool", arguments, wait=False)


async def preview_of(arguments: dict[str, Any]) -> str:
    result = await proposed(arguments)
    assert result["status"] == "waiting", result
    return str((await human_approval_queue.get(result["approval_id"])).preview_json["text"])


async def approve() -> None:
    for waiting in await human_approval_queue.get_pending_approvals():
        await human_approval_queue.decide(waiting["id"], "approve")
        await safe_executor.run_approved(waiting["id"])


SUMMING = "def run() -> str:\n    rows = execute_sql(sql='select amount from sales{}')['rows']\n    return str(sum(float(row[0]) for row in rows))\n"


async def test_code_never_computes_over_a_part_of_the_rows(runtime: Runtime, shop: Query) -> None:
    few = {"rows": [["1.50"], ["2.50"]]}
    told = await proposed(reading(SUMMING.format(""), few, expected="4.0"))
    assert told["status"] == "refused"
    assert "more than the 200 rows" in told["error"]
    assert "sum or group in SQL" in told["error"]
    shop("delete from sales where id > 100")
    assert "ran       run() on the real data is" in await preview_of(reading(SUMMING.format(""), few, expected="4.0"))
    await approve()
    assert (await safe_executor.execute("read_sales", {}))["success"]
    shop("insert into sales select n, 'new', 1 from generate_series(101, 250) n")
    late = await safe_executor.execute("read_sales", {})
    assert late["status"] == "failed"
    assert "more than the 200 rows" in late["error"]


async def test_a_sum_in_sql_is_the_truth(runtime: Runtime, shop: Query) -> None:
    code = "def run() -> str:\n    return execute_sql(sql='select sum(amount) from sales')['rows'][0][0]\n"
    text = await preview_of(reading(code, {"rows": [["12.50"]]}, expected="12.50"))
    assert f'ran       run() on the real data is "{TRUTH:.2f}"' in text
    log = await executions.recent(5)
    assert [(one.action, one.status, one.row_count) for one in log if one.action == "execute_sql"] == [
        ("execute_sql", "succeeded", 1)
    ]


async def test_code_never_gets_the_beginning_of_a_value(runtime: Runtime, shop: Query) -> None:
    code = "def run() -> int:\n    return len(query_data(table='notes')['rows'][0][1])\n"
    told = await proposed(reading(code, {"rows": [[1, "abc"]]}, expected=3, function="query_data"))
    assert "too long to be given whole" in told["error"]


IMPOSSIBLE: list[tuple[str, Any, str]] = [
    ("select count(*) from sales", {"rows": [["3"]]}, "count is bigint, which comes as a whole number"),
    ("select amount from sales", {"rows": [[12.5]]}, "amount is numeric(12,2), which comes as a whole number, or text"),
    ("select amount from sales", {"rows": [["12,50"]]}, "amount is numeric(12,2)"),
    ("select sold from sales", {"rows": [[20260101]]}, "sold is date, which comes as text"),
    ("select paid from sales", {"rows": [["t"]]}, "paid is boolean, which comes as true or false"),
    ("select tags from sales", {"rows": [["{a}"]]}, "tags is text[], which comes as a list"),
    ("select id, shop from sales", {"rows": [[1]]}, "a row has 1 cells, and the statement returns 2 columns"),
    ("select id, shop from sales", {"rows": [{"id": 1}]}, "lists of cells"),
    ("select id, shop from sales", {"columns": ["id", "name"]}, "the columns are really id, shop"),
    ("select id from sales", {"data": [1]}, "returns no 'data'"),
    ("select id from sales", [[1]], "returns an object with columns, rows and row_count"),
    ("select id from sales", {"rows": [[1]], "row_count": 2}, "row_count"),
    ("select cost from sales", {"rows": [[1]]}, 'column "cost" does not exist'),
    ("select * from pg_authid", {"rows": [[1]]}, "refused"),
]


@pytest.mark.usefixtures("shop")
async def test_a_test_cannot_answer_what_the_database_would_not(runtime: Runtime) -> None:
    for statement, answer, told in IMPOSSIBLE:
        code = f"def run() -> int:\n    execute_sql(sql={statement!r})\n    return 1\n"
        result = await proposed(reading(code, answer, expected=1))
        assert result["status"] == "refused", statement
        assert told in result["error"], (statement, result["error"])
    assert await human_approval_queue.get_pending_approvals() == []


async def test_the_real_run_stops_before_a_change_and_says_so(runtime: Runtime, shop: Query) -> None:
    code = """
def run(shop: str) -> int:
    first = execute_sql(sql='select min(id) from sales where shop = $1', params=[shop])['rows'][0][0]
    return execute_sql(sql='delete from sales where id = $1', params=[first])['row_count']
"""
    text = await preview_of(
        reading(
            code, {"rows": [[7]]}, {"row_count": 1}, expected=1,
            parameters={"type": "object", "properties": {"shop": {"type": "string"}}, "required": ["shop"]},
            tests=[{
                "arguments": {"shop": "shop 1"}, "expected": 1,
                "answers": [{"function": "execute_sql", "value": {"rows": [[7]]}}, {"function": "execute_sql", "value": {"row_count": 1}}],
            }],
        )
    )  # fmt: skip
    assert 'ran       run(shop="shop 1") on the real data, up to execute_sql({"sql": "delete' in text
    assert '"params": [1]' in text
    assert shop("select count(*) from sales") == [(250,)]
    await approve()
    hostile = await safe_executor.execute("read_sales", {"shop": "x' or true --"}, wait=False)
    (waiting,) = await human_approval_queue.get_pending_approvals()
    assert hostile["status"] == "waiting"
    assert waiting["arguments"]["sql"] == "delete from sales where id = (NULL)"


async def test_a_failure_on_real_data_goes_back_to_the_model_and_joined_sql_is_pointed_out(
    runtime: Runtime, shop: Query
) -> None:
    code = "def run() -> int:\n    return execute_sql(sql='select id from sales where shop = $1', params=['none'])['rows'][0][0]\n"
    told = await proposed(reading(code, {"rows": [[1]]}, expected=1))
    assert told["status"] == "refused"
    assert "run() fails on the real database" in told["error"]
    assert "IndexError" in told["error"]
    joined = "def run() -> int:\n    n = 3\n    return execute_sql(sql=f'select {n}')['rows'][0][0]\n"
    assert "attention line 3 joins values into SQL" in await preview_of(reading(joined, {"rows": [[3]]}, expected=3))


async def test_the_model_is_told_modules_and_limits(runtime: Runtime) -> None:
    smaller = replace(runtime, settings=runtime.settings.model_copy(update={"tool_calls": 7, "max_rows": 30}))
    (spec,) = [spec for spec in await available_tools.specs(runtime=smaller) if spec.name == "create_new_tool"]
    assert "7 calls" in spec.description
    assert "30 rows" in spec.description
    listed = spec.description.partition("import ")[2].partition(".")[0].replace("only ", "").split(", ")
    assert len(listed) > 8
    code = "".join(f"import {name}\n" for name in listed) + "def run(n: int) -> int:\n    return 2 * n\n"
    assert (await proposed(proposal(code=code)))["status"] == "waiting"


value = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"))
)


@given(st.lists(value, min_size=2, max_size=2), st.lists(value, max_size=3))
def test_a_parameter_is_one_constant_whatever_it_holds(values: list[Any], array: list[Any]) -> None:
    template = "update t set a = $1, b = '$1 is not one' /* $9 */ where c - $2 > 0 and d = any($3)"
    try:
        whole = bind(template, [*values, array])
    except InvalidArguments as error:
        assert "characters" in str(error)  # noqa: PT017  # only a text that is too long is refused
        return
    where = deparse(tree_of(whole)).partition(" WHERE ")[2]
    constants = tree_of(whole).stmts[0].stmt.update_stmt.target_list
    assert [item.res_target.name for item in constants] == ["a", "b"]
    assert where.startswith("(c - ")
    assert " AND d = ANY(" in where
    if isinstance(values[0], str):
        assert constants[0].res_target.val.a_const.sval.sval == values[0]


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("select $1", []),
        ("select $1", [1, 2]),
        ("select $2", [1]),
        ("select '$1'", [1]),
        ("select 1; drop table sales -- $1", [1]),
        ("select $1", ["a\0b"]),
        ("select interval $1", ["1 day"]),
    ],
)
def test_what_is_no_parameter_is_refused(sql: str, values: list[Any]) -> None:
    with pytest.raises(InvalidArguments):
        bind(sql, values)
