"""`agent demo`: load the demonstration application and play a short conversation on it.

The same chat as everywhere computes the answers. The output is the same in each run: it shows no times, durations or ids of
the agent's own rows.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from agent.cli.framework import JsonOption, examples
from agent.cli.runner import load_settings, opening

if TYPE_CHECKING:
    from rich.console import Console

    from agent.approval.human_approval import Approval
    from agent.chat import ChatAnswer
    from agent.demo.conversation import Scene
    from agent.runtime import Runtime
    from agent.settings import Settings

EXAMPLES = examples("agent demo", "AGENT_HOME=/tmp/somewhere agent demo", "agent demo --json")

_WIDTH = 80
_INTRODUCTION = """\
The database of an advertising agency; nobody has told the agent anything about it.
Everything below is computed now, by the built-in model, on real tables."""


def demo(*, as_json: JsonOption = False) -> None:
    """Play a conversation on an invented agency's data: questions, an approved and a rejected change, and a memory.

    It uses the embedded database and the built-in model, so it needs no key and no network. It resets the demo's data first.
    """
    from agent.cli.terminal.render import print_json, stdout
    from agent.demo.application import prepare_demo

    settings = load_settings()
    with opening(settings, "Loading the demonstration …"):
        prepare_demo(settings)
    console = stdout(width=None if sys.stdout.isatty() else _WIDTH)
    played = asyncio.run(_play(settings, console, quiet=as_json))
    if as_json:
        print_json(played)


async def _play(settings: Settings, console: Console, *, quiet: bool) -> list[ChatAnswer]:
    from agent.chat import chat
    from agent.cli.terminal.render import ASKS, say
    from agent.demo.conversation import CONVERSATION
    from agent.runtime import open_runtime, use_runtime

    # The built-in model answers, whatever the settings say, so that the answers are always the same.
    offline = settings.model_copy(update={"model": "offline", "model_fallbacks": "", "embedder": "hashing:384"})
    runtime = await open_runtime(offline)
    thread_id, played = chat.new_thread(), []
    if not quiet:
        say(console, f"{_INTRODUCTION}\n", "dim")
    try:
        with use_runtime(runtime):
            for scene in CONVERSATION:
                thread_id = chat.new_thread() if scene.new_thread else thread_id
                if quiet:
                    played.append(await _answer(scene, thread_id, runtime))
                    continue
                say(console, f"── {scene.title}", "dim")
                say(console, f"\n{ASKS}{scene.question}\n", "bold")
                await _show(scene, thread_id, runtime, console)
                console.print()
    finally:
        await runtime.close()
    if not quiet:
        _show_next_commands(console)
    return played


async def _show(scene: Scene, thread_id: str, runtime: Runtime, console: Console) -> None:
    from agent.chat import chat
    from agent.cli.terminal.approval_view import show_approval
    from agent.cli.terminal.render import ASKS, INDENT, say
    from agent.cli.terminal.turn_view import Display, show_turn
    from agent.demo.conversation import OPERATOR

    events = chat.ask(scene.question, thread_id=thread_id, runtime=runtime)
    end = await show_turn(events, Display(console, exact=False, framed=True))
    if not end.approvals:
        return
    for approval in end.approvals:
        show_approval(console, approval, indent=INDENT, exact=False)
        answer = " ".join(
            filter(None, ("yes" if scene.decision == "approve" else "no", scene.comment and f"({scene.comment})"))
        )
        say(console, f"Approve? yes / no {ASKS}{answer}   — {OPERATOR}", "bold", indent=INDENT)
        await _decide(scene, approval, runtime)
    console.print()
    await show_turn(chat.resume(thread_id, runtime=runtime), Display(console, exact=False, framed=True))


async def _answer(scene: Scene, thread_id: str, runtime: Runtime) -> ChatAnswer:
    from agent.chat import chat

    answer = await chat.answer(scene.question, thread_id=thread_id, runtime=runtime)
    for approval in answer.approvals:
        await _decide(scene, approval, runtime)
    return await chat.finish(thread_id, runtime=runtime) if answer.approvals else answer


async def _decide(scene: Scene, approval: Approval, runtime: Runtime) -> None:
    from agent.demo.conversation import OPERATOR
    from agent.operations.approvals import HumanDecision, decide

    decision = scene.decision or "reject"
    human = HumanDecision(decision=decision, comment=scene.comment, final=decision == "reject")
    await decide(approval.id, human, via="demo", decided_by=OPERATOR, runtime=runtime)


def _show_next_commands(console: Console) -> None:
    from agent.cli.terminal.render import INDENT, say

    say(console, "Now you, on the same data:", "bold")
    say(
        console,
        'agent chat\nagent chat "top 5 clients by monthly budget"\nagent approvals list --all\nagent status',
        "cyan",
        indent=INDENT,
    )
