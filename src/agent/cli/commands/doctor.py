"""`agent doctor`: show which action asks whom, which guard is on, and what is missing."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from agent.cli.framework import JsonOption, examples
from agent.cli.runner import run

if TYPE_CHECKING:
    from rich.console import Console

    from agent.operations.coverage import Coverage, CoveredKind
    from agent.operations.doctor import Diagnosis, Line

EXAMPLES = examples("agent doctor", "agent doctor --json")


def doctor(*, as_json: JsonOption = False) -> None:
    """Show which kind of action asks whom, which guard is on, what is missing, and how to mend it.

    Nothing is changed. The exit code is 5 if something is missing. `agent status` says whether everything can be reached.
    """
    from agent.cli.terminal.render import print_json, stdout
    from agent.operations.doctor import doctor as examine

    found = run(lambda runtime: examine(runtime=runtime))
    if as_json:
        print_json({**asdict(found), "missing": [line.name for line in found.missing]})
    else:
        _show(stdout(), found)
    if found.missing:
        raise typer.Exit(5)


def _show(console: Console, found: Diagnosis) -> None:
    from agent.cli.terminal.render import INDENT, facts, listing, say

    say(console, "Which action asks whom", "bold")
    rows = [(kind.risk, _what_happens(kind, found.coverage), kind.kind) for kind in found.coverage.kinds]
    listing(console, ("risk", "what happens", "an action that"), rows, empty="")
    for asker in found.coverage.askers:
        say(console, f"What {asker.name} asks for: {', '.join(asker.deciders) or 'nobody'} may approve.", indent=INDENT)
    held = dict.fromkeys(kind.held_up_by for kind in found.coverage.kinds if kind.held_up_by)
    for reason in held:
        say(console, f"But now: {reason}", "yellow", indent=INDENT)
    console.print()
    say(console, "Guards", "bold")
    facts(console, [(f"{'●' if line.on else '○'} {line.name}", _sentence(line)) for line in found.lines])
    console.print()
    if not found.missing:
        say(console, "Nothing is missing.", "green")
        return
    say(console, "What is missing", "bold yellow")
    for line in found.missing:
        facts(console, [("•", line.missing)], indent=INDENT)
        say(console, line.fix, "cyan", indent=INDENT + "   ")


def _what_happens(kind: CoveredKind, coverage: Coverage) -> str:
    if kind.verdict != "ask":
        return "is refused" if kind.verdict == "refuse" else "runs at once"
    people = "you" if not coverage.askers else "one person" if kind.votes == 1 else f"{kind.votes} people"
    return f"asks {people}{', with a backup' if kind.backup else ''}"


def _sentence(line: Line) -> str:
    return line.sentence if line.on or not line.fix else f"{line.sentence} To change that: {line.fix}"
