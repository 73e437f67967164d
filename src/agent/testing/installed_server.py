"""Run a throw-away server with the Postgres that is installed on the machine, as an application database with extensions.

The embedded server has pgvector and no contrib; Debian's packages have contrib and no pgvector. For root the server runs as
an unprivileged user, because Postgres refuses to run as root.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from agent.db import programs
from agent.errors import DatabaseUnavailable
from agent.testing.cluster import throwaway_folder

_FOLDERS = (
    "/usr/lib/postgresql/{}/bin",
    "/usr/pgsql-{}/bin",
    "/opt/homebrew/opt/postgresql@{}/bin",
    "/usr/local/pgsql/bin",
)
_VERSIONS = range(18, 14, -1)
# The data is thrown away, so it need not survive a crash.
_SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "listen_addresses=", "max_connections=40")


def installed_programs() -> Path | None:
    """Return the program folder of the newest installed Postgres that the agent supports, or None if there is none."""
    folders = [Path(folder.format(version)) for version in _VERSIONS for folder in _FOLDERS]
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        done = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)  # noqa: S603  # Postgres's own program
        folders.append(Path(done.stdout.strip() or "/"))
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


class InstalledServer:
    """A server in a temporary folder, stopped and removed by `close()`. Whoever may enter the folder needs no password.

    Raises `DatabaseUnavailable` if no Postgres is installed.
    """

    def __init__(self, folder: Path | None = None, *, settings: Sequence[str] = ()) -> None:
        folder = folder or installed_programs()
        if folder is None:
            raise DatabaseUnavailable(
                "No Postgres is installed here: run `apt-get install postgresql postgresql-contrib`, or name its folder."
            )
        self._programs = folder
        self.home = throwaway_folder("installed")
        self._account = programs.account_for(self.home)
        programs.set_owner(self.home, self._account)
        try:
            self._run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
            options = " ".join(f"-c {shlex.quote(setting)}" for setting in (*_SETTINGS, *settings))
            options += f" -k {shlex.quote(str(self.home))}"
            self._run("pg_ctl", "start", "-w", "-t", "60", "-s", "-D", "data", "-l", "log", "-o", options)
        except BaseException:
            self.close()
            raise

    def url(self, database: str = "postgres") -> str:
        """Return the superuser's URL of `database`."""
        return f"postgresql://postgres@/{quote(database)}?host={quote(str(self.home))}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Open a superuser's connection to `database`, in autocommit mode."""
        return psycopg.connect(self.url(database), autocommit=True)

    def create(self, database: str, *, template: str | None = None) -> str:
        """Create `database`, as a copy of `template` if one is named. Return the superuser's URL of it."""
        source = sql.SQL(" template {}").format(sql.Identifier(template)) if template else sql.SQL("")
        with self.connect() as conn:
            conn.execute(sql.SQL("create database {}{}").format(sql.Identifier(database), source))
        return self.url(database)

    def close(self) -> None:
        """Stop the server and remove its files."""
        if (self.home / "data" / "postmaster.pid").exists():
            self._run("pg_ctl", "stop", "-w", "-t", "60", "-s", "-m", "immediate", "-D", "data")
        shutil.rmtree(self.home, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        account = self._account
        with tempfile.TemporaryFile("w+") as output:  # a pipe would stay open while the server runs
            done = subprocess.run(  # noqa: S603  # Postgres's own programs, no shell
                [str(self._programs / program), *arguments],
                cwd=self.home,
                env={**os.environ, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=120,
                check=False,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
            output.seek(0)
            if done.returncode != 0:
                raise DatabaseUnavailable(f"{program} failed: {output.read().strip()}")
