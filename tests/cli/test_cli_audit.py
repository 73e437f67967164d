"""`agent audit` as an operator meets it: what it says, and the exit code that a script goes by."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import Result

Run = Callable[..., Result]


@pytest.fixture
def decided(run: Run) -> None:
    """A change that was asked for by a question and rejected, and a moved switch."""
    assert run("chat", "Set the status of client 5 to paused").exit_code == 4
    assert run("approvals", "reject", "1", "--comment", "not now").exit_code == 0
    assert run("stop", "--read-only", "audit").exit_code == 0


def tamper(environment: Mapping[str, str], statement: str) -> None:
    with psycopg.connect(environment["DATABASE_URL"]) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute(statement)


@pytest.mark.usefixtures("decided")
def test_the_log_reads_as_what_happened_and_is_sealed(run: Run, run_json: Callable[..., Any]) -> None:
    listed = run("audit")
    assert "approval 1 rejected by tester via cli: " in listed.stdout
    assert "read-only, set by tester: audit" in listed.stdout
    assert "unsealed" not in listed.stdout
    entries = run_json("audit")
    assert [entry["sequence"] for entry in entries] == list(range(len(entries), 0, -1))
    assert list(entries[-2]["content"]["arguments"]) == ["sha256"]
    assert run_json("audit", "seal") == {"sealed": 0}


@pytest.mark.usefixtures("decided")
def test_a_whole_log_ends_with_0_and_a_changed_one_with_1(
    run: Run, run_json: Callable[..., Any], demo_environment: Mapping[str, str]
) -> None:
    whole = run("audit", "verify")
    assert (whole.exit_code, "The audit log is whole" in whole.stdout) == (0, True)
    tamper(demo_environment, "update agents.audit_log set login = 'x' where sequence = 2")
    tamper(demo_environment, "update agents.human_approval_queue set comment = 'yes' where id = 1")
    broken = run("audit", "verify")
    assert broken.exit_code == 1
    assert "Entry 2 (" in broken.stdout
    assert "The row human_approval_queue 1 was changed without an entry: comment." in broken.stdout
    assert "The audit log is NOT whole: 2 findings" in broken.stdout
    report = run_json("audit", "verify", code=1)
    assert (report["whole"], report["found"]) == (False, 2)
    assert [finding["kind"] for finding in report["findings"]] == ["changed", "row"]


@pytest.mark.usefixtures("decided")
def test_an_anchor_is_a_file_that_finds_a_cut_off_end(
    run: Run, run_json: Callable[..., Any], demo_environment: Mapping[str, str], tmp_path: Path
) -> None:
    file = str(tmp_path / "anchor.json")
    assert run_json("audit", "export", file)["sequence"] == json.loads(Path(file).read_text())["sequence"]
    assert run("audit", "export", file).exit_code == 2
    assert run("audit", "verify", "--anchor", file).exit_code == 0
    tamper(
        demo_environment, "delete from agents.audit_log where sequence = (select max(sequence) from agents.audit_log)"
    )
    tamper(demo_environment, "delete from agents.controls")
    assert run("audit", "verify").exit_code == 0
    cut = run("audit", "verify", "--anchor", file)
    assert (cut.exit_code, "its end was cut off" in cut.stdout) == (1, True)
    for wrong in (str(tmp_path), str(tmp_path / "none.json"), __file__):
        refused = run("audit", "verify", "--anchor", wrong)
        assert (refused.exit_code, refused.stdout) == (2, "")


def test_status_says_that_entries_wait_and_how_to_seal_them(
    run: Run, run_json: Callable[..., Any], demo_environment: Mapping[str, str]
) -> None:
    run("stop", "--read-only")
    with psycopg.connect(demo_environment["DATABASE_URL"]) as conn:
        conn.execute("update agents.controls set read_only = false")
        conn.execute("update agents.audit_unsealed set at = at - interval '1 hour'")
    assert [fix["command"] for fix in run_json("status")["fix"] if "audit" in fix["problem"]] == ["agent audit seal"]
    assert run_json("audit", "seal") == {"sealed": 1}
    assert "audit" not in run("status").stdout


def test_what_a_superuser_wrote_into_the_log_does_not_break_its_list(
    run: Run, demo_environment: Mapping[str, str]
) -> None:
    run("stop")
    tamper(demo_environment, "update agents.audit_log set content = '[1e4000, \"\\u001b[31m\"]', key = '7'")
    listed = run("audit")
    assert (listed.exit_code, "controls" in listed.stdout, "\x1b" in listed.stdout) == (0, True, False)
    assert run("audit", "--json").exit_code == 0
    assert run("audit", "verify").exit_code == 1


def test_an_anchor_that_is_not_there_is_named_once(run: Run, tmp_path: Path) -> None:
    told = run("audit", "verify", "--anchor", "nothere.json")
    assert told.exit_code == 2
    assert told.stderr.count("nothere.json") == 1
    assert "Errno" not in told.stderr
    assert "agent audit export" in told.stderr
    (tmp_path / "bytes").write_bytes(b"\xff")
    assert "is no anchor" in run("audit", "verify", "--anchor", str(tmp_path / "bytes")).stderr


def test_one_is_not_many(run: Run) -> None:
    run("chat", "Set the status of client 5 to paused")
    run("approvals", "approve", "1")
    assert ", 1 row\n" in run("audit").stdout
    run("chat", "Remember: campaign status 3 means paused")
    assert "1 time, used" in run("memory", "show", "1").stdout
