"""Calls to a platform that may be down: refused while its circuit is open, and repeated with growing pauses before that counts.

call -> circuit of the connection, which all processes share -> the platform
a failure: a pause (backoff with jitter), once more; the circuit counts each attempt
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import agent.circuits as shared
from agent.breaker import CircuitOpen, Limits
from agent.errors import ProviderUnavailable
from agent.runtime import Runtime
from agent.settings import Settings
from agent.telemetry import platform_span

T = TypeVar("T")
_PREFIX = "integration:"


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


def limits_of(settings: Settings) -> Limits:
    """Return when a platform is not called any more, and how it is tried again."""
    return Limits(
        failures=settings.integration_failure_threshold, open_seconds=settings.integration_recovery_seconds,
        probes=settings.integration_half_open_calls,
    )  # fmt: skip


async def call(
    name: str, function: Callable[[], Awaitable[T]], *, failed: type[Exception] | tuple[type[Exception], ...],
    attempts: int | None = None, runtime: Runtime,
) -> T:  # fmt: skip
    """Return what `function` returns. Errors of the types `failed` mean that the platform is away: these are retried.

    Raises `PlatformAway` after the last attempt, or at once while the circuit is open. Other errors pass as they are.
    """
    backoff = Backoff(attempts=attempts or runtime.settings.integration_attempts)
    limits = limits_of(runtime.settings)
    attempt = 1
    while True:
        try:
            with platform_span(name, "call", runtime=runtime):
                return await shared.call(_PREFIX + name, function, failed=failed, limits=limits, runtime=runtime)
        except CircuitOpen as error:
            raise PlatformAway(f"{name} did not answer; it is tried again in {error.retry_in:.0f} s.") from error
        except failed as error:
            if attempt >= backoff.attempts:
                raise PlatformAway(f"{name} did not answer ({type(error).__name__}): start it, or try again later.") from error  # fmt: skip
        await asyncio.sleep(backoff.pause(attempt, random.random()))  # noqa: S311  # a pause is no secret
        attempt += 1


async def phases(*, runtime: Runtime) -> dict[str, str]:
    """Return the phase of each connection's circuit that was ever not in order: closed, open or half-open."""
    known = await shared.listed(runtime=runtime)
    return {one.name.removeprefix(_PREFIX): one.phase.value for one in known if one.name.startswith(_PREFIX)}
