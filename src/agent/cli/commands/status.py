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
        report = asyncio.run(check_status(settings))
    if as_json:
        print_json(report)
    else:
        _show(stdout(), report, settings.ask_from)
    if not report.usable:
        raise typer.Exit(5)


def _show(console: Console, report: Status, ask_from: RiskLevel) -> None:
    from agent.cli.terminal.clean_text import clean
    from agent.cli.terminal.render import INDENT, facts, say

    pairs: list[tuple[str, object]] = [("database", _database(report.database)), ("logins", _logins(report))]
    if report.application:
        pairs += _application_pairs(report.application)
    if report.models:
        pairs += [("model", _model(report.models)), ("embedder", _embedder(report.models))]
    optional = [
        ("mail", _mail(report.mail) if report.mail else None),
        ("sandbox", report.sandbox),
        ("conditions", clean(" ".join(report.conditions))),
    ]
    pairs += [(name, value) for name, value in optional if value]
    if report.memories is not None:
        pairs.append(("memories", _memories(report.memories)))
    if report.pending_approvals is not None:
        pairs.append(("approvals", _approvals(report.pending_approvals)))
    if report.switches is not None:
        from agent.cli.commands.control import describe_switches, describe_waiting

        if report.approved_waiting:
            pairs.append(("approved", describe_waiting(len(report.approved_waiting), report.switches)))
        pairs.append(("switches", describe_switches(report.switches, ask_from)))
    pairs.append(("you are", f"{report.user}, tenant {report.tenant}"))
    facts(console, pairs)
    console.print()
    if report.ok:
        say(console, "Everything is in order.", "green")
        return
    say(console, "What to fix", "bold yellow")
    for fix in report.fix:
        facts(console, [("•", fix.problem)], indent=INDENT)
        if fix.command:
            say(console, fix.command, "cyan", indent=INDENT + "   ")


def _application_pairs(application: ApplicationStatus) -> list[tuple[str, object]]:
    secrets = [("secrets", secrets_line(application.secrets, application.deny_line))] if application.secrets else []
    return [("application", _application(application)), *secrets]


def _database(database: DatabaseStatus) -> Text:
    from rich.text import Text

    from agent.cli.terminal.clean_text import clean, count

    kind = "embedded, " if database.embedded else ""
    if not database.reachable:
        return Text.assemble(("not usable", "red"), f"  {kind}{clean(database.where)}")
    pending = "migrations not known" if database.pending is None else "up to date"
    if database.pending:
        pending = count(len(database.pending), "migration pending", "migrations pending")
    return Text(f"{database.version}, {pending}, {kind}{clean(database.where)}")


def _logins(report: Status) -> Text:
    from rich.text import Text

    if not report.logins:
        return Text("not asked", style="dim")
    wrong = [login for login, state in report.logins.items() if state != "ok"]
    return Text(f"not usable: {', '.join(wrong)}", style="red") if wrong else Text("all four are ok")


def _application(application: ApplicationStatus) -> str:
    from agent.cli.terminal.clean_text import ago, count

    if application.discovered_at is None:
        return f"{application.where}, not discovered yet"
    parts = [
        count(application.tables, "table"),
        count(application.views, "view"),
        count(application.functions, "function"),
    ]
    changed = ", changed since" if application.changed else ""
    return f"{application.where}: {', '.join(parts)}, discovered {ago(application.discovered_at)}{changed}"


def secrets_line(names: Sequence[str], deny_line: str) -> str:
    """Say how many columns hold secrets, name the first of them, and say how to deny them altogether."""
    from agent.cli.terminal.clean_text import clean, count

    more = f" and {len(names) - MOST_SECRETS} more" if len(names) > MOST_SECRETS else ""
    first = ", ".join(names[:MOST_SECRETS])
    how = f"; to deny them altogether: {deny_line}" if deny_line else ""
    return clean(f"{count(len(names), 'column is', 'columns are')} masked: {first}{more}{how}")


def _model(models: ModelStatus) -> str:
    if models.offline:
        return "offline, built in: simple questions only; OPENAI_API_KEY or AGENT_MODEL sets a real one"
    return models.chat


def _embedder(models: ModelStatus) -> str:
    if not models.semantic:
        return f"{models.embedder}, lexical: it finds words, not meanings; AGENT_EMBEDDER sets a semantic one"
    return f"{models.embedder}, semantic"


def _mail(mail: MailStatus) -> str:
    from agent.cli.terminal.clean_text import clean

    if mail.kind is None:
        return "not set up; AGENT_SMTP_HOST names a server, AGENT_EMAIL_OUTBOX a folder"
    how = "by" if mail.kind == "smtp" else "as files in"
    return f"{how} {clean(mail.place)} from {clean(mail.sender)}; domains listed: {clean(mail.domains) or 'none'}"


def _memories(counts: dict[str, int]) -> str:
    kinds = [f"{number:,} {kind}" for kind, number in counts.items() if kind not in {"total", "unembedded"}]
    waiting = f"; {counts['unembedded']:,} wait for their embedding" if counts.get("unembedded") else ""
    named = f" ({', '.join(kinds)})" if kinds else ""
    return f"{counts['total']:,}{named}{waiting}"


def _approvals(pending: int) -> str:
    return f"{pending:,} waiting: agent approvals" if pending else "none waiting"
