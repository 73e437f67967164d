"""`agent memory stats|dedupe|quarantine|release|reembed|export|import`: keep memory healthy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli.commands.memory import IdArgument, app
from agent.cli.framework import JsonOption, examples
from agent.cli.runner import run

__all__ = ["app"]


@app.command("stats", epilog=examples("agent memory stats", "agent memory stats --json"))
def show_stats(*, as_json: JsonOption = False) -> None:
    """Show how many memories there are, by kind, and what waits to be compared and embedded."""
    from agent.cli.terminal.clean_text import count
    from agent.cli.terminal.render import listing, print_json, say, stdout
    from agent.operations import memory_upkeep

    found: dict[str, Any] = run(lambda runtime: memory_upkeep.stats(runtime=runtime))
    if as_json:
        print_json(found)
        return
    head = ("valid", "replaced", "quarantined", "evidence", "used", "unembedded")
    rows = [(kind, *(one[name] for name in head)) for kind, one in found["kinds"].items()]
    listing(stdout(), ("kind", *head), rows, empty="Nothing is remembered yet.")
    say(
        stdout(),
        f"{count(found['merged'], 'memory', 'memories')} merged into others, {found['uncompared']} not compared yet.",
    )
    for model, memories in found["models"].items():
        say(stdout(), f"{count(memories, 'vector')} of {model}")


@app.command("dedupe", epilog=examples("agent memory dedupe", "agent memory dedupe --seconds 60"))
def dedupe(
    *,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0, help="Stop after this time; the next run goes on.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Merge memories that say the same, and delete those that were kept long enough."""
    from agent.cli.terminal.clean_text import count
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.operations import memory_upkeep

    done = run(lambda runtime: memory_upkeep.dedupe(seconds, runtime=runtime))
    if as_json:
        print_json(done)
        return
    rest = "" if done.whole else " The time is over: run it again to go on."
    merged, expired = count(done.merged, "memory", "memories"), count(done.expired, "old one")
    say(stdout(), f"Compared {count(done.compared, 'statement')}: merged {merged}, deleted {expired}.{rest}")


@app.command("quarantine", epilog=examples('agent memory quarantine 12 --reason "planted"'))
def put_aside(
    memory_id: IdArgument,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why nobody should rely on it.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Take a memory, and all that was concluded from it, out of use; `agent memory release` brings it back."""
    from agent.cli.terminal.clean_text import one_line
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.operations import memory_upkeep

    taken = run(lambda runtime: memory_upkeep.put_aside(memory_id, reason, runtime=runtime))
    if as_json:
        print_json(taken)
        return
    for memory in taken:
        say(stdout(), f"In quarantine: memory {memory.id}: {one_line(memory.content, 200)}")


@app.command("release", epilog=examples("agent memory release 12"))
def take_back(memory_id: IdArgument, *, as_json: JsonOption = False) -> None:
    """Put what was quarantined because of a memory into use again."""
    from agent.cli.terminal.clean_text import count
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.operations import memory_upkeep

    released = run(lambda runtime: memory_upkeep.take_back(memory_id, runtime=runtime))
    if as_json:
        print_json({"released": released})
    else:
        say(stdout(), f"{count(released, 'memory', 'memories')} in use again.")


@app.command("reembed", epilog=examples("agent memory reembed"))
def reembed(*, as_json: JsonOption = False) -> None:
    """Embed the memories that have no vector of the current model. Others can work meanwhile; a run that was interrupted goes on."""
    from agent.cli.terminal.clean_text import count
    from agent.cli.terminal.render import print_json, progress, say, stdout
    from agent.operations import memory_upkeep

    with progress("embedding") as move:
        done = run(lambda runtime: memory_upkeep.reembed(move, runtime=runtime))
    if as_json:
        print_json({"embedded": done})
    else:
        say(stdout(), f"Embedded {count(done, 'memory', 'memories')}.")


@app.command("export", epilog=examples("agent memory export memories.jsonl"))
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")],
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write all memories to a file of JSON lines. It holds everything that was said: keep it as safe as the database."""
    from agent.cli.terminal.clean_text import count
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.operations import memory_upkeep

    written = run(lambda runtime: memory_upkeep.export_to(file, overwrite=overwrite, runtime=runtime))
    if as_json:
        print_json({"file": str(file), "memories": written})
    else:
        say(stdout(), f"Wrote {count(written, 'memory', 'memories')} to {file}.")


@app.command("import", epilog=examples("agent memory import memories.jsonl"))
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `agent memory export` wrote.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Store the memories of a file, all of them or none. What another installation wrote is not believed to be said by a human."""
    from agent.cli.terminal.clean_text import count
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.operations import memory_upkeep

    done = run(lambda runtime: memory_upkeep.import_from(file, runtime=runtime))
    if as_json:
        print_json(done)
        return
    trust = "" if done.trusted else " The file was not sealed by this installation: its memories count as external."
    say(stdout(), f"Imported {count(done.added, 'memory', 'memories')}; {done.known} were there already.{trust}")
    say(stdout(), "`agent memory reembed` embeds them.", "dim")
