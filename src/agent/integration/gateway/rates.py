"""Rates that hold over all processes: a process takes a few requests of a rate at a time from its row, and gives back what it did not use.

How many it takes follows how many it used before, up to a twentieth of the rate; what it took it uses within a twentieth of the period.
So a caller with many requests waits for the row once in many, and a rate of few requests is exact.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import monotonic

from limits import RateLimitItem

from agent.db import load_queries
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
_PARTS = 20
_MOST_LEASES = 10_000
_LOOK_SECONDS = 1.0


@dataclass(slots=True)
class Lease:
    """What this process holds of a rate: `left` of `taken` requests until `until`. After `refused_until` it asks again."""

    taken: int = 0
    left: int = 0
    until: float = 0.0
    part: int = 0
    refused_until: float = 0.0
    retry_at: float = 0.0
    taking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def wanted(self, most: int) -> int:
        """Return how many to take now: twice what was used of the last, up to a twentieth of the rate."""
        return max(1, min(2 * (self.taken - self.left), most // _PARTS))

    def use(self, now: float) -> bool:
        """Use one request, and return whether there was one."""
        if self.left < 1 or now >= self.until:
            return False
        self.left -= 1
        return True


class Rates:
    """The rates of a process."""

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}

    async def retry_after(self, name: str, rate: RateLimitItem, *, runtime: Runtime) -> float | None:
        """Count a request. Return None if it is within the rate, else the seconds until one is again."""
        lease = self._lease(f"{runtime.tenant_id}/{name}/{rate}")
        while not lease.use(now := monotonic()):
            if now < lease.refused_until:
                return max(lease.retry_at - now, 0.0)
            async with lease.taking:
                now = monotonic()
                if now >= lease.refused_until and (lease.left < 1 or now >= lease.until):
                    await self._take(lease, name, rate, runtime)
        return None

    async def _take(self, lease: Lease, name: str, rate: RateLimitItem, runtime: Runtime) -> None:
        began = monotonic()  # before the server looks at its clock: a lease ends here before it ends there
        row = await runtime.one(
            _QUERIES["take_rate"], name=f"{name}/{rate}"[:1000], most=rate.amount, period=float(rate.get_expiry()),
            wanted=lease.wanted(rate.amount), unused=lease.left, unused_of=lease.part,
        )  # fmt: skip
        assert row is not None  # noqa: S101  # a function returns a row
        lease.taken = lease.left = row["granted"]
        lease.part, lease.until = row["part"], began + row["seconds_left"]
        if not lease.taken:
            lease.retry_at = began + row["retry_after"]
            lease.refused_until = min(lease.retry_at, began + _LOOK_SECONDS)  # others may give some back

    def _lease(self, key: str) -> Lease:
        known = self._leases.pop(key, None) or Lease()
        self._leases[key] = known  # the newest is the last
        if len(self._leases) > _MOST_LEASES:
            del self._leases[next(iter(self._leases))]
        return known


async def forget(*, runtime: Runtime) -> int:
    """Delete the rows of rates that nobody uses any more."""
    return await runtime.execute(_QUERIES["forget_rates"])
