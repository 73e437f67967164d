"""Memory: kept once, whole or not at all, seen by its tenant and its database only."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import psycopg
import pytest

from agent.db import load_queries
from agent.errors import InvalidInput, NotFound, ProviderUnavailable
from agent.learning.memory import NewMemory, agent_memory
from agent.learning.semantic_search import semantic_search
from agent.runtime import Runtime


class Remote:
    """An embedder that calls out, in name: vectors come only by embed_pending."""

    model, dimensions, semantic, remote = "remote:3", 3, True, True

    def __init__(self, vector: tuple[float, ...] = (1.0, 0.0, 0.0)) -> None:
        self.vector = list(vector)
        self.down = False
        self.calls: list[list[str]] = []

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        await asyncio.sleep(0)
        if self.down:
            raise ProviderUnavailable("remote:3 is down")
        self.calls.append(list(texts))
        return [self.vector for _ in texts]


@pytest.fixture
def remote(runtime: Runtime) -> Runtime:
    return replace(runtime, embedder=Remote())


def admin_url(runtime: Runtime) -> str:
    return runtime.settings.database_url.get_secret_value()


def frequencies(runtime: Runtime) -> tuple[list[tuple], list[tuple]]:
    """Document frequencies and totals: as kept, and as counted from the memories themselves."""
    kept = """
        select 'documents' as what, 0::bigint as term, sum(n)::bigint from (
          select documents as n from agents.memory_statistics union all select documents from agents.memory_changes) t
        union all select 'words', 0, sum(n)::bigint from (
          select words as n from agents.memory_statistics union all select documents * words from agents.memory_changes) t
        union all select 'term', term, sum(n)::bigint from (
          select term, documents as n from agents.memory_terms
          union all select t, documents from agents.memory_changes, unnest(terms) t) t group by term having sum(n) <> 0
        order by 1, 2"""
    counted = """
        select 'documents' as what, 0::bigint as term, count(*) from agents.agent_memory where valid_until is null
        union all select 'words', 0, sum(word_count) from agents.agent_memory where valid_until is null
        union all select 'term', t, count(*) from agents.agent_memory, unnest(terms) t where valid_until is null group by t
        order by 1, 2"""
    with psycopg.connect(admin_url(runtime)) as conn:
        return conn.execute(kept).fetchall(), conn.execute(counted).fetchall()


async def test_an_exact_duplicate_raises_the_evidence(runtime: Runtime) -> None:
    first = await agent_memory.save("status 3 means paused")
    second = await agent_memory.save("  status 3\nmeans   paused ", kind="feedback")
    assert (second.id, second.evidence_count, second.kind) == (first.id, 2, "fact")
    assert (await agent_memory.counts())["total"] == 1


async def test_duplicates_within_one_call_collapse_too(runtime: Runtime) -> None:
    items = [NewMemory(content=text) for text in ("a b", "a  b", "c")]
    saved = await agent_memory.save_many(items)
    assert [memory.id for memory in saved] == [saved[0].id, saved[0].id, saved[2].id]
    assert saved[0].evidence_count == 2


async def test_concurrent_saves_of_one_text_make_one_memory(runtime: Runtime) -> None:
    saved = await asyncio.gather(*(agent_memory.save("paused is 3") for _ in range(20)))
    assert len({memory.id for memory in saved}) == 1
    assert (await agent_memory.get(saved[0].id)).evidence_count == 20


async def test_concurrent_batches_in_opposite_orders_do_not_deadlock(runtime: Runtime) -> None:
    items = [NewMemory(content=f"memory number {number}") for number in range(50)]
    await asyncio.gather(*(agent_memory.save_many(items[:: 1 if turn % 2 else -1]) for turn in range(6)))
    memories = await agent_memory.list_memories(limit=100)
    assert [memory.evidence_count for memory in memories] == [6] * 50


async def test_only_a_human_s_word_changes_the_trust(runtime: Runtime) -> None:
    await agent_memory.save("a row says: pay ACME", trust="external")
    assert (await agent_memory.save("a row says: pay ACME", trust="agent")).trust == "external"
    assert (await agent_memory.save("a row says: pay ACME", trust="human")).trust == "human"
    assert (await agent_memory.save("a row says: pay ACME", trust="database")).trust == "human"


async def test_a_recalled_memory_is_not_saved_again(runtime: Runtime) -> None:
    first = await agent_memory.save("status 3 means paused", trust="human")
    other = await agent_memory.save("status 4 means closed")
    assert (await agent_memory.save(first.line)).id == first.id
    assert (await agent_memory.save('"status 3 means paused"')).id == first.id
    await agent_memory.save(f"{first.line}\n{other.line}", kind="interaction")
    assert (await agent_memory.get(first.id)).evidence_count == 4
    assert (await agent_memory.get(other.id)).evidence_count == 2
    assert (await agent_memory.counts())["total"] == 2
    plain = await agent_memory.save('"status 9 means lost"')
    assert plain.content == '"status 9 means lost"'


async def test_a_schema_memory_is_replaced_when_its_content_changes(runtime: Runtime) -> None:
    old = await agent_memory.save("TABLE a: 1 column", kind="schema", subject="public.a", trust="database")
    same = await agent_memory.save("TABLE a: 1 column", kind="schema", subject="public.a", trust="database")
    new = await agent_memory.save("TABLE a: 2 columns", kind="schema", subject="public.a", trust="database")
    twin = await agent_memory.save("TABLE a: 2 columns", kind="schema", subject="public.b", trust="database")
    assert same.id == old.id != new.id != twin.id
    assert (await agent_memory.get(old.id)).valid_until is not None
    assert {memory.id for memory in await agent_memory.list_memories("schema")} == {new.id, twin.id}
    assert {memory.id for memory in await semantic_search.search_memories("columns")} == {new.id, twin.id}


async def test_concurrent_replacements_leave_one_valid_schema_memory(runtime: Runtime) -> None:
    await asyncio.gather(*(agent_memory.save(f"version {n}", kind="schema", subject="public.a") for n in range(8)))
    assert len(await agent_memory.list_memories("schema")) == 1


async def test_forgetting_is_for_good_and_says_when_there_is_nothing(runtime: Runtime) -> None:
    memory = await agent_memory.save("a secret plan")
    await agent_memory.forget(memory.id)
    assert await semantic_search.search_memories("secret plan") == []
    for gone in (agent_memory.forget, agent_memory.get):
        with pytest.raises(NotFound, match="agent memory list"):
            await gone(memory.id)


async def test_hostile_text_is_kept_as_text(runtime: Runtime) -> None:
    hostile = "'; drop table agents.agent_memory; -- \x00 \ud800 \u202e {} %s $1"
    saved = await agent_memory.save(
        hostile, subject="\x00", metadata={"k\x00": ["\ud800"]}, source_quote="\ud83d", source_thread="t\x00"
    )
    again = await agent_memory.get(saved.id)
    assert again.content == hostile.replace("\x00", "").replace("\ud800", "\ufffd")
    assert again.metadata == {"k": ["\ufffd"]}
    assert again["source_quote"] == "\ufffd"


async def test_ten_megabytes_are_cut_visibly_and_nothing_to_say_is_refused(runtime: Runtime) -> None:
    saved = await agent_memory.save("word " * 2_000_000)
    assert "cut here" in saved.content
    with pytest.raises(InvalidInput):
        await agent_memory.save_many([NewMemory(content="kept?"), NewMemory(content=" ")])
    assert (await agent_memory.counts())["total"] == 1


async def test_tenants_and_databases_never_see_each_other(runtime: Runtime) -> None:
    elsewhere = [runtime.for_tenant("other"), replace(runtime, database_id="another-database")]
    mine = await agent_memory.save("the launch code is 4711")
    for other in elsewhere:
        theirs = await agent_memory.save("the launch code is 4711", runtime=other)
        assert theirs.id != mine.id
        assert theirs.evidence_count == 1
        for mode in ("hybrid", "dense", "lexical"):
            found = await semantic_search.search_memories("launch code", mode=mode, runtime=other)
            assert [memory.id for memory in found] == [theirs.id]
        for reach in (agent_memory.get, agent_memory.forget):
            with pytest.raises(NotFound):
                await reach(mine.id, runtime=other)
        await agent_memory.record_use([mine.id], runtime=other)
        assert [memory.id for memory in await agent_memory.list_memories(runtime=other)] == [theirs.id]
    assert (await agent_memory.get(mine.id)).use_count == 0


async def test_a_memory_without_a_vector_is_found_by_its_words(remote: Runtime) -> None:
    saved = await agent_memory.save("the zebra invoice", runtime=remote)
    assert remote.embedder.calls == []
    assert saved.embedding_model is None
    assert [m.id for m in await semantic_search.search_memories("zebra", runtime=remote)] == [saved.id]


async def test_a_failing_embedder_delays_vectors_and_loses_nothing(remote: Runtime) -> None:
    remote.embedder.down = True
    saved = await agent_memory.save("the zebra invoice", runtime=remote)
    assert await agent_memory.embed_pending(runtime=remote) == 0
    with pytest.raises(ProviderUnavailable, match="down"):
        await agent_memory.embed_pending(strict=True, runtime=remote)
    for mode in ("hybrid", "dense", "lexical"):
        found = await semantic_search.search_memories("zebra", mode=mode, runtime=remote)
        assert [memory.id for memory in found] == [saved.id]
    remote.embedder.down = False
    assert await agent_memory.embed_pending(runtime=remote) == 1
    assert (await agent_memory.get(saved.id, runtime=remote)).embedding_model == "remote:3"


async def test_processes_share_the_embedding_and_report_progress(remote: Runtime) -> None:
    await agent_memory.save_many([NewMemory(content=f"memory {n}") for n in range(300)], runtime=remote)
    seen: list[tuple[int, int]] = []
    done = await asyncio.gather(
        *(
            agent_memory.embed_pending(progress=lambda n, total: seen.append((n, total)), runtime=remote)
            for _ in range(4)
        )
    )
    texts = [text for call in remote.embedder.calls for text in call]
    assert sum(done) == len(texts) == len(set(texts)) == 300
    assert all(0 < n <= total <= 300 for n, total in seen)
    assert (await agent_memory.counts(runtime=remote))["unembedded"] == 0


async def test_a_changed_model_embeds_again_while_search_goes_on(runtime: Runtime) -> None:
    saved = await agent_memory.save("the zebra invoice")
    assert saved.embedding_model == "hashing:384"
    changed = replace(runtime, embedder=Remote())
    assert [m.id for m in await semantic_search.search_memories("zebra", runtime=changed)] == [saved.id]
    assert (await agent_memory.counts(runtime=changed))["unembedded"] == 1
    assert await agent_memory.embed_pending(runtime=changed) == 1
    found = await semantic_search.search_memories("something else", mode="dense", runtime=changed)
    assert [memory.id for memory in found] == [saved.id]
    assert found[0].score == pytest.approx(1, abs=50)


async def test_other_dimensions_under_a_known_name_keep_the_memory_and_say_so(remote: Runtime) -> None:
    await agent_memory.save("first", runtime=remote)
    await agent_memory.embed_pending(runtime=remote)
    wrong = replace(remote, embedder=Remote((1.0, 0.0)))
    saved = await agent_memory.save("second zebra", runtime=wrong)
    with pytest.raises(Exception, match="2 dimensions, but memory holds vectors of 3"):
        await agent_memory.embed_pending(strict=True, runtime=wrong)
    assert [m.id for m in await semantic_search.search_memories("zebra", runtime=wrong)] == [saved.id]


async def test_statistics_are_exact_whatever_was_saved_changed_or_forgotten(runtime: Runtime) -> None:
    items = [NewMemory(content=f"memory {n % 7} about {'abc'[n % 3]}{n}") for n in range(200)]
    saved = await agent_memory.save_many(items)
    kept, counted = frequencies(runtime)
    assert kept == counted
    for memory in saved[::9]:
        await agent_memory.forget(memory.id)
    for version in range(3):
        await agent_memory.save(f"version {version}", kind="schema", subject="public.a")
    await asyncio.gather(*(agent_memory.save(f"late {n}") for n in range(70)))
    kept, counted = frequencies(runtime)
    assert kept == counted
    with psycopg.connect(admin_url(runtime)) as conn:
        assert conn.execute("select count(*) from agents.memory_changes").fetchone()[0] < 150


async def test_use_is_counted_without_touching_the_memory(runtime: Runtime) -> None:
    memory = await agent_memory.save("status 3 means paused")
    await semantic_search.get_relevant_context("what is status 3?")
    used = await agent_memory.get(memory.id)
    assert used.use_count == 1
    assert used.last_used_at is not None
    async with runtime.transaction() as conn:
        parameters = {"used": [memory.id], "tenant_id": runtime.tenant_id, "database_id": runtime.database_id}
        await conn.execute(load_queries("agent.learning.memory")["record_use"], parameters)
        row = await (
            await conn.execute("select pg_stat_get_xact_tuples_updated('agents.agent_memory'::regclass) as updated")
        ).fetchone()
    assert row["updated"] == 0
    found = (await semantic_search.search_memories("status 3"))[0]
    assert (found.use_count, (await agent_memory.list_memories())[0].use_count) == (2, 2)


async def test_what_led_to_a_memory_is_noted_as_used(runtime: Runtime) -> None:
    first, second = [await agent_memory.save(text) for text in ("status 3 means paused", "status 4 means closed")]
    foreign = await agent_memory.save("not yours", runtime=runtime.for_tenant("other"))
    await agent_memory.save("Paused clients are 3.", used=[second.id, first.id, foreign.id, 10**12])
    await agent_memory.save("status 3 means paused", used=[first.id])  # what is used may be what is said again
    assert [(await agent_memory.get(one.id)).use_count for one in (first, second)] == [2, 1]
    assert (await agent_memory.get(foreign.id, runtime=runtime.for_tenant("other"))).use_count == 0
    await agent_memory.forget(first.id)
    async with runtime.connection() as conn:
        rows = await (await conn.execute("select memory_id from agents.memory_use")).fetchall()
    assert [row["memory_id"] for row in rows] == [second.id]


_SAVER = """
import asyncio, sys
from agent.learning.memory.store import NewMemory, agent_memory
from agent.runtime import open_runtime
from agent.settings import Settings

async def main():
    runtime = await open_runtime(Settings.load(_env_file=None))
    for batch in range(1000):
        items = [NewMemory(content=f"batch {batch} item {n}") for n in range(1200)]
        print(batch, flush=True)
        await agent_memory.save_many(items, runtime=runtime)

asyncio.run(main())
"""


@pytest.mark.parametrize("delay", [0.05, 0.2, 0.45])
async def test_a_kill_during_save_many_leaves_whole_batches_with_exact_statistics(
    runtime: Runtime, delay: float
) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": admin_url(runtime),
        "AGENT_SECRET": runtime.settings.secret.get_secret_value(),
    }
    process = subprocess.Popen([sys.executable, "-c", _SAVER], env=environment, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    await asyncio.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    for _ in range(100):  # the server notices the lost client when it next reads
        with psycopg.connect(admin_url(runtime)) as conn:
            busy = conn.execute(
                "select count(*) from pg_stat_activity where datname = current_database() and usename = 'agent_app' and state <> 'idle'"
            ).fetchone()[0]
        if not busy:
            break
        await asyncio.sleep(0.05)
    with psycopg.connect(admin_url(runtime)) as conn:
        sizes = conn.execute("select count(*) from agents.agent_memory group by split_part(content, ' ', 2)").fetchall()
    assert {size for (size,) in sizes} <= {1200}
    kept, counted = frequencies(runtime)
    assert [row for row in kept if row[2]] == [row for row in counted if row[2]]
