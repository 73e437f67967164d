"""`agent stop`, `agent resume` and `agent break-glass`: set and lift what every process obeys at once."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.framework import JsonOption, examples
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.approval.human_approval import Approval
    from agent.execution.controls import ControlState
    from agent.types import RiskLevel

STOP_EXAMPLES = examples("agent stop", 'agent stop "migration tonight"', 'agent stop --read-only "audit"')
RESUME_EXAMPLES = examples("agent resume")
BREAK_GLASS_EXAMPLES = examples('agent break-glass "invoices are wrong, incident 7"', "agent break-glass --end")


def stop(
    reason: Annotated[
        str, typer.Argument(metavar="REASON", help="The reason, for those who are stopped.", show_default=False)
    ] = "",
    *,
    read_only: Annotated[bool, typer.Option("--read-only", help="Let the agent read, but change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Stop the agent everywhere and at once. Nothing runs until `agent resume`."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.operations import controls

    switches = run(lambda runtime: controls.stop(reason, read_only=read_only, runtime=runtime))
    if as_json:
        print_json(switches.state)
    else:
        say(stdout(), describe_switches(switches.state, switches.ask_from))


def resume(*, as_json: JsonOption = False) -> None:
    """End `agent stop` and the read-only mode, and name the approved actions that will run now."""
    from agent.cli.terminal.clean_text import one_line
    from agent.cli.terminal.render import INDENT, print_json, say, stdout
    from agent.operations import controls

    switches = run(lambda runtime: controls.resume(runtime=runtime))
    state, waiting = switches.state, switches.approved_waiting
    if as_json:
        print_json({**asdict(state), "approved_waiting": [approval.id for approval in waiting]})
        return
    say(stdout(), describe_switches(state, switches.ask_from))
    if waiting:
        say(stdout(), describe_waiting(len(waiting), state), "yellow")
    for approval in waiting:
        say(stdout(), f"approval {approval.id}: {one_line(approval.title, 200)}", indent=INDENT)


def break_glass(
    reason: Annotated[str, typer.Argument(metavar="REASON", help="Why; everybody is told.", show_default=False)] = "",
    *,
    minutes: Annotated[int, typer.Option("--minutes", min=1, max=240, help="For how long.")] = 15,
    end: Annotated[bool, typer.Option("--end", help="End it before its time.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Lift the freeze windows and the recovery condition for some minutes. Only a named admin may; everybody is told.

    The stop switch, the read-only mode, what is refused, and the question to a human stay.
    """
    from agent.cli.terminal.clean_text import clean
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.operations import controls

    if end:
        ended = run(lambda runtime: controls.end_break_glass(runtime=runtime))
        if as_json:
            print_json({"ended": ended})
        else:
            say(stdout(), "The break-glass is ended." if ended else "No break-glass was open.")
        return
    opened = run(lambda runtime: controls.break_glass(reason, minutes=minutes, runtime=runtime))
    if as_json:
        print_json(opened)
    else:
        say(stdout(), clean(opened.sentence), "bold red")
        say(stdout(), "agent break-glass --end   end it before its time", "dim")


def waits_message(approval: Approval) -> str:
    """Say what it means to approve an action while the agent is stopped or read-only."""
    return (
        f"Approval {approval.id} is approved, and nothing was done yet, because the agent is stopped or read-only. It "
        "runs after `agent resume`, when the next conversation begins or continues; nobody is asked again."
    )


def describe_switches(state: ControlState, ask_from: RiskLevel) -> str:
    """Describe the switches in one or two sentences."""
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


def describe_waiting(number: int, state: ControlState) -> str:
    """Say how many approved actions wait, and when they run."""
    from agent.cli.terminal.clean_text import count

    waits = f"{count(number, 'approved action')} {'waits' if number == 1 else 'wait'} to run"
    if state.stopped or state.read_only:
        return f"{waits}, after `agent resume`."
    return f"{waits}; the next `agent chat` does that first."
