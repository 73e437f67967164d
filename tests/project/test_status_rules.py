"""What `agent status` says of settings alone."""

from __future__ import annotations

import pytest

from agent.errors import ConfigurationError
from agent.operations.doctor import unknown_reasons
from agent.settings import Settings
from agent.status import _mail, ignored_settings

PROJECT = {"supabase_url": "https://abc.supabase.co", "supabase_anon_key": "anon"}


@pytest.mark.parametrize("settings", [{"supabase_url": PROJECT["supabase_url"]}, PROJECT])
def test_a_supabase_project_without_its_database_url_is_said_to_be_ignored(settings: dict[str, str]) -> None:
    (problem,) = ignored_settings(Settings(_env_file=None, **settings))  # type: ignore[arg-type]
    assert "DATABASE_URL" in problem
    assert "abc" not in problem


def test_nothing_is_ignored_where_the_database_is_named_or_no_project_is() -> None:
    named = Settings(_env_file=None, database_url="postgresql://u:p@h/d", **PROJECT)  # type: ignore[arg-type]
    assert ignored_settings(named) == []
    assert ignored_settings(Settings(_env_file=None)) == []


async def test_how_mail_is_set_up_is_told_without_its_password() -> None:
    smtp = {
        "smtp_host": "mail.firm.example",
        "smtp_from": "a@firm.example",
        "smtp_user": "robot",
        "smtp_password": "s3cret",
    }
    found = await _mail(Settings(_env_file=None, email_domains="firm.example", **smtp))  # type: ignore[arg-type]
    assert (found.kind, found.place, found.sender) == ("smtp", "mail.firm.example:587", "a@firm.example")
    assert (await _mail(Settings(_env_file=None))).kind is None
    assert (await _mail(Settings(_env_file=None, email_outbox="/tmp/out"))).place == "/tmp/out"  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="AGENT_SMTP_FROM"):
        await _mail(Settings(_env_file=None, smtp_host="mail.firm.example"))


def test_a_part_of_agent_refuse_that_is_no_reason_is_told_with_what_was_probably_meant() -> None:
    (problem,) = unknown_reasons("no-where, write:dorp,")
    assert problem.startswith("AGENT_REFUSE names 'write:dorp'")
    assert "Is 'write:drop' meant?" in problem


@pytest.mark.parametrize(
    "reason",
    [
        "write:drop", "write:*", "*", "no-where", "lock:AccessExclusiveLock", "function:*", "function:pg_sleep", "func*",
        "trigger:public.clients.*", "tool:create", "capability:execute_sql", "host:*", "domain:*.example", "origin:*", "untried",
        "alter:drop-column", "alter:*", "write:CreateSeqStmt", "write:[dt]r*", "rows:many", "unresolved:kind", "secret",
    ],
)  # fmt: skip
def test_what_is_a_reason_or_may_be_one_is_not_complained_of(reason: str) -> None:
    assert unknown_reasons(reason) == []


@pytest.mark.parametrize(
    "reason",
    ["drop", "write:", "Write:drop", "write drop", "writes:*", "alter:dorp-column", "function:", "drop*", "rows:more"],
)
def test_what_can_be_no_reason_is(reason: str) -> None:
    assert len(unknown_reasons(reason)) == 1
