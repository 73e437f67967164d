"""Calls to a platform that may be down: refused while its circuit is open, and repeated with growing pauses before that counts.

call -> circuit of the connection -> the platform
a failure: a pause (backoff with jitter), once more; the circuit counts each attempt
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from agent.breaker import Breaker, CircuitOpen, Limits
from agent.errors import ProviderUnavailable
from agent.settings import Settings

T = TypeVar("T")


class PlatformAway(ProviderUnavailable):
    """A platform did not answer; it is tried again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How often a call is made, and how long the pauses between are: `first` seconds, then twice as long each time, at most `longest`."""

    attempts: int = 3
    first: float = 0.2
    longest: float = 5.0

    def pause(self, attempt: int, share: float) -> float:
        """Return the seconds after the attempt of this number (from 1). `share`, from 0 to 1, spreads many callers over half of it."""
        whole: float = min(self.longest, self.first * 2.0 ** min(attempt - 1, 60))
        return whole * (0.5 + share / 2)


class Circuits:
    """The circuits of this process by the name of their connection."""

    def __init__(self, settings: Settings) -> None:
        self._limits = Limits(
            failures=settings.integration_failure_threshold, open_seconds=settings.integration_recovery_seconds
        )
        self._backoff = Backoff(attempts=settings.integration_attempts)
        self._known: dict[str, Breaker] = {}

    async def call(
        self,
        name: str,
        function: Callable[[], Awaitable[T]],
        *,
        failed: type[Exception] | tuple[type[Exception], ...],
        attempts: int | None = None,
    ) -> T:
        """Return what `function` returns. Errors of the types `failed` mean that the platform is away: these are retried.

        Raises `PlatformAway` after the last attempt, or at once while the circuit is open. Other errors pass as they are.
        """
        most = attempts or self._backoff.attempts
        for attempt in range(1, most + 1):
            try:
                return await self._breaker(name).call(function, failed=failed)
            except CircuitOpen as error:
                raise PlatformAway(str(error)) from error
            except failed as error:
                if attempt == most:
                    raise PlatformAway(f"{name} did not answer ({type(error).__name__}): start it, or try again later.") from error  # fmt: skip
            await asyncio.sleep(self._backoff.pause(attempt, random.random()))  # noqa: S311  # a pause is no secret
        raise AssertionError("unreachable")

    async def phase(self, name: str) -> str:
        """Return the phase of a connection's circuit: closed, open or half-open."""
        known = self._known.get(name)
        return "closed" if known is None else known.state.phase.value

    def _breaker(self, name: str) -> Breaker:
        return self._known.setdefault(name, Breaker(name, self._limits))
