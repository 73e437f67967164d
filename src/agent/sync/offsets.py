"""Offsets: up to where a reader has read each of its channels, as one text that a client gives back. Pure.

`-1` is the beginning of what is kept, `now` is the present end. Every other offset is the base64 of JSON: for each channel its
epoch and the last sequence that was read.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

from agent.errors import InvalidInput

START, NOW = "-1", "now"
_MOST_CHARACTERS = 200_000
_MOST_SEQUENCE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Place:
    """The last event that was read of a channel."""

    epoch: str
    sequence: int


def written(places: Mapping[str, Place]) -> str:
    """Return the offset of some places."""
    plain = {channel: [place.epoch, place.sequence] for channel, place in sorted(places.items())}
    return base64.urlsafe_b64encode(json.dumps(plain, separators=(",", ":")).encode()).decode().rstrip("=")


def read(offset: str) -> dict[str, Place]:
    """Return the places of an offset that `written` made. Raises `InvalidInput` for any other text."""
    wrong = InvalidInput(f"The offset is not one that this server gave: use {START}, {NOW}, or `offset` of an answer.")
    if len(offset) > _MOST_CHARACTERS:
        raise wrong
    try:
        plain = json.loads(base64.b64decode(offset + "=" * (-len(offset) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise wrong from None
    if not isinstance(plain, dict) or not all(map(_is_place, plain.values())):
        raise wrong
    return {channel: Place(epoch, sequence) for channel, (epoch, sequence) in plain.items()}


def _is_place(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    epoch, sequence = value
    return isinstance(epoch, str) and type(sequence) is int and 0 <= sequence <= _MOST_SEQUENCE
