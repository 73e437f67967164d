"""How many worker processes there should be, by how much waits. Pure.

More waits than the processes can bear, at two looks in a row: one more. Nothing waits for some time: one less, down to the least.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

_LOOKS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """From `least` to `most` processes. `waiting` is what may wait for each; `quiet_seconds` is how long nothing must wait before one ends."""

    least: int = 1
    most: int = 4
    waiting: int = 8
    quiet_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What was seen at the last looks: in how many too much waited, and since when nothing waits."""

    crowded: int = 0
    quiet_since: float | None = None


def looked(load: Load, bounds: Bounds, *, processes: int, waiting: int, now: float) -> tuple[Load, int]:
    """Return what is remembered after a look, and how many processes there should be."""
    if waiting:
        crowded = load.crowded + 1 if waiting > bounds.waiting * processes else 0
        load = Load(crowded=crowded)
    else:
        load = Load(quiet_since=now if load.quiet_since is None else load.quiet_since)
    wanted = processes
    if load.crowded >= _LOOKS:
        wanted, load = processes + 1, replace(load, crowded=0)
    elif load.quiet_since is not None and now - load.quiet_since >= bounds.quiet_seconds:
        wanted, load = processes - 1, replace(load, quiet_since=now)
    return load, max(bounds.least, min(wanted, bounds.most))


def affordable(*, most: int, limit: int, others: int, each: int) -> int:
    """Return how many processes fit: a server takes `limit` connections, `others` hold some, and each process takes up to `each`."""
    return max(1, min(most, (limit - others) // each))
