"""Let people tap at random in Slack and Telegram while the worker is killed, and count what became of each request.

The worker is a process of its own; the services run here, so that what people see outlives it. A trigger of the application
appends a row for each effect. A person whose tap Slack does not take sees a warning and taps again.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from agent.access import accounts
from agent.approval.people import people
from agent.execution.safe_executor import safe_executor
from agent.operations import approvals
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.settings import Settings
from agent.testing.processes import agent_process
from agent.testing.slack_server import Posted, SlackServer
from agent.testing.telegram_server import Sent, TelegramServer

_TABLES = """
create table public.tapped (id bigint primary key, n int not null default 0);
insert into public.tapped select g, 0 from generate_series(1, 2000) g;
create table public.effects (id bigint, at timestamptz default clock_timestamp());
create function public.count_effect() returns trigger language plpgsql as $$
  begin insert into public.effects (id) values (new.id); return new; end $$;
create trigger counted after update on public.tapped for each row execute function public.count_effect();
"""
_NUMBER = re.compile(r"Approval (\d+) ")
_AT_ONCE = 8
_STILL_SECONDS = 100.0  # without a request that is taken up, something hangs


def fill(conn: psycopg.Connection) -> None:
    """Create the application: rows, and the trigger that counts effects."""
    conn.execute(_TABLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the requests. `lost`, `doubled` and `live` must be 0; `copies` are messages that appeared twice in a place."""

    requests: int
    statuses: dict[str, int]
    kills: int
    seconds: float
    lost: int
    doubled: int
    live: int
    copies: dict[str, int]


@dataclass(slots=True)
class Rooms:
    """Both services, and the requests that were made."""

    slack: SlackServer
    telegram: TelegramServer
    runtime: Runtime

    def seen(self, number: int) -> list[Posted | Sent]:
        """Return the messages about a request that have buttons."""
        shown = [*self.slack.channels.get("C1", []), *self.telegram.chats.get("-5", [])]
        return [one for one in shown if one.buttons and _number(one) == number]


@asynccontextmanager
async def rooms(settings: Settings) -> AsyncIterator[Rooms]:
    """Serve both services, name the people, link their accounts, and open a runtime that asks there."""
    async with SlackServer() as slack, TelegramServer() as telegram:
        given = {
            "slack_bot_token": slack.bot_token, "slack_app_token": slack.app_token, "slack_url": slack.url, "slack_channels": "C1",
            "telegram_token": telegram.token, "telegram_url": telegram.url, "telegram_chats": "-5", "user": "olga",
            "approval_timeout": 3_600,
        }  # fmt: skip
        runtime = await open_runtime(Settings(_env_file=None, **(settings.model_dump(exclude_unset=True) | given)))
        with use_runtime(runtime):
            for name, role in (("olga", "admin"), ("ana", "approver"), ("bo", "approver")):
                await people.add(name, [role], runtime=runtime)
            for service, account, person in (("slack", "U7", "ana"), ("slack", "U8", "bo"), ("telegram", "7", "ana"), ("telegram", "8", "bo")):  # fmt: skip
                code = await accounts.new_code(person, runtime=runtime)
                await accounts.link(service, account, code.code, runtime=runtime)
            yield Rooms(slack, telegram, runtime)
        await runtime.close()


async def asked(runtime: Runtime, row: int) -> int:
    """Ask for a change of one row, and return the request's number."""
    sql = f"UPDATE tapped SET n = n + 1 WHERE id = {row}"
    return (await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=runtime))["approval_id"]


async def race(settings: Settings, *, requests: int, kills: int, folder: Path, seed: int = 7) -> Outcome:
    """Ask for `requests` changes, let people tap at random while the worker is killed `kills` times, and return the result."""
    chance, began = random.Random(seed), time.monotonic()
    async with rooms(settings) as there:
        runtime = there.runtime
        numbers = [await asked(runtime, row) for row in range(1, requests + 1)]
        todo: asyncio.Queue[int] = asyncio.Queue()
        for number in chance.sample(numbers, len(numbers)):
            todo.put_nowait(number)
        working = asyncio.create_task(_killed_now_and_then(there, todo, requests, kills, folder))
        tapping = asyncio.gather(*(_tap_all(there, todo, chance) for _ in range(_AT_ONCE)))
        left = requests + 1
        while not tapping.done() and not working.done() and todo.qsize() < left:
            left = todo.qsize()
            await asyncio.wait({tapping, working}, return_when=asyncio.FIRST_COMPLETED, timeout=_STILL_SECONDS)
        if not tapping.done():
            tapping.cancel()
            assert working.done(), f"{todo.qsize()} requests still wait for a message with buttons, and none goes on"
            await working  # it raises what ended the worker
        await tapping
        await _until(there, lambda: not there.slack.live_buttons() and not there.telegram.live_buttons(), working)
        await _until(there, lambda: all("is being carried out" not in one.text for one in _all(there)), working)
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        return await _outcome(there, numbers, kills, time.monotonic() - began)


async def _killed_now_and_then(there: Rooms, todo: asyncio.Queue[int], requests: int, kills: int, folder: Path) -> None:
    """Keep a worker running; kill it when a part of the requests is tapped."""
    for kill in range(kills + 1):
        async with agent_process(
            there.runtime.settings, "worker", folder=folder, AGENT_LOG_LEVEL="warning", **_variables(there)
        ) as worker:
            if kill == kills:
                await worker.process.wait()
                raise AssertionError(worker.said)
            while todo.qsize() > requests * (kills - kill) / (kills + 1):
                await asyncio.sleep(0.01)
                assert worker.process.returncode is None, worker.said
            worker.kill()
            await worker.process.wait()


def _variables(there: Rooms) -> dict[str, str]:
    slack, telegram = there.slack, there.telegram
    return {
        "AGENT_SLACK_BOT_TOKEN": slack.bot_token, "AGENT_SLACK_APP_TOKEN": slack.app_token, "AGENT_SLACK_URL": slack.url,
        "AGENT_SLACK_CHANNELS": "C1", "AGENT_TELEGRAM_TOKEN": telegram.token, "AGENT_TELEGRAM_URL": telegram.url,
        "AGENT_TELEGRAM_CHATS": "-5",
    }  # fmt: skip


async def _tap_all(there: Rooms, todo: asyncio.Queue[int], chance: random.Random) -> None:
    while not todo.empty():
        number = todo.get_nowait()
        while not (seen := there.seen(number)):
            await asyncio.sleep(0.02)
        for message in chance.sample(seen, chance.randint(1, len(seen))):
            await tap(there, message, chance=chance)


async def tap(there: Rooms, message: Posted | Sent, *, chance: random.Random) -> None:
    """Let somebody decide by the buttons of a message, perhaps by two quick taps."""
    approve, twice = chance.random() < 0.7, chance.randint(1, 2)
    if isinstance(message, Sent):
        for _ in range(twice):
            if button := message.buttons.get("Approve" if approve else "Reject"):
                there.telegram.tap(user=chance.choice((7, 8)), message=message, data=button)
        return
    user, value = chance.choice(("U7", "U8")), message.buttons.get("approve")
    while value and message.buttons:
        with suppress(TimeoutError, ConnectionError):  # Slack shows a warning, and the person tries again
            await there.slack.tap(user=user, message=message, button="approve", value=value, times=twice)
            return


async def _until(
    there: Rooms, condition: Callable[[], bool], working: asyncio.Task[None], seconds: float = 150.0
) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if working.done():
            await working
        assert time.monotonic() < end, (
            f"it did not settle: {[one.text[-200:] for one in _all(there) if one.buttons or 'carried' in one.text]}"
        )
        await asyncio.sleep(0.05)


def _all(there: Rooms) -> list[Posted | Sent]:
    return [*there.slack.channels.get("C1", []), *there.telegram.chats.get("-5", [])]


def _number(message: Posted | Sent) -> int:
    found = _NUMBER.search(message.text)
    return int(found[1]) if found else 0


async def _outcome(there: Rooms, numbers: list[int], kills: int, seconds: float) -> Outcome:
    runtime = replace(there.runtime, user="ana")
    statuses = [(await approvals.view(number, runtime=runtime)).approval.status for number in numbers]
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        effects = Counter(row[0] for row in conn.execute("select id from public.effects"))
    approved = {row for row, status in enumerate(statuses, start=1) if status == "approved"}
    undecided = sum(status not in ("approved", "rejected") for status in statuses)
    wrong = set(effects) ^ approved
    shown = {"slack": there.slack.channels["C1"], "telegram": there.telegram.chats["-5"]}
    return Outcome(
        requests=len(numbers), statuses=dict(Counter(statuses)), kills=kills, seconds=seconds, lost=undecided + len(wrong),
        doubled=sum(count - 1 for count in effects.values()),
        live=len(there.slack.live_buttons()) + len(there.telegram.live_buttons()),
        copies={name: len(messages) - len({_number(one) for one in messages}) for name, messages in shown.items()},
    )  # fmt: skip
