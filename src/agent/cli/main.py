"""The console script `agent`: list its commands, and the panel of the help for each.

The modules of the command line import typer and nothing heavy. A command imports what it needs when it runs, so that
`agent --help` and completion stay quick.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from agent.cli.commands import (
    alerts,
    analytics,
    approvals,
    audit,
    chat,
    control,
    database,
    demo,
    doctor,
    executions,
    functions,
    improve,
    integration,
    keys,
    knowledge,
    learn,
    mcp,
    memory_upkeep,
    messaging,
    monitor,
    people,
    permissions,
    plans,
    serve,
    status,
    sync,
    threads,
    tools,
    worker,
)
from agent.cli.framework import Commands, Root, examples

_EXIT_CODES = """
[bold]Exit codes[/bold]
  0    done
  1    it failed
  2    change what you asked or typed
  3    the database or a tool refused the statement
  4    it needs a human's approval, or a rule forbids it
  5    the set-up needs attention: `agent status` says what
  130  stopped with Ctrl-C"""

app = Commands(
    name="agent",
    cls=Root,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="An agent that learns your Postgres application, answers questions about it, and asks before anything risky.",
    epilog=examples("agent demo", "agent chat", 'agent chat "How many clients are active?"', "agent status")
    + "\n"
    + _EXIT_CODES,
)

_TALK, _KNOW, _WATCH, _SETUP = "Talk", "What it knows", "What it does", "Set-up"

app.command(
    "chat",
    short_help="Ask about your application, in a conversation or with one question.",
    rich_help_panel=_TALK,
    epilog=chat.EXAMPLES,
)(chat.chat)
app.add_typer(threads.app, name="threads", rich_help_panel=_TALK)
app.command(
    "demo",
    short_help="Play a short conversation on invented data.",
    rich_help_panel=_TALK,
    epilog=demo.EXAMPLES,
)(demo.demo)

app.command(
    "discover",
    short_help="Learn your application's structure.",
    rich_help_panel=_KNOW,
    epilog=knowledge.DISCOVER_EXAMPLES,
)(knowledge.discover)
app.command(
    "knowledge",
    short_help="Show what the agent knows of an object or for a question.",
    rich_help_panel=_KNOW,
    epilog=knowledge.KNOWLEDGE_EXAMPLES,
)(knowledge.knowledge)
app.add_typer(memory_upkeep.app, name="memory", rich_help_panel=_KNOW)
app.command(
    "learn",
    short_help="Learn from what happened, and show what was learned.",
    rich_help_panel=_KNOW,
    epilog=learn.EXAMPLES,
)(learn.learn)

app.add_typer(approvals.app, name="approvals", rich_help_panel=_WATCH)
app.add_typer(permissions.app, name="permissions", rich_help_panel=_WATCH)
app.add_typer(people.app, name="people", rich_help_panel=_WATCH)
app.add_typer(messaging.app, name="messaging", rich_help_panel=_WATCH)
app.add_typer(alerts.app, name="alerts", rich_help_panel=_WATCH)
app.command(
    "monitor",
    short_help="Watch the application and the agent.",
    rich_help_panel=_WATCH,
    epilog=monitor.EXAMPLES,
)(monitor.monitor)
app.add_typer(executions.app, name="executions", rich_help_panel=_WATCH)
app.add_typer(tools.app, name="tools", rich_help_panel=_WATCH)
app.add_typer(audit.app, name="audit", rich_help_panel=_WATCH)
app.command(
    "undo",
    short_help="Take an approved change back.",
    rich_help_panel=_WATCH,
    epilog=executions.UNDO_EXAMPLES,
)(executions.undo)
app.add_typer(functions.app, name="functions", rich_help_panel=_WATCH)
app.command(
    "assess",
    short_help="Show how risky a statement is. Nothing runs.",
    rich_help_panel=_WATCH,
    epilog=executions.ASSESS_EXAMPLES,
)(executions.assess)
app.command(
    "stop",
    short_help="Stop the agent everywhere, or let it only read.",
    rich_help_panel=_WATCH,
    epilog=control.STOP_EXAMPLES,
)(control.stop)
app.command("resume", short_help="End a stop.", rich_help_panel=_WATCH, epilog=control.RESUME_EXAMPLES)(control.resume)
app.command(
    "break-glass",
    short_help="Lift a freeze for some minutes; everybody is told.",
    rich_help_panel=_WATCH,
    epilog=control.BREAK_GLASS_EXAMPLES,
)(control.break_glass)

app.add_typer(sync.app, name="sync", rich_help_panel=_WATCH)
app.add_typer(analytics.app, name="analytics", rich_help_panel=_WATCH)
app.add_typer(plans.app, name="plans", rich_help_panel=_WATCH)
app.add_typer(improve.app, name="improve", rich_help_panel=_WATCH)
app.add_typer(integration.app, name="integration", rich_help_panel=_WATCH)

app.command(
    "mcp",
    short_help="Serve assistants and editors that speak the Model Context Protocol.",
    rich_help_panel=_SETUP,
    epilog=mcp.EXAMPLES,
)(mcp.mcp)
app.command("serve", short_help="Serve the API over HTTP.", rich_help_panel=_SETUP, epilog=serve.EXAMPLES)(serve.serve)
app.command(
    "worker", short_help="Work on what is approved and decided.", rich_help_panel=_SETUP, epilog=worker.EXAMPLES
)(worker.worker)
app.add_typer(keys.app, name="keys", rich_help_panel=_SETUP)
app.command(
    "status", short_help="Show the set-up and what needs fixing.", rich_help_panel=_SETUP, epilog=status.EXAMPLES
)(status.status)
app.command(
    "doctor",
    short_help="Show which action asks whom, and what is missing.",
    rich_help_panel=_SETUP,
    epilog=doctor.EXAMPLES,
)(doctor.doctor)
app.command(
    "setup",
    short_help="Give the agent's logins their passwords and rights.",
    rich_help_panel=_SETUP,
    epilog=database.SETUP_EXAMPLES,
)(database.setup)
app.command(
    "migrate",
    short_help="Bring the agent's tables up to date.",
    rich_help_panel=_SETUP,
    epilog=database.MIGRATE_EXAMPLES,
)(database.migrate)
app.command(
    "backup",
    short_help="Write the embedded database to a file.",
    rich_help_panel=_SETUP,
    epilog=database.BACKUP_EXAMPLES,
)(database.backup)
app.command(
    "restore",
    short_help="Put a backup in the place of the embedded database.",
    rich_help_panel=_SETUP,
    epilog=database.RESTORE_EXAMPLES,
)(database.restore)
app.command(
    "upgrade",
    short_help="Move the embedded data to a new PostgreSQL.",
    rich_help_panel=_SETUP,
    epilog=database.UPGRADE_EXAMPLES,
)(database.upgrade)


def _version(wanted: bool) -> None:  # noqa: FBT001  # typer calls it with the option's value
    if wanted:
        from importlib.metadata import version  # start-up: it imports the e-mail package

        typer.echo(f"agent {version('learning-agent')}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal cannot show becomes a question mark, never an exception.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="agent")


if __name__ == "__main__":
    main()
