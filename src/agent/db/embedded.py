"""Runs the embedded server: PostgreSQL with pgvector from a wheel, in the agent's own folder, over a Unix socket.

Several processes share one data directory; the last one to leave stops the server. Each process that uses it holds a
shared lock on a file, which the kernel releases however the process ends. Every connection needs a password (SCRAM) from
the start, because other users of the machine may be able to reach a Unix socket.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import re
import secrets
import shlex
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import pq, sql
from psycopg.conninfo import make_conninfo

from agent.db import programs
from agent.db.logins import derive_password
from agent.db.paths import open_as_administrator
from agent.errors import ConfigurationError, DatabaseUnavailable

DATABASE = "agent"
SOCKET_NAME = ".s.PGSQL.5432"
START_TIMEOUT = 300.0  # a crash recovery can take minutes
_DYING_TIMEOUT = 15.0  # seconds that the remaining processes of a killed server may take to end
_MAX_SOCKET_PATH = 103  # bytes, on the strictest system

_lock = threading.Lock()
_users: dict[Path, int] = {}  # home -> the file descriptor whose shared lock says that this process uses the server


def read_or_make_secret(home: Path) -> str:
    """Return the secret in `home/secret` (mode 0600), created at the first use.

    Raises `ConfigurationError` when the folder cannot be used or the file is empty.
    """
    path = home / "secret"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create_secret(path)
        secret = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(
            f"{str(home)!r} cannot be used ({error.strerror}): set AGENT_HOME to a folder that can be created and written."
        ) from error
    if not secret:
        raise ConfigurationError(f"{str(path)!r} is empty: restore it from a backup; the embedded database needs it.")
    return secret


def _create_secret(path: Path) -> None:
    # The file gets its name when it is complete, so that no other process reads half a secret.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".secret-")
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32))
    with suppress(FileExistsError):
        os.link(name, path)
    Path(name).unlink()


def start(home: Path, secret: str) -> str:
    """Start or join the server under `home`; return the administrator's connection string to the database `agent`.

    Blocks for about a second when the server is not running. Raises `DatabaseUnavailable`.
    """
    home = home.expanduser().resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _lock, exclusively(home):
            _check_version(home)
            if not (home / "postgres").exists():
                initialise(home, secret)
            ensure_running(home)
            _join(home)
    except OSError as error:
        raise DatabaseUnavailable(
            f"The embedded database under {str(home)!r} cannot be used ({error}). Set AGENT_HOME to a folder on a local "
            "disk that you own and that has free space, or DATABASE_URL to another server."
        ) from error
    admin = admin_conninfo(home, secret)
    _create_database(admin)
    return admin


def stop(home: Path) -> bool:
    """Leave the server under `home` and stop it when no other process uses it. Return whether it was stopped."""
    with _lock, exclusively(home):
        descriptor = _users.pop(home, None)
        if descriptor is not None:
            os.close(descriptor)
        if in_use(home):
            return False
        halt(home)
        return True


def admin_conninfo(home: Path, secret: str, database: str = DATABASE) -> str:
    """Return the administrator's connection string to `database` of the embedded server."""
    password = derive_password(secret, "postgres")
    return f"postgresql://postgres:{password}@/{quote(database)}?host={quote(str(socket_folder(home)))}"


@contextmanager
def exclusively(home: Path) -> Iterator[None]:
    """Hold the lock under which a process starts, stops, upgrades or replaces the server under `home`."""
    with (home / "postgres.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def in_use(home: Path) -> bool:
    """Return whether any process uses the server under `home`. Call it inside `exclusively`."""
    descriptor = _open_users(home)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def initialise(
    home: Path,
    secret: str,
    *,
    folder: str = "postgres",
    version: int = programs.VERSION,
    checksums: bool = True,
) -> None:
    """Create the data directory `home/folder`, completely or not at all."""
    account = programs.account_for(home)
    if account is not None:
        programs.allow_search(home, version)
    with tempfile.TemporaryDirectory(dir=home, prefix=".new-") as work:
        password = Path(work) / "password"
        password.write_text(derive_password(secret, "postgres"), encoding="utf-8")
        for path in (Path(work), password):
            programs.set_owner(path, account)
        name = Path(work).name
        programs.run(
            "initdb",
            [*_initdb_options(version, checksums=checksums), f"--pwfile={name}/password", "-D", f"{name}/data"],
            home=home,
            version=version,
        )
        (Path(work) / "data").rename(home / folder)


def ensure_running(home: Path, version: int = programs.VERSION) -> None:
    """Start the server under `home` unless it runs, and wait until it answers. Raises `DatabaseUnavailable`."""
    if ping(home) == pq.Ping.NO_RESPONSE:
        _launch(home, version)
    deadline = time.monotonic() + START_TIMEOUT
    while ping(home) != pq.Ping.OK:
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(f"The embedded server under {str(home)!r} does not answer. {_read_log(home)}")
        time.sleep(0.05)


def halt(home: Path, version: int = programs.VERSION) -> None:
    """Stop the server under `home` if it runs; its clients are disconnected."""
    if (home / "postgres" / "postmaster.pid").exists() and ping(home) != pq.Ping.NO_RESPONSE:
        programs.run("pg_ctl", ["stop", "-w", "-t", "60", "-m", "fast", "-D", "postgres"], home=home, version=version)
        if socket_folder(home) != home / "postgres":
            with suppress(OSError):  # the folder is not empty
                socket_folder(home).rmdir()


def ping(home: Path) -> pq.Ping:
    """Return whether the server under `home` accepts connections, as libpq's `PQping` answers."""
    conninfo = make_conninfo(host=str(socket_folder(home)), port=5432, dbname="postgres", connect_timeout=5)
    return pq.Ping(pq.PGconn.ping(conninfo.encode()))


def socket_folder(home: Path) -> Path:
    """Return the folder of the server's socket: the data directory, or one under /tmp where its path is too long or has odd characters."""
    data = home / "postgres"
    with suppress(OSError, IndexError):
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        if lines[1] == str(data) and lines[4]:
            return Path(lines[4])
    if len(os.fsencode(data / SOCKET_NAME)) <= _MAX_SOCKET_PATH and re.fullmatch(r"[\w./-]+", str(data), re.ASCII):
        return data
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    return Path("/tmp") / f"learning-agent-{os.geteuid()}-{digest}"  # noqa: S108  # owned and checked in _create_socket_folder


def _join(home: Path) -> None:
    if home not in _users:
        descriptor = _open_users(home)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        _users[home] = descriptor
        atexit.register(_leave, home, os.getpid())


def _leave(home: Path, pid: int) -> None:
    # A forked child inherits this exit handler, but the lock is its parent's.
    if os.getpid() == pid and home.exists():
        with suppress(DatabaseUnavailable, OSError):
            stop(home)


def _open_users(home: Path) -> int:
    return os.open(home / "postgres.users", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)


def _check_version(home: Path) -> None:
    older = sorted(path.name for path in home.glob("postgres.[0-9]*"))
    try:
        version = int((home / "postgres" / "PG_VERSION").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        if (home / "postgres").exists():
            raise DatabaseUnavailable(
                f"{str(home / 'postgres')!r} is not a data directory of PostgreSQL: restore it, or set AGENT_HOME."
            ) from None
        if older:
            raise DatabaseUnavailable(
                f"An upgrade of {str(home)!r} was interrupted; the data is in {older[-1]!r}. Run `agent upgrade`."
            ) from None
        return
    if version != programs.VERSION:
        raise DatabaseUnavailable(
            f"The data under {str(home)!r} is of PostgreSQL {version}, this agent runs {programs.VERSION}. Run `agent upgrade`."
        )


def _initdb_options(version: int, *, checksums: bool) -> list[str]:
    options = ["--username=postgres", "--encoding=UTF8", "--auth=scram-sha-256", "--locale=C"]
    if version > 16:
        # This sorts texts in the same order on every machine.
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if checksums:
        return [*options, "--data-checksums"]
    return [*options, "--no-data-checksums"] if version > 16 else options


def _launch(home: Path, version: int) -> None:
    folder = _create_socket_folder(home)
    options = f"-p 5432 -c listen_addresses= -c unix_socket_directories={shlex.quote(str(folder))}"
    if programs.account_for(home) is not None:
        programs.allow_search(home, version)
    arguments = ["start", "-w", "-t", str(int(START_TIMEOUT)), "-s", "-l", "postgres/log", "-o", options]
    deadline = time.monotonic() + _DYING_TIMEOUT
    while True:
        try:
            programs.run(
                "pg_ctl",
                [*arguments, "-D", "postgres"],
                home=home,
                version=version,
                timeout=START_TIMEOUT + 10,
            )
        except programs.ProgramFailed as error:
            log = _read_log(home)
            if re.search(r'lock file "postmaster.pid"|shared memory block', log) and time.monotonic() < deadline:
                time.sleep(0.2)
                continue
            raise DatabaseUnavailable(
                f"The embedded server under {str(home)!r} does not start. {log} Free some disk space or memory, "
                "or set AGENT_HOME to another folder, or DATABASE_URL to another server."
            ) from error
        return


def _create_socket_folder(home: Path) -> Path:
    folder = socket_folder(home)
    if folder != home / "postgres":
        account = programs.account_for(home)
        owner = account.uid if account else os.geteuid()
        folder.mkdir(mode=0o700, exist_ok=True)
        # Everybody may write to the parent folder, so another user could have created this one.
        if folder.is_symlink() or folder.stat().st_uid not in {owner, os.geteuid()}:
            raise DatabaseUnavailable(
                f"{str(folder)!r} belongs to another user: remove it, or set a shorter AGENT_HOME."
            )
        programs.set_owner(folder, account)
        folder.chmod(0o700)
    return folder


def _read_log(home: Path) -> str:
    log = home / "postgres" / "log"
    with suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return f"The last lines of {str(log)!r}: {' | '.join(lines[-3:])}."
    return f"There is no log at {str(log)!r}."


def _create_database(admin: str) -> None:
    try:
        open_as_administrator(admin).close()
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            raise DatabaseUnavailable(
                f"The embedded database refuses the administrator: {error}. Has AGENT_SECRET changed since it was created, or the file 'secret' in AGENT_HOME?"
            ) from error
        server = open_as_administrator(make_conninfo(admin, dbname="postgres"), autocommit=True)
        with server, suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            server.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
