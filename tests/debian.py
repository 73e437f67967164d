"""A throw-away server from Debian's packages (Postgres 15), as whoever has an application there: with contrib, without pgvector."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.db import programs

PROGRAMS = Path("/usr/lib/postgresql/15/bin")


@contextmanager
def debian_server() -> Iterator[str]:
    """The administrator's URL of the server's database `postgres`. Another one is `url.replace("/postgres?", "/name?")`."""
    assert (PROGRAMS / "initdb").exists(), (
        "Install Debian's postgresql-15 and postgresql-contrib: apt-get install postgresql-15"
    )
    home = Path(tempfile.mkdtemp(prefix=f"learning-agent-debian-{os.getpid()}-"))
    home.chmod(0o755)
    data = home / "postgres"
    data.mkdir(mode=0o700)
    account = programs.account_for(home)
    programs.give(data, account)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(PROGRAMS / program), *arguments],
            cwd=data,
            check=True,
            stdout=subprocess.DEVNULL,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )

    run("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
    options = f"-c listen_addresses= -c unix_socket_directories={data} -c fsync=off -c logging_collector=off"
    run("pg_ctl", "-D", str(data), "-w", "-s", "-o", options, "-l", str(data / "log"), "start")
    try:
        yield f"postgresql://postgres@/postgres?host={data}"
    finally:
        run("pg_ctl", "-D", str(data), "-w", "-s", "-m", "immediate", "stop")
        shutil.rmtree(home, ignore_errors=True)
