"""Let many deciders race for approvals, in processes that are killed at any round trip, and count how each one ended.

A trigger of the application appends a row for each effect, so a repeated one is visible. A decider approves, rejects or does
neither, and then asks for the result. Meanwhile claims run out under processes that are alive, and requests expire.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from agent.approval.human_approval import human_approval_queue
from agent.errors import AlreadyDecided
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.settings import Settings

PROCESSES, DECIDERS = 4, 4  # 16 deciders a request
_AT_ONCE = 6
_TABLES = """
create table public.accounts (id bigint primary key, name text not null, balance numeric not null default 0);
insert into public.accounts select g, 'account ' || g, 100 from generate_series(1, 2000) g;
create table public.effects (account bigint, at timestamptz default clock_timestamp());
create function public.count_effect() returns trigger language plpgsql as $$
  begin insert into public.effects (account) values (new.id); return new; end $$;
create trigger counted after update on public.accounts for each row execute function public.count_effect();
"""
# A trigger in the agent's own database counts the decisions of each request.
_DECISIONS = """
create table public.decisions (approval bigint, status text);
create function public.note_decision() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
  begin insert into public.decisions values (new.id, new.status); return new; end $$;
create trigger decided after update of status on agents.human_approval_queue for each row
  when (old.status is distinct from new.status) execute function public.note_decision();
"""


def fill(conn: psycopg.Connection) -> None:
    """Create the application: accounts, and the trigger that counts effects."""
    conn.execute(_TABLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a race. Every number but `approvals`, `statuses`, `kills` and `seconds` must be 0."""

    approvals: int
    statuses: dict[str, int]
    kills: int
    seconds: float
    decided_twice: int
    duplicates: int
    lost: int
    unauthorised: int
    untold: int  # the log and the effect disagree

    @property
    def wrong(self) -> int:
        return self.decided_twice + self.duplicates + self.lost + self.unauthorised + self.untold


async def race(runtime: Runtime, *, approvals: int, kills: int, seed: int = 7) -> Outcome:
    """Ask for `approvals` changes, let deciders race for each while about `kills` processes die, and return the result."""
    started = time.monotonic()
    with own_database(runtime) as conn:
        conn.execute(_DECISIONS)
    asked = [await _ask(number, runtime) for number in range(1, approvals + 1)]
    chance = random.Random(seed)
    died = await _run_deciders(runtime, asked, chance, kills)
    with own_database(runtime) as conn:  # the claims of dead processes run out, and undecided requests expire
        conn.execute(_CLAIMS_RUN_OUT)
        conn.execute("update agents.human_approval_queue set expires_at = now() where status = 'pending'")
    await safe_executor.execute_left_over(runtime=runtime)
    results = {
        account: await safe_executor.run_approved(approval, runtime=runtime)
        for account, approval in enumerate(asked, start=1)
    }
    return _outcome(runtime, asked, results, kills=died, seconds=time.monotonic() - started)


async def _ask(account: int, runtime: Runtime) -> int:
    sql = f"UPDATE accounts SET balance = balance + 1 WHERE id = {account}"
    return (await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=runtime))["approval_id"]


async def _run_deciders(runtime: Runtime, asked: Sequence[int], chance: random.Random, kills: int) -> int:
    """Keep PROCESSES alive until each has gone through every request. Return the number of killed processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.races"])
    places = [context.Array("i", 1) for _ in range(PROCESSES)]
    # Each decider in each process makes about ten round trips for a request.
    lethal = kills / (len(asked) * PROCESSES * DECIDERS * 10)
    died = 0

    def start(place: int) -> Any:
        seed, values = chance.random(), passed_on(runtime.settings)
        process = context.Process(
            target=_decider_process, args=(values, asked, places[place], lethal, seed), daemon=True
        )
        process.start()
        return process

    processes = {place: start(place) for place in range(PROCESSES)}
    with own_database(runtime) as conn:
        while processes:
            await asyncio.sleep(0.02)
            _let_time_jump(conn, asked, chance)
            for place, process in list(processes.items()):
                if process.exitcode is None:
                    continue
                died += process.exitcode == -signal.SIGKILL
                assert process.exitcode in {0, -signal.SIGKILL}, process.exitcode
                del processes[place]
                if process.exitcode != 0:
                    processes[place] = start(place)
    return died


# Claims run out far more often here than in practice, so this does not count as an attempt that died.
_CLAIMS_RUN_OUT = """
update agents.human_approval_queue set claimed_until = now() - interval '1 s', attempts = 0
 where id in (select id from agents.human_approval_queue where claim is not null order by id for update skip locked)
"""


def _let_time_jump(conn: psycopg.Connection, asked: Sequence[int], chance: random.Random) -> None:
    if chance.random() < 0.04:
        conn.execute(_CLAIMS_RUN_OUT)
    if chance.random() < 0.02:
        expire = "update agents.human_approval_queue set expires_at = now() where status = 'pending' and id = %s"
        conn.execute(expire, [chance.choice(asked)])


def _decider_process(values: dict[str, Any], asked: Sequence[int], place: Any, lethal: float, seed: float) -> None:
    asyncio.run(_decide_all(Settings(_env_file=None, **values), asked, place, lethal, random.Random(seed)))


async def _decide_all(
    settings: Settings, asked: Sequence[int], place: Any, lethal: float, chance: random.Random
) -> None:
    runtime = await open_runtime(settings)
    die_at_any_round_trip(lethal, chance)
    with use_runtime(runtime):
        while place[0] < len(asked):
            some = asked[place[0] : place[0] + _AT_ONCE]
            await asyncio.gather(*(_decide(approval, chance) for approval in some for _ in range(DECIDERS)))
            place[0] += len(some)
    await runtime.close()


def die_at_any_round_trip(lethal: float, chance: random.Random) -> None:
    """Let this process kill itself with probability `lethal` at each wait for the server, before or after it."""
    wait = psycopg.AsyncConnection.wait

    async def deadly(self: Any, *arguments: Any, **options: Any) -> Any:
        if chance.random() < lethal / 2:
            os.kill(os.getpid(), signal.SIGKILL)
        result = await wait(self, *arguments, **options)
        if chance.random() < lethal / 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    psycopg.AsyncConnection.wait = deadly  # type: ignore[method-assign]  # only in this process


async def _decide(approval: int, chance: random.Random) -> None:
    decision = chance.choice(["approve", "approve", "approve", "reject", None])
    try:
        if decision is not None:
            await human_approval_queue.decide(approval, decision, decided_by=f"decider {os.getpid()}")
    except AlreadyDecided:
        pass
    await safe_executor.run_approved(approval)


def _outcome(runtime: Runtime, asked: Sequence[int], results: dict[int, Any], *, kills: int, seconds: float) -> Outcome:
    with application_database(runtime) as conn:
        effects = Counter(row[0] for row in conn.execute("select account from public.effects"))
        balances = dict(
            conn.execute("select id, balance::int - 100 from public.accounts where balance <> 100").fetchall()
        )
    with own_database(runtime) as conn:
        decided = Counter(row[0] for row in conn.execute("select approval from public.decisions"))
        statuses = dict(conn.execute("select id, status from agents.human_approval_queue").fetchall())
    assert effects == Counter(balances)
    approved = {account for account, approval in enumerate(asked, start=1) if statuses[approval] == "approved"}
    return Outcome(
        approvals=len(asked),
        statuses=dict(Counter(statuses[approval] for approval in asked)),
        kills=kills,
        seconds=seconds,
        decided_twice=sum(decided[approval] != 1 for approval in asked),
        duplicates=sum(count - 1 for count in effects.values()),
        lost=len(approved - set(effects)),
        unauthorised=len(set(effects) - approved),
        untold=sum(bool(effects[account]) != bool(result["success"]) for account, result in results.items()),
    )


def passed_on(settings: Settings) -> dict[str, Any]:
    values: dict[str, Any] = {
        "home": str(settings.home),
        "statement_timeout": settings.statement_timeout,
        "user": settings.user,
    }
    for name in ("database_url", "app_database_url", "secret"):
        if (value := getattr(settings, name)) is not None:
            values[name] = value.get_secret_value()
    return values


def own_database(runtime: Runtime) -> psycopg.Connection:
    assert runtime.settings.database_url is not None
    return psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True)


def application_database(runtime: Runtime) -> psycopg.Connection:
    url = runtime.settings.app_database_url or runtime.settings.database_url
    assert url is not None
    return psycopg.connect(url.get_secret_value(), autocommit=True)
