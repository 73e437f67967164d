"""The doctor: one setting after the other is changed, and its line, and only it, changes; and so does what really happens."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from agent.access import keys
from agent.approval.people import people
from agent.execution.controls import controls
from agent.execution.guards.break_glass import open_break_glass
from agent.execution.safe_executor import safe_executor
from agent.operations import coverage as covering
from agent.operations.coverage import CoveredKind
from agent.operations.doctor import Diagnosis, doctor
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster
from agent.testing.running import running
from agent.testing.scripted_model import scripted_client
from agent.testing.served import served

TABLES = """
create table public.things (id int primary key, name text, size int);
create table public.more_things (like public.things);
insert into public.things select i, 'name', i from generate_series(1, 10) i;
alter table public.things owner to agent_actor;
"""
NEWEST = f'{sys.executable} -c "import datetime as d; print(d.datetime.now(d.UTC).isoformat())"'
DDL = {
    "changes a table", "removes a column", "drops a table", "empties a table", "gives rights", "makes a tool from code",
    "creates code that the database runs", "calls a function that nobody registered", "runs outside of a transaction",
}  # fmt: skip
LOW = {
    "changes one row by its key, as the user worded it", "changes a few rows of one table, as the user worded it",
    "sends a mail to a domain that is listed (AGENT_EMAIL_DOMAINS)",
}  # fmt: skip
CRITICAL = {
    "removes a column", "drops a table", "empties a table", "gives rights", "creates code that the database runs",
    "makes a tool from code",
}  # fmt: skip
OTHER_MAIL = "sends a mail to another domain (AGENT_EMAIL_DOMAINS)"


@pytest.fixture
async def shop(cluster: Cluster) -> AsyncIterator[Runtime]:
    template = cluster.template("doctor", lambda conn: conn.execute(TABLES))
    settings = cluster.database(template, user="ana", ask_from="MEDIUM")
    async with running(settings) as runtime:
        yield runtime


def with_settings(runtime: Runtime, **values: Any) -> Runtime:
    settings = Settings.model_validate({**runtime.settings.model_dump(), **values})
    return replace(runtime, settings=settings, cached={})


def differences(before: Diagnosis, after: Diagnosis) -> tuple[set[str], set[str]]:
    """Return the names of the lines and of the kinds of actions that differ."""
    lines = {new.name for old, new in zip(before.lines, after.lines, strict=True) if old != new}
    old_kinds = {kind.kind: kind for kind in before.coverage.kinds}
    return lines, {kind.kind for kind in after.coverage.kinds if old_kinds.get(kind.kind) != kind}


def changing(found: Diagnosis) -> set[str]:
    """Return the kinds that change something: these hold a freeze window and a stop up."""
    return {
        kind.kind
        for kind in found.coverage.kinds
        if kind.verdict != "refuse" and kind.reasons not in {("read",), ("own",)}
    }


async def test_each_setting_changes_its_own_line_and_the_actions_that_it_is_about(shop: Runtime) -> None:
    plain = await doctor(runtime=shop)
    assert [line.name for line in plain.missing] == []
    all_changes = changing(plain)
    statements = {kind for kind in DDL if kind != "makes a tool from code"}
    cases: list[tuple[dict[str, Any], set[str], set[str]]] = [
        ({"environment": "staging"}, {"environment"}, set()),
        ({"ask_from": "LOW"}, {"asking"}, LOW),
        ({"ask_from": "CRITICAL"}, {"asking"}, all_changes - LOW - CRITICAL),
        ({"quorum": "HIGH=3"}, {"votes"}, set()),  # nobody is named, so one person decides
        ({"approval_timeouts": "CRITICAL=60"}, {"time to decide"}, CRITICAL),
        ({"refuse": "write:drop"}, {"refused"}, {"drops a table"}),
        ({"refuse": "write:dorp"}, {"refused"}, set()),
        ({"freeze": "00:00-24:00"}, {"freeze"}, all_changes),
        ({"freeze": "01-01..01-01"}, {"freeze"}, set()),
        ({"recovery_max_age": 24.0}, {"recovery point"}, statements),
        ({"recovery_max_age": 24.0, "recovery_command": NEWEST}, {"recovery point"}, statements),
        ({"max_changed_rows": 5}, {"most rows"}, set()),
        ({"many_rows": 7}, {"many rows"}, {"changes more than 7 rows (AGENT_MANY_ROWS)"}),
        ({"data_sharing": "counts"}, {"data sharing"}, set()),
        ({"deny": "things.name"}, {"denied"}, set()),
        ({"deny": "nothing.there"}, {"denied"}, set()),
        ({"read_secrets": True}, {"secrets"}, set()),
        ({"read_as_role": "anon"}, {"row-level security"}, set()),
        ({"actor_rights": "schema"}, {"rights"}, set()),
        ({"smtp_host": "127.0.0.1", "smtp_from": "a@x.example"}, {"mail"}, {OTHER_MAIL, *(LOW & {k for k in LOW if "mail" in k})}),
        ({"smtp_host": "127.0.0.1", "smtp_from": "no address"}, {"mail"}, {OTHER_MAIL, *(k for k in LOW if "mail" in k)}),
        ({"email_refuse_others": True}, set(), {OTHER_MAIL}),
        ({"undo_days": 0.0}, {"undo"}, set()),
        ({"trusted_sources": "things.name"}, {"trusted sources"}, set()),
        ({"audit_key": "another key that is long enough"}, {"audit"}, set()),
        ({"api_auth": "required"}, {"callers"}, set()),
        ({"supabase_url": "https://x.supabase.co"}, {"callers"}, set()),
    ]  # fmt: skip
    for values, lines, kinds in cases:
        found = await doctor(runtime=with_settings(shop, **values))
        assert differences(plain, found) == (lines, kinds), values
    missing = {"refuse": "write:dorp", "deny": "nothing.there", "recovery_max_age": 1.0, "ask_from": "CRITICAL"}
    found = await doctor(runtime=with_settings(shop, **missing))
    assert {line.name for line in found.missing} == {"refused", "denied", "recovery point", "asking"}
    assert all(line.fix for line in found.missing)
    assert "'write:drop' meant?" in next(line.missing for line in found.lines if line.name == "refused")


async def test_what_people_do_changes_its_own_line(shop: Runtime) -> None:
    online = replace(shop, model=scripted_client(["."]), cached={})
    plain = await doctor(runtime=shop)
    assert differences(plain, await doctor(runtime=online)) == ({"data sharing"}, set())
    all_changes = changing(plain)

    await controls.set_read_only(True, "audit", runtime=shop)
    stopped = await doctor(runtime=shop)
    assert differences(plain, stopped) == ({"switches"}, all_changes)
    await controls.set_read_only(False, runtime=shop)

    await keys.create("ci", role="viewer", runtime=shop)
    assert differences(plain, await doctor(runtime=shop)) == ({"callers"}, set())
    before = await doctor(runtime=shop)
    await people.add("ana", ["admin"], runtime=shop)
    alone = await doctor(runtime=shop)
    asked = {kind.kind for kind in alone.coverage.kinds if kind.verdict == "ask"}
    assert differences(before, alone) == ({"people", "votes"}, asked)  # nobody may approve what ana asks for
    (missing,) = alone.missing
    assert (missing.name, missing.fix) == ("votes", "agent people add NAME --role approver")
    for name in ("bo", "cy"):
        await people.add(name, ["approver"], runtime=shop)
    three = await doctor(runtime=shop)
    assert three.missing == () or "'bo' (2)" not in three.missing[0].missing
    assert {asker.name: asker.deciders for asker in three.coverage.askers} == {
        "ana": ("bo", "cy"), "bo": ("ana", "cy"), "cy": ("ana", "bo")
    }  # fmt: skip
    frozen = with_settings(shop, freeze="00:00-24:00")
    await open_break_glass("incident", minutes=5, runtime=frozen)
    assert differences(three, await doctor(runtime=shop)) == ({"break-glass"}, set())
    assert differences(three, await doctor(runtime=frozen)) == ({"break-glass", "freeze"}, set())  # it is lifted


REAL = (
    "reads rows", "changes rows", "adds rows", "deletes rows", "changes or deletes every row", "changes a table", "removes a column",
    "drops a table", "empties a table", "reaches files and programs of the server", "touches the agent's own tables",
    "runs outside of a transaction",
)  # fmt: skip


@pytest.mark.parametrize("values", [{}, {"ask_from": "HIGH"}, {"refuse": "write:truncate, write:insert"}], ids=str)
async def test_the_examples_are_assessed_as_the_executor_assesses_them(shop: Runtime, values: dict[str, Any]) -> None:
    runtime = with_settings(shop, **values)
    kinds: dict[str, CoveredKind] = {kind.kind: kind for kind in (await covering.coverage(runtime=runtime)).kinds}
    for name in REAL:
        sql = (
            kinds[name]
            .example.replace("ADD COLUMN colour", "ADD COLUMN more")
            .replace("DROP COLUMN colour", "DROP COLUMN size")
        )
        real = await safe_executor.assess("execute_sql", {"sql": sql}, runtime=runtime)
        assert (real.verdict, real.risk) == (kinds[name].verdict, kinds[name].risk), (name, real)
    one_row = kinds["changes one row by its key, as the user worded it"]
    assert (await safe_executor.assess("execute_sql", {"sql": one_row.example}, runtime=runtime)).risk == one_row.risk


async def test_the_routes_show_the_same_and_no_secret(shop: Runtime) -> None:
    secrets = {
        "audit_key": "secret-of-the-audit", "supabase_jwt_secret": "secret-of-tokens", "smtp_password": "secret-of-mail",
        "recovery_command": "/opt/newest --token secret-of-backups",
    }  # fmt: skip
    runtime = with_settings(shop, **secrets, environment="production", freeze="00:00-24:00")
    async with served(runtime) as client:
        shown = (await client.get("/api/doctor")).json()
        found = await doctor(runtime=runtime)
        assert [line["sentence"] for line in shown["lines"]] == [line.sentence for line in found.lines]
        assert (await client.get("/api/coverage")).json()["kinds"] == shown["kinds"]
        settings = {one["name"]: one["value"] for one in (await client.get("/api/settings")).json()["settings"]}
        assert (settings["AGENT_ENVIRONMENT"], settings["AGENT_RECOVERY_COMMAND"]) == ("production", True)
        text = json.dumps([shown, settings])
        assert not [
            secret
            for secret in (
                "secret-of-audit",
                "secret-of-the",
                "secret-of-tokens",
                "secret-of-mail",
                "secret-of-backups",
            )
            if secret in text
        ]
        assert str(runtime.settings.secret.get_secret_value() if runtime.settings.secret else "no secret") not in text
        password = runtime.settings.database_url.get_secret_value() if runtime.settings.database_url else "no url"
        assert password not in text
