"""`agent tools`: list, show, disable, enable and roll back the tools that the agent created."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.framework import JsonOption, examples, group
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.execution.created_tools.store import CreatedTool

app = group(
    "List, show, disable, enable and roll back the tools that the agent created.",
    "agent tools",
    "agent tools show open_orders",
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The tool's name.")]


@app.command("list", epilog=examples("agent tools", "agent tools list --json"))
def list_tools(*, as_json: JsonOption = False) -> None:
    """List the tools that the agent created, with the version in use."""
    from agent.cli.terminal.clean_text import ago, one_line
    from agent.cli.terminal.render import listing, print_json, stdout
    from agent.execution.created_tools.store import created_tools

    versions = run(lambda runtime: created_tools.versions(runtime=runtime))
    if as_json:
        print_json(versions)
        return
    current: dict[str, CreatedTool] = {}  # for each name the active version, else the newest
    for tool in versions:
        if tool.name not in current or tool.status == "active":
            current[tool.name] = tool
    rows = [
        (name, tool.content.version, _state(tool), ", ".join(tool.content.capabilities) or "nothing", ago(tool.created_at),
         one_line(tool.content.description, 100))
        for name, tool in current.items()
    ]  # fmt: skip
    columns = ("name", "version", "state", "may call", "made", "what it does")
    listing(stdout(), columns, rows, empty="The agent has created no tools yet.")


@app.command("show", epilog=examples("agent tools show open_orders", "agent tools show open_orders --version 1 --json"))
def show_tool(
    name: NameArgument,
    *,
    version: Annotated[
        int | None,
        typer.Option("--version", "-v", min=1, help="The version. Default: the one in use, else the newest."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show one version of a tool: code, arguments, what it may call, tests, and other versions."""
    from agent.cli.terminal.clean_text import moment
    from agent.cli.terminal.render import INDENT, facts, print_json, say, stdout
    from agent.errors import NotFound
    from agent.execution.created_tools.store import created_tools

    tools = run(lambda runtime: created_tools.versions(name, runtime=runtime))
    candidates = [tool for tool in tools if version in {None, tool.content.version}]
    if not candidates:
        versions = ", ".join(str(tool.content.version) for tool in tools)
        raise NotFound(f"{name} has no version {version}; it has {versions}.")
    chosen = next((tool for tool in candidates if tool.status == "active"), candidates[0])
    if as_json:
        print_json(chosen)
        return
    console, content = stdout(), chosen.content
    say(console, content.description)
    console.print()
    facts(console, [
        ("version", f"{content.version}, {_state(chosen)}"), ("takes", content.parameters),
        ("may call", ", ".join(content.capabilities) or "nothing"), *([("hosts", ", ".join(content.hosts))] if content.hosts else []),
        ("tests", len(content.tests)), ("made", f"by {chosen.created_by}, {moment(chosen.created_at)}, approval {chosen.approval_id}"),
        ("versions", ", ".join(f"{tool.content.version} {_state(tool)}" for tool in tools)),
    ])  # fmt: skip
    console.print()
    say(console, content.code, "cyan", indent=INDENT)


@app.command("disable", epilog=examples("agent tools disable open_orders"))
def disable_tool(name: NameArgument, *, as_json: JsonOption = False) -> None:
    """Disable a tool at once, in every conversation and process."""
    from agent.execution.created_tools.store import created_tools

    tool = run(lambda runtime: created_tools.disable(name, runtime=runtime))
    _show_change(tool, f"{name} is out of use. `agent tools enable {name}` puts it into use again.", as_json=as_json)


@app.command("enable", epilog=examples("agent tools enable open_orders"))
def enable_tool(name: NameArgument, *, as_json: JsonOption = False) -> None:
    """Enable the newest version of a tool."""
    from agent.execution.created_tools.store import created_tools

    tool = run(lambda runtime: created_tools.activate(name, runtime=runtime))
    _show_change(tool, f"{name} version {tool.content.version} is in use.", as_json=as_json)


@app.command("rollback", epilog=examples("agent tools rollback open_orders", "agent tools rollback open_orders --to 1"))
def roll_back(
    name: NameArgument,
    *,
    to: Annotated[int | None, typer.Option("--to", min=1, help="The version. Default: the one before.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to an earlier version, which was approved when it was created."""
    from agent.execution.created_tools.store import created_tools

    tool = run(lambda runtime: created_tools.rollback(name, to, runtime=runtime))
    _show_change(tool, f"{name} version {tool.content.version} is in use.", as_json=as_json)


def _show_change(tool: CreatedTool, text: str, *, as_json: bool) -> None:
    from agent.cli.terminal.render import print_json, say, stdout

    if as_json:
        print_json(tool)
    else:
        say(stdout(), text)


def _state(tool: CreatedTool) -> str:
    return tool.status if tool.intact else "changed since its approval, does not run"
