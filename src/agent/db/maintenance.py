"""Backs up, restores and upgrades the embedded database. Each completes or changes nothing.

A backup is one `pg_dump` archive (custom format) of the database `agent`, which other PostgreSQL tools read too. It holds
no roles and no passwords: passwords derive from the file `secret`, and a restore sets the logins up again with the secret of
the folder that it restores into. `with_secret` writes the secret beside the archive, for moving to another machine.
A restore runs the archive's SQL as the administrator: restore only archives that you trust.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from agent.db import embedded, migrations, programs, setup
from agent.db.administrator import administrator
from agent.db.logins import derive_password
from agent.db.paths import open_as_administrator
from agent.errors import ConfigurationError, DatabaseUnavailable, InvalidInput, SetupRequired
from agent.settings import Settings

Progress = Callable[[int, int], None]
"""Called with (tables done, all tables)."""

PREVIOUS = "agent_previous"
_RESTORING = "agent_restoring"
_MAGIC = b"PGDMP"
# Under AGENT_HOME: when the last backup was made, and where.
_LAST_BACKUP = "last_backup.json"

_COUNT_TABLES = """
SELECT count(*), to_regclass('agents.agent_memory') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
"""
_OTHER_SESSIONS = """
SELECT count(*), string_agg(DISTINCT coalesce(nullif(application_name, ''), usename), ', ') FROM pg_stat_activity
 WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


def backup(
    settings: Settings,
    file: Path,
    *,
    overwrite: bool = False,
    with_secret: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write the embedded database to `file` and return its size in bytes. Other processes may use the database meanwhile.

    The file appears when it is complete, readable by its owner only. Raises `InvalidInput` when it cannot be written,
    `SetupRequired` when there is nothing to back up, `DatabaseUnavailable` when the dump fails.
    """
    home, began = _home(settings), datetime.now(UTC)
    file = file.expanduser().absolute()
    if file.exists() and not overwrite:
        raise InvalidInput(f"{str(file)!r} exists already: name another file, or allow it to be overwritten.")
    admin = administrator(settings)
    with open_as_administrator(admin.url) as conn:
        tables, known = conn.execute(_COUNT_TABLES).fetchone() or (0, None)
    if known is None:
        raise SetupRequired(f"There is nothing to back up: no agent has worked in {str(home)!r} yet. Check AGENT_HOME.")
    try:
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name[:100]}-")
    except OSError as error:
        raise InvalidInput(f"No file can be written in {str(file.parent)!r}: {error.strerror}.") from error
    os.close(descriptor)
    try:
        _dump(home, admin.secret, Path(name), _counting(progress, tables, "dumping contents of table"))
        size = Path(name).stat().st_size
        if with_secret:
            _write_private(file.with_name(f"{file.name}.secret"), admin.secret)
        Path(name).replace(file)
    finally:
        Path(name).unlink(missing_ok=True)
    note = {"at": began.isoformat(), "file": str(file), "bytes": size}
    _write_private(home / _LAST_BACKUP, json.dumps(note))
    return size


def last_backup(settings: Settings) -> datetime | None:
    """Return the time of the last backup of the embedded database, if its file is still there; None if there is none."""
    try:
        note = json.loads((_home(settings) / _LAST_BACKUP).read_text(encoding="utf-8"))
        at = datetime.fromisoformat(note["at"])
        whole = Path(note["file"]).stat().st_size == note["bytes"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return at if whole and at.tzinfo is not None else None


def restore(settings: Settings, file: Path, *, progress: Progress | None = None) -> None:
    """Replace the current database by the one in a backup; the current one stays as the database `agent_previous`.

    The backup is restored into a third database, migrated and checked before the databases are renamed. Raises
    `InvalidInput` for a file that is no backup, `DatabaseUnavailable` while others use the database; nothing has changed then.
    """
    home = _home(settings)
    file = file.expanduser().absolute()
    tables = _check_backup(file)
    admin = administrator(settings)
    server = make_conninfo(admin.url, dbname="postgres")
    target = make_conninfo(admin.url, dbname=_RESTORING)
    with open_as_administrator(server, autocommit=True) as conn:
        _refuse_other_sessions(conn)
        with _scratch_database(conn):
            # Before loading, because the archive grants rights to the logins; after it, for the tables that it created.
            setup.give_rights(settings, target, admin.secret)
            _load(home, admin.secret, file, _counting(progress, tables, "processing data for table"))
            _migrate_restored(target, file)
            setup.give_rights(settings, target, admin.secret)
            _swap(conn)


def upgrade(settings: Settings) -> int | None:
    """Upgrade a data directory of an older PostgreSQL; return the old version, or None when there was nothing to upgrade.

    The old directory stays as `postgres.<version>` until you remove it. Raises `DatabaseUnavailable`.
    """
    home = _home(settings)
    if not home.exists():
        return None
    secret = settings.secret.get_secret_value() if settings.secret else embedded.read_or_make_secret(home)
    with embedded.exclusively(home):
        _restore_interrupted_upgrade(home)
        version = _data_version(home)
        if version is None or version == programs.VERSION:
            return None
        if version not in programs.VERSIONS:
            raise DatabaseUnavailable(
                f"The data under {str(home)!r} is of PostgreSQL {version}, which this agent does not have "
                f"({', '.join(map(str, programs.VERSIONS))}). Use the version of the agent that created it, or a newer one."
            )
        if embedded.in_use(home):
            raise DatabaseUnavailable(f"Other processes use the database under {str(home)!r}; end them, then upgrade.")
        _upgrade_from(home, version, secret)
        return version


def _home(settings: Settings) -> Path:
    if not settings.embedded:
        raise ConfigurationError(
            "This works on the embedded database only. For the server at DATABASE_URL use pg_dump and pg_restore, "
            "or the backups of your provider."
        )
    return settings.home.expanduser().resolve()


def _dump(home: Path, secret: str, target: Path, on_line: Callable[[str], None]) -> None:
    _run_client("pg_dump", ["-Fc", "--verbose", "-f", str(target), *_server(home)], home, secret, on_line)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _load(home: Path, secret: str, file: Path, on_line: Callable[[str], None]) -> None:
    options = ["--exit-on-error", "--verbose", "-d", _RESTORING, *_server(home)[:-2]]
    _run_client("pg_restore", [*options, str(file)], home, secret, on_line)


def _server(home: Path) -> list[str]:
    return ["-h", str(embedded.socket_folder(home)), "-p", "5432", "-U", "postgres", "-d", embedded.DATABASE]


def _run_client(
    program: str, arguments: list[str], home: Path, secret: str, on_line: Callable[[str], None] | None = None
) -> str:
    password = derive_password(secret, "postgres")
    try:
        return programs.run(
            program, arguments, home=home, as_self=True, password=password, timeout=None, on_line=on_line
        )
    except programs.ProgramFailed as error:
        if "No space left" in error.output:
            raise DatabaseUnavailable(
                f"The disk is full: {_last_line(error.output)}. Nothing was changed; free some space and try again."
            ) from error
        raise DatabaseUnavailable(f"{program} failed, nothing was changed: {_last_line(error.output)}.") from error


def _last_line(output: str) -> str:
    # With --verbose the cause is the first line that says error.
    errors = [line for line in output.splitlines() if "error" in line.lower()]
    return (errors or output.splitlines() or [""])[0].rstrip(".")


def _counting(progress: Progress | None, total: int, mark: str) -> Callable[[str], None]:
    done = 0

    def count(line: str) -> None:
        nonlocal done
        if progress is not None and mark in line:
            done += 1
            progress(min(done, total), total)

    return count


def _write_private(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".secret-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)


def _check_backup(file: Path) -> int:
    """Check that `file` is a backup of ours and return the number of tables with data in it. Raises `InvalidInput`."""
    try:
        with file.open("rb") as opened:
            magic = opened.read(len(_MAGIC))
    except OSError as error:
        raise InvalidInput(f"{str(file)!r} cannot be read: {error.strerror}.") from error
    if magic != _MAGIC:
        raise InvalidInput(f"{str(file)!r} is not a backup: name a file that `agent backup` wrote.")
    try:
        contents = programs.run("pg_restore", ["--list", str(file)], home=file.parent, as_self=True)
    except programs.ProgramFailed as error:
        if "unsupported version" in error.output:
            raise InvalidInput(f"{str(file)!r} was made by a newer PostgreSQL: upgrade the agent first.") from error
        raise InvalidInput(f"{str(file)!r} is damaged: {_last_line(error.output)}. Use another backup.") from error
    if not re.search(r"^\d+; .* TABLE agents agent_memory ", contents, re.MULTILINE):
        raise InvalidInput(f"{str(file)!r} is a dump of another database: it has no agent's memory in it.")
    return len(re.findall(r"^\d+; .* TABLE DATA ", contents, re.MULTILINE))


def _refuse_other_sessions(conn: psycopg.Connection) -> None:
    row = conn.execute(_OTHER_SESSIONS, [embedded.DATABASE]).fetchone()
    if row and row[0]:
        raise DatabaseUnavailable(
            f"{row[0]} other sessions use the database ({row[1]}). End those processes, then restore again."
        )


@contextmanager
def _scratch_database(conn: psycopg.Connection) -> Iterator[None]:
    drop = sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(_RESTORING))
    conn.execute(drop)  # a restore that was killed left it
    conn.execute(sql.SQL("create database {} template template0").format(sql.Identifier(_RESTORING)))
    try:
        yield
    finally:
        with suppress(psycopg.OperationalError):  # the server is gone: the next restore drops it
            conn.execute(drop)


def _migrate_restored(url: str, file: Path) -> None:
    with open_as_administrator(url) as conn:
        known = {migration.version for migration in migrations.all_migrations()}
        applied = {row[0] for row in conn.execute("select version from supabase_migrations.schema_migrations")}
    if applied - known:
        raise InvalidInput(
            f"{str(file)!r} was made by a newer agent (migration {max(applied - known)}): upgrade the agent, then restore."
        )
    migrations.migrate(url)


def _swap(conn: psycopg.Connection) -> None:
    name, previous, restored = (sql.Identifier(name) for name in (embedded.DATABASE, PREVIOUS, _RESTORING))
    try:
        conn.execute(sql.SQL("drop database if exists {} with (force)").format(previous))
        with conn.transaction():
            conn.execute(sql.SQL("alter database {} rename to {}").format(name, previous))
            conn.execute(sql.SQL("alter database {} rename to {}").format(restored, name))
    except psycopg.errors.ObjectInUse as error:
        raise DatabaseUnavailable(
            "Another process began to use the database; nothing was changed. End it, then restore again."
        ) from error


def _data_version(home: Path) -> int | None:
    with suppress(FileNotFoundError):
        return int((home / "postgres" / "PG_VERSION").read_text(encoding="ascii"))
    return None


def _restore_interrupted_upgrade(home: Path) -> None:
    # An upgrade was killed between its two renames: the old data still has its other name.
    if not (home / "postgres").exists():
        for old in sorted(home.glob("postgres.[0-9]*"))[-1:]:
            old.rename(home / "postgres")


def _upgrade_from(home: Path, version: int, secret: str) -> None:
    # Start and stop the old version once: it recovers from a kill and then shuts down cleanly.
    embedded.ensure_running(home, version)
    embedded.halt(home, version)
    shutil.rmtree(home / "postgres.new", ignore_errors=True)
    try:
        embedded.initialise(home, secret, folder="postgres.new", checksums=_has_checksums(home, version))
        _run_pg_upgrade(home, version, secret)
    except programs.ProgramFailed as error:
        shutil.rmtree(home / "postgres.new", ignore_errors=True)
        raise DatabaseUnavailable(f"The upgrade failed, the data is as it was. {error}") from error
    (home / "postgres").rename(_free_name(home, version))
    (home / "postgres.new").rename(home / "postgres")
    embedded.ensure_running(home)
    _update_extensions(home, secret)
    embedded.halt(home)


def _has_checksums(home: Path, version: int) -> bool:
    control = programs.run("pg_controldata", ["-D", "postgres"], home=home, version=version)
    return re.search(r"checksum version:\s*[1-9]", control) is not None


def _run_pg_upgrade(home: Path, version: int, secret: str) -> None:
    with tempfile.TemporaryDirectory(prefix="la-", dir="/tmp") as sockets:  # short enough for a socket
        programs.set_owner(Path(sockets), programs.account_for(home))
        folders = ["-b", str(programs.bin_folder(version)), "-B", str(programs.bin_folder())]
        data = ["-d", str(home / "postgres"), "-D", str(home / "postgres.new")]
        programs.run(
            "pg_upgrade",
            [*folders, *data, "-s", sockets, "-U", "postgres"],
            home=home,
            folder=Path(sockets),
            password=derive_password(secret, "postgres"),
            timeout=None,
        )


def _free_name(home: Path, version: int) -> Path:
    name, number = home / f"postgres.{version}", 1
    while name.exists():
        number += 1
        name = home / f"postgres.{version}-{number}"
    return name


def _update_extensions(home: Path, secret: str) -> None:
    with open_as_administrator(embedded.admin_conninfo(home, secret, "postgres")) as conn:
        databases = [row[0] for row in conn.execute("select datname from pg_database where datallowconn")]
    for database in databases:
        if database == "template0":
            continue
        with open_as_administrator(embedded.admin_conninfo(home, secret, database), autocommit=True) as conn:
            for (extension,) in conn.execute("select extname from pg_extension").fetchall():
                conn.execute(sql.SQL("alter extension {} update").format(sql.Identifier(extension)))
