"""A log from before there were salts is sealed anew, says so, and keeps what its former seals prove."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from agent.audit.chain import BEFORE_THE_FIRST, Anchor, Entry, former_seal, key_id
from agent.audit.log import audit_log
from agent.audit.sealing import key_ring
from agent.db import migrations, setup
from agent.execution.controls import controls
from agent.settings import Settings
from agent.testing.cluster import Cluster
from agent.testing.running import running

ENTRIES = 2_500  # more than are sealed at once


def former_log(settings: Settings, conn: psycopg.Connection, entries: int) -> Anchor:
    """Write a log as the version before sealed it, and return its end."""
    key = key_ring(settings).current
    name, mac = key_id(key), BEFORE_THE_FIRST
    conn.execute("set timezone = 'UTC'")
    insert = (
        "insert into agents.audit_log (tenant_id, sequence, id, at, login, event, subject, key, content, sealed_at, key_id, mac)"
        " values ('default', %s, %s, %s, 'agent_app', 'updated', 'nothing', '[\"ann\"]', %s, %s, %s, %s)"
    )
    for number in range(1, entries + 1):
        content = f'{{"who": "ann", "cost": 0.50, "number": {number}}}'
        ((at, jsonb),) = conn.execute("select now()::text, %s::jsonb::text", [content]).fetchall()
        entry = Entry(id=number, at=at, login="agent_app", event="updated", subject="nothing", key='["ann"]', content=jsonb, sealed="", sequence=number, sealed_at=at, former_key_id=name)  # fmt: skip
        mac = former_seal(entry, mac, tenant_id="default", key=key)
        conn.execute(insert, [number, number, at, jsonb, at, name, mac])
    conn.execute("alter table agents.audit_unsealed alter column id restart with 1000000")
    return Anchor(tenant="default", sequence=entries, mac=mac.hex(), key_id=name, sealed_at=at)


def migrated(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, entries: int, *forged: str) -> tuple[Settings, Anchor]:
    """Return settings for a database that had a former log when it was migrated, and what was `forged` in it then."""
    url = cluster.empty_database()
    settings = cluster.settings(url.partition("@/")[2].partition("?")[0])
    with monkeypatch.context() as before:
        old = [one for one in migrations.all_migrations() if one.version < "20261207500000"]
        before.setattr(migrations, "all_migrations", lambda: old)
        migrations.migrate(url)
    with psycopg.connect(url) as conn:
        anchor = former_log(settings, conn, entries)
    migrations.migrate(url)
    setup.setup_logins(url, settings.secret.get_secret_value())
    forge(settings, *forged)
    return settings, anchor


def forge(settings: Settings, *statements: str) -> None:
    with psycopg.connect(settings.database_url.get_secret_value()) as conn:
        for statement in statements:
            conn.execute(statement)


SALT = "update agents.audit_log l set (sealed, salts) = (select s.sealed, s.salts from agents.salt_audit(l.key, l.content) s) where sequence = 7"
FORGED = ("update agents.audit_log set content = replace(content::text, 'ann', 'bob')::jsonb where sequence = 7", SALT)
NO_SEALS = "update agents.audit_log set mac = null"


async def test_a_former_log_is_sealed_anew_and_its_anchor_still_holds(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, anchor = migrated(cluster, monkeypatch, ENTRIES)
    async with running(settings) as runtime:
        report = await audit_log.verify(anchor=anchor)
        assert (report.findings, report.entries) == ((), ENTRIES)  # the entry that says so waits
        await controls.set_read_only(True, "new")
        await audit_log.seal()
        report = await audit_log.verify(anchor=anchor)
        assert (report.findings, report.entries, dict(report.outside)) == ((), ENTRIES + 2, {})
        said = next(entry for entry in await audit_log.recent(personal=True) if entry.event == "resealed")
        assert said.values == {"entries": ENTRIES, "former_end": anchor["mac"]}
        # Who takes the seals away does not get new ones over what he wrote.
        forge(settings, *FORGED, NO_SEALS)
        report = await audit_log.verify(runtime=replace(runtime, cached={}))
        assert (report.found, {finding.kind for finding in report.findings}) == (ENTRIES + 2, {"changed"})


@pytest.mark.parametrize(
    "forged", [FORGED, ("update agents.audit_log set former_mac = sha256('x') where sequence = 7",)]
)
async def test_what_is_changed_before_the_log_is_sealed_anew_is_found_by_its_former_seal(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, forged: tuple[str, ...]
) -> None:
    settings, _ = migrated(cluster, monkeypatch, 10, *forged)
    async with running(settings):
        found = [(finding.kind, finding.sequence) for finding in (await audit_log.verify()).findings]
        assert found[0] == ("changed", 7)
