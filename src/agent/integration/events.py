"""What integration agents tell each other: events, and the platforms that they come from and go to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from uuid import uuid4

from agent.errors import InvalidInput

Platform = Literal["backend", "frontend", "roblox"]
PLATFORMS: tuple[Platform, ...] = get_args(Platform)
# Which agent brings data to a platform.
RECEIVERS: Mapping[Platform, str] = {"backend": "database_sync", "frontend": "ui_sync", "roblox": "studio_bridge"}
RECEIVED_BY: Mapping[str, Platform] = {agent: platform for platform, agent in RECEIVERS.items()}
# Other words for a platform that people use.
_ALSO: Mapping[str, Platform] = {"dashboard": "frontend", "studio": "roblox", "database": "backend"}


def platform_of(name: str) -> Platform:
    """Return the platform of a name, such as "frontend" or "Dashboard". Raises `InvalidInput` for one that there is not."""
    folded = name.strip().lower()
    for platform in PLATFORMS:
        if folded == platform:
            return platform
    if folded in _ALSO:
        return _ALSO[folded]
    raise InvalidInput(f"There is no platform {name[:100]!r}: use one of {', '.join(PLATFORMS)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationEvent:
    """Something happened. `source` is the agent that tells it; without a `target` every other agent hears it."""

    event_type: str
    source: str
    data: Mapping[str, Any] = field(default_factory=dict)
    target: str | None = None
    event_id: str = field(default_factory=lambda: uuid4().hex)

    def is_for(self, agent: str) -> bool:
        """Return whether an agent hears this event. None hears its own."""
        return agent != self.source and self.target in (None, agent)
