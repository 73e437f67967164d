"""Finds the newest backup: by the operator's own program, or as `agent backup` noted it."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agent.db.maintenance import last_backup
from agent.runtime import Runtime

_SECONDS = 15.0
_MOST_BYTES = 4_096
_CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPoint:
    """The time of the newest backup, or `why_not`: the reason why none is known."""

    at: datetime | None = None
    why_not: str = ""

    def problem(self, now: datetime, *, hours: float) -> str:
        """Return why this is no backup of the last `hours`; '' if it is one."""
        if self.at is None:
            return self.why_not
        if self.at > now + _CLOCKS_DIFFER:
            return f"the newest backup is said to be of {self.at:%Y-%m-%d %H:%M %Z}, which is in the future"
        if now - self.at > timedelta(hours=hours):
            return f"the newest backup is of {self.at:%Y-%m-%d %H:%M %Z}"
        return ""


async def newest_backup(runtime: Runtime) -> RecoveryPoint:
    """Return the newest backup of the application's database, as far as it is known."""
    settings = runtime.settings
    if settings.recovery_command:
        return await _by_command(settings.recovery_command)
    if not (settings.embedded and runtime.shared):
        return RecoveryPoint(why_not="no program tells the newest backup (the operator sets AGENT_RECOVERY_COMMAND)")
    at = await asyncio.to_thread(last_backup, settings)
    return RecoveryPoint(at=at, why_not="" if at else "there is no backup (`agent backup FILE` makes one)")


def read_time(text: str) -> RecoveryPoint:
    """Read the first line that a program printed."""
    line = next(iter(text.strip().splitlines()), "").strip()
    try:
        at = datetime.fromisoformat(line)
    except ValueError:
        return RecoveryPoint(why_not="AGENT_RECOVERY_COMMAND printed no time in ISO 8601")
    if at.tzinfo is None:
        return RecoveryPoint(why_not="AGENT_RECOVERY_COMMAND printed a time without its time zone")
    try:
        return RecoveryPoint(at=at.astimezone(UTC))
    except OverflowError:
        return RecoveryPoint(why_not="AGENT_RECOVERY_COMMAND printed no time in ISO 8601")


async def _by_command(command: str) -> RecoveryPoint:
    try:
        process = await asyncio.create_subprocess_exec(
            *shlex.split(command), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError):
        return RecoveryPoint(why_not="the program of AGENT_RECOVERY_COMMAND cannot be started")
    try:
        async with asyncio.timeout(_SECONDS):
            output = await _first_bytes(process)
            status = await process.wait()
    except TimeoutError:
        return RecoveryPoint(why_not=f"AGENT_RECOVERY_COMMAND did not end within {_SECONDS:g} s")
    finally:
        await _end(process)
    if status != 0:
        return RecoveryPoint(why_not=f"AGENT_RECOVERY_COMMAND failed with the status {status}")
    return read_time(output.decode(errors="replace"))


async def _first_bytes(process: asyncio.subprocess.Process) -> bytes:
    """Read a program's output to its end, and return its beginning."""
    assert process.stdout is not None  # noqa: S101  # it was started with a pipe
    kept = b""
    while chunk := await process.stdout.read(_MOST_BYTES):
        kept = (kept + chunk)[:_MOST_BYTES]
    return kept


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a program, and what it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
