"""`agent plans`: run plans of agents, list and show their runs, replay and cancel them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.framework import JsonOption, LimitOption, examples, group
from agent.cli.runner import run as run_with
from agent.cli.terminal.results import show_done

if TYPE_CHECKING:
    from agent.orchestration.comparison import Comparison
    from agent.orchestration.records import PlanEvent, PlanResult, RunStatus, RunView
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
    from agent.integration.performers import orchestrator

    given = _plan(plan, parameters or [])

    async def orchestrate(runtime: Runtime) -> PlanResult:
        return await orchestrator(runtime).orchestrate(await given(runtime), idempotency_key=key)

    result = run_with(orchestrate)
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
    from agent.integration.performers import orchestrator
    from agent.orchestration import store

    given = None if new_input is None else _object(new_input, "--input")

    async def again(runtime: Runtime) -> PlanResult:
        run_id = await store.find(name, runtime=runtime)
        return await orchestrator(runtime).replay(run_id, from_step=from_step, input=given)

    _show_result(run_with(again), as_json=as_json)


@app.command("cancel", epilog=examples("agent plans cancel learning-session-ana"))
def cancel(name: _Name, *, as_json: JsonOption = False) -> None:
    """End a run with every step that runs and the plans of its steps."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.integration.performers import orchestrator
    from agent.orchestration import Cancellation, store

    async def end(runtime: Runtime) -> Cancellation:
        return await orchestrator(runtime).cancel(await store.find(name, runtime=runtime))

    answer = run_with(end)
    if as_json:
        print_json({"cancelled": answer.cancelled, "ended": answer.ended, "running": answer.running})
    elif not answer.ended:
        say(stdout(), f"Cancelled, but not all of it has ended yet: {', '.join(map(str, answer.running[:10]))}. Whoever runs it ends it, or, if that process died, the next one.")  # fmt: skip
    else:
        say(
            stdout(),
            "The run has ended, with all that belongs to it." if answer.cancelled else "The run had ended already.",
        )


@app.command("replay-all", epilog=examples("agent plans replay-all learning-session-ana", "agent plans replay-all learning-session-ana --status succeeded --from feedback --limit 5"))  # fmt: skip
def replay_all(
    plan_id: Annotated[str, typer.Argument(metavar="PLAN", help="The plan's id.", show_default=False)],
    *,
    status: Annotated[str, typer.Option("--status", help="Runs that failed, succeeded or were cancelled.")] = "failed",
    from_step: Annotated[
        str | None, typer.Option("--from", help="The step to begin at; else what did not succeed.")
    ] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """Run many runs of a plan again, and show each beside what it was."""
    from agent.integration.performers import orchestrator
    from agent.orchestration import views

    async def again(runtime: Runtime) -> list[Comparison]:
        runner = orchestrator(runtime)
        batch, runs = await runner.submit_replays(
            plan_id=plan_id, status=_status(status), limit=limit, from_step=from_step
        )
        for one in runs:
            await runner.result(one, wait=True)
        return await views.batch(batch, limit=limit, runtime=runtime)

    _show_comparisons(run_with(again), as_json=as_json)


@app.command("compare", epilog=examples("agent plans compare learning-session-ana"))
def compare(name: _Name, *, as_json: JsonOption = False) -> None:
    """Show a replay beside the run that it replays."""
    from agent.orchestration import views

    _show_comparisons([run_with(lambda runtime: views.comparison(name, runtime=runtime))], as_json=as_json)


@app.command("timeline", epilog=examples("agent plans timeline learning-session-ana"))
def timeline(
    name: _Name,
    *,
    until: Annotated[
        int | None, typer.Option("--until", help="Show what each step was after the event of this number.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a run in time: a bar for each step, and the path that decided how long it took."""
    from agent.cli.terminal.clean_text import one_line
    from agent.cli.terminal.render import listing, print_json, say, stdout
    from agent.orchestration import views

    drawn, states = run_with(lambda runtime: views.in_time(name, until=until, runtime=runtime))
    if as_json:
        print_json({"timeline": drawn, "states": states})
        return
    longest = max((one.drawn_end for one in drawn.bars), default=0.0) or 1.0
    rows = []
    for one in drawn.bars:
        left, width = (
            round(one.drawn_start / longest * 40),
            max(1, round((one.drawn_end - one.drawn_start) / longest * 40)),
        )
        bar = " " * left + ("█" if one.critical else "▒") * width
        rows.append(
            (
                one_line(one.id, 40),
                states[one.id] if states and one.id in states else one.status,
                f"{one.end - one.start:.0f} ms",
                f"{one.waited:.0f} ms",
                bar,
            )
        )
    listing(stdout(), ("step", "status", "took", "waited", "█ critical path"), rows, empty="No step has begun.")
    say(
        stdout(),
        f"Critical path: {drawn.critical_ms:.0f} ms in {' -> '.join(one_line(one, 40) for one in drawn.critical_path)}",
    )
    for gap in drawn.gaps:
        say(stdout(), f"Nothing ran from {gap.start:.0f} to {gap.end:.0f} ms; the bars leave that out.", "dim")


@app.command("pause", epilog=examples("agent plans pause learning-session-ana"))
def pause(name: _Name, *, as_json: JsonOption = False) -> None:
    """Start nothing more of a run until it is resumed."""
    _tell(name, "pause", ("The run pauses when what runs has ended.", "The run does not run."), as_json=as_json)


@app.command("resume", epilog=examples("agent plans resume learning-session-ana"))
def resume(name: _Name, *, as_json: JsonOption = False) -> None:
    """Go on with a run that was paused, with the time that it had left."""
    _tell(name, "resume", ("The run goes on.", "The run was not paused."), as_json=as_json)


@app.command("state", epilog=examples("agent plans state", "agent plans state --json"))
def state(*, as_json: JsonOption = False) -> None:
    """Show what runs and waits, agents that are left alone or limited, and schedules."""
    from agent.cli.terminal.clean_text import one_line
    from agent.cli.terminal.render import listing, print_json, say, stdout
    from agent.orchestration import views

    found = run_with(lambda runtime: views.state(runtime=runtime))
    if as_json:
        print_json(found)
        return
    say(stdout(), f"{found.running} plans run ({found.steps} steps), {found.waiting} wait (the oldest for {found.oldest_seconds:.0f} s), {found.paused} are paused.")  # fmt: skip
    circuits = [(one_line(one.name, 80), one.phase.value, str(one.failures), one.error or "") for one in found.circuits]
    listing(stdout(), ("circuit", "state", "failures in a row", "last error"), circuits, empty="Every agent answers.")
    limits = [(one_line(one["agent_id"], 80), str(one["most"]), str(one["taken"])) for one in found.limits]
    listing(stdout(), ("agent", "at most", "run now"), limits, empty="No agent has a limit.")
    plans = [(one_line(one.name, 40), one_line(one.plan_id, 40), one.cron, one.time_zone, f"{one.next_at:%Y-%m-%d %H:%M}", one_line(one.error or "", 80)) for one in found.schedules]  # fmt: skip
    listing(
        stdout(), ("schedule", "plan", "cron", "time zone", "next (UTC)", "error"), plans, empty="No plan is scheduled."
    )


@app.command("schedule", epilog=examples("agent plans schedule daily parallel-analysis -p learnerId=ana --cron '0 6 * * *'"))  # fmt: skip
def schedule(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.", show_default=False)],
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="A template's name, or a JSON file.", show_default=False)],
    *,
    cron: Annotated[str, typer.Option("--cron", help="Minute, hour, day, month, weekday.", show_default=False)],
    time_zone: Annotated[
        str, typer.Option("--time-zone", help="Whose clocks are meant, such as Europe/Berlin.")
    ] = "UTC",
    parameters: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="A template's parameter, NAME=VALUE.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Let a plan begin by itself at these times."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.integration.performers import orchestrator
    from agent.orchestration import schedules

    given = _plan(plan, parameters or [])

    async def set_up(runtime: Runtime) -> schedules.Schedule:
        checked = orchestrator(runtime).read(await given(runtime))
        return await schedules.schedule(name, checked, cron, time_zone=time_zone, runtime=runtime)

    made = run_with(set_up)
    if as_json:
        print_json(made)
    else:
        say(stdout(), f"Plan {made.plan_id!r} begins next at {made.next_at:%Y-%m-%d %H:%M} UTC.")


@app.command("unschedule", epilog=examples("agent plans unschedule daily"))
def unschedule(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.", show_default=False)],
    *,
    as_json: JsonOption = False,
) -> None:
    """Let a plan begin by itself no more."""
    from agent.orchestration import schedules

    run_with(lambda runtime: schedules.unschedule(name, runtime=runtime))
    show_done({"unscheduled": name}, "It begins no more.", as_json=as_json)


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
    from agent.cli.terminal.clean_text import one_line
    from agent.cli.terminal.render import listing, print_json, stdout
    from agent.integration.performers import offered, plan_of

    if name is not None:
        print_json(run_with(lambda runtime: plan_of(name, _parameters(parameters or []), runtime=runtime)))
        return
    found = run_with(lambda runtime: offered(runtime=runtime))
    if as_json:
        print_json(found)
    else:
        rows = [
            (one_line(one.name, 60), ", ".join(one.parameters["properties"]), one_line(one.summary, 200))
            for one in found
        ]
        listing(stdout(), ("template", "parameters", "what it does"), rows, empty="There is no template.")


def _tell(name: str, what: str, words: tuple[str, str], *, as_json: bool) -> None:
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.integration.performers import orchestrator
    from agent.orchestration import store

    async def told(runtime: Runtime) -> bool:
        runner, run_id = orchestrator(runtime), await store.find(name, runtime=runtime)
        return await (runner.pause(run_id) if what == "pause" else runner.resume(run_id))

    done = run_with(told)
    if as_json:
        print_json({f"{what}d": done})
    else:
        say(stdout(), words[0] if done else words[1])


def _status(given: str) -> RunStatus:
    from agent.errors import InvalidInput
    from agent.orchestration.records import FINISHED

    if given not in FINISHED:
        raise InvalidInput(f"{given[:50]!r} is no way for a run to end: use {', '.join(FINISHED)}.")
    return given


def _show_comparisons(found: list[Comparison], *, as_json: bool) -> None:
    from agent.cli.terminal.clean_text import one_line
    from agent.cli.terminal.render import listing, print_json, say, stdout

    if as_json:
        print_json(found)
        return
    if not found:
        say(stdout(), "No run ended in this way.")
    for one in found:
        say(stdout(), f"{one_line(one.plan_id, 100)}: {one.status[0]} in {one.duration[0]:.0f} ms, now {one.status[1]} in {one.duration[1]:.0f} ms; run {one.after}", _STYLES[one.status[1]])  # fmt: skip
        rows = [(one_line(step.id, 60), *step.status, "" if step.same else "changed", one_line(json.dumps(step.output[0], ensure_ascii=False), 80), one_line(json.dumps(step.output[1], ensure_ascii=False), 80)) for step in one.steps]  # fmt: skip
        listing(stdout(), ("step", "then", "now", "", "gave then", "gives now"), rows, empty="They share no step.")


def _plan(plan: str, parameters: list[str]) -> Callable[[Runtime], Awaitable[dict[str, Any]]]:
    """Return what gives the plan in a JSON file, or that of a template with its parameters."""
    from agent.errors import InvalidInput
    from agent.integration.performers import plan_of

    values, path = _parameters(parameters), Path(plan)
    if path.suffix == ".json" and not path.is_file():
        raise InvalidInput(f"There is no file {plan[:200]!r}: write the path of a JSON file, or the name of a template (`agent plans templates`).")  # fmt: skip
    if not path.is_file():
        return lambda runtime: plan_of(plan, values, runtime=runtime)
    if parameters:
        raise InvalidInput("Parameters are for templates: write the values into the file.")
    given = _object(path.read_text(encoding="utf-8", errors="replace"), plan)

    async def read(_: Runtime) -> dict[str, Any]:
        return given

    return read


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
