"""Settings: what the code of created tools may use."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ToolSettings(BaseModel):
    """What the code of created tools may use."""

    tool_seconds: float = Field(2.0, gt=0, le=60, description="Seconds that a created tool may compute in one call.")
    tool_memory_mb: int = Field(64, ge=8, le=1024, description="Most memory of such a tool, in millions of bytes.")
    tool_calls: int = Field(
        50, ge=0, le=500, description="Most host functions (queries, mails ...) that such a tool may call in one call."
    )
    tool_require_bubblewrap: bool = Field(
        default=False,
        description="Refuse to run created tools where bubblewrap is missing or does not work.",
    )
