"""kill -9 at any moment: what was approved happens once, log and effect agree, and no memory is half saved."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import psycopg
from benchmarks import turns

from agent.runtime import open_runtime
from agent.testing.cluster import Cluster

KILLS = 12


def test_a_killed_agent_neither_loses_nor_repeats_an_approved_change(cluster: Cluster) -> None:
    settings = cluster.database(cluster.template("blank"))
    url, secret = settings.database_url.get_secret_value(), settings.secret.get_secret_value()
    program = [
        sys.executable,
        str(Path(__file__).parents[1] / "cases" / "killed_turns.py"),
        str(settings.home),
        url,
        secret,
    ]
    chance = random.Random(7)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("create table public.counter (id int primary key, n int not null)")
        conn.execute("insert into public.counter values (1, 0)")
        for kills in range(3 * KILLS):
            if kills >= KILLS and conn.execute("select n from public.counter").fetchone()[0] > 1:
                break  # a slow machine needs more runs until a change is through
            # The dead run's lease is over as soon as the next one starts.
            conn.execute("update agents.threads set lease_until = now() - interval '1 second'")
            process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.1, 1.0))
            process.kill()
            process.wait()
            process.stdout.close()
        time.sleep(0.2)  # the server ends the dead sessions' transactions
        # The claims of the dead run out, and a last run finishes what was approved.
        conn.execute("update agents.human_approval_queue set claimed_until = now() - interval '1 second'")
        conn.execute("update agents.threads set lease_until = now() - interval '1 second'")
        subprocess.run([*program, "1"], check=True, stdout=subprocess.DEVNULL)
        facts = conn.execute(
            """
            select (select n from public.counter) as effects,
                   (select count(*) from agents.agent_execution_log where action = 'execute_sql' and status = 'succeeded') as logged,
                   (select count(*) from agents.human_approval_queue where status = 'approved') as approved,
                   (select count(*) from agents.agent_execution_log
                     where status = 'failed' and error like '%no longer those that were approved%') as overtaken,
                   (select count(*) from agents.human_approval_queue) as asked,
                   (select count(*) from agents.tool_calls) as calls,
                   (select count(*) from agents.turns where status = 'done') as answered,
                   (select count(*) from agents.agent_memory where kind = 'interaction' and embedding is null) as half_saved
            """
        ).fetchone()
    effects, logged, approved, overtaken, asked, calls, answered, half_saved = facts
    assert effects == logged
    # The counter moved on while a dead process held an approval's claim: that is not what was approved any more.
    assert logged + overtaken == approved
    assert effects > 1
    assert asked <= calls  # a turn killed before it could ask is abandoned
    assert answered <= effects
    assert half_saved == 0


async def test_conversations_under_changing_rules_do_what_is_recorded_and_tell_it(cluster: Cluster) -> None:
    settings = cluster.database(cluster.template("turns", turns.fill), statement_timeout=2.0)
    runtime = await open_runtime(settings)
    found = await turns.converse(runtime, processes=3)
    await runtime.close()
    assert found.wrong == 0, found
    assert found.effects > 0
