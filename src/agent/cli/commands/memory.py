"""`agent memory`: search, list, show, forget, restore and erase memories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.framework import JsonOption, LimitOption, examples, group
from agent.cli.runner import run
from agent.types import MemoryKind

if TYPE_CHECKING:
    from agent.learning.memory import Memory
    from agent.operations.erasure import Erasure

app = group(
    "Search, list, show, forget, restore, erase and keep memories.",
    "agent memory",
    'agent memory search "paused clients"',
)
KindOption = Annotated[MemoryKind | None, typer.Option("--kind", "-k", help="Show only memories of this kind.")]
IdArgument = Annotated[int, typer.Argument(metavar="ID", help="The memory's number.")]


@app.command(
    "search", epilog=examples('agent memory search "paused clients"', 'agent memory search "budget" --kind fact --json')
)
def search_memories(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to look for, in plain words.")],
    *,
    kind: KindOption = None,
    limit: LimitOption = 5,
    as_json: JsonOption = False,
) -> None:
    """Find memories by meaning and by words, the best first."""
    from agent.errors import InvalidInput
    from agent.operations import memories

    if not any(character.isalnum() for character in query):
        raise InvalidInput("A search needs a word to look for; `agent memory list` shows the newest memories.")
    kinds = [kind] if kind else None
    matches = run(lambda runtime: memories.search(query, limit, kinds=kinds, runtime=runtime))
    of = f" of the kind {kind!r}" if kind else ""
    _show_all(matches, as_json=as_json, empty=f"No memory{of} is like that.", scores=True)


@app.command(
    "list", epilog=examples("agent memory", "agent memory list --kind fact", "agent memory list --limit 100 --json")
)
def list_memories(*, kind: KindOption = None, limit: LimitOption = 20, as_json: JsonOption = False) -> None:
    """List the newest memories."""
    from agent.operations import memories

    newest = run(lambda runtime: memories.recent(kind, limit, runtime=runtime))
    empty = f"No memory of the kind {kind!r} is there." if kind else "Nothing is remembered yet."
    _show_all(newest, as_json=as_json, empty=empty, scores=False, limit=limit)


@app.command("show", epilog=examples("agent memory show 12", "agent memory show 12 --json"))
def show_memory(memory_id: IdArgument, *, as_json: JsonOption = False) -> None:
    """Show one memory and where it comes from."""
    from agent.cli.terminal.clean_text import count, moment
    from agent.cli.terminal.render import facts, print_json, say, stdout
    from agent.concurrency import gather_or_cancel
    from agent.operations import memories

    memory, history = run(
        lambda runtime: gather_or_cancel(
            memories.get(memory_id, runtime=runtime), memories.history(memory_id, runtime=runtime)
        )
    )
    if as_json:
        print_json(memory)
        return
    console = stdout()
    pairs: list[tuple[str, object]] = [("kind", memory.kind), ("trust", memory.trust)]
    pairs += [
        (name, value)
        for name, value in (("about", memory.subject), ("said by", memory.speaker), ("quote", memory.source_quote))
        if value
    ]
    if memory.source_thread:
        pairs.append(("source", f"thread {memory.source_thread}, turn {memory.source_turn}"))
    pairs.append(("seen", f"{count(memory.evidence_count, 'time')}, used {count(memory.use_count, 'time')}"))
    pairs.append(("embedded by", memory.embedding_model or "not yet"))
    pairs.append(("since", moment(memory.valid_from)))
    if memory.valid_until:
        pairs.append(("until", moment(memory.valid_until)))
    pairs += [("memory", line) for line in history]
    say(console, memory.content)
    console.print()
    facts(console, pairs)


@app.command("forget", epilog=examples("agent memory forget 12"))
def forget_memory(memory_id: IdArgument, *, as_json: JsonOption = False) -> None:
    """Delete a memory for good, with what says the same and what was concluded from it."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.operations import memories

    gone = run(lambda runtime: memories.forget(memory_id, runtime=runtime))
    if as_json:
        print_json(
            {"forgotten": memory_id, "say_the_same": gone.say_the_same, "concluded": gone.concluded, "ids": gone.ids}
        )
        return
    console = stdout()
    say(console, f"Memory {memory_id} is forgotten: {_short(gone.memory.content)}")
    for reason, others in (("says the same", gone.say_the_same), ("was concluded from it", gone.concluded)):
        for memory in others:
            say(console, f"  {memory.id}, which {reason}, is forgotten too: {_short(memory.content)}")


@app.command("restore", epilog=examples("agent memory restore 12"))
def restore_memory(memory_id: IdArgument, *, as_json: JsonOption = False) -> None:
    """Make a memory valid again that another one has replaced."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.operations import memories

    memory = run(lambda runtime: memories.restore(memory_id, runtime=runtime))
    if as_json:
        print_json(memory)
    else:
        say(stdout(), f"Memory {memory_id} is valid again: {_short(memory.content)}")


@app.command(
    "erase",
    epilog=examples(
        'agent memory erase --person "Zofia Nowak" --also z.nowak@example.com --dry-run',
        "agent memory erase --thread t-17 --yes",
    ),
)
def erase(
    *,
    person: Annotated[
        str | None, typer.Option("--person", help="The name under which somebody asks or is spoken of.")
    ] = None,
    also: Annotated[
        list[str] | None, typer.Option("--also", help="Another name, address or number of the person; may be repeated.")
    ] = None,
    thread: Annotated[str | None, typer.Option("--thread", help="The id of a conversation.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be erased, and erase nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Erase without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Erase a person or a conversation from everything that the agent keeps, for good."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.errors import InvalidInput
    from agent.operations import erasure

    if (person is None) == (thread is None) or (also and person is None):
        raise InvalidInput("Name either a --person (with --also for more names) or a --thread.")

    def erased(*, dry: bool) -> erasure.Erasure:
        if thread is not None:
            return run(lambda runtime: erasure.erase_thread(thread, dry_run=dry, runtime=runtime))
        return run(lambda runtime: erasure.erase_person(str(person), also=also or [], dry_run=dry, runtime=runtime))

    if not (dry_run or yes):
        say(stdout(), _sentence(erased(dry=True)))
        typer.confirm("Erase this for good?", abort=True)
    gone = erased(dry=dry_run)
    if as_json:
        print_json(gone)
        return
    say(stdout(), _sentence(gone))
    if not dry_run:
        say(stdout(), "Backups, files of logs and what a service such as Slack keeps are not touched.", "dim")


def _sentence(gone: Erasure) -> str:
    from agent.cli.terminal.clean_text import count

    parts = [
        (gone.memories, "memory", "memories"), (gone.conversations, "conversation", None), (gone.turns, "turn", None),
        (gone.requests, "request", None), (gone.executions, "execution", None), (gone.rows, "other row", None),
        (gone.entries, "entry of the audit log", "entries of the audit log"),
    ]  # fmt: skip
    words = ", ".join(count(number, one, *([many] if many else [])) for number, one, many in parts if number)
    did = "Would erase" if gone.dry_run else "Erased"
    where = "" if gone.dry_run else f"; {gone.pseudonym} stands where something stays"
    return f"{did} {words or 'nothing: there is no trace'}{where}."


def _show_all(memories: Sequence[Memory], *, as_json: bool, empty: str, scores: bool, limit: int | None = None) -> None:
    from agent.cli.terminal.render import listing, print_json, stdout

    if as_json:
        print_json(memories)
        return
    head = ("id", *(("score",) if scores else ()), "kind", "trust", "content")
    rows = [
        (
            memory.id,
            *((f"{memory.score or 0:.2f}",) if scores else ()),
            memory.kind,
            memory.trust,
            _short(memory.content),
        )
        for memory in memories
    ]
    listing(stdout(), head, rows, empty=empty, limit=limit)


def _short(content: str) -> str:
    from agent.cli.terminal.clean_text import one_line

    return one_line(content, 200)
