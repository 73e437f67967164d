"""Whatever a caller passes: every tool and every door of the queue answers with a result or with an error of ours, writes
it down, and changes nothing.

The values are made by hypothesis from each tool's own schema, so a new tool is attacked without a line here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agent.approval.human_approval import human_approval_queue
from agent.errors import AgentError, InvalidArguments, UnknownTool
from agent.execution.execution_tools import tool_specs
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.settings import Settings

Result = TypeVar("Result")
STATUSES = {"succeeded", "failed", "refused", "waiting"}
CHECKSUM = "select md5(string_agg(c::text, '' order by id)), count(*) from public.clients c"


@dataclass
class Attacked:
    """A runtime on one loop for many examples, since each example is its own call."""

    runner: asyncio.Runner
    runtime: Runtime
    before: Any = field(init=False)

    def __post_init__(self) -> None:
        self.before = self.query(CHECKSUM)

    def query(self, statement: str) -> Any:
        assert self.runtime.settings.database_url is not None
        with psycopg.connect(self.runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
            return conn.execute(statement.encode()).fetchall()

    def run(self, operation: Callable[[Runtime], Awaitable[Result]]) -> Result:
        async def inside() -> Result:
            with use_runtime(self.runtime):
                return await operation(self.runtime)

        return self.runner.run(inside())

    def execute(self, action: Any, arguments: Any) -> Any:
        return self.run(lambda runtime: safe_executor.execute(action, arguments, wait=False, runtime=runtime))


@pytest.fixture(scope="module")
def attacked(cluster: Any) -> Iterator[Attacked]:
    from agent.demo.application import fill_demo

    settings: Settings = cluster.database(cluster.template("demo", fill_demo), statement_timeout=5.0)
    with asyncio.Runner() as runner:
        found = Attacked(runner, runner.run(open_runtime(settings)))
        yield found
        runner.run(found.runtime.close())
    cluster.drop(settings)


def name_of_type(value: Any) -> str:
    """The name of a test's case: some of the values cannot be written out."""
    return type(value).__name__


def many(examples: int) -> Callable[[Any], Any]:
    return hypothesis_settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


def deep(levels: int, *, keyed: bool) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if keyed else [value]
    return value


SPECIAL: list[Any] = [
    None, True, False, -1, 0, 2**31, 2**63, -(2**63) - 1, 10**30, 10**5000, float("nan"), float("inf"), -0.0, 1e308, 5e-324,
    "", " ", "\0", "a\0b", "\ud800", "\udfff\ud800", "\u202eab", "\ufeff", "\u00a0", "'; drop table clients; --", "\\", "%s {} $1",
    "clients", "public.clients", "id", "1", "x" * 100_000, [], [[]], {}, {"": ""}, ["a", 1, None], b"bytes", object(), {1, 2},
    deep(100, keyed=False), deep(3000, keyed=False), deep(3000, keyed=True),
]  # fmt: skip
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
values = st.sampled_from(SPECIAL) | st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
VALID: dict[str, dict[str, Any]] = {
    "execute_sql": {"sql": "select 1"},
    "query_data": {"table": "clients", "columns": ["id"], "filters": [{"column": "id", "value": 1}], "limit": 1},
    "update_client_status": {"client_id": 3, "status": "paused"},
    "describe_schema": {"name": "clients"},
    "search_memory": {"query": "x"},
    "remember": {"content": "x"},
}


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, Any]:
    """A tool and arguments that start from valid ones where they are known, then go wrong somewhere."""
    spec = draw(st.sampled_from(tool_specs()))
    names = list(spec.parameters.get("properties", {}))
    arguments = dict(VALID.get(spec.name, {}))
    for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=2)):
        arguments[name] = draw(values)
    if spec.name == "query_data" and draw(st.booleans()):
        one = {
            "column": draw(st.sampled_from(["id", "name", "created_at", "nothing"])),
            "op": draw(st.sampled_from(OPERATORS)),
        }
        arguments["filters"] = [{**one, "value": draw(values)}]
    if draw(st.integers(0, 9)) == 0:
        arguments[draw(st.text(max_size=5))] = draw(values)
    return spec.name, arguments


OPERATORS = ["=", "!=", "<", "like", "ilike", "in", "between", "is_null", "; --"]


@many(600)
@given(one=calls())
def test_no_arguments_of_any_tool_break_out_or_change_anything(attacked: Attacked, one: tuple[str, Any]) -> None:
    action, arguments = one
    result = attacked.execute(action, arguments)
    assert result["status"] in STATUSES, result
    text = json.dumps(result, allow_nan=False)
    assert len(text) < 300_000
    assert result["success"] or result["status"] == "waiting" or result["error"]


def test_nothing_was_changed_by_all_that_and_all_of_it_is_in_the_log(attacked: Attacked) -> None:
    before = attacked.query("select count(*) from agents.agent_execution_log")[0][0]
    for value in SPECIAL:
        result = attacked.execute("execute_sql", {"sql": value})
        assert (result["success"], len(result["error"]) < 1_000) == (False, True)
    after = attacked.query("select count(*) from agents.agent_execution_log")[0][0]
    assert after - before == len(SPECIAL)
    assert attacked.query(CHECKSUM) == attacked.before
    assert attacked.query(
        "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'"
    ) == [(0,)]


@pytest.mark.parametrize(
    "action",
    [None, 5, [], {}, b"execute_sql", "", "execute_sql\0", "EXECUTE_SQL", " execute_sql", "x" * 10_000_000],
    ids=name_of_type,
)
def test_a_tool_that_is_not_one_is_unknown_in_few_words(attacked: Attacked, action: Any) -> None:
    result = attacked.execute(action, {"sql": "select 1"})
    assert (result["status"], len(result["error"]) < 500) == ("refused", True)
    with pytest.raises(UnknownTool):
        attacked.run(lambda runtime: safe_executor.assess(action, {}, runtime=runtime))


@pytest.mark.parametrize(
    "arguments",
    [None, 5, "sql", b"sql", [("sql", "select 1")], object(), deep(5000, keyed=False), deep(5000, keyed=True)],
    ids=name_of_type,
)
def test_arguments_that_are_no_object_are_refused_and_logged(attacked: Attacked, arguments: Any) -> None:
    assert attacked.execute("execute_sql", arguments)["status"] == "refused"
    with pytest.raises(InvalidArguments):
        attacked.run(lambda runtime: safe_executor.assess("execute_sql", arguments, runtime=runtime))
    assert attacked.run(lambda runtime: executions.recent(1, runtime=runtime))[0].status == "refused"


def test_arguments_that_hold_themselves_are_refused(attacked: Attacked) -> None:
    endless: dict[str, Any] = {}
    endless["sql"] = endless
    assert "nested" in attacked.execute("execute_sql", endless)["error"]


@pytest.mark.parametrize(
    "sql",
    ["select " + "x" * 10_000_000, "select '" + "é" * 5_000_000 + "'", "(" * 10_000_000, "\0" * 10_000_000],
    ids=name_of_type,
)
def test_ten_megabytes_of_sql_are_refused_and_not_kept(attacked: Attacked, sql: str) -> None:
    assert "characters" in attacked.execute("execute_sql", {"sql": sql})["error"]
    row = attacked.run(lambda runtime: executions.recent(1, runtime=runtime))[0]
    assert len(json.dumps(row.arguments)) < 200_000


# The queue.


@many(150)
@given(arguments=st.dictionaries(st.text(st.characters(), max_size=8), values, max_size=4))
def test_what_the_queue_takes_is_what_it_holds(attacked: Attacked, arguments: dict[str, Any]) -> None:
    async def ask(runtime: Runtime) -> None:
        asked = await human_approval_queue.request("anything", arguments, runtime=runtime)
        stored = await human_approval_queue.unmasked(asked.id, runtime=runtime)
        assert (stored.bound, stored.arguments) == (True, asked.arguments)

    with suppress(AgentError):
        attacked.run(ask)


@pytest.mark.parametrize(
    "number", [1e22, 1e23, 1.5e300, 1e-7, 5e-324, -0.0, 2.0**63, 10**40, 0.1 + 0.2, 1e308, 12345678901234567890.0]
)
def test_an_approval_stays_bound_whatever_numbers_it_holds(attacked: Attacked, number: float) -> None:
    asked = attacked.run(lambda runtime: human_approval_queue.request("pay", {"amount": number}, runtime=runtime))
    assert attacked.run(lambda runtime: human_approval_queue.get(asked.id, runtime=runtime)).bound


@pytest.mark.parametrize(
    "approval_id",
    [0, -1, -(2**63), 2**63, 10**100, True, None, "1", "1; --", 1.0, float("nan"), [], {}],
    ids=name_of_type,
)
def test_a_number_that_is_no_approval_is_not_found(attacked: Attacked, approval_id: Any) -> None:
    for door in (
        lambda runtime: human_approval_queue.get(approval_id, runtime=runtime),
        lambda runtime: human_approval_queue.decide(approval_id, "approve", runtime=runtime),
        lambda runtime: safe_executor.run_approved(approval_id, runtime=runtime),
    ):
        with pytest.raises(AgentError, match="no approval"):
            attacked.run(door)


@pytest.mark.parametrize(
    "decision",
    ["", "APPROVE", "approved", "yes", None, True, 1, "approve\0"],
    ids=name_of_type,
)
def test_a_decision_that_is_none_decides_nothing(attacked: Attacked, decision: Any) -> None:
    asked = attacked.run(lambda runtime: human_approval_queue.request("anything", {}, runtime=runtime))
    with pytest.raises(AgentError):
        attacked.run(lambda runtime: human_approval_queue.decide(asked.id, decision, runtime=runtime))
    assert attacked.run(lambda runtime: human_approval_queue.get(asked.id, runtime=runtime)).status == "pending"
