"""`agent threads`: list, show and delete conversations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.framework import JsonOption, LimitOption, examples, group
from agent.cli.runner import run

if TYPE_CHECKING:
    from rich.console import Console

    from agent.runtime import Runtime
    from agent.threads.records import ThreadSummary

app = group("List, show and delete conversations.", "agent threads", "agent threads show 3f2a91bc04de")
ThreadArgument = Annotated[str, typer.Argument(metavar="ID", help="The thread's id, as `agent threads list` shows it.")]


@app.command("list", epilog=examples("agent threads", "agent threads list --limit 50", "agent threads list --json"))
def list_threads(*, limit: LimitOption = 20, as_json: JsonOption = False) -> None:
    """List the newest threads about this database."""
    from agent.cli.terminal.render import print_json, stdout
    from agent.threads import threads

    newest = run(lambda runtime: threads.recent(limit=limit, runtime=runtime))
    if as_json:
        print_json(newest)
    else:
        show_threads(stdout(), newest, limit=limit)


@app.command("show", epilog=examples("agent threads show 3f2a91bc04de", "agent threads show 3f2a91bc04de --json"))
def show_thread(thread_id: ThreadArgument, *, as_json: JsonOption = False) -> None:
    """Show a whole conversation, with its steps."""
    from agent.cli.terminal.render import print_json

    turns = run(lambda runtime: _turns_with_calls(thread_id, runtime))
    if as_json:
        print_json(turns)
    else:
        _show_turns(turns)


@app.command("delete", epilog=examples("agent threads delete 3f2a91bc04de"))
def delete_thread(thread_id: ThreadArgument, *, as_json: JsonOption = False) -> None:
    """Delete a thread. Its memories, its approvals and the execution log stay."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.threads import threads

    run(lambda runtime: threads.delete(thread_id, runtime=runtime))
    if as_json:
        print_json({"deleted": thread_id})
    else:
        say(stdout(), f"Thread {thread_id} is deleted.")


def show_threads(console: Console, summaries: Sequence[ThreadSummary], *, limit: int | None = None) -> None:
    """Print threads as a table."""
    from agent.cli.terminal.clean_text import ago
    from agent.cli.terminal.render import listing

    rows = [
        (
            thread["thread_id"], thread["turn_count"], "waiting" if thread["waiting"] else "", ago(thread["updated_at"]),
            thread["title"],
        )
        for thread in summaries
    ]  # fmt: skip
    listing(
        console,
        ("thread", "turns", "state", "last used", "begins with"),
        rows,
        empty="There is no thread yet.",
        limit=limit,
    )


async def _turns_with_calls(thread_id: str, runtime: Runtime) -> list[dict[str, Any]]:
    from agent.threads import threads

    turns = await threads.turns(thread_id, runtime=runtime)
    return [{**turn, "calls": await threads.calls(thread_id, turn["turn"], runtime=runtime)} for turn in turns]


def _show_turns(turns: Sequence[dict[str, Any]]) -> None:
    from agent.cli.terminal.clean_text import moment
    from agent.cli.terminal.render import ASKS, INDENT, say, stdout
    from agent.cli.terminal.turn_view import show_step

    console = stdout()
    for place, turn in enumerate(turns):
        if place:
            console.print()
        say(console, f"{ASKS}{turn['question']}", "bold")
        say(console, f"{turn['asked_by']}, {moment(turn['started_at'])}, {turn['status']}", "dim", indent=INDENT)
        for call in turn["calls"]:
            if call.result:
                result = call.result
                show_step(console, result.get("sql") or call.tool, result)
        say(console, turn["answer"] or turn["error"] or "no answer yet", indent=INDENT)
