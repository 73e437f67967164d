"""`agent integration`: the integration agents, their circuits, workflows and tasks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.framework import JsonOption, examples, group
from agent.cli.runner import run as run_with

if TYPE_CHECKING:
    from agent.runtime import Runtime

app = group(
    "Integration agents: health, figures, circuits, workflows.",
    "agent integration",
    "agent integration run user_sync -p user_id=ana",
    "agent integration circuits --json",
    default="status",
)

_Parameters = Annotated[list[str] | None, typer.Option("--parameter", "-p", help="A parameter, NAME=VALUE; a value may be JSON.")]  # fmt: skip
_STYLES = {"healthy": "green", "degraded": "yellow", "unhealthy": "red", "completed": "green", "failed": "red", "running": "cyan"}  # fmt: skip


@app.command("status", epilog=examples("agent integration", "agent integration status --deep --json"))
def status(
    *,
    deep: Annotated[bool, typer.Option("--deep", help="Ask each platform for a sign of life.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how each agent is, and what is not set up."""
    from agent.cli.terminal.render import listing, print_json, say, stdout

    async def read(runtime: Runtime) -> Any:
        from agent.integration import integration_manager
        from agent.integration.service import status as status_of

        await integration_manager.initialize(runtime=runtime)
        return await status_of(deep=deep, runtime=runtime)

    found = run_with(read)
    if as_json:
        print_json(found)
        return
    say(stdout(), f"Integration agents: {found.overall_health}", _STYLES[found.overall_health])
    rows = [
        (name, one.status, one.error or "; ".join(f"{which}: {it.error or it.circuit}" for which, it in one.connections.items()))
        for name, one in found.agents.items()
    ]  # fmt: skip
    listing(
        stdout(), ("agent", "health", "connections"), rows, empty="They are switched off (SKIP_INTEGRATION_AGENTS)."
    )
    for remark in found.remarks:
        say(stdout(), remark, "dim")


@app.command("metrics", epilog=examples("agent integration metrics", "agent integration metrics --json"))
def metrics(*, as_json: JsonOption = False) -> None:
    """Show what each agent did in the last day, over all processes."""
    from agent.cli.terminal.render import listing, print_json, stdout
    from agent.integration.service import metrics as metrics_of

    found = run_with(lambda runtime: metrics_of(runtime=runtime))
    if as_json:
        print_json(found)
        return
    rows = [
        (name, one.total_requests, one.failed_requests, _number(one.average_latency_ms, " ms"), one.events_processed, _number(one.cache_hit_ratio, ""))
        for name, one in found.items()
    ]  # fmt: skip
    listing(stdout(), ("agent", "requests", "failed", "took", "events", "hit ratio"), rows, empty="No agent runs.")


@app.command("circuits", epilog=examples("agent integration circuits", "agent integration circuits --json"))  # fmt: skip
def circuits(
    *,
    close: Annotated[str | None, typer.Option("--close", metavar="NAME", help="Let calls through again.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show every circuit that was ever not in order, in all processes."""
    from agent import circuits as shared
    from agent.cli.terminal.render import listing, print_json, say, stdout
    from agent.errors import NotFound

    async def read(runtime: Runtime) -> Any:
        if close is not None and not await shared.close(close, runtime=runtime):
            raise NotFound(f"There is no circuit {close[:100]!r}: `agent integration circuits` lists them.")
        return await shared.listed(runtime=runtime)

    found = run_with(read)
    if as_json:
        print_json(found)
        return
    if close is not None:
        say(stdout(), f"{close} lets calls through.")
    rows = [(one.name, one.phase.value, one.failures, f"{one.since:%Y-%m-%d %H:%M:%S}", one.error or "") for one in found]  # fmt: skip
    listing(stdout(), ("circuit", "state", "failures", "since", "last error"), rows, empty="Every platform answered so far.")  # fmt: skip


@app.command("workflows", epilog=examples("agent integration workflows", "agent integration workflows --json"))
def workflows(*, as_json: JsonOption = False) -> None:
    """List the workflows that can be run, with their tasks."""
    from agent.cli.terminal.render import listing, print_json, stdout
    from agent.integration import integration_manager

    known = integration_manager.coordinator.workflows
    if as_json:
        print_json([{"name": one.name, "description": one.description, "parameters": one.parameters, "tasks": [task.name for task in one.tasks]} for one in known])  # fmt: skip
        return
    rows = [(one.name, ", ".join(one.parameters), " > ".join(task.name for task in one.tasks)) for one in known]
    listing(stdout(), ("workflow", "parameters", "tasks"), rows, empty="There is no workflow.")


@app.command("run", epilog=examples("agent integration run user_sync -p user_id=ana", "agent integration run user_sync -p user_id=ana -p 'data={\"theme\": \"dark\"}' --json"))  # fmt: skip
def run(
    name: Annotated[str, typer.Argument(metavar="WORKFLOW", help="The workflow's name.", show_default=False)],
    *,
    parameters: _Parameters = None,
    as_json: JsonOption = False,
) -> None:
    """Run a workflow, and show what each task gave."""
    from agent.cli.terminal.clean_text import clean, one_line
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.integration import integration_manager

    given = _parameters(parameters or [])
    done = run_with(lambda runtime: integration_manager.coordinator.run(name, given, seconds=600, runtime=runtime))
    if as_json:
        print_json(done)
    else:
        say(stdout(), f"{one_line(done.name)} {done.status} in {done.duration:.0f} ms; run {done.workflow_id}.", _STYLES[done.status])  # fmt: skip
        for task, one in done.tasks.items():
            said = clean(json.dumps(one.result, ensure_ascii=False, default=str))[:500] if one.success else one_line(one.error or "", 500)  # fmt: skip
            say(stdout(), f"{one_line(task, 100)}: {said}", "" if one.success else "red")
    if done.status == "failed":
        raise typer.Exit(1)


@app.command("task", epilog=examples("agent integration task schema_validator list", "agent integration task api_gateway list_endpoints --json"))  # fmt: skip
def task(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.", show_default=False)],
    name: Annotated[str, typer.Argument(metavar="TASK", help="One of its tasks.", show_default=False)],
    *,
    parameters: _Parameters = None,
    as_json: JsonOption = False,
) -> None:
    """Let an agent do one of its tasks, and print what it gave."""
    from agent.cli.terminal.render import print_json
    from agent.integration import integration_manager

    del as_json  # it is JSON in any case
    given = _parameters(parameters or [])
    print_json(run_with(lambda runtime: integration_manager.execute(agent, name, given, runtime=runtime)))


def _parameters(given: list[str]) -> dict[str, Any]:
    from agent.errors import InvalidInput

    pairs = [one.partition("=") for one in given]
    if any(not sign for _, sign, _ in pairs):
        raise InvalidInput("Write a parameter as NAME=VALUE, such as -p user_id=ana.")
    return {name: _value(value) for name, _, value in pairs}


def _value(text: str) -> Any:
    """Return what JSON makes of a value, or the text itself: ana, 9, {"a": 1}."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.2f}{unit}"
