"""The audit log: whatever a superuser of the database does to it, or behind its back, is found."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest
from pydantic import SecretStr

from agent.approval.human_approval import human_approval_queue
from agent.audit.log import AUDITED, Anchor, audit_log, read_anchor, trigger_of
from agent.errors import ConfigurationError, InvalidInput
from agent.execution.controls import controls
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.testing.cluster import Cluster

NUMBERS = "create table public.numbers (id int primary key, n int not null); insert into public.numbers select g, 0 from generate_series(1, 50) g"


@pytest.fixture
async def agent(cluster: Cluster) -> AsyncIterator[Runtime]:
    """A runtime whose log holds two approved changes, a rejected one, a read and a moved switch, all sealed."""
    settings = cluster.database(cluster.template("numbers", lambda conn: conn.execute(NUMBERS)))
    runtime = await open_runtime(settings)
    with use_runtime(runtime):
        for number in (1, 2):
            await change(number)
        await human_approval_queue.decide(await ask(3), "reject", decided_by="ann", comment="no")
        await safe_executor.execute("execute_sql", {"sql": "SELECT count(*) FROM numbers"})
        await controls.set_read_only(True, "audit")
        await controls.set_read_only(False)
        await audit_log.seal()
        yield runtime
    await runtime.close()
    cluster.drop(settings)


async def ask(number: int) -> int:
    result = await safe_executor.execute(
        "execute_sql", {"sql": f"UPDATE numbers SET n = n + 1 WHERE id = {number}"}, wait=False
    )
    return result["approval_id"]


async def change(number: int) -> int:
    approval = await ask(number)
    await human_approval_queue.decide(approval, "approve", decided_by="ann")
    assert (await safe_executor.run_approved(approval))["success"]
    return approval


def tamper(runtime: Runtime, *statements: str, unseen: bool = True) -> None:
    """Run statements as the database's superuser, with triggers off unless they are to see it."""
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        if unseen:
            conn.execute("set session_replication_role = replica")
        for statement in statements:
            conn.execute(statement)


SAVED = ("audit_log", *AUDITED)


def save(runtime: Runtime) -> None:
    """Keep log and rows as they are, for `restore`."""
    tamper(runtime, "create schema saved", *(f"create table saved.{name} as table agents.{name}" for name in SAVED))


def restore(runtime: Runtime) -> None:
    back = (
        f"delete from agents.{name}; insert into agents.{name} overriding system value table saved.{name}"
        for name in SAVED
    )
    tamper(runtime, *back)


async def found(anchor: Anchor | None = None) -> list[tuple[str, int | None]]:
    report = await audit_log.verify(anchor=anchor)
    assert report.whole == (not report.findings)
    return [(finding.kind, finding.sequence) for finding in report.findings]


async def test_an_untouched_log_is_whole(agent: Runtime) -> None:
    report = await audit_log.verify()
    assert report.findings == ()
    assert (report.effects, report.unsealed, report.adopted, dict(report.outside)) == (2, 0, 0, {})
    # the rules; twice: asked, approved, by whom, begun, done; asked, rejected, by whom, and its row; a read; two switches
    assert report.entries == 1 + 2 * 5 + 4 + 1 + 2
    assert report.rows == 1 + 3 + 3 + 4 + 1
    assert (await audit_log.verify(anchor=await audit_log.export())).whole


LOG = "agents.audit_log"
MOVE = f"update {LOG} set sequence = sequence + 1000 where sequence > 5"
CLOSE_GAP = (
    f"delete from {LOG} where sequence = 5; {MOVE}; update {LOG} set sequence = sequence - 1001 where sequence > 1000"
)
SWAP = f"""{MOVE}; update {LOG} set sequence = 6 where sequence = 5; update {LOG} set sequence = 5 where sequence = 1006;
update {LOG} set sequence = sequence - 1000 where sequence > 1000"""
COPY = (
    "insert into agents.audit_log select (jsonb_populate_record(l, '{\"sequence\": 19%s}')).* from agents.audit_log l"
    " where sequence = 6"
)
ATTACKS = {
    "a changed content": (f"update {LOG} set content = content || '{{\"decided_by\": \"bob\"}}' where sequence = 6", "changed", 6),
    "a changed time": (f"update {LOG} set at = at - interval '1 day' where sequence = 4", "changed", 4),
    "a changed login": (f"update {LOG} set login = 'postgres' where sequence = 3", "changed", 3),
    "a changed table": (f"update {LOG} set subject = 'controls' where sequence = 3", "changed", 3),
    "a changed key": (f"update {LOG} set key = '[99]' where sequence = 3", "changed", 3),
    "a changed event": (f"update {LOG} set event = 'adopted' where sequence = 3", "changed", 3),
    "a changed sealing time": (f"update {LOG} set sealed_at = now() where sequence = 3", "changed", 3),
    "a changed code": (f"update {LOG} set mac = sha256('x') where sequence = 3", "changed", 3),
    "a time without end": (f"update {LOG} set at = 'infinity' where sequence = 3", "changed", 3),
    "content that is no row": (f"update {LOG} set content = '[1e400, 7]' where sequence = 3", "changed", 3),
    "a removed entry": (f"delete from {LOG} where sequence = 5", "missing", 5),
    "removed first entries": (f"delete from {LOG} where sequence <= 3", "missing", 1),
    "a removed entry with its gap closed": (CLOSE_GAP, "changed", 5),
    "two entries in each other's place": (SWAP, "changed", 5),
    "an entry twice": (COPY % "", "changed", 19),
    "an entry sealed with another key": (COPY % ', "key_id": "abc"', "key", 19),
}  # fmt: skip


async def test_every_change_of_the_log_is_found_where_it_is(agent: Runtime) -> None:
    save(agent)
    first = {}
    for attack, (statement, _, _) in ATTACKS.items():
        tamper(agent, statement)
        first[attack] = (await found())[0]
        restore(agent)
    assert first == {attack: (kind, sequence) for attack, (_, kind, sequence) in ATTACKS.items()}
    assert await found() == []


UNSEEN = {
    "a decision": "update agents.human_approval_queue set status = 'approved' where status = 'rejected'",
    "arguments": "update agents.human_approval_queue set arguments = '{\"sql\": \"select 1\"}' where id = 1",
    "a preview": "update agents.human_approval_queue set preview = preview || '{\"row_count\": 0}' where id = 2",
    "an outcome": "update agents.agent_execution_log set result = result || '{\"row_count\": 7}' where approval_id = 1",
    "who did it": "update agents.agent_execution_log set actor = 'nobody' where approval_id = 2",
    "a removed execution": "delete from agents.agent_execution_log where approval_id = 1",
    "a removed request": "delete from agents.human_approval_queue where status = 'rejected'",
    "a new request": "insert into agents.human_approval_queue (tenant_id, database_id, action, arguments, risk_level, binding, expires_at)"
    " values ('default', 'd', 'execute_sql', '{}', 'LOW', 'b', now())",
    "a new execution": "insert into agents.agent_execution_log (tenant_id, database_id, action, verdict, risk_level, status)"
    " values ('default', 'd', 'execute_sql', 'run', 'LOW', 'succeeded')",
    "the switches": "update agents.controls set read_only = true",
}  # fmt: skip


async def test_a_row_changed_while_no_trigger_looked_is_found(agent: Runtime) -> None:
    save(agent)
    kinds = {}
    for attack, statement in UNSEEN.items():
        tamper(agent, statement)
        kinds[attack] = {kind for kind, _ in await found()}
        restore(agent)
    assert kinds == {attack: {"row"} for attack in UNSEEN}
    assert await found() == []


async def test_a_cut_off_end_is_found_by_an_anchor(agent: Runtime) -> None:
    await change(4)
    anchor = await audit_log.export()
    # Everything since some moment, the rows included: as if an old backup had been restored.
    tamper(
        agent, f"delete from {LOG} where sequence > 18",
        "delete from agents.agent_execution_log where id > 4", "delete from agents.human_approval_queue where id > 3",
        "delete from agents.approval_decisions where id > 3",
    )  # fmt: skip
    assert await found() == []
    assert await found(anchor) == [("truncated", 19)]
    await change(5)
    await change(6)
    await audit_log.seal()
    assert await found(anchor) == [("rewritten", anchor["sequence"])]


async def test_a_log_written_anew_with_the_key_is_found_by_an_anchor(agent: Runtime) -> None:
    anchor = await audit_log.export()
    changed = "update agents.{} set {} = 'mallory' where {} = 'ann'"
    tamper(
        agent,
        "insert into agents.audit_unsealed (tenant_id, at, login, event, subject, key, content, sealed, salts) overriding user value"
        " select tenant_id, at, login, event, subject, key, anew, s.sealed, s.salts"
        f" from (select *, replace(content::text, '\"ann\"', '\"mallory\"')::jsonb as anew from {LOG}) l, agents.salt_audit(key, anew) s order by sequence",
        f"delete from {LOG}",
        changed.format("human_approval_queue", "decided_by", "decided_by"),
        changed.format("agent_execution_log", "approved_by", "approved_by"),
        changed.format("approval_decisions", "decided_by", "decided_by"),
        "update agents.human_approval_queue set approved_by = array_replace(approved_by, 'ann', 'mallory')",
    )  # fmt: skip
    await audit_log.seal()  # what the agent has not sealed by itself meanwhile
    assert (await audit_log.verify()).entries == 18
    assert await found() == []
    assert await found(anchor) == [("rewritten", 18)]


async def test_an_anchor_survives_its_file_and_belongs_to_its_tenant(agent: Runtime) -> None:
    anchor = await audit_log.export()
    assert read_anchor(json.dumps(anchor), tenant_id="default") == anchor
    with pytest.raises(InvalidInput, match="of the tenant"):
        read_anchor(json.dumps(anchor), tenant_id="other")
    for text in (
        "",
        "[]",
        "{}",
        "[" * 100_000,
        json.dumps({**anchor, "mac": "xyz"}),
        json.dumps({**anchor, "sequence": None}),
    ):
        with pytest.raises(InvalidInput, match="not an anchor"):
            read_anchor(text, tenant_id="default")


async def test_an_effect_without_a_decision_is_found(agent: Runtime) -> None:
    # As the agent's own login, all triggers on: what a bug or a stolen password of agent_app could do.
    insert = (
        "insert into agents.agent_execution_log (tenant_id, database_id, action, arguments, verdict, risk_level, status, approval_id)"
        " values ('default', 'd', 'execute_sql', {}, 'ask', 'LOW', 'succeeded', {})"
    )
    pending = await ask(7)
    with psycopg.connect(agent.settings.database_url.get_secret_value()) as conn:
        conn.execute("set session authorization agent_app")
        conn.execute("select set_config('agents.tenant_id', 'default', false)")
        conn.execute(insert.format("'{}'", "null"))
        conn.execute(insert.format("'{}'", pending))
    report = await audit_log.verify()
    assert [finding.kind for finding in report.findings] == ["effect", "effect"]
    assert "names no approval" in report.findings[0].message
    assert f"approval {pending} was not approved before it" in report.findings[1].message


async def test_an_effect_of_something_else_than_was_decided_is_found(agent: Runtime) -> None:
    approval = await ask(8)
    await human_approval_queue.decide(approval, "approve")
    tamper(
        agent,
        f'update agents.human_approval_queue set arguments = \'{{"sql": "DELETE FROM numbers"}}\' where id = {approval}',
        unseen=False,
    )
    tamper(agent, "insert into agents.agent_execution_log (tenant_id, database_id, action, arguments, verdict, risk_level, status, approval_id)"
      f" values ('default', 'd', 'execute_sql', '{{\"sql\": \"DELETE FROM numbers\"}}', 'ask', 'LOW', 'succeeded', {approval})", unseen=False)  # fmt: skip
    report = await audit_log.verify()
    assert [finding.kind for finding in report.findings] == ["effect", "effect"]
    assert "arguments of approval" in report.findings[0].message
    assert "something else" in report.findings[1].message
    assert dict(report.outside) == {"postgres": 2}


async def test_an_approval_that_an_administrator_forged_does_not_count(agent: Runtime) -> None:
    approval = await ask(9)
    tamper(
        agent,
        f"update agents.human_approval_queue set status = 'approved', decided_by = 'ann' where id = {approval}",
        unseen=False,
    )
    assert (await safe_executor.run_approved(approval))["success"]
    report = await audit_log.verify()
    assert {finding.kind for finding in report.findings} == {"effect"}
    assert "a login that is not the agent's" in report.findings[0].message


MACHINERY = {
    "a disabled trigger": "alter table agents.controls disable trigger audit",
    "a dropped trigger": "drop trigger audit on agents.human_approval_queue",
    "a trigger that overlooks": "drop trigger audit on agents.controls; create trigger audit after insert or update or delete"
    " on agents.controls for each row when (false) execute function agents.audit_change('{}', '{}', '{}')",
    "another function": "create or replace function agents.audit_change() returns trigger language plpgsql as 'begin return null; end'",
    "a content that hides": "create or replace function agents.audit_content(document jsonb, shown text[]) returns jsonb language sql as"
    " 'select document - ''status'''",
}  # fmt: skip


@pytest.mark.parametrize("attack", MACHINERY)
async def test_a_log_that_is_switched_off_is_found(runtime: Runtime, attack: str) -> None:
    assert await found() == []
    tamper(runtime, MACHINERY[attack])
    assert "machinery" in {kind for kind, _ in await found()}


async def test_the_agents_own_login_may_neither_change_nor_write_nor_remove_entries(runtime: Runtime) -> None:
    for statement in (
        f"update {LOG} set login = 'x'", f"delete from {LOG}", f"truncate {LOG}", "delete from agents.audit_unsealed",
        "update agents.audit_unsealed set login = 'x'",
        "insert into agents.audit_unsealed (event, subject, key, content) values ('inserted', 'x', '[]', '{}')",
        f"insert into {LOG} select * from {LOG}", "alter table agents.controls disable trigger audit",
    ):  # fmt: skip
        async with runtime.connection() as conn:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await conn.execute(statement)


def with_keys(runtime: Runtime, **keys: str | None) -> Runtime:
    values = {name: None if key is None else SecretStr(key) for name, key in keys.items()}
    return replace(runtime, settings=runtime.settings.model_copy(update=values), cached={})


async def switched_and_verified(runtime: Runtime) -> list[tuple[str, int | None]]:
    await controls.set_read_only(False, "again", runtime=runtime)
    await audit_log.seal(runtime=runtime)
    report = await audit_log.verify(runtime=runtime)
    return [(finding.kind, finding.sequence) for finding in report.findings]


async def test_a_key_that_was_replaced_still_verifies_what_it_sealed(runtime: Runtime) -> None:
    assert await switched_and_verified(runtime) == []  # derived from AGENT_SECRET
    assert await switched_and_verified(with_keys(runtime, audit_key="first")) == []
    assert await switched_and_verified(with_keys(runtime, audit_key="second", audit_old_keys="other, first")) == []
    unknown = await audit_log.verify(runtime=with_keys(runtime, audit_key="second"))
    assert [(finding.kind, finding.sequence) for finding in unknown.findings] == [("key", 2)]
    assert "AGENT_AUDIT_OLD_KEYS" in unknown.findings[0].message


async def test_a_key_that_was_replaced_seals_nothing_anymore(runtime: Runtime) -> None:
    for key in ("first", "second"):
        await switched_and_verified(with_keys(runtime, audit_key=key, audit_old_keys="first"))
    stolen = with_keys(runtime, audit_key="first", audit_old_keys="second")
    assert await switched_and_verified(stolen) == [("key", 3)]


async def test_without_a_key_it_says_which_setting_is_missing(runtime: Runtime) -> None:
    with pytest.raises(ConfigurationError, match="AGENT_AUDIT_KEY"):
        await audit_log.verify(runtime=with_keys(runtime, secret=None))


async def test_entries_of_another_tenant_do_not_fit(agent: Runtime) -> None:
    other = agent.for_tenant("other")
    await controls.set_read_only(True, runtime=other)
    await audit_log.seal(runtime=other)
    assert (await audit_log.verify(runtime=other)).entries == 1
    tamper(
        agent,
        f"delete from {LOG} where tenant_id = 'other'",
        f"update {LOG} set tenant_id = 'other' where sequence <= 2",
    )
    report = await audit_log.verify(runtime=other)
    assert report.findings[0].kind == "changed"


async def test_what_waits_for_long_is_reported_and_sealed(runtime: Runtime) -> None:
    await controls.set_read_only(True)
    assert await found() == []
    await controls.set_read_only(False)
    tamper(runtime, "update agents.audit_unsealed set at = at - interval '2 min'")
    assert await audit_log.unsealed() > 60
    assert await found() == [("unsealed", None)]
    assert await found() == []
    assert await audit_log.unsealed() == 0


async def test_an_entry_holds_digests_and_no_data_of_the_application(agent: Runtime) -> None:
    with psycopg.connect(agent.settings.database_url.get_secret_value()) as conn:
        (content,) = conn.execute(
            f"select content from {LOG} where subject = 'human_approval_queue' and event = 'updated' order by sequence limit 1"
        ).fetchone()
    assert {name: list(content[name]) for name in ("arguments", "preview")} == {
        "arguments": ["sha256"],
        "preview": ["sha256"],
    }
    assert (content["status"], content["decided_by"], content["risk_level"]) == ("approved", "ann", "LOW")
    assert not {"claim", "claimed_until", "tenant_id"} & content.keys()


async def test_the_rules_of_a_process_are_in_the_log_before_what_it_asks_under_them(runtime: Runtime) -> None:
    lax = replace(runtime, settings=runtime.settings.model_copy(update={"ask_from": "HIGH"}), cached={})
    for process in (runtime, runtime, lax, lax):
        await human_approval_queue.request("act", {}, runtime=process)
    entries = [(entry.subject, entry.values) for entry in reversed(await audit_log.recent())]
    assert [subject for subject, _ in entries] == [
        "policy", "human_approval_queue", "human_approval_queue", "policy", "human_approval_queue", "human_approval_queue",
    ]  # fmt: skip
    assert [values["settings"]["ask_from"] for subject, values in entries if subject == "policy"] == ["LOW", "HIGH"]


async def test_the_database_audits_what_the_code_verifies(runtime: Runtime) -> None:
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        triggers = dict(conn.execute(
            "select c.relname, pg_get_triggerdef(g.oid) from pg_trigger g join pg_class c on c.oid = g.tgrelid where g.tgname = 'audit'"
        ))  # fmt: skip
        columns = set(
            conn.execute("select table_name, column_name from information_schema.columns where table_schema = 'agents'")
        )
    assert triggers == {subject: trigger_of(subject, audited) for subject, audited in AUDITED.items()}
    named = {(subject, name) for subject, one in AUDITED.items() for name in (*one.key, *one.ignored, *one.shown)}
    assert named <= columns
