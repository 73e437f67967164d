"""`agent chat`: hold a conversation on the terminal, answer one question, or answer each line of a pipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.framework import JsonOption, examples
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.runtime import Runtime

EXAMPLES = examples(
    "agent chat",
    'agent chat "How many clients are active?"',
    'agent chat "And how many are paused?" --thread 3f2a91bc04de',
    "agent chat --thread 3f2a91bc04de",
    'agent chat "Which invoices are overdue?" --json',
)


def chat(
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="The question. Without it, a conversation begins.")
    ] = None,
    *,
    thread: Annotated[
        str | None,
        typer.Option(
            "--thread",
            "-t",
            metavar="ID",
            help="Continue this thread, or begin one with that name; `agent threads` lists them.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask about your application, in your words.

    The agent shows changes of risk AGENT_ASK_FROM or more (default MEDIUM) first and waits for your yes. Smaller changes, such
    as one row changed as you worded it, happen at once.

    If nobody can be asked, the exit code is 4.

    With --thread and no question, the agent first continues a turn of that thread that waited.
    """
    code = run(lambda runtime: _chat(runtime, question, thread, as_json=as_json))
    raise typer.Exit(code)


async def _chat(runtime: Runtime, question: str | None, thread: str | None, *, as_json: bool) -> int:
    from agent.cli.commands.chat_session import DONE, WAITING, Conversation, ask_as_json

    if as_json:
        return await ask_as_json(question, thread, runtime)
    # A person can decide only if they see the prompt and can answer it.
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    conversation = Conversation(runtime, thread_id=thread, interactive=interactive)
    if question is not None:
        return await conversation.ask(question)
    if interactive:
        await conversation.converse()
        return 0
    code = await conversation.continue_turn() if thread else DONE
    if code == WAITING:  # the questions in the pipe must come after that decision
        return code
    return max(code, await conversation.ask_each(sys.stdin))
