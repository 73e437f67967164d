"""`agent audit`: list, verify, export and seal the audit log of requests, decisions, executions and rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.framework import JsonOption, LimitOption, examples, group
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.audit.log import Anchor, AuditReport, Entry
    from agent.runtime import Runtime

app = group(
    "List, verify, export and seal the audit log of requests, decisions, executions and rules.",
    "agent audit",
    "agent audit verify",
    "agent audit export monday.json",
)


@app.command("list", epilog=examples("agent audit", "agent audit list --limit 100", "agent audit list --json"))
def list_entries(*, limit: LimitOption = 20, as_json: JsonOption = False) -> None:
    """List the newest entries: when, which login, and what changed."""
    from agent.cli.terminal.clean_text import one_line
    from agent.cli.terminal.render import listing, print_json, stdout
    from agent.operations import audit

    entries = run(lambda runtime: audit.recent(limit, runtime=runtime))
    if as_json:
        print_json([_as_dict(entry) for entry in entries])
        return
    rows = [
        (entry.sequence or "unsealed", entry.at[:19], entry.login, one_line(_sentence(entry), 300)) for entry in entries
    ]
    listing(
        stdout(),
        ("entry", "at (UTC)", "login", "what"),
        rows,
        empty="Nothing was asked, decided or done yet.",
        limit=limit,
    )


@app.command("verify", epilog=examples("agent audit verify", "agent audit verify --anchor monday.json"))
def verify(
    *,
    anchor: Annotated[
        Path | None, typer.Option("--anchor", metavar="FILE", help="A file that `agent audit export` wrote earlier.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the whole log, the rows that it is about, and that every effect was decided.

    The exit code is 1 if anything is wrong.

    Without an anchor, nobody can see that the end of the log was cut off together with the rows, or that somebody who has
    the key wrote the log again.
    """
    from agent.cli.terminal.render import print_json

    report = run(lambda runtime: _verify(runtime, anchor))
    if as_json:
        print_json({"whole": report.whole, **asdict(report)})
    else:
        _show_report(report, anchored=anchor is not None)
    if not report.whole:
        raise typer.Exit(1)


@app.command("export", epilog=examples("agent audit export monday.json"))
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write. Keep it on another machine.")],
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write an anchor: the end of the log as it is now, for `agent audit verify --anchor`."""
    from agent.audit.log import audit_log
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.errors import InvalidInput

    if file.exists() and not overwrite:
        raise InvalidInput(f"{str(file)!r} exists already: name another file, or add --overwrite.")
    anchor = run(lambda runtime: audit_log.export(runtime=runtime))
    try:
        file.write_text(json.dumps(anchor, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{str(file)!r} cannot be written: {error.strerror}.") from error
    if as_json:
        print_json({"file": str(file), **anchor})
    else:
        say(
            stdout(),
            f"{file} holds the end of the log, entry {anchor['sequence']}. Keep it where this server's users cannot write.",
        )


@app.command("seal", epilog=examples("agent audit seal"))
def seal(*, as_json: JsonOption = False) -> None:
    """Seal the entries that a killed process left unsealed. All others are sealed automatically."""
    from agent.audit.log import audit_log
    from agent.cli.terminal.clean_text import count
    from agent.cli.terminal.render import print_json, say, stdout

    sealed = run(lambda runtime: audit_log.seal(runtime=runtime))
    if as_json:
        print_json({"sealed": sealed})
    else:
        say(stdout(), f"Sealed {count(sealed, 'entry', 'entries')}." if sealed else "Everything is sealed.")


async def _verify(runtime: Runtime, file: Path | None) -> AuditReport:
    from agent.audit.log import audit_log
    from agent.cli.terminal.render import progress

    anchor = _read_anchor_file(file, runtime) if file else None
    with progress("verifying") as move:
        return await audit_log.verify(anchor=anchor, progress=move, runtime=runtime)


def _read_anchor_file(file: Path, runtime: Runtime) -> Anchor:
    from agent.audit.log import read_anchor
    from agent.errors import InvalidInput

    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            f"The anchor {str(file)!r} cannot be read: {error.strerror}. `agent audit export` writes one."
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{str(file)!r} is no anchor: `agent audit export` writes one.") from error
    return read_anchor(text, tenant_id=runtime.tenant_id)


def _show_report(report: AuditReport, *, anchored: bool) -> None:
    from agent.cli.terminal.clean_text import count
    from agent.cli.terminal.render import say, stdout

    console = stdout()
    for finding in report.findings:
        say(console, finding.message, "red")
    if report.found > len(report.findings):
        say(console, f"... and {report.found - len(report.findings):,} more.", "red")
    entries = (
        f"{count(report.entries, 'entry', 'entries')}, {count(report.rows, 'row')}, {count(report.effects, 'effect')}"
    )
    if not report.whole:
        say(console, f"The audit log is NOT whole: {count(report.found, 'finding')} in {entries}.", "bold red")
    else:
        say(console, f"The audit log is whole: {entries}, all as sealed, recorded and decided.", "green")
    for login, changes in report.outside.items():
        say(
            console,
            f"{count(changes, 'change')} by {login!r}, which is none of the agent's logins: `agent audit` shows what.",
        )
    if report.adopted:
        say(console, f"{count(report.adopted, 'row')} from before the log began, sealed as they were then.", "dim")
    if report.erased:
        say(console, f"{count(report.erased, 'entry', 'entries')} without the texts that an erasure took away.", "dim")
    if not anchored:
        say(console, "Checked without an anchor: `agent audit verify --help` says what that cannot find.", "dim")


def _as_dict(entry: Entry) -> dict[str, Any]:
    return {
        "sequence": entry.sequence, "id": entry.id, "at": entry.at, "sealed_at": entry.sealed_at or None, "login": entry.login,
        "event": entry.event, "subject": entry.subject, "key": entry.key and _parsed(entry.key), "content": _parsed(entry.content),
        "key_id": entry.key_id or None, "mac": entry.mac.hex() or None,
    }  # fmt: skip


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # the agent did not write this; `verify` reports it
        return text


def _sentence(entry: Entry) -> str:
    """Return an entry as a sentence; its content as it is, if the agent did not write it."""
    event = "" if entry.event in {"inserted", "updated"} else f" ({entry.event})"
    sentences = {"human_approval_queue": _request, "agent_execution_log": _execution, "controls": _switches}
    try:
        return f"{sentences.get(entry.subject, _row)(entry, _parsed(entry.content))}{event}"
    except (KeyError, TypeError, AttributeError):
        return f"{entry.name} {entry.event}: {entry.content}"


def _request(_: Entry, values: Mapping[str, Any]) -> str:
    by = f" by {values['decided_by']} via {values['decided_via']}" if values.get("decided_by") else ""
    return f"approval {values['id']} {values['status']}{by}: {values['risk_level']}, {values['summary']}"


def _execution(_: Entry, values: Mapping[str, Any]) -> str:
    from agent.cli.terminal.clean_text import count

    of = f", approval {values['approval_id']}" if values.get("approval_id") else ""
    rows = f", {count(values['row_count'], 'row')}" if values.get("row_count") is not None else ""
    return f"execution {values['id']} {values['status']}: {values['action']} for {values['actor']}{of}{rows}"


def _switches(_: Entry, values: Mapping[str, Any]) -> str:
    state = "stopped" if values["stopped"] else "read-only" if values["read_only"] else "running"
    return f"{state}, set by {values['changed_by']}" + (f": {values['reason']}" if values["reason"] else "")


def _row(entry: Entry, values: Mapping[str, Any]) -> str:
    text = ", ".join(f"{name} {value}" for name, value in values.items() if value not in (None, "", [], False))
    return f"{entry.name} {entry.event}: {text}"
