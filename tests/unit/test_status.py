"""What `agent status` says of settings alone."""

from __future__ import annotations

import pytest

from agent.settings import Settings
from agent.status import ignored_settings

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
