"""What an outlet's receiver is: it takes a group of one channel's events in their order, or says why not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent.sync.records import Event


class ReceiverAway(Exception):
    """The receiver did not take the events, or did not say so. They are sent again; `wait` is the least time until then."""

    def __init__(self, reason: str, *, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Receiver(Protocol):
    """Takes events. Each carries its channel, epoch and sequence, so that what comes twice is told apart."""

    async def take(self, target: str, events: Sequence[Event]) -> None:
        """Pass events on. When it returns, the receiver has all of them. Raises `ReceiverAway`."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...
