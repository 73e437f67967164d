"""The demonstration application: complete, the same on every date, recognised, and removed without touching anything else."""

from __future__ import annotations

import datetime
import decimal

import psycopg
import pytest

from agent.db import migrations
from agent.demo import application
from agent.errors import ConfigurationError
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster

_TABLES = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
"""


def admin_url(settings: Settings) -> str:
    assert settings.database_url is not None
    return settings.database_url.get_secret_value()


def summary(url: str) -> dict[str, object]:
    """What answers about the demo are made of: counts, sums and states, but no dates."""
    found: dict[str, object] = {}
    with psycopg.connect(url) as conn:
        for (table,) in conn.execute(_TABLES).fetchall():
            found[table] = conn.execute(f'select count(*) from public."{table}"').fetchone()
        for query in (
            "select status, count(*), sum(budget) from campaigns group by 1 order by 1",
            "select status, count(*), sum(total) from orders group by 1 order by 1",
            "select status, count(*), sum(total) from invoices group by 1 order by 1",
            "select method, sum(amount) from payments group by 1 order by 1",
            "select channel, campaigns, cost from channel_performance order by 1",
            "select name, revenue from client_revenue order by 2 desc, 1 limit 10",
            "select count(*) from orders where placed_at >= current_date - 30",
            "select count(*) from invoices where due_on < current_date and status = 'sent'",
        ):
            found[query] = conn.execute(query).fetchall()
    return found


async def test_the_agents_logins_read_and_change_it(demo_runtime: Runtime) -> None:
    async with demo_runtime.app.connection("agent_reader") as conn:
        for table in ("clients", "invoices", "ad_spend", "client_revenue", "channel_performance"):
            row = await (await conn.execute(f"select count(*) as n from public.{table}")).fetchone()
            assert row["n"] > 0, table
    async with demo_runtime.app.connection("agent_actor") as conn, conn.transaction(force_rollback=True):
        await conn.execute("update public.clients set status = 'paused' where id = 1")
        row = await (
            await conn.execute("select after ->> 'status' as s from public.audit_log where row_id = 1 order by id desc")
        ).fetchone()
        assert row["s"] == "paused"


async def test_a_table_with_row_level_security_and_no_policy_looks_empty_to_the_reader(demo_runtime: Runtime) -> None:
    async with demo_runtime.app.connection("agent_reader") as conn:
        row = await (await conn.execute("select count(*) as n from public.salaries")).fetchone()
    assert row == {"n": 0}


def test_it_has_what_real_applications_have(demo_settings: Settings) -> None:
    with psycopg.connect(admin_url(demo_settings)) as conn:
        tables = conn.execute(_TABLES).fetchall()
        rows = sum(conn.execute(f'select count(*) from public."{name}"').fetchone()[0] for (name,) in tables)
        composite = conn.execute(
            "select count(*) from pg_constraint where contype = 'f' and cardinality(conkey) > 1"
        ).fetchone()
        uncommented = conn.execute(
            "select col_description('campaigns'::regclass, attnum) from pg_attribute"
            " where attrelid = 'campaigns'::regclass and attname = 'status'"
        ).fetchone()
        totals = conn.execute(
            "select count(*) from orders o where total <> (select sum(net) from order_items i where i.order_id = o.id)"
        ).fetchone()
        unpaid = conn.execute(
            "select count(*) from invoices v where status = 'paid' and total <> (select sum(amount) from payments p where p.invoice_id = v.id)"
        ).fetchone()
        future = conn.execute("select count(*) from payments where paid_at > now()").fetchone()
    assert len(tables) >= 14
    assert 8_000 <= rows <= 20_000
    assert composite[0] >= 5
    assert uncommented == (None,)
    assert totals == unpaid == future == (0,)


@pytest.mark.parametrize("day", [datetime.date(2028, 2, 29), datetime.date(2027, 1, 1), datetime.date(2026, 7, 31)])
def test_its_numbers_are_the_same_on_every_date(
    cluster: Cluster, day: datetime.date, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = cluster.empty_database()
    other = cluster.empty_database()
    text = application.seed_text()
    for url, seed in ((today, text), (other, text.replace("current_date", f"date '{day}'"))):
        migrations.migrate(url)
        monkeypatch.setattr(application, "seed_text", lambda seed=seed: seed)
        with psycopg.connect(url, autocommit=True) as conn:
            application.fill_demo(conn)
    with psycopg.connect(other, autocommit=True) as conn:
        shift = (datetime.date.today() - day).days  # the server's date, in the same zone
        conn.execute("alter table orders disable trigger user; alter table invoices disable trigger user")
        conn.execute(f"update orders set placed_at = placed_at + interval '{shift} days'")
        conn.execute(f"update invoices set issued_on = issued_on + {shift}, due_on = due_on + {shift}")
    assert summary(today) == summary(other)


def test_loading_is_refused_beside_somebodys_application(cluster: Cluster, settings: Settings) -> None:
    with psycopg.connect(admin_url(settings)) as conn:
        conn.execute("create table public.mine (id int)")
    with pytest.raises(ConfigurationError, match="'mine'"):
        application.load_demo(settings)
    with pytest.raises(ConfigurationError, match="nothing was reset"):
        application.reset_demo(settings)
    with psycopg.connect(admin_url(settings)) as conn:
        assert conn.execute(_TABLES).fetchall() == [("mine",)]


def test_it_loads_once_and_a_reset_undoes_every_change(settings: Settings) -> None:
    assert application.load_demo(settings)
    assert not application.load_demo(settings)
    first = summary(admin_url(settings))
    with psycopg.connect(admin_url(settings)) as conn:
        conn.execute("update clients set status = 'paused'")
        conn.execute("delete from payments")
        conn.execute("create table public.mine (id int)")
    application.reset_demo(settings)
    second = summary(admin_url(settings))
    assert second.pop("mine") == (0,)
    assert second == first


def test_a_reset_drops_nothing_that_somebody_else_made(settings: Settings) -> None:
    application.load_demo(settings)
    with psycopg.connect(admin_url(settings)) as conn:
        conn.execute("create view public.mine as select id from public.clients")
    with pytest.raises(ConfigurationError, match=r"view public\.mine depends on"):
        application.reset_demo(settings)


def test_money_sums_are_exact(demo_settings: Settings) -> None:
    with psycopg.connect(admin_url(demo_settings)) as conn:
        row = conn.execute("select sum(revenue) from client_revenue").fetchone()
        paid = conn.execute("select sum(total) from invoices where status = 'paid'").fetchone()
    assert row == paid
    assert isinstance(row[0], decimal.Decimal)
