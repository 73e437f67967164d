"""Settings: how plans are run and how long they are kept."""

from __future__ import annotations

from pydantic import BaseModel, Field


class OrchestrationSettings(BaseModel):
    """How plans are run and how long they are kept."""

    plan_lease_seconds: float = Field(
        15, ge=2, le=300, description="After how many seconds of silence another process takes a plan over."
    )
    plan_days: int = Field(30, ge=1, le=3_650, description="For how many days plans that have ended are kept.")
    plan_slots: int = Field(
        32, ge=1, le=1_000, description="How many plans that were sent over HTTP one process runs at the same time."
    )
