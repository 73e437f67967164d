"""The rules of the house that a reader would otherwise have to trust: nothing unused, nothing said twice, names pinned."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from pathlib import Path

import pytest

from agent.db import load_queries, locks
from agent.db.logins import PLATFORM_SCHEMAS
from agent.db.migrations import all_migrations
from agent.settings import Settings

SOURCE = Path(__file__).parents[2] / "src" / "agent"
SQL_FILES = sorted(SOURCE.rglob("*.sql"))


def code(folder: Path = SOURCE) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py")))


@pytest.mark.parametrize("file", SQL_FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_every_query_is_used_by_the_code_beside_it(file: Path) -> None:
    package = ".".join(("agent", *file.parent.relative_to(SOURCE).parts))
    queries = load_queries(package, file.name)
    text = code(file.parent)
    assert queries
    assert [name for name in queries if f'"{name}"' not in text] == []


def test_every_setting_is_read_somewhere() -> None:
    text = code()
    unread = [name for name in Settings.model_fields if not re.search(rf"(settings|self)\.{name}\b", text)]
    assert unread == []


def test_every_dependency_is_used() -> None:
    project = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.match(r"[\w-]+", one)[0] for one in project["dependencies"]]  # type: ignore[index]  # each begins so
    text = code()
    assert [name for name in names if not re.search(rf"\b{name.replace('-', '[._]')}\b", text)] == []


def test_no_two_things_share_an_advisory_lock() -> None:
    numbers = [value for name, value in vars(locks).items() if name.isupper()]
    in_sql = {int(number) for one in all_migrations() for number in re.findall(r"lock\((\d+)\)", one.text)}
    assert len(numbers) == len(set(numbers)) > 3
    assert in_sql == {locks.EMBEDDING_INDEX}


def test_discovery_in_sql_and_in_python_leave_out_the_same_schemas() -> None:
    (body,) = (
        found
        for one in all_migrations()
        for found in re.findall(r"create function agents\.is_application_schema\(.*?;", one.text, re.DOTALL)
    )
    in_sql = set(re.findall(r"'(\w+)'", body)) - {"information_schema"}
    ours = {name for name in PLATFORM_SCHEMAS if name.startswith("agents")}
    assert "^(pg_|agents($|_))" in body
    assert in_sql == set(PLATFORM_SCHEMAS) - ours


def test_every_module_says_why_it_exists() -> None:
    silent = [path for path in SOURCE.rglob("*.py") if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert silent == []


def test_every_ignored_finding_carries_its_code_and_its_reason() -> None:
    bare = re.compile(r"#\s*(?:noqa|type: ignore)(?!(?:: [A-Z]+\d+(?:, [A-Z]+\d+)*|\[[\w, -]+\])  # \S)")
    found = [
        f"{path.relative_to(SOURCE)}:{number}"
        for path in SOURCE.rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if bare.search(line)
    ]
    assert found == []


PUBLIC = """
    agent.approval.audit           audit_log             seal verify export recent
    agent.approval.human_approval  human_approval_queue  request_approval get_pending_approvals decide get history wait
    agent.approval.people          people                add remove remove_everybody list_people standing
    agent.approval.permissions     permissions           list_permissions revoke
    agent.chat                     chat                  ask resume answer finish new_thread
    agent.execution.controls       controls              stop resume set_read_only state
    agent.execution.log            executions            recent get
    agent.execution.safe_executor  safe_executor         execute assess decide reopen run_approved
    agent.learning.auto_discover   auto_discovery        discover_app_structure get_cached_structure
    agent.learning.memory          agent_memory          save save_many get forget list_memories embed_pending counts
    agent.learning.semantic_search semantic_search       search_memories get_relevant_context
    agent.threads                  threads               recent turns delete
"""


@pytest.mark.parametrize("line", PUBLIC.strip().splitlines(), ids=lambda line: line.split()[0])
def test_the_public_objects_and_their_operations_keep_their_names(line: str) -> None:
    module, name, *operations = line.split()
    public = getattr(importlib.import_module(module), name)
    assert [operation for operation in operations if not callable(getattr(public, operation, None))] == []


@pytest.mark.parametrize(
    "path",
    [
        "agent.errors:AgentError", "agent.graph:builder", "agent.graph:graph", "agent.graph:open_graph",
        "agent.middleware:KnowledgeMiddleware", "agent.runtime:Runtime", "agent.runtime:open_runtime",
        "agent.runtime:use_runtime", "agent.settings:Settings", "agent.testing.scripted_model:scripted_client",
        "agent.tools:langchain_tools",
    ],
)  # fmt: skip
def test_the_public_names_keep_their_places(path: str) -> None:
    module, _, name = path.partition(":")
    assert hasattr(importlib.import_module(module), name)
