"""`agent stop` and `agent resume`: the switches that every process obeys at once."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.commands import JsonOption, examples
from agent.cli.running import run

if TYPE_CHECKING:
    from agent.approval.human_approval import Approval
    from agent.execution.controls import ControlState
    from agent.runtime import Runtime
    from agent.types import RiskLevel

STOP_EXAMPLES = examples("agent stop", 'agent stop "migration tonight"', 'agent stop --read-only "audit"')
RESUME_EXAMPLES = examples("agent resume")


def stop(
    reason: Annotated[
        str, typer.Argument(metavar="REASON", help="The reason, for those who are stopped.", show_default=False)
    ] = "",
    *,
    read_only: Annotated[bool, typer.Option("--read-only", help="Let the agent read, but change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Stop the agent everywhere and at once. Nothing runs until `agent resume`."""
    from agent.cli.render import print_json, say, stdout

    state, ask_from = run(lambda runtime: _stop(runtime, reason, read_only=read_only))
    if as_json:
        print_json(state)
    else:
        say(stdout(), describe_switches(state, ask_from))


def resume(*, as_json: JsonOption = False) -> None:
    """End `agent stop` and the read-only mode, and name the approved actions that will run now."""
    from agent.cli.render import INDENT, print_json, say, stdout
    from agent.cli.text import one_line

    state, held, ask_from = run(_resume)
    if as_json:
        print_json({**asdict(state), "approved_waiting": [one.id for one in held]})
        return
    say(stdout(), describe_switches(state, ask_from))
    if held:
        say(stdout(), describe_held(len(held), state), "yellow")
    for one in held:
        say(
            stdout(),
            f"approval {one.id}: {one_line((one.preview or {}).get('sql') or one.summary, 200)}",
            indent=INDENT,
        )


async def held_back(runtime: Runtime) -> list[Approval]:
    """What was approved and is not carried out yet, as the runtime's user may see it."""
    from agent.approval.human_approval import human_approval_queue
    from agent.execution import effects

    numbers = await effects.left_over(runtime=runtime)
    return [await human_approval_queue.get(number, runtime=runtime) for number in numbers]


async def is_held_back(approval: Approval, runtime: Runtime) -> bool:
    """Whether an approved action was not carried out because the agent is stopped or read-only."""
    from agent.execution import effects
    from agent.execution.controls import controls

    state = await controls.state(runtime=runtime)
    return (state.stopped or state.read_only) and approval.id in await effects.left_over(runtime=runtime)


def told_held_back(approval: Approval) -> str:
    """What an approval means while the agent is stopped or read-only."""
    return (
        f"Approval {approval.id} is approved, and nothing was done yet, because the agent is stopped or read-only. It "
        "runs after `agent resume`, when the next conversation begins or continues; nobody is asked again."
    )


async def _stop(runtime: Runtime, reason: str, *, read_only: bool) -> tuple[ControlState, RiskLevel]:
    from agent.execution.controls import controls

    if read_only:
        state = await controls.set_read_only(True, reason, runtime=runtime)  # noqa: FBT003  # the switch itself
    else:
        state = await controls.stop(reason, runtime=runtime)
    return state, runtime.settings.ask_from


async def _resume(runtime: Runtime) -> tuple[ControlState, list[Approval], RiskLevel]:
    from agent.execution.controls import controls

    await controls.set_read_only(False, runtime=runtime)
    state = await controls.resume(runtime=runtime)
    return state, await held_back(runtime), runtime.settings.ask_from


def describe_switches(state: ControlState, ask_from: RiskLevel) -> str:
    """The switches in one sentence."""
    why = f" ({state.reason})" if state.reason else ""
    if state.stopped:
        return f"Stopped by {state.changed_by}{why}: nothing runs. `agent resume` ends that."
    if state.read_only:
        return f"Read-only, set by {state.changed_by}{why}: nothing is changed. `agent resume` ends that."
    if ask_from == "LOW":
        return "Running: reads run; every change asks first (AGENT_ASK_FROM=LOW)."
    return (
        f"Running: reads run; changes of risk {ask_from} or more ask first (AGENT_ASK_FROM={ask_from}). Smaller changes, such "
        "as one row changed as you worded it, run at once."
    )


def describe_held(number: int, state: ControlState) -> str:
    """How many approved actions wait, and when they are carried out."""
    from agent.cli.text import count

    waits = f"{count(number, 'approved action')} {'waits' if number == 1 else 'wait'} to run"
    if state.stopped or state.read_only:
        return f"{waits}, after `agent resume`."
    return f"{waits}; the next `agent chat` does that first."
