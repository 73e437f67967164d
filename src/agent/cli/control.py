"""`agent stop` and `agent resume`: the switches that every process obeys at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.commands import JsonOption, examples
from agent.cli.running import run

if TYPE_CHECKING:
    from agent.execution.controls import ControlState
    from agent.runtime import Runtime

STOP_EXAMPLES = examples("agent stop", 'agent stop "migration tonight"', 'agent stop --read-only "audit"')
RESUME_EXAMPLES = examples("agent resume")


def stop(
    reason: Annotated[
        str, typer.Argument(metavar="REASON", help="Why; whoever is stopped reads it.", show_default=False)
    ] = "",
    *,
    read_only: Annotated[bool, typer.Option("--read-only", help="Go on reading, but change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Stop the agent, everywhere and at once: nothing is executed until `agent resume`."""
    _show(run(lambda runtime: _stop(runtime, reason, read_only=read_only)), as_json=as_json)


def resume(*, as_json: JsonOption = False) -> None:
    """Lift `agent stop` and the read-only mode."""
    _show(run(_resume), as_json=as_json)


async def _stop(runtime: Runtime, reason: str, *, read_only: bool) -> ControlState:
    from agent.execution.controls import controls

    if read_only:
        return await controls.set_read_only(True, reason, runtime=runtime)  # noqa: FBT003  # the switch itself
    return await controls.stop(reason, runtime=runtime)


async def _resume(runtime: Runtime) -> ControlState:
    from agent.execution.controls import controls

    await controls.set_read_only(False, runtime=runtime)
    return await controls.resume(runtime=runtime)


def _show(state: ControlState, *, as_json: bool) -> None:
    from agent.cli.render import print_json, say, stdout

    if as_json:
        print_json(state)
    else:
        say(stdout(), describe_switches(state))


def describe_switches(state: ControlState) -> str:
    """The switches in one sentence."""
    why = f" ({state.reason})" if state.reason else ""
    if state.stopped:
        return f"Stopped by {state.changed_by}{why}: nothing is executed. `agent resume` lifts that."
    if state.read_only:
        return f"Read-only, set by {state.changed_by}{why}: nothing is changed. `agent resume` lifts that."
    return "Running: reads run, changes ask first."
