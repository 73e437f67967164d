"""Backup, restore and upgrade of the embedded data, on real servers with real data."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from agent.db import embedded, maintenance, programs, setup
from agent.db.logins import derive_password
from agent.demo import application
from agent.errors import ConfigurationError, DatabaseUnavailable, InvalidInput, SetupRequired
from agent.runtime import open_runtime
from agent.settings import Settings
from agent.testing.cluster import throwaway_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for the homes of a test; the servers in it are stopped."""
    folder = throwaway_folder("home")
    yield folder
    for pid_file in folder.rglob("postmaster.pid"):
        embedded.stop(pid_file.parents[1])
        if pid_file.exists():
            server = psutil.Process(int(pid_file.read_text().splitlines()[0]))
            server.send_signal(signal.SIGQUIT)
            server.wait(10)
    shutil.rmtree(folder)


def home_settings(home: Path) -> Settings:
    return Settings(_env_file=None, home=home)


@pytest.fixture
def filled(folder: Path) -> Settings:
    """An embedded database with the demonstration application and a thread of the agent's."""
    settings = home_settings(folder / "a home")
    application.load_demo(settings)
    with administrator(settings) as conn:
        conn.execute("insert into agents.threads (tenant_id, thread_id, database_id) values ('default', 'kept', 'd')")
    return settings


def administrator(settings: Settings, database: str = embedded.DATABASE) -> psycopg.Connection:
    secret = embedded.read_or_make_secret(settings.home)
    return psycopg.connect(make_conninfo(embedded.start(settings.home, secret), dbname=database))


def contents(settings: Settings, database: str = embedded.DATABASE) -> list[tuple]:
    with administrator(settings, database) as conn:
        return conn.execute(
            "select (select array_agg(thread_id) from agents.threads), (select count(*) from orders),"
            " (select sum(amount) from payments), (select sum(cost) from channel_performance)"
        ).fetchall()


def databases(settings: Settings) -> set[str]:
    with administrator(settings) as conn:
        return {row[0] for row in conn.execute("select datname from pg_database where not datistemplate")}


async def test_a_restore_on_another_machine_gives_the_same_data_to_the_same_logins(
    folder: Path, filled: Settings
) -> None:
    before = contents(filled)
    seen: list[tuple[int, int]] = []
    size = maintenance.backup(filled, folder / "b.dump", progress=lambda done, total: seen.append((done, total)))
    assert (folder / "b.dump").stat().st_size == size
    assert (folder / "b.dump").stat().st_mode & 0o777 == 0o600
    assert seen[-1][0] == seen[-1][1] > 20
    other = home_settings(folder / "other")
    seen.clear()
    maintenance.restore(other, folder / "b.dump", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] > 20
    assert contents(other) == before
    assert filled.home.joinpath("secret").read_text() != other.home.joinpath("secret").read_text()
    runtime = await open_runtime(other)
    try:
        async with runtime.transaction() as conn:
            row = await (await conn.execute("select count(*) as n from agents.threads")).fetchone()
            assert row == {"n": 1}
            await conn.execute("insert into agents.threads (thread_id, database_id) values ('new', 'd')")
        async with runtime.app.connection("agent_actor") as conn:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await conn.execute("select * from agents.threads")
            await conn.execute("update public.clients set status = 'lead' where id = 1")
    finally:
        await runtime.close()


def test_a_restore_keeps_what_was_there_before(folder: Path, filled: Settings) -> None:
    maintenance.backup(filled, folder / "b.dump")
    with administrator(filled) as conn:
        conn.execute("delete from payments")
        conn.execute("insert into agents.threads (tenant_id, thread_id, database_id) values ('default', 'later', 'd')")
    changed = contents(filled)
    maintenance.restore(filled, folder / "b.dump")
    assert contents(filled)[0][0] == ["kept"]
    assert contents(filled, maintenance.PREVIOUS) == changed
    maintenance.restore(filled, folder / "b.dump")
    assert databases(filled) == {"agent", "agent_previous", "postgres"}


def test_the_secret_is_in_a_backup_only_when_asked(folder: Path, filled: Settings) -> None:
    secret = embedded.read_or_make_secret(filled.home)
    maintenance.backup(filled, folder / "b.dump")
    assert not (folder / "b.dump.secret").exists()
    assert secret.encode() not in (folder / "b.dump").read_bytes()
    with pytest.raises(InvalidInput, match="exists already"):
        maintenance.backup(filled, folder / "b.dump", with_secret=True)
    maintenance.backup(filled, folder / "b.dump", with_secret=True, overwrite=True)
    assert (folder / "b.dump.secret").read_text() == secret
    assert (folder / "b.dump.secret").stat().st_mode & 0o777 == 0o600


def test_a_restore_is_refused_while_others_use_the_database(folder: Path, filled: Settings) -> None:
    maintenance.backup(filled, folder / "b.dump")
    before = contents(filled)
    with administrator(filled), pytest.raises(DatabaseUnavailable, match="1 other sessions"):
        maintenance.restore(filled, folder / "b.dump")
    assert contents(filled) == before
    assert databases(filled) == {"agent", "postgres"}


def test_what_is_no_backup_is_refused_and_changes_nothing(folder: Path, filled: Settings) -> None:
    maintenance.backup(filled, folder / "b.dump")
    whole = (folder / "b.dump").read_bytes()
    before = contents(filled)
    bad = folder / "bad"
    for data, reason in (
        (b"", "not a backup"),
        (b"select 1;", "not a backup"),
        (whole[:40], "damaged"),
        (b"PGDMP\x01\x63" + whole[7:], "newer PostgreSQL"),
    ):
        bad.write_bytes(data)
        with pytest.raises(InvalidInput, match=reason):
            maintenance.restore(filled, bad)
    bad.write_bytes(whole[:-1000])  # all of its contents list, not all of its rows
    with pytest.raises(DatabaseUnavailable, match="nothing was changed"):
        maintenance.restore(filled, bad)
    with pytest.raises(InvalidInput, match="cannot be read"):
        maintenance.restore(filled, folder / "missing")
    assert contents(filled) == before
    assert databases(filled) == {"agent", "postgres"}


def test_a_dump_of_another_database_or_of_a_newer_agent_is_refused(folder: Path, filled: Settings) -> None:
    secret = embedded.read_or_make_secret(filled.home)
    arguments = ["-Fc", "-h", str(embedded.socket_folder(filled.home)), "-U", "postgres", "-d", "postgres"]
    dump = programs.run(
        "pg_dump",
        [*arguments, "-f", str(folder / "other.dump")],
        home=filled.home,
        as_self=True,
        password=derive_password(secret, "postgres"),
    )
    assert dump == ""
    with pytest.raises(InvalidInput, match="another database"):
        maintenance.restore(filled, folder / "other.dump")
    with administrator(filled) as conn:
        conn.execute("insert into supabase_migrations.schema_migrations (version) values ('29990101000000')")
    maintenance.backup(filled, folder / "newer.dump")
    with pytest.raises(InvalidInput, match="newer agent"):
        maintenance.restore(filled, folder / "newer.dump")


def test_a_killed_restore_leaves_the_database_as_it_was(folder: Path, filled: Settings) -> None:
    maintenance.backup(filled, folder / "b.dump")
    before = contents(filled)
    script = (
        "import os, signal, sys; from pathlib import Path; from agent.db import maintenance; from agent.settings import Settings\n"
        "kill = lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done > 10 else None\n"
        "maintenance.restore(Settings(_env_file=None, home=Path(sys.argv[1])), Path(sys.argv[2]), progress=kill)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(filled.home), str(folder / "b.dump")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert contents(filled) == before
    maintenance.restore(filled, folder / "b.dump")
    assert contents(filled) == before
    assert databases(filled) == {"agent", "agent_previous", "postgres"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_named_and_leaves_no_half_backup(folder: Path, filled: Settings) -> None:
    small = folder / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let root mount")
    try:
        with pytest.raises(DatabaseUnavailable, match="disk is full"):
            maintenance.backup(filled, small / "b.dump")
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_folder_that_cannot_be_written_is_named(folder: Path, filled: Settings) -> None:
    with pytest.raises(InvalidInput, match="No file can be written"):
        maintenance.backup(filled, folder / "missing" / "b.dump")


def test_an_empty_folder_has_nothing_to_back_up(folder: Path) -> None:
    with pytest.raises(SetupRequired, match="Check AGENT_HOME"):
        maintenance.backup(home_settings(folder), folder / "b.dump")
    assert not (folder / "b.dump").exists()


def test_maintenance_is_for_the_embedded_database(folder: Path) -> None:
    settings = Settings(_env_file=None, home=folder, database_url="postgresql://u:p@h/d")
    with pytest.raises(ConfigurationError, match="pg_dump"):
        maintenance.backup(settings, folder / "b.dump")
    with pytest.raises(ConfigurationError, match="provider"):
        maintenance.upgrade(settings)


def older_home(home: Path, rows: int) -> Settings:
    """A home whose data directory is of PostgreSQL 16, with the agent's schema and an application in it."""
    settings = home_settings(home)
    secret = embedded.read_or_make_secret(home)
    with embedded.exclusively(home):
        embedded.initialise(home, secret, version=16, checksums=False)
        embedded.ensure_running(home, 16)
    server = embedded.admin_conninfo(home, secret, "postgres")
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute("create database agent")
    admin = embedded.admin_conninfo(home, secret)
    with psycopg.connect(admin) as conn:
        conn.execute("create extension vector")
        conn.execute("create table notes (id int primary key, place vector(3), text text)")
        conn.execute(
            "insert into notes select i, array[i, 1, 2]::real[]::vector, 'é' || i from generate_series(1, %s) i", [rows]
        )
        conn.execute("create index on notes using hnsw (place vector_l2_ops)")
        conn.execute("alter table notes enable row level security")
    setup.setup_logins(admin, secret)
    return settings


@pytest.mark.parametrize("name", ["plain", "with spaces and 'é'"])
def test_an_upgrade_keeps_the_data_the_logins_and_the_old_folder(folder: Path, name: str) -> None:
    settings = older_home(folder / name, 500)
    home = settings.home
    secret = embedded.read_or_make_secret(home)
    with pytest.raises(DatabaseUnavailable, match="agent upgrade"):
        embedded.start(home, secret)
    os.kill(int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
    assert maintenance.upgrade(settings) == 16
    assert maintenance.upgrade(settings) is None
    assert (home / "postgres.16" / "PG_VERSION").read_text().strip() == "16"
    admin = embedded.start(home, secret)
    with psycopg.connect(admin) as conn:
        assert conn.info.server_version >= 180_000
        assert conn.execute("select count(*), max(text) from notes").fetchone() == (500, "é99")
        nearest = conn.execute("select id from notes order by place <-> '[7,1,2]' limit 1").fetchone()
        assert nearest == (7,)
    reader = make_conninfo(admin, user="agent_reader", password=derive_password(secret, "agent_reader"))
    psycopg.connect(reader).close()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(make_conninfo(admin, password=""))


def test_a_failed_upgrade_leaves_the_old_data_in_use(folder: Path) -> None:
    settings = older_home(folder / "h", 5)
    home = settings.home
    with psycopg.connect(embedded.admin_conninfo(home, embedded.read_or_make_secret(home))) as conn:
        conn.execute("create table plain (f regoper)")  # pg_upgrade refuses such columns
    with pytest.raises(DatabaseUnavailable, match="data is as it was"):
        maintenance.upgrade(settings)
    assert not (home / "postgres.new").exists()
    with embedded.exclusively(home):
        embedded.ensure_running(home, 16)
    with psycopg.connect(embedded.admin_conninfo(home, embedded.read_or_make_secret(home))) as conn:
        assert conn.execute("select count(*) from notes").fetchone() == (5,)
        conn.execute("drop table plain")
    assert maintenance.upgrade(settings) == 16


def test_an_upgrade_killed_between_its_renames_is_taken_up_again(folder: Path) -> None:
    settings = older_home(folder / "h", 5)
    home = settings.home
    with embedded.exclusively(home):
        embedded.halt(home, 16)
    (home / "postgres").rename(home / "postgres.16")
    with pytest.raises(DatabaseUnavailable, match="interrupted"):
        embedded.start(home, embedded.read_or_make_secret(home))
    assert maintenance.upgrade(settings) == 16


def test_data_of_an_unknown_version_is_left_alone(folder: Path) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres" / "PG_VERSION").write_text("99\n")
    with pytest.raises(DatabaseUnavailable, match="PostgreSQL 99"):
        maintenance.upgrade(home_settings(folder))
