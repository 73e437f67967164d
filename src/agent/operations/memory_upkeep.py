"""What people do to keep memory healthy: look at its figures, merge, quarantine, embed again, export and import."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from agent.approval.people import people
from agent.errors import DecisionRefused, InvalidInput
from agent.learning.memory import Memory, agent_memory
from agent.learning.memory.consolidation import Consolidated, consolidate, figures, quarantine, release
from agent.learning.memory.transfer import MOST_LINE_BYTES, Imported, export_lines, import_lines
from agent.operations.memories import all_masked
from agent.runtime import Runtime

__all__ = [
    "Consolidated",
    "Imported",
    "dedupe",
    "export",
    "export_to",
    "import_from",
    "import_text",
    "put_aside",
    "reembed",
    "stats",
    "take_back",
]

_MOST_BYTES = 8 * 2**30


async def stats(*, runtime: Runtime) -> dict[str, Any]:
    """Return how many memories there are, by kind, state and embedding model."""
    return await figures(runtime=runtime)


async def dedupe(seconds: float | None, *, runtime: Runtime) -> Consolidated:
    """Merge near-duplicates, and delete what was kept long enough, in at most `seconds`."""
    return await consolidate(runtime, seconds)


async def put_aside(memory_id: int, reason: str, *, viewer: str | None = None, runtime: Runtime) -> list[Memory]:
    """Quarantine a memory with what was concluded from it, and return all of it as `viewer` may see it. Raises `NotFound`."""
    return await all_masked(await quarantine(memory_id, reason, runtime=runtime), viewer, runtime)


async def take_back(memory_id: int, *, runtime: Runtime) -> int:
    """Release what was quarantined because of a memory, and return how many. Raises `NotFound`."""
    return await release(memory_id, runtime=runtime)


async def reembed(progress: Callable[[int, int], None] | None = None, *, runtime: Runtime) -> int:
    """Embed the memories that have no vector of the current model, and return how many. Raises `OperatorError` if the embedder fails."""
    return await agent_memory.embed_pending(progress=progress, strict=True, runtime=runtime)


async def export(*, runtime: Runtime) -> AsyncIterator[str]:
    """Yield the lines of an export of all memories. Raises `DecisionRefused` for who may not see all of it, `NotFound`."""
    membership = await people.membership(None, runtime=runtime)
    if not membership.sees_personal or (membership.several and not (membership.person and membership.person.is_admin)):
        raise DecisionRefused(
            f"An export holds everything that was said: {runtime.user!r} must be an admin with the role personal."
        )
    async for line in export_lines(runtime):
        yield line


async def export_to(file: Path, *, overwrite: bool = False, runtime: Runtime) -> int:
    """Write all memories to a file that appears when it is complete, and return their number. Raises `InvalidInput`."""
    count = -2  # the first and the last line are no memories
    with _new_file(file, overwrite=overwrite) as opened:
        async for line in export(runtime=runtime):
            opened.write(f"{line}\n")
            count += 1
    return count


@contextmanager
def _new_file(file: Path, *, overwrite: bool) -> Iterator[TextIO]:
    target = file.expanduser().absolute()
    if target.exists() and not overwrite:
        raise InvalidInput(f"{str(target)!r} exists already: name another file, or allow it to be overwritten.")
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}-")
    except OSError as error:
        raise InvalidInput(f"No file can be written in {str(target.parent)!r}: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as opened:
            yield opened
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


async def import_from(file: Path, *, runtime: Runtime) -> Imported:
    """Store the memories of a file that `export_to` wrote, all or none. Raises `InvalidInput`, `DecisionRefused`."""
    with _opened(file) as opened:
        return await _import(opened, runtime)


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    try:
        opened = file.expanduser().open("rb")
    except OSError as error:
        raise InvalidInput(f"{str(file)!r} cannot be read: {error.strerror}.") from error
    with opened:
        yield opened


async def import_text(text: bytes, *, runtime: Runtime) -> Imported:
    """Store the memories of an export, all or none. Raises `InvalidInput`, `DecisionRefused`."""
    return await _import(io.BytesIO(text), runtime)


async def _import(opened: BinaryIO, runtime: Runtime) -> Imported:
    membership = await people.membership(None, runtime=runtime)
    if membership.several and not (membership.person and membership.person.is_admin):
        raise DecisionRefused(f"Only an admin imports memories, and {runtime.user!r} is none (`agent people list`).")
    if not opened.seekable() or opened.seek(0, os.SEEK_END) > _MOST_BYTES:
        raise InvalidInput(f"An import reads a plain file of at most {_MOST_BYTES:,} bytes. Nothing was imported.")
    opened.seek(0)
    with tempfile.TemporaryFile() as kept:
        # What was checked is what is imported, also if somebody changes the file meanwhile.
        while part := opened.read(1 << 20):
            kept.write(part)
        return await import_lines(_lines(kept), again=_lines(kept), runtime=runtime)


def _lines(kept: BinaryIO) -> Iterator[bytes]:
    """Read a file line by line from its beginning; of a line that is too long only its beginning, which the import refuses."""
    kept.seek(0)
    while line := kept.readline(MOST_LINE_BYTES + 1):
        yield line
