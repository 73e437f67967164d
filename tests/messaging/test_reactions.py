"""A thumb under an answer, in Slack or Telegram, is a yes or a no to its turn; only linked people count."""

from __future__ import annotations

from dataclasses import replace

from tests.messaging.conftest import ANA, STRANGER, link, messaging, until, with_slack, with_telegram

from agent.learning.memory import Memory, agent_memory
from agent.runtime import Runtime
from agent.testing.scripted_model import call, scripted_client
from agent.testing.slack_server import SlackServer
from agent.testing.telegram_server import TelegramServer

QUESTION, SQL = "How many notes are there?", "SELECT count(*) FROM notes"


def answering(runtime: Runtime) -> Runtime:
    return replace(
        runtime, model=scripted_client([call("execute_sql", sql=SQL), "There are 30 notes."], repeat_last=True)
    )


async def kept(runtime: Runtime) -> Memory | None:
    """Return the memory of the question, while it is valid."""
    found = await agent_memory.list_memories(kind="interaction", runtime=runtime)
    return next((one for one in found if QUESTION in one.content and one.valid_until is None), None)


async def test_thumbs_in_slack_confirm_or_end_what_is_remembered_of_an_answer(
    notes: Runtime, slack: SlackServer
) -> None:
    runtime = answering(with_slack(notes, slack))
    await link(runtime, "slack", "U1", "ana")
    async with messaging(runtime):
        await slack.say(user="U1", channel="D1", text=QUESTION)
        answer = await until(lambda: next(iter(slack.channels.get("D1", [])), None))
        memory = await until(lambda: kept(runtime))
        await until(lambda: _is_noted(runtime))
        await slack.react(user="U13", message=answer, reaction="-1")  # nobody knows this account
        await slack.react(user="U1", message=answer, reaction="eyes")
        await slack.react(user="U1", message=answer, reaction="+1::skin-tone-3")
        confirmed = await until(lambda: _confirmed(runtime))
        assert (confirmed.id, confirmed.content) == (memory.id, memory.content)
        await slack.react(user="U1", message=answer, reaction="thumbsdown")
        await until(lambda: _is_ended(runtime))


async def test_thumbs_in_telegram_too(notes: Runtime, telegram: TelegramServer) -> None:
    runtime = answering(with_telegram(notes, telegram))
    await link(runtime, "telegram", ANA, "ana")
    async with messaging(runtime):
        telegram.say(chat=ANA, user=ANA, text=QUESTION)
        answer = await until(
            lambda: next((one for one in telegram.chats.get(str(ANA), []) if "30 notes" in one.text), None)
        )
        await until(lambda: kept(runtime))
        await until(lambda: _is_noted(runtime))
        telegram.react(user=STRANGER, message=answer, emoji="\U0001f44e")
        update = telegram.react(user=ANA, message=answer, emoji="\U0001f44d")
        await until(lambda: _confirmed(runtime))
        telegram.react(user=ANA, message=replace(answer, id=answer.id + 500), emoji="\U0001f44e")  # no answer of ours
        telegram.redeliver(update)
        telegram.react(user=ANA, message=answer, emoji="\U0001f44e")
        await until(lambda: _is_ended(runtime))


async def _is_noted(runtime: Runtime) -> bool:
    return bool(
        await runtime.one("SELECT 1 FROM agents.messaging_texts WHERE tenant_id = %(tenant_id)s AND turn IS NOT NULL")
    )


async def _confirmed(runtime: Runtime) -> Memory | None:
    memory = await kept(runtime)
    return memory if memory and memory.metadata.get("confirmed") else None


async def _is_ended(runtime: Runtime) -> bool:
    return await kept(runtime) is None
