"""Settings: what is logged, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class LoggingSettings(BaseModel):
    """What is logged, and how."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="Least severe log event that is printed, to standard error."
    )
    log_format: Literal["console", "json"] = Field("console", description="How log events are printed.")
