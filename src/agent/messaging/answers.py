"""Answers questions: the text is written where the question stands while it is made, and a row says where the answer belongs.

If this process dies, or the turn waits for a person, whichever process ends the turn sends the answer there.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import timedelta

from agent.approval.human_approval import Approval
from agent.chat import Answered, ApprovalAsked, Restarted, Token, ToolStarted, chat
from agent.errors import AgentError
from agent.messaging.base import Said, TryLater, Undeliverable, Writer
from agent.messaging.texts import Text, begin_answer, drop_text, leave_answer, note_sent
from agent.runtime import Runtime
from agent.text.visible import one_line

_SHOW_SECONDS = 0.6
_RETRY = timedelta(seconds=2)


async def answer(said: Said, writer: Writer, *, service: str, runtime: Runtime) -> str:
    """Answer a question through `writer`. Return what else to say: which request must be decided first. Raises what `ask` raises."""
    thread_id = f"{service}-{said.conversation}"
    row = await begin_answer(service, said.place, said.under, thread_id=thread_id, person=runtime.user, runtime=runtime)
    try:
        asked, text = await _written(said.text, thread_id, writer, runtime)
    except asyncio.CancelledError:
        await asyncio.shield(leave_answer(row, runtime=runtime))
        raise
    except AgentError:
        await drop_text(row, runtime=runtime)
        raise
    if asked:
        await leave_answer(row, runtime=runtime)
        listed = "; ".join(f"{one.id}: {one_line(one.summary, 200)}" for one in asked)
        return f"A person must decide first ({listed}). Say approve NUMBER or reject NUMBER, or use the buttons."
    await _finish(row, text, writer, runtime)
    return ""


async def _written(question: str, thread_id: str, writer: Writer, runtime: Runtime) -> tuple[list[Approval], str]:
    """Run the turn, and show its text as it comes. Return the requests that wait, and the text."""
    asked: list[Approval] = []
    text, final, shown_at = "", 0, time.monotonic()
    async for event in chat.ask(question, thread_id=thread_id, runtime=runtime):
        match event:
            case Token():
                text += event.text
            case ToolStarted():
                final = len(text)
            case Restarted():
                text = text[:final]
            case ApprovalAsked():
                asked.append(event.approval)
            case Answered():
                text = event.text or event.error or "I have no answer."
        if isinstance(event, Token) and text.strip() and time.monotonic() - shown_at >= _SHOW_SECONDS:
            with suppress(AgentError):  # the whole answer comes at the end
                await writer.show(text)
            shown_at = time.monotonic()
    return sorted(asked, key=lambda one: one.place), text


async def _finish(row: Text, text: str, writer: Writer, runtime: Runtime) -> None:
    """Write the whole answer. If the service is away, the row is sent later."""
    try:
        posted = await writer.finish(text, row.marker.hex)
    except (TryLater, Undeliverable) as error:
        unsure = isinstance(error, TryLater) and error.unsure
        await leave_answer(row, wait=_RETRY, unsure=unsure, runtime=runtime)
    else:
        await note_sent(row, message_id=posted, runtime=runtime)
