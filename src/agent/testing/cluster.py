"""Run a throw-away Postgres for tests: one server for a run, template databases, and a fresh copy for each test."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from agent.db import embedded, migrations, setup
from agent.db.paths import open_as_administrator
from agent.settings import Settings

_OURS = re.compile(r"learning-agent-[a-z]+-(\d+)-")
_MEMORY = Path("/dev/shm")  # noqa: S108  # the server's own folder in it is nobody else's to write to
_ENOUGH = 4 * 2**30  # bytes, for several servers at once
_SECRET = "a secret for throw-away databases"  # noqa: S105  # opens nothing but this process's own server


class Cluster:
    """An embedded server in a temporary folder, in memory if there is room. `close()` removes it; after a kill the next run does.

    `template(name, fill)` creates a migrated database once and fills it. `database(template)` copies it in well under a
    second and returns settings for the copy.
    """

    def __init__(self) -> None:
        _reap_dead_runs()
        self.home = throwaway_folder("test")
        self.home.chmod(0o755)  # as root the server runs as another user
        self._admin = embedded.start(self.home, _SECRET)
        self._numbers = itertools.count(1)
        self._templates: dict[tuple[str, str, str], str] = {}
        self.made: list[str] = []  # every database but the templates that was not dropped yet
        with self._connect("postgres") as conn:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                conn.execute(sql.SQL("alter system set {} = off").format(sql.Identifier(setting)))
            conn.execute("alter system set max_wal_size = '256MB'")
            # A test that waits for its own lock fails within a minute.
            for setting in ("lock_timeout", "idle_in_transaction_session_timeout"):
                conn.execute(sql.SQL("alter system set {} = '60s'").format(sql.Identifier(setting)))
            conn.execute("select pg_reload_conf()")

    def url(self, database: str) -> str:
        """Return the administrator's URL of `database`."""
        return self._admin.replace("@/agent?", f"@/{database}?")

    def template(self, name: str, fill: Callable[[psycopg.Connection], None] | None = None) -> str:
        """Return the name of a template database. On the first call create it, migrate it, fill it and set up the logins.

        Another `fill` under the same `name` gets a database of its own, because test files do not know each other.
        """
        key = (name, getattr(fill, "__module__", ""), getattr(fill, "__qualname__", ""))
        if key not in self._templates:
            database = name if fill is None else f"{name}_{next(self._numbers)}"
            self._create(database, None, replace=True)
            migrations.migrate(self.url(database))
            if fill is not None:
                with self._connect(database) as conn:
                    fill(conn)
            setup.setup_logins(self.url(database), _SECRET)
            self._templates[key] = database
        return self._templates[key]

    def database(self, template: str, *, apart: bool = False, **overrides: object) -> Settings:
        """Copy `template` and return settings for the copy, with `overrides`. With `apart` the application is in another copy."""
        name = f"{template}_{next(self._numbers)}"
        self._create(name, template)
        self.made.append(name)
        settings = self.settings(name, **overrides)
        if not apart:
            return settings
        return settings.model_copy(update={"app_database_url": self.database(template).database_url})

    def drop(self, settings: Settings) -> None:
        """Remove the database of `settings`, and close every connection to it."""
        assert settings.database_url is not None  # noqa: S101  # `settings` came from `database`
        self._drop([settings.database_url.get_secret_value().partition("@/")[2].partition("?")[0]])

    def drop_but(self, kept: Sequence[str]) -> None:
        """Remove the databases of `made` that are not among the `kept`."""
        self._drop([name for name in self.made if name not in kept])

    def _drop(self, names: Sequence[str]) -> None:
        with open_as_administrator(make_conninfo(self._admin, dbname="postgres"), autocommit=True) as conn:
            for name in names:
                conn.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
        self.made = [name for name in self.made if name not in names]

    def empty_database(self) -> str:
        """Create an empty database, without the agent's tables, and return the administrator's URL of it."""
        name = f"empty_{next(self._numbers)}"
        self._create(name, None)
        self.made.append(name)
        return self.url(name)

    def settings(self, database: str, **overrides: object) -> Settings:
        """Return settings for `database`. They read nothing from the environment."""
        values: dict[str, object] = {
            "home": self.home / "agent-home",
            "database_url": self.url(database),
            "secret": _SECRET,
            "user": "tester",
            "ask_from": "LOW",  # every change asks, also one that would be LOW risk
        }
        return Settings(_env_file=None, **{**values, **overrides})  # type: ignore[arg-type]  # validated by pydantic

    def close(self) -> None:
        """Stop the server and remove its files."""
        _stop(self.home)

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(self.url(database), autocommit=True)

    def _create(self, name: str, template: str | None, *, replace: bool = False) -> None:
        with open_as_administrator(make_conninfo(self._admin, dbname="postgres"), autocommit=True) as conn:
            if replace:  # an earlier attempt to fill it has failed
                conn.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(name)))
            source = (
                sql.SQL(" template {} strategy file_copy").format(sql.Identifier(template)) if template else sql.SQL("")
            )
            conn.execute(sql.SQL("create database {}{}").format(sql.Identifier(name), source))


def throwaway_folder(kind: str) -> Path:
    """An empty folder, in memory where there is room. A `Cluster` removes those of processes that have died.

    A database is hundreds of files, and a disk takes longer to make those than tests take for all else.
    """
    import psutil

    free = min(shutil.disk_usage(_MEMORY).free, psutil.virtual_memory().available) if _MEMORY.is_dir() else 0
    place = _MEMORY if free > _ENOUGH and os.access(_MEMORY, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix=f"learning-agent-{kind}-{os.getpid()}-", dir=place))


def _stop(home: Path) -> None:
    """Stop the servers and wait until they have removed their own files: as processes they can be seen for much longer."""
    for running in home.rglob("postmaster.pid"):
        with suppress(OSError, ValueError):
            os.kill(int(running.read_text().splitlines()[0]), signal.SIGQUIT)  # the data is thrown away
            deadline = time.monotonic() + 10
            while running.exists() and time.monotonic() < deadline:
                time.sleep(0.005)
    shutil.rmtree(home, ignore_errors=True)


def _reap_dead_runs() -> None:
    import psutil

    for place in {Path(tempfile.gettempdir()), _MEMORY}:
        for folder in place.glob("learning-agent-*"):
            owner = _OURS.match(folder.name)
            if owner and not psutil.pid_exists(int(owner[1])):
                _stop(folder)
