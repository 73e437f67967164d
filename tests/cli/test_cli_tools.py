"""`agent tools`: what the agent made is seen, taken out of use and put back from the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from tests.cases.created_tool_cases import proposal
from typer.testing import Result

from agent.approval.human_approval import human_approval_queue
from agent.execution.safe_executor import safe_executor
from agent.runtime import open_runtime, use_runtime
from agent.settings import Settings

Run = Callable[..., Result]
CODES = ("return 2 * n", "return n + n")


@pytest.fixture
def double(demo_settings: Settings) -> None:
    """A tool in two versions."""

    async def make() -> None:
        runtime = await open_runtime(demo_settings)
        with use_runtime(runtime):
            for code in CODES:
                asked = await safe_executor.execute(
                    "create_new_tool", proposal(code=f"def run(n: int) -> int:\n    {code}\n"), wait=False
                )
                await human_approval_queue.decide(asked["approval_id"], "approve")
                await safe_executor.run_approved(asked["approval_id"])
            await safe_executor.execute("double", {"n": 2})
        await runtime.close()

    asyncio.run(make())


def test_there_are_no_tools_at_first(run: Run, run_json: Any) -> None:
    assert "created no tools yet" in run("tools").stdout
    assert run_json("tools") == []
    missing = run("tools", "show", "treble")
    assert missing.exit_code == 2
    assert "treble" in missing.stderr


@pytest.mark.usefixtures("double")
def test_a_tool_is_shown_with_its_code_and_its_versions(run: Run, run_json: Any) -> None:
    listed = run("tools").stdout
    assert "double" in listed
    assert "active" in listed
    shown = run("tools", "show", "double").stdout
    assert "return n + n" in shown
    assert "2 active, 1 replaced" in shown
    assert "return 2 * n" in run("tools", "show", "double", "--version", "1").stdout
    assert run("tools", "show", "double", "--version", "9").exit_code == 2
    assert [one["content"]["version"] for one in run_json("tools")] == [2, 1]
    assert run_json("tools", "show", "double")["intact"] is True


@pytest.mark.usefixtures("double")
def test_a_tool_is_disabled_enabled_and_rolled_back(run: Run, run_json: Any) -> None:
    assert "out of use" in run("tools", "disable", "double").stdout
    assert run("tools", "disable", "double").exit_code == 2
    assert "version 2 is in use" in run("tools", "enable", "double").stdout
    assert run_json("tools", "rollback", "double")["content"]["version"] == 1
    assert "version 2 is in use" in run("tools", "rollback", "double", "--to", "2").stdout
    assert [one["action"] for one in run_json("executions")][:4] == ["activate_tool"] * 3 + ["disable_tool"]


@pytest.mark.usefixtures("double")
def test_a_tool_that_was_changed_is_marked(run: Run, demo_settings: Settings) -> None:
    with psycopg.connect(demo_settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("update agents.created_tools set code = 'def run(n): return 0'")
    assert "does not run" in run("tools", "show", "double").stdout


def test_the_status_says_what_holds_the_code_of_tools(run: Run, run_json: Any) -> None:
    assert "resource limits and an empty environment" in run_json("status")["sandbox"]
    assert "sandbox" in run("status").stdout
