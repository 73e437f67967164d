"""`agent plans`: run plans of agents, list and show their runs, replay and cancel them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.framework import JsonOption, LimitOption, examples, group
from agent.cli.runner import run as run_with

if TYPE_CHECKING:
    from agent.orchestration.records import PlanEvent, PlanResult, RunView
    from agent.runtime import Runtime

app = group(
    "Plans of many agents, and their runs.",
    "agent plans",
    "agent plans run learning-session -p learnerId=ana",
    "agent plans show learning-session-ana",
)

_Name = Annotated[str, typer.Argument(metavar="RUN", help="The run's number, or the plan's id for its newest run.", show_default=False)]  # fmt: skip
_STYLES = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}


@app.command("list", epilog=examples("agent plans", "agent plans list --status failed --json"))
def list_runs(
    *,
    status: Annotated[
        str | None, typer.Option("--status", help="Only running, succeeded, failed or cancelled ones.")
    ] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List the newest runs."""
    from agent.cli.terminal.clean_text import one_line
    from agent.cli.terminal.render import listing, print_json, stdout
    from agent.orchestration import views

    found = run_with(lambda runtime: views.runs(limit=limit, status=status, runtime=runtime))
    if as_json:
        print_json(found)
        return
    rows = [(str(one.id), one_line(one.plan_id, 60), one.status, f"{one.duration:.0f} ms", f"{one.created_at:%Y-%m-%d %H:%M}", one_line(one.error or "", 120)) for one in found]  # fmt: skip
    listing(stdout(), ("run", "plan", "status", "took", "began", "error"), rows, empty="No plan has run.", limit=limit)


@app.command("run", epilog=examples("agent plans run learning-session -p learnerId=ana", "agent plans run plan.json --json"))  # fmt: skip
def run(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="A template's name, or a JSON file.", show_default=False)],
    *,
    parameters: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="A template's parameter, NAME=VALUE.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Run it once, however often it is asked for with this key.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a plan with the agents that come with it, and show how it ended."""
    from agent.orchestration.standard import standard_orchestrator

    given = _plan(plan, parameters or [])
    result = run_with(lambda runtime: standard_orchestrator(runtime).orchestrate(given, idempotency_key=key))
    _show_result(result, as_json=as_json)


@app.command("show", epilog=examples("agent plans show learning-session-ana", "agent plans show learning-session-ana --mermaid"))  # fmt: skip
def show(
    name: _Name,
    *,
    as_mermaid: Annotated[
        bool, typer.Option("--mermaid", help="Print the run as the text of a Mermaid flowchart.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a run with its steps and what happened, in order."""
    from agent.cli.terminal.clean_text import one_line
    from agent.cli.terminal.render import listing, print_json, say, stdout
    from agent.orchestration import views
    from agent.orchestration.mermaid import mermaid

    async def read(runtime: Runtime) -> tuple[RunView, list[PlanEvent]]:
        return await views.run(name, runtime=runtime), await views.events(name, runtime=runtime)

    found, events = run_with(read)
    if as_json:
        print_json({"run": found.run, "steps": found.steps, "fallback_id": found.fallback_id, "events": events})
        return
    if as_mermaid:
        typer.echo(mermaid(found))
        return
    say(stdout(), f"{one_line(found.run.plan_id)} · {found.run.status} · {found.run.duration:.0f} ms · run {found.run.id}", _STYLES[found.run.status])  # fmt: skip
    steps = [(one_line(one.id, 60), one_line(one.agent_id, 60), one.status, str(one.attempts), "" if one.duration is None else f"{one.duration:.0f} ms", one_line(one.error or "", 120)) for one in found.steps]  # fmt: skip
    listing(stdout(), ("step", "agent", "status", "tries", "took", "error"), steps, empty="It has no steps.")
    for one in events:
        after = (one.at - found.run.created_at).total_seconds()
        say(stdout(), f"{after:9.3f} s  {one.kind}  {one_line(one.step_id or '', 60)}", "dim")
    if found.fallback_id is not None:
        say(stdout(), f"Its fallback is run {found.fallback_id}.")


@app.command("replay", epilog=examples("agent plans replay learning-session-ana --from activity", "agent plans replay ask-ana --from ask --input '{\"learnerId\": \"ana\", \"message\": \"Hello\"}'"))  # fmt: skip
def replay(
    name: _Name,
    *,
    from_step: Annotated[
        str | None, typer.Option("--from", help="The step to begin at; else what did not succeed.")
    ] = None,
    new_input: Annotated[str | None, typer.Option("--input", help="Another input for that step, as JSON.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a plan again from a step. What is done and does not wait for it is not redone."""
    from agent.orchestration import store
    from agent.orchestration.standard import standard_orchestrator

    given = None if new_input is None else _object(new_input, "--input")

    async def again(runtime: Runtime) -> PlanResult:
        run_id = await store.find(name, runtime=runtime)
        return await standard_orchestrator(runtime).replay(run_id, from_step=from_step, input=given)

    _show_result(run_with(again), as_json=as_json)


@app.command("cancel", epilog=examples("agent plans cancel learning-session-ana"))
def cancel(name: _Name, *, as_json: JsonOption = False) -> None:
    """End a run with every step that runs."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.orchestration import store
    from agent.orchestration.standard import standard_orchestrator

    async def end(runtime: Runtime) -> bool:
        return await standard_orchestrator(runtime).cancel(await store.find(name, runtime=runtime))

    still = run_with(end)
    if as_json:
        print_json({"cancelled": still})
    else:
        say(stdout(), "The run ends now." if still else "The run had ended already.")


@app.command("templates", epilog=examples("agent plans templates", "agent plans templates learning-session -p learnerId=ana"))  # fmt: skip
def templates(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Print this one as JSON.", show_default=False)
    ] = None,
    *,
    parameters: Annotated[list[str] | None, typer.Option("--parameter", "-p", help="A parameter, NAME=VALUE.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the plans that are ready to run, or print one with its parameters filled in."""
    from agent.cli.terminal.render import listing, print_json, stdout
    from agent.orchestration.templates import TEMPLATES, filled

    if name is not None:
        print_json(filled(name, _parameters(parameters or [])))
    elif as_json:
        print_json([{"name": one.name, "summary": one.summary, "parameters": one.parameters} for one in TEMPLATES.values()])  # fmt: skip
    else:
        rows = [(one.name, ", ".join(one.parameters), one.summary) for one in TEMPLATES.values()]
        listing(stdout(), ("template", "parameters", "what it does"), rows, empty="There is no template.")


def _plan(plan: str, parameters: list[str]) -> dict[str, Any]:
    from agent.errors import InvalidInput
    from agent.orchestration.templates import TEMPLATES, filled

    if plan in TEMPLATES:
        return filled(plan, _parameters(parameters))
    path = Path(plan)
    if not path.is_file():
        raise InvalidInput(f"There is no template and no file {plan[:200]!r}: `agent plans templates` lists the templates.")  # fmt: skip
    if parameters:
        raise InvalidInput("Parameters are for templates: write the values into the file.")
    return _object(path.read_text(encoding="utf-8", errors="replace"), plan)


def _parameters(given: list[str]) -> dict[str, str]:
    from agent.errors import InvalidInput

    pairs = [one.partition("=") for one in given]
    if any(not sign for _, sign, _ in pairs):
        raise InvalidInput("Write a parameter as NAME=VALUE, such as -p learnerId=ana.")
    return {name: value for name, _, value in pairs}


def _object(text: str, where: str) -> dict[str, Any]:
    from agent.errors import InvalidInput

    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{where[:200]!r} is not JSON: {str(error)[:200]}.") from None
    if not isinstance(value, dict):
        raise InvalidInput(f"{where[:200]!r} must hold a JSON object.")
    return value


def _show_result(result: PlanResult, *, as_json: bool) -> None:
    from agent.cli.terminal.clean_text import clean, one_line
    from agent.cli.terminal.render import print_json, say, stdout

    if as_json:
        print_json(result.as_json())
    else:
        after = f", after its fallback {one_line(result.fallback, 100)}" if result.fallback else ""
        word = "succeeded" if result.success else "failed"
        say(stdout(), f"{one_line(result.plan_id)} {word} in {result.duration:.0f} ms{after}; run {result.run_id}.", _STYLES[word])  # fmt: skip
        for name, one in result.results.items():
            say(stdout(), f"{one_line(name, 100)}: {clean(json.dumps(one.data, ensure_ascii=False))[:500]}")
        for name, error in (result.errors or {}).items():
            say(stdout(), f"{one_line(name, 100)}: {one_line(error, 500)}", "red")
    if not result.success:
        raise typer.Exit(1)
