"""`assess` takes whatever it is passed, and raises what its docstring says."""

from __future__ import annotations

import random
import string
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from tests.cases.hostile_statements import BENIGN, HOSTILE

from agent.demo.application import fill_demo
from agent.errors import (
    ActionRefused,
    DatabaseUnavailable,
    InvalidArguments,
    NotFound,
    OperatorError,
    StatementFailed,
    UnknownTool,
)
from agent.execution.safe_executor import SafeExecutor, safe_executor
from agent.runtime import Runtime
from agent.testing.cluster import Cluster
from agent.testing.running import running
from agent.types import Assessment

SAID = (UnknownTool, InvalidArguments, StatementFailed, NotFound, ActionRefused, OperatorError)
MUTATIONS = 400
TEXTS = [
    "", ";", "--", "/*", "\0", "SELECT '\0'", "SELECT '\ud800'", "$$", "(" * 19_999, "SELECT 1+" * 1000 + "1", "x" * 10**6, "SELECT 1; SELECT 2",
    "SELECT $1", "COPY t FROM STDIN", "SELECT U&'\\D800'", "SELECT E'\\xff'", "SELECT " + ",".join(f"c{i}" for i in range(3000)),
    "SELECT " + " UNION SELECT ".join("1" for _ in range(900)), "SELECT 1::numeric(99999)", "SELECT '1'::varchar(0)", "SELECT date '2020-13-45'",
    "SHOW nothing", "SHOW ALL", "EXPLAIN EXECUTE x", "EXPLAIN CREATE TABLE x AS SELECT 1", "CALL nope()", "DO 'x'", "VACUUM", "DROP TABLE nope",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END", "SELECT * FROM a.b.c.d", "SELECT a.b.c.d.e", "SELECT 1 OPERATOR(nosuch.+) 2",
    "DROP FUNCTION f(int, VARIADIC text[])", "DROP CAST (int AS text)", "DROP AGGREGATE a(*)", "DROP RULE r ON t", "DROP OPERATOR + (int, int)",
    "ALTER TABLE ALL IN TABLESPACE x SET TABLESPACE y", "CREATE SCHEMA x CREATE TABLE y()", "REASSIGN OWNED BY a TO b", "BEGIN",
]  # fmt: skip
ARGUMENTS: list[Any] = [
    None, 1, "x", [], {}, {"sql": None}, {"sql": b"SELECT 1"}, {"sql": "SELECT 1", "x": float("inf")}, {1: 2}, {None: object()},
    {"table": "\0"}, {"table": "clients", "filters": [{"column": "id", "op": "=", "value": 10**400}]}, {"execution_id": 10**30},
    {"execution_id": 1}, {"client_id": 10**30, "status": "active"}, {"client_name": "\ud800", "status": "active"},
    {"to": ["a@b.example"], "subject": "x\nBcc: y", "body": "z"}, {"query": "x", "limit": 10**9},
]  # fmt: skip
ACTIONS: list[Any] = [
    "execute_sql", "query_data", "update_client_status", "undo_change", "describe_schema", "search_memory", "remember", "send_email",
    "create_new_tool", "http_get", "no_such_tool", "", "\0", "\ud800", "x" * 10_000, None, 1, [], {},
]  # fmt: skip


@pytest.fixture
async def demo(cluster: Cluster) -> AsyncIterator[Runtime]:
    async with running(cluster.database(cluster.template("demo", fill_demo))) as runtime:
        yield runtime


async def _other(action: Any, arguments: Any) -> str:
    """What `assess` raised or returned that it does not promise, or ''."""
    try:
        found = await safe_executor.assess(action, arguments)
    except SAID as error:
        return "" if str(error) else f"no words: {error!r}"
    except Exception as error:
        return repr(error)
    return "" if isinstance(found, Assessment) else repr(found)


def _mutated() -> list[str]:
    chance = random.Random(5)  # the same statements at every run
    texts = []
    for _ in range(MUTATIONS):
        text = list(chance.choice([*BENIGN, *HOSTILE]))
        for _ in range(chance.randrange(1, 5)):
            place = chance.randrange(len(text) + 1)
            more = chance.choice([*string.printable, "\0", "::int", " OVER ()", "SELECT ", " FROM pg_class"])
            text[place : place + chance.randrange(4)] = [more]
        texts.append("".join(text))
    return texts


async def test_whatever_is_assessed_the_docstring_says_what_is_raised(demo: Runtime) -> None:
    calls = [("execute_sql", {"sql": sql}) for sql in (*TEXTS, *_mutated())]
    calls += [(action, arguments) for action in ACTIONS for arguments in ARGUMENTS]
    found = {f"{action!r:.40} {arguments!r:.80}": await _other(action, arguments) for action, arguments in calls}
    assert {call: other for call, other in found.items() if other} == {}


def test_the_docstring_names_each_of_them() -> None:
    assert [kind.__name__ for kind in SAID if f"`{kind.__name__}`" not in (SafeExecutor.assess.__doc__ or "")] == []


async def test_own_tables_that_may_not_be_read_are_for_the_operator(demo: Runtime) -> None:
    assert demo.settings.database_url is not None
    with psycopg.connect(demo.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("revoke all on agents.created_tools from agent_app")
    with pytest.raises(DatabaseUnavailable, match="agent setup"):
        await safe_executor.assess("a_tool_of_its_own", {})
