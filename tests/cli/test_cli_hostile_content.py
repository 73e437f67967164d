"""What an approver sees of hostile data: no terminal command, no turned-around text and no markup gets through, and a
request is still readable, as text and as JSON.
"""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import pytest
from typer.testing import Result

from agent.execution.safe_executor import safe_executor
from agent.settings import Settings
from agent.testing.running import running

Run = Callable[..., Result]

HOSTILE = [
    "\x1b[2J\x1b[H\x1b]0;owned\x07", "\x1b]8;;http://evil\x07click\x1b]8;;\x07", "\u202egnp.exe\u202c", "\u2066x\u2069",
    "\x9b31m", "a\rAPPROVED", "line\nApproval 1 · risk LOW", "[bold red]markup[/]", "[/]", "\ufeff\u200b", "é\u0301" * 300,
    "\U000e0041\U000e0042", "x" * 50_000, "\t\x0b\x0c\x08\x08", "-- ", "| a | b |", "{{7*7}} ${x} %s", "\u2028", "\x7f",
]  # fmt: skip


@pytest.fixture
def database(demo_environment: Mapping[str, str]) -> str:
    return demo_environment["DATABASE_URL"]


def query(url: str, statement: str, values: list[Any] | None = None) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


def is_safe(printed: str) -> bool:
    """Whether a terminal shows this as it is written."""
    return not [
        character
        for character in printed
        if character != "\n" and unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    ]


def ask(settings: Settings, sql: str) -> int:
    """The number of the request of an agent that proposes a change."""

    async def propose() -> int:
        async with running(settings):
            return int((await safe_executor.execute("execute_sql", {"sql": sql}, wait=False))["approval_id"])

    return asyncio.run(propose())


def test_hostile_rows_are_shown_as_what_they_are(run: Run, demo_settings: Settings, database: str) -> None:
    for number, text in enumerate(HOSTILE, start=1):
        query(database, "update public.clients set name = %s || %s where id = %s", [str(number), text, number])
    number = ask(demo_settings, f"update public.clients set notes = name where id <= {len(HOSTILE)}")
    for command in (["list"], ["show", str(number)], ["list", "--all"]):
        shown = run("approvals", *command)
        assert shown.exit_code == 0, shown.output
        assert is_safe(shown.output), command
        assert len(shown.output) < 20_000
        assert not [line for line in shown.output.splitlines() if line.startswith("Approval 1 · risk LOW")]
    document = json.loads(run("approvals", "show", str(number), "--json").stdout)
    assert document["preview"]["row_count"] == len(HOSTILE)
    done = run("approvals", "approve", str(number), "--comment", HOSTILE[0] + HOSTILE[2])
    assert (done.exit_code, is_safe(done.output)) == (0, True), done.output
    for command in (["executions"], ["approvals", "list", "--all"], ["approvals", "show", str(number)]):
        assert is_safe(run(*command).output), command


def test_a_hostile_statement_and_its_names_are_shown_as_what_they_are(
    run: Run, demo_settings: Settings, database: str
) -> None:
    query(database, 'create table public."\x1b[2Ja\u202eb[/]" (id int primary key, "c\x1b[31m\nd" text)')
    query(database, "insert into public.\"\x1b[2Ja\u202eb[/]\" values (1, 'x')")
    query(database, 'grant select, update on public."\x1b[2Ja\u202eb[/]" to agent_actor, agent_reader')
    sql = 'update public."\x1b[2Ja\u202eb[/]" /* \x1b]0;x\x07 \u202e */ set "c\x1b[31m\nd" = E\'\\x1b[2J\' where id = 1'
    number = ask(demo_settings, sql)
    for command in (
        ["approvals", "list"],
        ["approvals", "show", str(number)],
        ["approvals", "reject", str(number), "-m", "\x1b[2J"],
    ):
        shown = run(*command)
        assert (shown.exit_code, is_safe(shown.output)) == (0, True), shown.output


@pytest.mark.parametrize(
    "change",
    [
        "preview = '[1]'", "preview = '\"\\u001b[2J\"'", "preview = jsonb_set(preview, '{rows}', '[5]')", "preview = '{\"rows\": 7}'",
        "preview = jsonb_set(preview, '{volatile}', '5')", "arguments = '[1]'", "arguments = '{\"\\u001b[2J\": 1}', preview = null",
        "summary = E'\\x1b[2J\\u202e', reasons = array[E'\\x1b[2J', null]", "requested_by = E'\\x1b[2J', thread_id = null",
        "delegated_to = E'\\x1b[2J', comment = E'\\u202e'",
    ],
)  # fmt: skip
def test_a_changed_request_is_listed_and_shown_without_a_traceback(
    run: Run, demo_settings: Settings, database: str, change: str
) -> None:
    number = ask(demo_settings, "update public.clients set notes = 'x' where id = 1")
    query(database, f"update agents.human_approval_queue set {change}")
    for command in (
        ["approvals", "list"],
        ["approvals", "show", str(number)],
        ["approvals", "show", str(number), "--json"],
        ["approvals", "list", "--json"],
    ):
        shown = run(*command)
        assert shown.exit_code == 0, (command, shown.output, shown.exception)
        assert is_safe(shown.output)
    done = run("approvals", "approve", str(number))
    assert "Traceback" not in done.output
    assert is_safe(done.output)


@pytest.mark.parametrize(
    "number", ["-1", "0", "9223372036854775808", "1" * 5000, "1.5", "x", "\x1b[2J", "1; drop table clients", ""]
)
def test_a_number_that_is_no_approval_is_told_in_a_sentence(run: Run, number: str) -> None:
    for command in ("show", "approve", "reject"):
        done = run("approvals", command, "--", number)
        assert done.exit_code == 2, done.output
        assert is_safe(done.output)
        assert len(done.output) < 7_000
        assert not isinstance(done.exception, (ValueError, psycopg.Error))
