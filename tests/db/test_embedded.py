"""The embedded server, used as real machines use it: many processes, kills, other users, awkward folder names."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import pq
from psycopg.conninfo import make_conninfo

from agent.db import embedded, migrations
from agent.errors import ConfigurationError, DatabaseUnavailable
from agent.runtime import open_runtime
from agent.settings import Settings
from agent.testing.cluster import throwaway_folder

SECRET = "a secret of this test"

# Starts or joins the server, says so, then waits for its standard input to end.
USE = """
import os, sys, psycopg
from pathlib import Path
from agent.db import embedded
home = Path(sys.argv[1])
if len(sys.argv) > 2:  # after the imports: this interpreter may be out of the other user's reach
    os.setgroups([])
    os.setgid(int(sys.argv[3]))
    os.setuid(int(sys.argv[2]))
admin = embedded.start(home, embedded.read_or_make_secret(home))
with psycopg.connect(admin) as conn:
    print(conn.execute("select current_database() || ' ' || pg_postmaster_start_time()").fetchone()[0], flush=True)
sys.stdin.read()
"""

# Opens a runtime, as every command does on its first run.
OPEN = """
import asyncio, sys
from pathlib import Path
from agent.runtime import open_runtime
from agent.settings import Settings

async def main():
    runtime = await open_runtime(Settings(_env_file=None, home=Path(sys.argv[1])))
    async with runtime.transaction() as conn, runtime.app.connection("agent_reader") as reader:
        await conn.execute("select * from agents.threads")
        await reader.execute("select 1")
    await runtime.close()
    print("worked", flush=True)

asyncio.run(main())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any user may enter; what runs in it is stopped."""
    folder = throwaway_folder("home")
    folder.chmod(0o777)
    yield folder
    for pid_file in folder.rglob("postmaster.pid"):
        server = psutil.Process(int(pid_file.read_text().splitlines()[0]))
        server.send_signal(signal.SIGQUIT)
        server.wait(10)
    shutil.rmtree(folder)


def use(home: Path, *ids: int, script: str = USE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(home), *map(str, ids)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, process.stderr.read() if process.stderr else ""
    return line


def end(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate("", timeout=60)
    assert process.returncode == 0, errors
    assert errors == ""


def test_eight_processes_share_one_new_folder_and_the_last_one_out_stops_the_server(folder: Path) -> None:
    processes = [use(folder) for _ in range(8)]
    assert len({said(process) for process in processes}) == 1
    for process in processes[:-1]:
        end(process)
    assert embedded.ping(folder) == pq.Ping.OK
    end(processes[-1])
    assert embedded.ping(folder) == pq.Ping.NO_RESPONSE


def test_eight_first_runs_at_once_all_find_a_database_that_is_ready(folder: Path) -> None:
    processes = [use(folder, script=OPEN) for _ in range(8)]
    assert [said(process) for process in processes] == ["worked"] * 8
    for process in processes:
        end(process)
    assert embedded.ping(folder) == pq.Ping.NO_RESPONSE


async def test_a_first_run_that_was_killed_before_its_logins_were_ready_is_completed(folder: Path) -> None:
    settings = Settings(_env_file=None, home=folder)
    migrations.migrate(embedded.start(folder, embedded.read_or_make_secret(folder)))
    runtime = await open_runtime(settings)
    async with runtime.transaction() as conn:
        await conn.execute("select * from agents.threads")
    await runtime.close()
    assert embedded.stop(folder)


def test_a_killed_process_hinders_neither_the_next_one_nor_the_stop(folder: Path) -> None:
    first, second = use(folder), use(folder)
    started = said(first)
    assert said(second) == started
    for process in (first, second):
        process.kill()
        process.communicate()
    assert embedded.ping(folder) == pq.Ping.OK
    third = use(folder)
    assert said(third) == started
    end(third)
    assert embedded.ping(folder) == pq.Ping.NO_RESPONSE


def test_a_killed_server_is_started_again_with_its_data(folder: Path) -> None:
    admin = embedded.start(folder, SECRET)
    with psycopg.connect(admin) as conn:
        conn.execute("create table kept (id int); insert into kept values (7)")
    os.kill(int((folder / "postgres" / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
    admin = embedded.start(folder, SECRET)
    with psycopg.connect(admin) as conn:
        assert conn.execute("select id from kept").fetchone() == (7,)
    assert embedded.stop(folder)


def test_no_connection_is_made_without_the_password(folder: Path) -> None:
    admin = embedded.start(folder, SECRET)
    for user, password in (("postgres", ""), ("postgres", "guess"), ("agent_app", ""), ("nobody", "")):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(make_conninfo(admin, user=user, password=password))
    with pytest.raises(DatabaseUnavailable, match="'secret' in AGENT_HOME"):
        embedded.start(folder, "another secret")
    assert embedded.stop(folder)


def test_the_secret_is_readable_by_its_owner_only_and_never_half_written(folder: Path) -> None:
    secret = embedded.read_or_make_secret(folder)
    assert (folder / "secret").stat().st_mode & 0o777 == 0o600
    assert embedded.read_or_make_secret(folder) == secret
    assert [path.name for path in folder.iterdir()] == ["secret"]
    (folder / "secret").write_text("")
    with pytest.raises(ConfigurationError, match="restore it"):
        embedded.read_or_make_secret(folder)


@pytest.mark.parametrize(
    "name",
    ["with spaces", "ünïcode 数据", "'quotes\" $(touch hacked) `x`;%s", "-starts-with-a-dash", "long/" * 40],
)
def test_any_folder_name_works(folder: Path, name: str) -> None:
    home = folder / name
    process = use(home)
    said(process)
    joined = use(home)
    said(joined)
    end(joined)
    end(process)
    assert embedded.ping(home) == pq.Ping.NO_RESPONSE
    assert embedded.socket_folder(home) == home / "postgres" or not embedded.socket_folder(home).exists()
    assert list(folder.rglob("hacked")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_runs_it_without_help(folder: Path) -> None:
    # Root has used its own server on this machine before: nothing of that may stand in the way.
    mine = use(folder / "root")
    said(mine)
    nobody = pwd.getpwnam("nobody")
    theirs = use(folder / "user", nobody.pw_uid, nobody.pw_gid)
    said(theirs)
    assert (folder / "user" / "postgres").stat().st_uid == nobody.pw_uid
    end(theirs)
    end(mine)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user")
def test_root_opens_the_folders_above_no_further_than_needed(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    process = use(closed / "home")
    said(process)
    end(process)
    assert closed.stat().st_mode & 0o777 == 0o701


def test_a_folder_that_cannot_be_written_says_what_to_set(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(DatabaseUnavailable, match="AGENT_HOME"):
        embedded.start(folder / "file" / "home", SECRET)


def test_a_folder_that_is_no_data_directory_is_left_alone(folder: Path) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres" / "mine").write_text("precious")
    with pytest.raises(DatabaseUnavailable, match="not a data directory"):
        embedded.start(folder, SECRET)
    assert (folder / "postgres" / "mine").read_text() == "precious"


def test_a_server_that_does_not_start_shows_its_log(folder: Path) -> None:
    embedded.start(folder, SECRET)
    assert embedded.stop(folder)
    with (folder / "postgres" / "postgresql.conf").open("a") as file:
        file.write("\nshared_buffers = 'nonsense'\n")
    with pytest.raises(DatabaseUnavailable, match="nonsense"):
        embedded.start(folder, SECRET)
    embedded.stop(folder)
