"""The interactive conversation, on a real terminal: approvals inline, Ctrl-C, history, a session that survives."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pexpect
import psycopg
import pytest

from agent.testing.openai_server import OpenAIServer, text, tool_calls

AGENT = str(Path(sys.executable).with_name("agent"))
PROMPT = "❯ "  # noqa: RUF001  # as it is shown
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]")

Spawn = Callable[..., "pexpect.spawn[str]"]


@pytest.fixture
def spawn(demo_environment: Mapping[str, str], tmp_path: Path) -> Iterator[Spawn]:
    """Starts `agent ...` on a terminal of 100 columns, in the demonstration application."""
    children: list[pexpect.spawn[str]] = []

    def spawn(*arguments: str, **variables: str) -> pexpect.spawn[str]:
        env = {**demo_environment, "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm-256color", **variables}
        child = pexpect.spawn(
            AGENT, list(arguments), env=env, cwd=str(tmp_path), encoding="utf-8", timeout=30, dimensions=(40, 100),
            preexec_fn=_take_interrupts,
        )  # fmt: skip
        children.append(child)
        return child

    yield spawn
    for child in children:
        child.close(force=True)


def _take_interrupts() -> None:
    """A test run in the background ignores Ctrl-C, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def say(child: pexpect.spawn[str], line: str) -> str:
    """Type a line at the prompt; returns what is shown until the next prompt."""
    child.sendline(line)
    child.expect_exact("\r\n")
    child.expect_exact(PROMPT)
    return plain(child.before)


def plain(text: object) -> str:
    return _ESCAPES.sub("", str(text))


def leave(child: pexpect.spawn[str]) -> None:
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def status_of_client_5(environment: Mapping[str, str]) -> str:
    with psycopg.connect(environment["DATABASE_URL"]) as conn:
        row = conn.execute("select status from clients where id = 5").fetchone()
    assert row is not None
    return str(row[0])


def test_a_conversation_asks_for_approval_and_goes_on(spawn: Spawn, demo_environment: Mapping[str, str]) -> None:
    child = spawn("chat", NO_COLOR="1")
    child.expect_exact(PROMPT)
    assert "/help" in plain(child.before)
    answer = say(child, "How many clients are active?")
    assert "✓ SELECT count(*)" in answer
    assert "clients with status = 'active'" in answer
    asked = say(child, "Set the status of client 5 to paused")
    assert "active → paused" in asked
    assert asked.rstrip().endswith("Approve? yes / no / edit / later")
    assert status_of_client_5(demo_environment) == "active"
    assert "Approve?" in say(child, "perhaps")
    assert "Why?" in say(child, "n")
    assert "rejected" in say(child, "not agreed")
    assert status_of_client_5(demo_environment) == "active"
    say(child, "Set the status of client 5 to paused")
    assert "clients 1 updated" in say(child, "yes")
    assert status_of_client_5(demo_environment) == "paused"
    assert "New thread" in say(child, "/new").replace("A new", "New")
    assert "How many clients" in say(child, "/threads")
    assert "There is no /nothing" in say(child, "/nothing")
    leave(child)


def test_a_change_is_edited_looked_at_once_more_and_always_allowed_inline(
    spawn: Spawn, demo_environment: Mapping[str, str]
) -> None:
    child = spawn("chat", NO_COLOR="1")
    child.expect_exact(PROMPT)
    say(child, "Set the status of client 5 to paused")
    child.sendline("edit")
    child.expect_exact('{"status": "paused", "client_id": 5}')
    child.sendcontrol("u")
    assert "not JSON" in say(child, "UPDATE")
    child.sendline("edit")
    child.expect_exact('"client_id": 5}')
    child.send("\x7f\x7f6}")  # backspace
    edited = say(child, "")
    assert "A human changed the arguments" in edited
    assert '"client_id": 6' in edited
    assert status_of_client_5(demo_environment) == "active"
    answered = say(child, "Set the status of client 5 to paused")
    assert "Approve?" in answered
    assert "What is the tool's answer?" in say(child, "answer")
    assert "nothing was executed. They said: Ana does it" in " ".join(say(child, "Ana does it").split())
    say(child, "Set the status of client 5 to paused")
    assert "is not a time" in say(child, "always long")
    assert "Write it like" in say(child, "always 8h freely")
    told = " ".join(say(child, "always 8h").split())
    assert "This lets tester do exactly this for 8 hours without a question" in told
    assert "update_client_status with" in told
    assert "Approve?" in say(child, "no")
    say(child, "always 8h")
    allowed = " ".join(say(child, "yes").split())
    assert "clients 1 updated" in allowed
    assert "Permission 1 lets tester do this for 8 hours without a question" in allowed
    assert "agent permissions revoke 1" in allowed
    assert status_of_client_5(demo_environment) == "paused"
    leave(child)


def test_a_yes_while_the_agent_is_stopped_is_told_to_wait(spawn: Spawn, demo_environment: Mapping[str, str]) -> None:
    child = spawn("chat", NO_COLOR="1")
    child.expect_exact(PROMPT)
    say(child, "Set the status of client 5 to paused")
    spawn("stop", "--read-only").expect(pexpect.EOF)
    told = " ".join(say(child, "yes").split())
    assert "Approval 1 is approved, and nothing was done yet" in told
    assert "runs after `agent resume`" in told
    assert status_of_client_5(demo_environment) == "active"
    leave(child)
    resumed = spawn("resume")
    resumed.expect_exact("approval 1: UPDATE")
    resumed.expect(pexpect.EOF)
    again = spawn("chat", "How many clients are active?")
    again.expect(pexpect.EOF)
    assert status_of_client_5(demo_environment) == "paused"


def test_who_watches_sees_requests_and_reminders_as_they_come(
    spawn: Spawn, demo_environment: Mapping[str, str]
) -> None:
    watcher = spawn("approvals", "watch", "--every", "0.2")
    asking = spawn("chat", "Set the status of client 5 to paused")
    watcher.expect_exact("Approval 1 · risk")
    asking.close(force=True)
    with psycopg.connect(demo_environment["DATABASE_URL"]) as conn:
        conn.execute("update agents.human_approval_queue set created_at = now() - interval '1 hour'")
    watcher.expect_exact("Reminder")
    watcher.expect_exact("Escalation")
    watcher.sendintr()
    watcher.expect(pexpect.EOF)
    watcher.close()
    assert watcher.exitstatus == 130


def test_a_decision_made_elsewhere_is_noticed_within_a_second_and_says_whose(
    spawn: Spawn, demo_environment: Mapping[str, str]
) -> None:
    watcher = spawn("approvals", "watch")
    child = spawn("chat", NO_COLOR="1")
    child.expect_exact(PROMPT)
    say(child, "Set the status of client 5 to paused")
    child.send("ye")  # half typed, and no answer to anything that comes later
    watcher.expect_exact("Approval 1 · risk")
    decider = spawn("approvals", "approve", "1", "-m", "checked", AGENT_USER="bo")
    watcher.expect_exact("Approval 1 is approved by bo")
    noticed = time.monotonic()
    child.expect_exact("Approval 1 is approved by bo, via cli (checked).")
    assert time.monotonic() - noticed < 1.5
    child.expect_exact("Done")
    child.expect_exact(PROMPT)
    decider.expect(pexpect.EOF)
    assert status_of_client_5(demo_environment) == "paused"
    say(child, "Set the status of client 5 to active")
    child.send("ye")
    child.sendintr()
    child.expect_exact("agent approvals approve")
    child.expect_exact(PROMPT)
    assert "clients with status" in say(child, "/new") + say(child, "How many clients are paused?")
    leave(child)


def test_what_is_typed_before_a_request_is_shown_decides_nothing(
    spawn: Spawn, demo_environment: Mapping[str, str]
) -> None:
    child = spawn("chat")
    child.expect_exact(PROMPT)
    child.send("Set the status of client 5 to paused\nyes\n")
    child.expect_exact("Approve?")
    child.expect_exact(PROMPT)
    assert "say yes, and allow" in say(child, "perhaps")
    assert "agent approvals approve" in say(child, "")
    assert status_of_client_5(demo_environment) == "active"
    leave(child)


async def test_an_edit_begins_with_the_statement_in_the_editor(
    spawn: Spawn, demo_environment: Mapping[str, str], tmp_path: Path
) -> None:
    editor = tmp_path / "my editor"
    editor.write_text('#!/bin/sh\nstat -c %a "$1" > seen; cat "$1" >> seen; sed -i \'s/id = 5/id = 6/\' "$1"\n')
    editor.chmod(0o700)
    change = "update clients set notes = 'left'\n -- whoever\n where id = 5"
    asked = tool_calls(("execute_sql", {"sql": change}))
    async with OpenAIServer([asked, text("Noted."), asked]) as server:
        await asyncio.to_thread(_edit_in, spawn, server.url, f"'{editor}'")
    later = spawn("approvals", "edit", "2", EDITOR=f"'{editor}'")
    later.expect_exact("Approval 2 is")
    later.expect(pexpect.EOF)
    assert (tmp_path / "seen").read_text() == f"600\n{change}\n"
    with psycopg.connect(demo_environment["DATABASE_URL"]) as conn:
        assert conn.execute("select id from clients where notes = 'left'").fetchall() == [(6,)]


def _edit_in(spawn: Spawn, url: str, editor: str) -> None:
    child = spawn(
        "chat", OPENAI_BASE_URL=url, OPENAI_API_KEY="test", AGENT_MODEL="openai:scripted", VISUAL="", EDITOR=editor
    )
    child.expect_exact(PROMPT)
    assert "id = 5" in say(child, "Note that client 5 has left")
    assert "Noted." in say(child, "edit")
    assert "id = 5" in say(child, "And once more")
    say(child, "later")
    leave(child)


async def test_several_changes_of_one_turn_are_asked_one_after_the_other(
    spawn: Spawn, demo_environment: Mapping[str, str]
) -> None:
    changes = [
        ("execute_sql", {"sql": f"update clients set notes = 'left' where id = {number}"}) for number in (5, 6, 7)
    ]
    async with OpenAIServer([tool_calls(*changes), text("One of them was done.")]) as server:
        answers = await asyncio.to_thread(_decide_three, spawn, server.url)
    assert "One of them was done." in answers
    assert "not this one" in answers
    with psycopg.connect(demo_environment["DATABASE_URL"]) as conn:
        rows = conn.execute("select id from clients where id in (5, 6, 7) and notes = 'left'").fetchall()
    assert rows == [(6,)]


def _decide_three(spawn: Spawn, url: str) -> str:
    child = spawn("chat", OPENAI_BASE_URL=url, OPENAI_API_KEY="test", AGENT_MODEL="openai:scripted")
    child.expect_exact(PROMPT)
    first = say(child, "Three clients have left, note that")
    assert "id = 5" in first
    hint = say(child, "perhaps")
    assert "(or Enter) let it wait" in hint
    child.sendline("no")
    child.expect_exact("Why?")
    child.expect_exact(PROMPT)
    assert "id = 6" in say(child, "not this one")
    assert "id = 7" in say(child, "yes")
    child.sendline("no")
    child.expect_exact("Why?")
    child.expect_exact(PROMPT)
    shown = say(child, "")
    leave(child)
    return shown


def test_what_is_put_off_is_asked_again_when_its_thread_goes_on(spawn: Spawn) -> None:
    child = spawn("chat", "--thread", "mine")
    child.expect_exact(PROMPT)
    say(child, "Set the status of client 5 to paused")
    assert "agent approvals approve" in say(child, "")
    assert "still waiting" in say(child, "How many clients are active?")
    assert "agent approvals" in say(child, "later")
    leave(child)
    again = spawn("chat", "--thread", "mine")
    again.expect_exact("Approve?")
    again.expect_exact(PROMPT)
    assert "Done" in say(again, "y")
    leave(again)


def test_one_question_on_a_terminal_asks_for_its_approval(spawn: Spawn, demo_environment: Mapping[str, str]) -> None:
    child = spawn("chat", "Set the status of client 5 to paused")
    child.expect_exact("Approve?")
    child.sendline("y")
    child.expect_exact("Done")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert status_of_client_5(demo_environment) == "paused"


def test_ctrl_c_at_an_approval_leaves_it_waiting(spawn: Spawn, demo_environment: Mapping[str, str]) -> None:
    child = spawn("chat")
    child.expect_exact(PROMPT)
    say(child, "Set the status of client 5 to paused")
    child.sendintr()
    child.expect_exact(PROMPT)
    assert "still waiting" in say(child, "How many clients are active?")
    say(child, "no")
    answered = say(child, "")
    assert answered.index("rejected") < answered.index("clients with status = 'active'")
    leave(child)
    assert status_of_client_5(demo_environment) == "active"
    single = spawn("chat", "Set the status of client 5 to paused")
    single.expect_exact("Approve?")
    single.sendintr()
    single.expect_exact("agent approvals approve")
    single.expect(pexpect.EOF)
    single.close()
    assert single.exitstatus == 4


def test_ctrl_c_stops_the_turn_on_the_server_too_and_keeps_the_conversation(
    spawn: Spawn, demo_environment: Mapping[str, str]
) -> None:
    make_slow_reports(demo_environment)
    child = spawn("chat")
    child.expect_exact(PROMPT)
    child.sendline("How many slow reports are there?")
    until(lambda: busy(demo_environment) == 1)
    child.sendintr()
    child.expect_exact("Stopped.")
    child.expect_exact(PROMPT)
    until(lambda: busy(demo_environment) == 0)
    assert "'active'" in say(child, "How many clients are active?")
    child.sendintr()
    child.expect_exact("Ctrl-D leaves")
    child.expect_exact(PROMPT)
    leave(child)


def test_ctrl_c_ends_a_single_question_with_130(spawn: Spawn, demo_environment: Mapping[str, str]) -> None:
    make_slow_reports(demo_environment)
    child = spawn("chat", "How many slow reports are there?", "--thread", "one", AGENT_STATEMENT_TIMEOUT="120")
    until(lambda: busy(demo_environment) == 1)
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130, child.before
    assert "Traceback" not in plain(child.before)
    until(lambda: busy(demo_environment) == 0)
    with psycopg.connect(demo_environment["DATABASE_URL"]) as conn:
        assert conn.execute("select status, error from agents.turns").fetchall() == [("failed", "stopped by the user")]


def test_questions_are_kept_and_found_again_with_the_arrow_key(
    spawn: Spawn, demo_environment: Mapping[str, str]
) -> None:
    child = spawn("chat")
    child.expect_exact(PROMPT)
    say(child, "How many departments are there?")
    leave(child)
    history = Path(demo_environment["AGENT_HOME"]) / "history"
    assert "How many departments are there?" in history.read_text(encoding="utf-8")
    assert history.stat().st_mode & 0o077 == 0
    again = spawn("chat")
    again.expect_exact(PROMPT)
    again.send("\x1b[A")
    again.expect_exact("How many departments are there?")
    again.sendcontrol("u")
    leave(again)


def test_data_that_would_command_a_terminal_is_only_shown(spawn: Spawn, demo_environment: Mapping[str, str]) -> None:
    with psycopg.connect(demo_environment["DATABASE_URL"]) as conn:
        conn.execute("update departments set name = e'\\x1b]0;owned\\x07[bold red]Media\\x1b[2J' where name = 'Media'")
    child = spawn("chat")
    child.expect_exact(PROMPT)
    child.sendline("top 3 departments by yearly budget")
    child.expect_exact("[bold red]Media")
    child.expect_exact(PROMPT)
    assert "\x1b]0;" not in str(child.before)
    assert "\x1b[2J" not in str(child.before)
    leave(child)


def make_slow_reports(environment: Mapping[str, str]) -> None:
    with psycopg.connect(environment["DATABASE_URL"]) as conn:
        conn.execute(
            "create view public.slow_reports as"
            " select a + b as id from generate_series(1, 100000) a, generate_series(1, 100000) b"
        )
        conn.execute("grant select on public.slow_reports to agent_reader")


def busy(environment: Mapping[str, str]) -> int:
    """How many statements of agent_reader run on the server now."""
    with psycopg.connect(environment["DATABASE_URL"]) as conn:
        row = conn.execute(
            "select count(*) from pg_stat_activity"
            " where usename = 'agent_reader' and state = 'active' and datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


async def test_a_turn_says_what_it_waits_for_and_what_it_cost(
    spawn: Spawn, demo_environment: Mapping[str, str]
) -> None:
    make_slow_reports(demo_environment)
    slow = text("There are **nineteen**.", delay=2.3)
    script = [
        tool_calls(("execute_sql", {"sql": "select count(*) from slow_reports"})), text("broken in the middle", cut="abrupt"), slow,
    ]  # fmt: skip
    async with OpenAIServer(script) as server:
        await asyncio.to_thread(_wait_for_all, spawn, server.url)


def _wait_for_all(spawn: Spawn, url: str) -> None:
    prices = '{"scripted": [1000, 1000]}'
    child = spawn(
        "chat",
        OPENAI_BASE_URL=url,
        OPENAI_API_KEY="test",
        AGENT_MODEL="openai:scripted",
        AGENT_MODEL_PRICES=prices,
        AGENT_STATEMENT_TIMEOUT="3",
    )
    child.expect_exact(PROMPT)
    child.sendline("How many clients are there?")
    child.expect_exact("database, 2 s")
    child.expect_exact("broken in")
    child.expect_exact("The text above is void: openai:scripted")
    child.expect_exact("model, 2 s")
    child.expect_exact("\x1b[1mnineteen\x1b[0m.")
    child.expect(r"tokens \([\d,]+ in, [\d,]+ out\) · \$\d+\.\d{4}")
    child.expect_exact(PROMPT)
    leave(child)
