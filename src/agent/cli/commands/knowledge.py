"""`agent discover` and `agent knowledge`: learn the application, and show what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.framework import JsonOption, examples
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.learning.discovery.structure import AppStructure
    from agent.runtime import Runtime

DISCOVER_EXAMPLES = examples("agent discover", "agent discover --json")
KNOWLEDGE_EXAMPLES = examples(
    "agent knowledge",
    "agent knowledge clients",
    'agent knowledge "Which client pays most?"',
    "agent knowledge orders --json",
)
_MOST_NAMED = 12
_NO_TOKEN_LIMIT = 1_000_000_000  # nothing is cut for a person
_MOST_CHANGES = 200


def discover(*, as_json: JsonOption = False) -> None:
    """Learn the structure of your application: tables, keys, enums, functions, row security.

    This reads catalogs and statistics, and no rows. Run it again, and it learns what has changed since.
    """
    from agent.cli.terminal.render import print_json, progress

    with progress("discovering") as move:
        structure, embedded = run(lambda runtime: _discover(runtime, move))
    if as_json:
        print_json({**{key: value for key, value in structure.items() if key != "parts"}, "embedded": embedded})
    else:
        _show_structure(structure, embedded)


def knowledge(
    about: Annotated[
        str, typer.Argument(metavar="NAME|QUESTION", help="An object's name, or a question.", show_default=False)
    ] = "",
    *,
    as_json: JsonOption = False,
) -> None:
    """Show what the agent knows of an object, or what the model would get for a question.

    Without an argument, it lists every table and view in short.
    """
    from agent.cli.terminal.render import print_json, say, stdout

    known = run(lambda runtime: _load(about, runtime))
    if as_json:
        print_json(known)
        return
    console = stdout()
    say(console, known["schema"] or "Nothing is known yet. `agent discover` learns the application.")
    if known["memories"]:
        console.print()
        say(console, known["memories"])
    if "tokens" in known:
        console.print()
        say(console, f"{known['tokens']:,} tokens of schema for this question", "dim")


async def _discover(runtime: Runtime, move: Callable[[int, int], None]) -> tuple[AppStructure, int]:
    from agent.learning.auto_discover import auto_discovery
    from agent.learning.memory import agent_memory

    structure = await auto_discovery.discover_app_structure(
        progress=lambda _what, done, total: move(done, total), runtime=runtime
    )
    return structure, await agent_memory.embed_pending(progress=move, runtime=runtime)


async def _load(about: str, runtime: Runtime) -> dict[str, Any]:
    from agent.errors import NotFound
    from agent.learning.schema_linking.linking import describe, link_schema
    from agent.learning.semantic_search import semantic_search

    try:  # a name may have spaces
        text = await describe(about or None, token_budget=_NO_TOKEN_LIMIT, known_only=True, runtime=runtime)
    except NotFound:
        if len(about.split()) == 1:
            raise
    else:
        return {"about": about or None, "schema": text, "memories": ""}
    linked = await link_schema(about, runtime=runtime)
    context = await semantic_search.get_relevant_context(about, runtime=runtime)
    return {
        "about": about, "schema": linked.text, "tables": linked.tables, "tokens": linked.tokens, "memories": context.text,
    }  # fmt: skip


def _show_structure(structure: AppStructure, embedded: int) -> None:
    from agent.cli.terminal.clean_text import count
    from agent.cli.terminal.render import facts, say, stdout

    console = stdout()
    parts: tuple[tuple[Sequence[object], str], ...] = (
        (structure["tables"], "table"), (structure["views"], "view"), (structure["relationships"], "foreign key"),
        (structure["functions"], "function"), (structure["enums"], "enum"), (structure["types"], "type"),
    )  # fmt: skip
    counts = [count(len(items), noun) for items, noun in parts if items]
    pairs: list[tuple[str, object]] = [
        ("database", structure["database"]),
        ("found", ", ".join(counts) or "nothing yet"),
    ]
    changes = structure["changes"]
    pairs.append(
        (
            "changed",
            count(len(changes), "part") if changes else _named(structure["changed"]) or "nothing since the last time",
        )
    )
    for key, name in (
        ("removed", "gone"),
        ("unreadable", "not readable"),
        ("blind", "looks empty"),
        ("some", "partly hidden"),
    ):
        if names := _named(structure.get(key, [])):  # type: ignore[arg-type]  # each is a list of names
            pairs.append((name, names))
    if embedded:
        pairs.append(("embedded", count(embedded, "memory", "memories")))
    facts(console, pairs)
    for line in changes[:_MOST_CHANGES]:
        say(console, f"  {line}")
    if len(changes) > _MOST_CHANGES:
        say(
            console,
            f"  and {len(changes) - _MOST_CHANGES:,} more; `agent knowledge NAME` shows the last ones of each object",
            "dim",
        )
    if structure.get("blind") or structure.get("some"):
        why = "Row-level security hides rows of those tables from agent_reader; `agent status` says what to do."
        say(console, why, "yellow")


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
