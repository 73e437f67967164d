"""Every command: what it prints, its JSON, its exit code, and one clear sentence when it cannot."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from typer.core import TyperGroup
from typer.testing import Result

from agent.cli.main import app
from agent.testing.cluster import Cluster

Run = Callable[..., Result]


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("group", sorted({path[0] for path in COMMANDS if len(path) > 1}))
def test_every_group_has_examples(in_process: Run, group: str) -> None:
    assert f"agent {group} " in in_process(group, "--help").stdout.partition("Examples")[2]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_examples_and_json(in_process: Run, path: tuple[str, ...]) -> None:
    shown = in_process(*path, "--help")
    assert shown.exit_code == 0
    assert "Examples" in shown.stdout
    assert f"agent {path[0]}" in shown.stdout.partition("Examples")[2]
    assert "--json" in shown.stdout


def test_help_names_the_commands_and_the_exit_codes(run: Run) -> None:
    shown = run("--help").stdout
    assert all(f" {path[0]} " in shown for path in COMMANDS)
    assert "Exit codes" in shown
    assert "Error" not in shown


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version").stdout.startswith("agent 0.")


def test_discovery_tells_what_it_found_and_then_that_nothing_changed(run: Run, run_json: Any) -> None:
    first = run("discover")
    assert first.exit_code == 0
    assert "foreign keys" in first.stdout
    assert "public.salaries" in first.stdout  # row-level security hides its rows
    assert "nothing since the last time" in run("discover").stdout
    assert run_json("discover")["changed"] == []


def test_discovery_says_in_a_line_what_changed(run: Run, demo_environment: Any) -> None:
    run("discover")
    with psycopg.connect(demo_environment["DATABASE_URL"]) as conn:
        conn.execute("alter table clients add constraint many check (id > 0)")
        conn.execute("create schema archive; create table archive.clients (id int)")
    told = run("discover").stdout
    assert "public.clients: CHECK many added: id > 0" in told
    assert "archive.clients: new table" in told
    assert "archive.clients" in run("knowledge", "clients").stdout  # there are two


def test_knowledge_is_about_an_object_or_a_question(run: Run, run_json: Any) -> None:
    assert "TABLE public.clients" in run("knowledge", "clients").stdout
    asked = run_json("knowledge", "Which invoices are overdue?")
    assert "public.invoices" in asked["tables"]
    assert asked["tokens"] > 0
    everything = run("knowledge").stdout
    assert "public.campaigns" in everything
    assert "more; describe one" not in everything
    missing = run("knowledge", "cleints")
    assert (missing.exit_code, missing.stdout) == (2, "")
    assert "'cleints'" in missing.stderr
    assert "public.clients" in missing.stderr


def test_a_question_is_answered_with_its_sources(run: Run) -> None:
    asked = run("chat", "How many clients are active?")
    assert asked.exit_code == 0
    assert "clients with status = 'active'" in asked.stdout
    assert "from SELECT count(*)" in asked.stdout
    assert "✓ SELECT" in asked.stderr


def test_a_question_in_json_is_one_document(run_json: Any) -> None:
    answer = run_json("chat", "How many departments are there?")
    assert answer["status"] == "done"
    assert answer["sources"]["statements"][0]["row_count"] == 1
    assert answer["approvals"] == []


def test_json_needs_a_question(run: Run) -> None:
    asked = run("chat", "--json")
    assert asked.exit_code == 2
    assert asked.stdout == ""
    assert 'agent chat "..." --json' in asked.stderr


def test_questions_from_a_pipe_are_one_conversation(run: Run, run_json: Any) -> None:
    asked = run("chat", input="How many clients are active?\n\nAnd how many are paused?\n")
    assert asked.exit_code == 0
    assert asked.stdout.index("'active'") < asked.stdout.index("'paused'")
    [thread] = run_json("threads", "list")
    assert thread["turn_count"] == 2


def test_a_change_without_a_terminal_waits_and_says_how_to_approve(run: Run, run_json: Any) -> None:
    asked = run("chat", "Set the status of client 5 to paused")
    assert asked.exit_code == 4
    [waiting] = run_json("approvals", "list")
    number = str(waiting["id"])
    assert f"agent approvals approve {number}" in asked.stderr
    shown = run("approvals", "show", number).stdout
    assert "active → paused" in shown
    assert "set to the present time: updated_at" in shown
    approved = run("approvals", "approve", number, "--comment", "checked")
    assert approved.exit_code == 0
    assert "is approved" in approved.stdout
    assert "clients 1 updated" in approved.stdout
    again = run("approvals", "approve", number)
    assert again.exit_code == 2
    assert "already" in again.stderr
    assert run("approvals").stdout == "Nothing waits for a decision.\n"
    assert "approved" in run("approvals", "list", "--all").stdout
    thread = run_json("threads", "list")[0]["thread_id"]
    goes_on = run("chat", "How many clients are there?", "--thread", thread)
    assert "clients" in goes_on.stdout
    assert goes_on.exit_code == 0


def test_a_turn_that_was_decided_elsewhere_goes_on_without_a_question(run: Run, run_json: Any) -> None:
    thread = run_json("chat", "Set the status of client 5 to paused", code=4)["thread_id"]
    still = run("chat", "--thread", thread, input="")
    assert (still.exit_code, "agent approvals reject 1" in still.stderr) == (4, True)
    assert run_json("chat", "--thread", thread, code=4)["approvals"][0]["id"] == 1
    run("approvals", "approve", "1")
    finished = run("chat", "--thread", thread, input="How many clients are paused?\n")
    assert finished.exit_code == 0
    assert finished.stdout.index("1 row changed") < finished.stdout.index("with status = 'paused'")
    thread = run_json("chat", "Set the status of client 6 to paused", code=4)["thread_id"]
    run("approvals", "approve", "2")
    assert "1 row changed" in run_json("chat", "--thread", thread)["answer"]
    refused = run("chat", "--thread", thread, "--json")
    assert (refused.exit_code, f"no turn of thread '{thread}' waits" in refused.stderr) == (2, True)


def test_a_rejected_change_never_happens(run: Run, run_json: Any) -> None:
    answer = run_json("chat", "Set the status of client 5 to paused", code=4)
    assert answer["status"] == "waiting"
    number = str(answer["approvals"][0]["id"])
    assert run_json("approvals", "reject", number, "-m", "no")["approval"]["comment"] == "no"
    assert run("approvals", "approve", number).exit_code == 2
    found = run_json("chat", "How many clients have id 5 and status paused?")
    assert found["sources"]["statements"][0]["success"]


def test_what_was_done_is_in_the_log(run: Run, run_json: Any, demo_environment: Any) -> None:
    assert run("executions").stdout == "Nothing was done yet.\n"
    run("chat", "How many clients are active?")
    listed = run_json("executions")
    assert {one["action"] for one in listed} == {"answer", "execute_sql"}
    statement = next(one for one in listed if one["action"] == "execute_sql")
    shown = run("executions", "show", str(statement["id"])).stdout
    assert "SELECT count(*)" in shown
    assert "succeeded" in shown
    assert "SELECT count(*)" in run("executions", "list").stdout
    assert run("executions", "show", "999999").exit_code == 2
    with psycopg.connect(demo_environment["DATABASE_URL"]) as conn:
        conn.execute("update agents.agent_execution_log set created_at = now() - id * interval '1 minute'")
    ids = [one["id"] for one in run_json("executions", "list")]
    assert ids == sorted(ids, reverse=True)


def test_a_list_says_what_it_was_asked_for_and_where_it_ends(run: Run) -> None:
    run("chat", "How many clients are active?")
    assert (
        run("executions", "list", "--status", "unknown").stdout == "There is no execution with the status 'unknown'.\n"
    )
    assert "of the kind 'skill'" in run("memory", "list", "--kind", "skill").stdout
    missing = run("executions", "list", "--thread", "nothing")
    assert (missing.exit_code, "There is no thread 'nothing'" in missing.stderr) == (2, True)
    assert "The list shows at most 1; --limit shows more" in " ".join(
        run("executions", "list", "-n", "1").stdout.split()
    )
    assert "--limit" not in run("executions", "list").stdout


def test_what_the_driver_says_reaches_no_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for level in ("warning", "error"):
        monkeypatch.setenv("AGENT_LOG_LEVEL", level)
        run("threads")
        for name in ("psycopg", "psycopg.pool"):
            assert not logging.getLogger(name).isEnabledFor(logging.ERROR)


def test_a_statement_is_assessed_and_not_run(run: Run, run_json: Any) -> None:
    assert "runs at once" in run("assess", "select count(*) from clients").stdout
    assessed = run_json("assess", "delete from clients")
    assert (assessed["verdict"], assessed["held_up_by"]) == ("ask", "")
    run("stop", "--read-only", "audit")
    assert "read-only mode" in run_json("assess", "delete from clients")["held_up_by"]
    run("resume")
    shown = run("doctor")
    assert "drops a table" in shown.stdout
    assert {line["name"] for line in run_json("doctor")["lines"]} >= {"freeze", "votes", "recovery point"}
    for typed in ("selec", "", "select 1; select 2"):
        wrong = run("assess", typed)
        assert wrong.exit_code == 2
        assert wrong.stderr.count("\n") == 1
    assert run("assess", "select nothing from clients").exit_code == 3


def test_memories_are_found_shown_and_forgotten(run: Run, run_json: Any) -> None:
    run("chat", "Remember: campaign status 3 means paused")
    found = run_json("memory", "search", "paused campaign", "--kind", "fact")
    number = str(found[0]["id"])
    assert "campaign status 3" in run("memory", "show", number).stdout
    assert "campaign status 3" in run("memory", "search", "paused campaign").stdout
    assert "campaign status 3" in run("memory", "--kind", "fact").stdout
    assert run("memory", "forget", number).exit_code == 0
    gone = run("memory", "show", number)
    assert gone.exit_code == 2
    assert "agent memory list" in gone.stderr


@pytest.mark.parametrize("query", ["", " ", "???"])
def test_a_search_without_a_word_is_refused(run: Run, query: str) -> None:
    refused = run("memory", "search", query)
    assert refused.exit_code == 2
    assert "needs a word" in refused.stderr


def test_threads_are_listed_shown_and_deleted(run: Run, run_json: Any) -> None:
    assert run("threads").stdout == "There is no thread yet.\n"
    thread = run_json("chat", "How many clients are active?")["thread_id"]
    assert "How many clients are active?" in run("threads", "list").stdout
    shown = run("threads", "show", thread).stdout
    assert "✓ SELECT count(*)" in shown
    assert run_json("threads", "show", thread)[0]["status"] == "done"
    assert run("threads", "delete", thread).exit_code == 0
    assert run("threads", "show", thread).exit_code == 2


def test_the_switches_hold_and_are_lifted(run: Run, run_json: Any) -> None:
    assert "Stopped by tester (migration tonight)" in run("stop", "migration tonight").stdout
    refused = run("chat", "How many clients are active?")
    assert refused.exit_code == 4
    assert "agent resume" in refused.stderr
    assert "Running" in run("resume").stdout
    assert run_json("stop", "--read-only", "audit")["read_only"]
    assert "'active'" in run("chat", "How many clients are active?").stdout
    assert "read-only" in run("chat", "Set the status of client 5 to paused").output
    assert not run_json("resume")["read_only"]


@pytest.mark.parametrize("switch", [["stop"], ["stop", "--read-only"]], ids=" ".join)
def test_what_is_approved_while_the_agent_is_stopped_is_told_to_wait_and_done_after(
    run: Run, run_json: Any, demo_environment: Any, switch: list[str]
) -> None:
    thread = run_json("chat", "Set the status of client 5 to paused", code=4)["thread_id"]
    run(*switch)
    approved = run("approvals", "approve", "1")
    assert approved.exit_code == 4
    assert "Approval 1 is approved, and nothing was done yet" in approved.stdout
    assert "runs after `agent resume`" in approved.stdout
    assert "✗" not in approved.stdout
    assert run_json("status")["approved_waiting"] == [1]
    assert "1 approved action waits to run, after `agent resume`" in _words(run("status"))
    resumed = run("resume").stdout
    assert "1 approved action waits to run; the next `agent chat` does that first" in resumed
    assert "approval 1: UPDATE" in resumed
    assert run_json("resume")["approved_waiting"] == [1]
    assert "clients 1 updated" in run("chat", "--thread", thread, input="").output
    assert run_json("resume")["approved_waiting"] == []


def test_the_switches_name_the_risk_that_is_asked_about(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "changes of risk MEDIUM or more ask first" in run("resume").stdout
    monkeypatch.setenv("AGENT_ASK_FROM", "LOW")
    assert "every change asks first" in run("resume").stdout
    assert "every change asks first" in _words(run("status"))


def _words(result: Result) -> str:
    return " ".join(result.stdout.split())


def test_status_is_whole_and_says_what_to_fix(run: Run, run_json: Any) -> None:
    shown = run("status").stdout
    assert "all four are ok" in shown
    assert "lexical" in shown
    assert "agent discover" in shown.partition("What to fix")[2]
    run("discover")
    found = run_json("status")
    assert found["application"]["blind"] == ["public.salaries"]
    assert found["database"]["pending"] == []
    assert found["memories"]["total"] > 0
    assert found["pending_approvals"] == 0
    assert any("AGENT_READER_BYPASS_RLS" in fix["problem"] for fix in found["fix"])


def test_status_notices_a_schema_that_has_changed_since(run: Run, run_json: Any, demo_environment: Any) -> None:
    run("discover")
    assert not run_json("status")["application"]["changed"]
    with psycopg.connect(demo_environment["DATABASE_URL"]) as conn:
        conn.execute("alter table clients add column changed_since text")
    assert run_json("status")["application"]["changed"]
    assert "changed since" in run("status").stdout


def test_status_works_without_a_server(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:very-secret@127.0.0.1:1/x")
    shown = run("status")
    assert shown.exit_code == 5
    assert "not usable" in shown.stdout
    assert shown.stdout.count("Cannot reach") == 1
    assert "very-secret" not in shown.output
    asked = run("threads")
    assert asked.exit_code == 5
    assert asked.stdout == ""
    assert asked.stderr.startswith("Error: Cannot reach")
    assert "very-secret" not in asked.stderr


def test_an_empty_database_is_made_ready_by_two_commands(
    run: Run, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", cluster.empty_database())
    before = run("status")
    assert before.exit_code == 5
    assert before.stdout.count("agent migrate") == 1
    assert "20250101000000" in run("migrate").stdout
    assert "up to date" in run("migrate").stdout
    assert "four logins are ready" in run("setup").stdout
    after = run("status")
    assert after.exit_code == 0, after.stdout


def test_status_names_an_application_without_tables(
    run: Run, run_json: Any, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", cluster.empty_database())
    for command in ("setup", "migrate", "discover"):
        assert run(command).exit_code == 0
    (fix,) = run_json("status")["fix"]
    assert "no table" in fix["problem"]


def test_status_names_what_may_not_be_read(run: Run, run_json: Any, demo_environment: Any) -> None:
    with psycopg.connect(demo_environment["DATABASE_URL"]) as conn:
        conn.execute("revoke select on offices from agent_reader")
    run("discover")
    assert run_json("status")["application"]["unreadable"] == ["public.offices"]
    refused = run("chat", "List offices").output
    assert "permission denied" in refused
    assert "agent setup" in refused
    run("setup")
    run("discover")
    assert run_json("status")["application"]["unreadable"] == []


@pytest.mark.parametrize(
    ("typed", "look"),
    [
        (["--bogus"], "agent --help"),
        (["frobnicate"], "agent --help"),
        (["approvals", "shwo", "1"], "agent approvals --help"),
        (["approval"], "agent --help"),
        (["approvals", "show", "abc"], "agent approvals show --help"),
        (["threads", "show"], "agent threads show --help"),
        (["threads", "list", "--limit", "0"], "agent threads list --help"),
    ],
)
def test_a_mistyped_command_is_a_sentence_that_says_where_to_look(in_process: Run, typed: list[str], look: str) -> None:
    told = in_process(*typed)
    assert told.exit_code == 2
    assert told.stdout == ""
    assert told.stderr.startswith("Error: ")
    assert f"`{look}`" in told.stderr
    assert "Input should" not in told.stderr
    assert "?." not in told.stderr


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["plans", "run", "nothing.json"], "There is no file 'nothing.json'"),
        (["plans", "run", "learning-session", "-p", "learnerId"], "NAME=VALUE"),
    ],
)
def test_a_plan_that_is_not_there_is_named(in_process: Run, typed: list[str], says: str) -> None:
    told = in_process(*typed)
    assert (told.exit_code, says in told.stderr) == (2, True), told.stderr


def test_set_up_can_be_printed_for_an_administrator(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    script = run("setup", "--print-sql").stdout
    assert "SCRAM-SHA-256$" in script
    assert 'grant usage on schema "public"' in script
    monkeypatch.delenv("AGENT_SECRET")
    refused = run("setup", "--print-sql")
    assert refused.exit_code == 5
    assert "AGENT_SECRET" in refused.stderr


def test_backups_of_another_server_are_refused_with_a_way_out(run: Run, tmp_path: Path) -> None:
    for command in ("backup", "restore"):
        refused = run(command, str(tmp_path / "file.dump"))
        assert refused.exit_code == 5
        assert "pg_dump" in refused.stderr
    assert run("upgrade").exit_code == 5


def test_the_demonstration_keeps_away_from_another_server(run: Run) -> None:
    refused = run("demo")
    assert refused.exit_code == 5
    assert "DATABASE_URL" in refused.stderr


def test_a_wrong_setting_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_MAX_ROWS", "many")
    refused = run("threads")
    assert refused.exit_code == 5
    assert "AGENT_MAX_ROWS" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_defect_is_a_sentence_and_a_traceback_only_for_who_debugs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise LookupError("\x1b[2Jsurprise")

    monkeypatch.setattr("agent.threads.threads.recent", fail)
    failed = run("threads")
    assert failed.exit_code == 1
    assert "AGENT_LOG_LEVEL=debug" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "\x1b" not in failed.stderr
    monkeypatch.setenv("AGENT_LOG_LEVEL", "debug")
    assert "Traceback" in run("threads").stderr


def test_ctrl_c_is_exit_code_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agent.cli.commands.threads.run", interrupt)
    assert run("threads").exit_code == 130


def test_an_approved_change_is_undone_by_another_approval(run: Run, run_json: Any) -> None:
    run("chat", "Set the status of client 5 to paused")
    [waiting] = run_json("approvals", "list")
    number = str(run_json("approvals", "approve", str(waiting["id"]))["result"]["execution_id"])
    proposed = run("undo", number)
    assert proposed.exit_code == 4
    assert "paused → active" in proposed.stdout
    assert f"-- Undoes execution {number}." in proposed.stdout
    [waiting] = run_json("approvals", "list")
    assert run("approvals", "approve", str(waiting["id"])).exit_code == 0
    again = run("undo", number)
    assert (again.exit_code, "was undone already, by execution" in again.stdout) == (2, True)
    assert run("executions", "forget").exit_code == 2
    assert "2 executions" in run("executions", "forget", "--all").stdout
    assert "No rows" in run("executions", "forget", number).stdout
    for missing in (["executions", "forget"], ["undo"]):
        refused = run(*missing, "999")
        assert (refused.exit_code, "There is no execution 999" in refused.stderr) == (2, True)


def test_an_undo_says_which_rule_or_which_deletion_is_in_its_way(run: Run, run_json: Any) -> None:
    number = str(run_json("approvals", "approve", waiting(run, run_json))["result"]["execution_id"])
    run("stop", "--read-only")
    assert run_json("undo", number, code=4)["result"]["status"] == "refused"
    run("resume")
    run("executions", "forget", number)
    assert "agent executions forget" in run_json("undo", number, code=2)["result"]["error"]


def test_an_execution_that_nobody_knows_the_outcome_of_is_listed_until_a_human_settles_it(
    run: Run, run_json: Any, demo_environment: dict[str, str]
) -> None:
    run("chat", "Set the status of client 5 to paused")
    [waiting] = run_json("approvals", "list")
    number = str(run_json("approvals", "approve", str(waiting["id"]))["result"]["execution_id"])
    with psycopg.connect(demo_environment["DATABASE_URL"], autocommit=True) as conn:
        conn.execute("update agents.agent_execution_log set status = 'unknown' where id = %s", [number])
    assert "1 execution whose outcome is not known" in run("approvals").stdout
    assert any("outcome is not known" in fix["problem"] for fix in run_json("status")["fix"])
    settled = run("executions", "settle", number, "--happened", "--comment", "the client is paused")
    assert (settled.exit_code, "is succeeded" in settled.stdout) == (0, True)
    assert "settled" in run("executions", "show", number).stdout
    assert run("executions", "settle", number, "--did-not-happen").exit_code == 2
    assert "not known" not in run("approvals").stdout


def waiting(run: Run, run_json: Any, question: str = "Set the status of client 5 to paused") -> str:
    assert run("chat", question).exit_code == 4
    return str(run_json("approvals", "list")[-1]["id"])


def test_a_change_is_edited_and_what_goes_beyond_it_waits_again(run: Run, run_json: Any) -> None:
    number = waiting(run, run_json)
    arguments = '{"client_id": 6, "status": "paused"}'
    edited = run_json("approvals", "edit", number, "--arguments", arguments, "--comment", "the other one")
    assert (edited["approval"]["status"], edited["approval"]["replaces"]) == ("approved", int(number))
    assert edited["result"]["success"]
    shown = run_json("approvals", "show", number)
    assert (shown["status"], shown["comment"]) == ("edited", "the other one")
    assert [one["decision"] for one in shown["decisions"]] == ["edit"]
    number = waiting(run, run_json)
    now = f"agent approvals edit {number} --arguments '{{"
    assert "update_client_status" in run("approvals", "show", number).stdout
    for wrong in (
        ["--sql", "UPDATE clients SET status = 'paused' WHERE id = 6"],
        ["--arguments", '{"state": "paused"}'],
    ):
        refused = run("approvals", "edit", number, *wrong)
        assert (refused.exit_code, now in refused.stderr) == (2, True)
    for wrong in (["--sql", "x", "--arguments", "{}"], [], ["--arguments", "[1]"], ["--arguments", "{"]):
        assert run("approvals", "edit", number, *wrong).exit_code == 2


def test_a_human_answers_in_the_tools_place(run: Run, run_json: Any) -> None:
    number = waiting(run, run_json)
    assert "is answered" in run("approvals", "answer", number, "Ana has done it.").stdout
    assert "Ana has done it." in run("approvals", "show", number).stdout
    assert run("approvals", "approve", number).exit_code == 2


def test_a_decision_about_another_request_is_refused(run: Run, run_json: Any) -> None:
    number = waiting(run, run_json)
    seen = run_json("approvals", "show", number)["binding"]
    refused = run("approvals", "approve", number, "--binding", "0" * 64)
    assert refused.exit_code == 4
    assert "look at it again" in refused.stderr
    assert run("approvals", "approve", number, "--binding", seen).exit_code == 0


def test_what_is_always_allowed_is_listed_used_and_revoked(run: Run, run_json: Any) -> None:
    number = waiting(run, run_json)
    assert run("approvals", "approve", number, "--free", "client_id").exit_code == 2
    look = run("approvals", "approve", number, "--always", "8h", "--look")
    assert (
        "This lets tester do exactly this for 8 hours without a question, with at most risk MEDIUM and 2 rows"
        in look.stdout
    )
    assert "--free client_id   also: any client_id" in look.stdout
    told = run_json(
        "approvals", "approve", number, "--always", "8h", "--free", "client_id", "--most-rows", "2", "--look"
    )
    assert (told["most_rows"], told["sentence"]) == (2, "update_client_status with status = 'paused', any client_id")
    assert run_json("approvals", "show", number)["status"] == "pending"
    allowed = run("approvals", "approve", number, "--always", "8h", "--free", "client_id")
    assert allowed.exit_code == 0
    assert allowed.stdout.index("This lets tester do exactly this") < allowed.stdout.index("is approved")
    assert "Permission 1 lets tester do this for 8 hours without a question" in allowed.stdout
    assert "any client_id" in allowed.stdout
    assert "agent permissions revoke 1" in allowed.stdout
    assert run("chat", "Set the status of client 6 to paused").exit_code == 0
    (permission,) = run_json("permissions")
    assert (permission["uses"], permission["granted_to"], permission["tool"]) == (1, "tester", "update_client_status")
    listed = run("permissions").stdout
    assert "any client_id" in listed
    assert "8 hours left" in listed
    assert "is revoked" in run("permissions", "revoke", str(permission["id"])).stdout
    assert run("chat", "Set the status of client 7 to paused").exit_code == 4
    assert "revoked" in run("permissions").stdout
    assert run("permissions", "revoke", "99").exit_code == 2
    again = run("permissions", "revoke", str(permission["id"]))
    assert (again.exit_code, "revoked already, by 'tester'" in again.stderr) == (2, True)


def test_people_are_named_and_then_nobody_approves_for_themselves(run: Run, run_json: Any) -> None:
    assert "one user decides everything" in run("people").stdout
    assert run("people", "add", "tester").exit_code == 2
    first = run("people", "add", "tester", "--role", "admin").stdout
    assert "from now on nobody else decides" in first
    assert "agent people remove --everybody" in first
    asked = run("chat", "Set the status of client 7 to paused").stderr
    assert "another person must decide it. Nobody else who is named can" in asked
    later = run("people", "add", "bo").stdout
    assert later == "bo: approver.\n"
    asked = run("chat", "Set the status of client 6 to paused").stderr
    assert "another person must decide it. bo can." in asked
    number = waiting(run, run_json)
    refused = run("approvals", "approve", number)
    assert refused.exit_code == 4
    assert "another person must decide" in refused.stderr
    assert run("people", "remove", "tester").exit_code == 2
    assert [person["name"] for person in run_json("people")] == ["bo", "tester"]
    assert "decides nothing" in run("people", "remove", "bo").stdout
    assert "removed" in run("people").stdout
    assert run("people", "remove").exit_code == 2
    assert "one user decides everything" in run("people", "remove", "--everybody").stdout
    assert run("approvals", "approve", number).exit_code == 0


def test_a_request_is_delegated_and_what_expired_is_opened_again(
    run: Run, run_json: Any, demo_environment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, role in (("tester", "admin"), ("bo", "approver"), ("cy", "approver")):
        run("people", "add", name, "--role", role)
    number = waiting(run, run_json)
    monkeypatch.setenv("AGENT_USER", "bo")
    delegated = run("approvals", "delegate", number, "cy").stdout
    assert "for cy to decide" in delegated
    assert f"cy decides: agent approvals approve {number}" in delegated
    assert "continue the conversation, when cy has decided" in delegated
    assert run("approvals", "approve", number).exit_code == 4
    with psycopg.connect(demo_environment["DATABASE_URL"]) as conn:
        conn.execute("update agents.human_approval_queue set expires_at = now()")
    monkeypatch.setenv("AGENT_USER", "cy")
    assert "reopen" in run("approvals", "approve", number).stderr
    again = run_json("approvals", "reopen", number)
    assert (again["replaces"], again["status"]) == (int(number), "pending")
    assert run("approvals", "reopen", number).exit_code == 2
    assert run("approvals", "approve", str(again["id"])).exit_code == 0


def test_a_function_is_registered_listed_and_revoked(run: Run, run_json: Any, demo_environment: Any) -> None:
    assert "No function is registered" in run("functions").stdout
    with psycopg.connect(demo_environment["DATABASE_URL"], autocommit=True) as conn:
        conn.execute("create function public.net(x numeric) returns numeric language sql as 'select x / 1.19'")
    assert run_json("assess", "select net(total) from orders")["verdict"] == "ask"
    assert "net(numeric) is registered" in run("functions", "trust", "net", "--reason", "a division").stdout
    assert run_json("assess", "select net(total) from orders")["verdict"] == "run"
    assert [(one["signature"], one["state"], one["reason"]) for one in run_json("functions")] == [
        ("net(numeric)", "trusted", "a division")
    ]
    run("discover")
    for wrong in ("nothing", "nett", "net(nothing)", "net(", "1", '"'):
        refused = run("functions", "trust", wrong)
        assert refused.exit_code == 2, refused.output
        assert "There is no one function" in refused.stderr
    assert "Did you mean public.net(" in run("functions", "trust", "public.nett").stderr
    assert "not registered any more" in run("functions", "revoke", "net(numeric)").stdout
    assert run_json("assess", "select net(total) from orders")["verdict"] == "ask"
