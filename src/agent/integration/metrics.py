"""What an integration agent did, counted for each tenant apart."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What an agent did for one tenant. Times are in milliseconds."""

    total_requests: int = 0
    successful_requests: int = 0
    failed_requests: int = 0
    events_processed: int = 0
    total_ms: float = 0.0
    cache_hits: int = 0
    cache_misses: int = 0

    @property
    def success_rate(self) -> float | None:
        """Return which part of the requests succeeded, or None if there was none."""
        return self.successful_requests / self.total_requests if self.total_requests else None

    @property
    def average_latency_ms(self) -> float | None:
        """Return the mean time of a request, or None if there was none."""
        return self.total_ms / self.total_requests if self.total_requests else None

    @property
    def cache_hit_ratio(self) -> float | None:
        """Return which part of the reads found their value in the cache, or None if nothing was read."""
        reads = self.cache_hits + self.cache_misses
        return self.cache_hits / reads if reads else None


class Counters:
    """Counts in this process what is not stored yet."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, Any]] = {}

    def request(self, tenant: str, *, succeeded: bool, milliseconds: float) -> None:
        """Count a request."""
        self._add(tenant, "total_requests")
        self._add(tenant, "successful_requests" if succeeded else "failed_requests")
        self._add(tenant, "total_ms", milliseconds)

    def event(self, tenant: str) -> None:
        """Count an event."""
        self._add(tenant, "events_processed")

    def cache(self, tenant: str, *, hit: bool) -> None:
        """Count a read of a cache."""
        self._add(tenant, "cache_hits" if hit else "cache_misses")

    def put_back(self, tenant: str, metrics: Metrics) -> None:
        """Count again what was taken and could not be stored."""
        for name, amount in asdict(metrics).items():
            self._add(tenant, name, amount)

    def take(self) -> dict[str, Metrics]:
        """Return what was counted for each tenant, and begin at nothing again."""
        taken, self._counts = self._counts, {}
        return {tenant: Metrics(**counts) for tenant, counts in taken.items()}

    def _add(self, tenant: str, name: str, amount: float = 1) -> None:
        counts = self._counts.setdefault(tenant, {})
        counts[name] = counts.get(name, 0) + amount
