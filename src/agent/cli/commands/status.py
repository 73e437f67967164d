"""`agent status`: show how everything is set up, and what to fix."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from agent.cli.framework import JsonOption, examples
from agent.cli.runner import load_settings, opening

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from agent.status import ApplicationStatus, DatabaseStatus, MailStatus, ModelStatus, Status
    from agent.types import RiskLevel

MOST_SECRETS = 10
EXAMPLES = examples("agent status", "agent status --json")


def status(*, as_json: JsonOption = False) -> None:
    """Show the databases, logins, model, memories, approvals and switches, and what to fix.

    The exit code is 5 if the agent could not answer a question now.
    """
    from agent.cli.terminal.render import print_json, stdout
    from agent.status import check_status

    settings = load_settings()
    with opening(settings, "asking …"):
        found = asyncio.run(check_status(settings))
    if as_json:
        print_json(found)
    else:
        _show(stdout(), found, settings.ask_from)
    if not found.usable:
        raise typer.Exit(5)


def _show(console: Console, found: Status, ask_from: RiskLevel) -> None:
    from agent.cli.terminal.render import INDENT, facts, say

    pairs: list[tuple[str, object]] = [("database", _database(found.database)), ("logins", _logins(found))]
    if found.application:
        pairs += _application_pairs(found.application)
    if found.models:
        pairs += [("model", _model(found.models)), ("embedder", _embedder(found.models))]
    optional = [("mail", _mail(found.mail) if found.mail else None), ("sandbox", found.sandbox)]
    pairs += [(name, value) for name, value in optional if value]
    if found.memories is not None:
        pairs.append(("memories", _memories(found.memories)))
    if found.pending_approvals is not None:
        pairs.append(("approvals", _approvals(found.pending_approvals)))
    if found.switches is not None:
        from agent.cli.commands.control import describe_switches, describe_waiting

        if found.approved_waiting:
            pairs.append(("approved", describe_waiting(len(found.approved_waiting), found.switches)))
        pairs.append(("switches", describe_switches(found.switches, ask_from)))
    pairs.append(("you are", f"{found.user}, tenant {found.tenant}"))
    facts(console, pairs)
    console.print()
    if found.ok:
        say(console, "Everything is in order.", "green")
        return
    say(console, "What to fix", "bold yellow")
    for fix in found.fix:
        facts(console, [("•", fix.problem)], indent=INDENT)
        if fix.command:
            say(console, fix.command, "cyan", indent=INDENT + "   ")


def _application_pairs(found: ApplicationStatus) -> list[tuple[str, object]]:
    secrets = [("secrets", secrets_line(found.secrets, found.deny_line))] if found.secrets else []
    return [("application", _application(found)), *secrets]


def _database(found: DatabaseStatus) -> Text:
    from rich.text import Text

    from agent.cli.terminal.clean_text import clean, count

    kind = "embedded, " if found.embedded else ""
    if not found.reachable:
        return Text.assemble(("not usable", "red"), f"  {kind}{clean(found.where)}")
    pending = "migrations not known" if found.pending is None else "up to date"
    if found.pending:
        pending = count(len(found.pending), "migration pending", "migrations pending")
    return Text(f"{found.version}, {pending}, {kind}{clean(found.where)}")


def _logins(found: Status) -> Text:
    from rich.text import Text

    if not found.logins:
        return Text("not asked", style="dim")
    wrong = [login for login, state in found.logins.items() if state != "ok"]
    return Text(f"not usable: {', '.join(wrong)}", style="red") if wrong else Text("all four are ok")


def _application(found: ApplicationStatus) -> str:
    from agent.cli.terminal.clean_text import ago, count

    if found.discovered_at is None:
        return f"{found.where}, not discovered yet"
    parts = [count(found.tables, "table"), count(found.views, "view"), count(found.functions, "function")]
    changed = ", changed since" if found.changed else ""
    return f"{found.where}: {', '.join(parts)}, discovered {ago(found.discovered_at)}{changed}"


def secrets_line(names: Sequence[str], deny_line: str) -> str:
    """Say how many columns hold secrets, name the first of them, and say how to deny them altogether."""
    from agent.cli.terminal.clean_text import clean, count

    more = f" and {len(names) - MOST_SECRETS} more" if len(names) > MOST_SECRETS else ""
    first = ", ".join(names[:MOST_SECRETS])
    how = f"; to deny them altogether: {deny_line}" if deny_line else ""
    return clean(f"{count(len(names), 'column is', 'columns are')} masked: {first}{more}{how}")


def _model(found: ModelStatus) -> str:
    if found.offline:
        return "offline, built in: simple questions only; OPENAI_API_KEY or AGENT_MODEL sets a real one"
    return found.chat


def _embedder(found: ModelStatus) -> str:
    if not found.semantic:
        return f"{found.embedder}, lexical: it finds words, not meanings; AGENT_EMBEDDER sets a semantic one"
    return f"{found.embedder}, semantic"


def _mail(found: MailStatus) -> str:
    from agent.cli.terminal.clean_text import clean

    if found.kind is None:
        return "not set up; AGENT_SMTP_HOST names a server, AGENT_EMAIL_OUTBOX a folder"
    how = "by" if found.kind == "smtp" else "as files in"
    return f"{how} {clean(found.place)} from {clean(found.sender)}; domains listed: {clean(found.domains) or 'none'}"


def _memories(found: dict[str, int]) -> str:
    kinds = [f"{number:,} {kind}" for kind, number in found.items() if kind not in {"total", "unembedded"}]
    waiting = f"; {found['unembedded']:,} wait for their embedding" if found.get("unembedded") else ""
    named = f" ({', '.join(kinds)})" if kinds else ""
    return f"{found['total']:,}{named}{waiting}"


def _approvals(pending: int) -> str:
    return f"{pending:,} waiting: agent approvals" if pending else "none waiting"
