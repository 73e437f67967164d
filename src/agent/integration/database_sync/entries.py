"""What stands in the cache for a record, and which of two writes holds. Pure.

<version>:v:<json>    the value of this version
<version>:p:<json>    a value that was written behind: it becomes the version after this one
<version>:d:          there is no such record in this version
<version>:s:          stale: the version is at least this one, and whoever reads must load it
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from agent.errors import StateChanged
from agent.sync.merging import MISSING, three_way

Resolution = Literal["latest_wins", "merge", "refuse"]
RESOLUTIONS: Final[tuple[Resolution, ...]] = ("latest_wins", "merge", "refuse")


@dataclass(frozen=True, slots=True)
class Record:
    """A record: its value, or None where it is deleted or never was. `pending` says that the value is still to be applied."""

    version: int
    value: Any
    pending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A write: what the record is to be, what the writer saw before, and what holds if somebody else wrote meanwhile."""

    kind: str
    key: str
    value: Any
    base: Any = MISSING
    base_version: int | None = None
    resolution: Resolution = "latest_wins"


def written(record: Record) -> str:
    """Return the entry of a record."""
    if record.value is None and not record.pending:
        return f"{record.version}:d:"
    return f"{record.version}:{'p' if record.pending else 'v'}:{json.dumps(record.value, ensure_ascii=False)}"


def stale(version: int) -> str:
    """Return the entry that says that what is older does not hold any more."""
    return f"{version}:s:"


def read(entry: bytes | None) -> Record | None:
    """Return the record of an entry, or None where it must be loaded."""
    if entry is None:
        return None
    version, _, rest = entry.partition(b":")
    flag = rest[:1]
    try:
        if flag in {b"v", b"p"}:
            return Record(int(version), json.loads(rest[2:]), flag == b"p")
        return Record(int(version), None) if flag == b"d" else None
    except ValueError:  # somebody else wrote there
        return None


def resolved(write: Write, current: Record) -> Any:
    """Return the value that a write makes of the present record. Raises `StateChanged` if it may not."""
    if write.base_version is None or write.base_version == current.version or write.resolution == "latest_wins":
        return write.value
    if write.resolution == "merge" and write.base is not MISSING:
        merged, decisions = three_way(write.base, current.value, write.value)
        open_paths = [one.path for one in decisions if one.took == "undecided"]
        if not open_paths:
            return merged
        raise StateChanged(f"Both changed {', '.join(map(str, open_paths[:5]))}: read the record, and write it again.")
    raise StateChanged(
        f"The record has version {current.version}, and you saw {write.base_version}: read it, and write it again."
    )
