"""Settings: how the agent improves its own configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class OptimizationSettings(BaseModel):
    """How the agent improves its own configuration."""

    improve_seconds: float = Field(
        300.0, ge=0, description="Seconds that a learning session may work in all, where it names no budget of time."
    )
    improve_usd: float = Field(
        1.0, ge=0, description="US dollars that a learning session may spend in all, where it names no budget of cost."
    )
    improve_apply: Literal["ask", "allow"] = Field(
        "ask", description="ask: a human approves an optimization before it is applied; allow: its evidence is enough."
    )
    improve_worth: float = Field(
        0.05, gt=0, le=1, description="Smallest gain in the share of successful runs that is worth a change."
    )
    improve_margin: float = Field(
        0.05, ge=0, le=1, description="How much worse a slice, or the time or cost of a run, may become by a change."
    )
    improve_horizon_days: float = Field(
        30.0, gt=0, le=365, description="Days over which the value of a change is counted against its cost."
    )
    improve_success_usd: float = Field(
        0.05, ge=0, description="US dollars that one more successful run is worth, for the ratio of benefit and cost."
    )
    improve_change_usd: float = Field(
        1.0, gt=0, description="US dollars that a change costs beside what its tests cost: somebody looks at it."
    )
