"""Settings: the conditions under which the agent may change a production database, and what a model may be shown."""

from __future__ import annotations

import shlex

from pydantic import BaseModel, Field, field_validator

from agent.settings.freeze import FreezeWindow, freeze_windows
from agent.types import DataSharing

_MOST_LABEL = 40


class GuardSettings(BaseModel):
    """The conditions under which the agent may change a production database, and what a model may be shown."""

    environment: str = Field(
        "", description="What this set-up is, such as production: shown in each prompt, preview, request and page."
    )
    freeze: str = Field(
        "",
        description="When nothing is changed, such as: Fri 16:00-Mon 08:00 Europe/Berlin; 12-20..01-06; Mon-Fri 09:00-17:00 approvers=2.",
    )
    recovery_max_age: float = Field(
        0,
        ge=0,
        le=24 * 366,
        description="Hours: changes of tables and CRITICAL actions need a backup younger than this; 0 asks for none.",
    )
    recovery_command: str = Field(
        "",
        description="Program with arguments (no shell) that prints the time of the newest backup in ISO 8601; empty: the last `agent backup`.",
    )
    max_changed_rows: int = Field(
        0,
        ge=0,
        description="A statement that changes more rows than this is refused, whoever approves it; 0 is no bound.",
    )
    data_sharing: DataSharing = Field(
        "rows",
        description="What a model provider is shown of data: schema, counts, masked (no texts) or rows. People still see the rows.",
    )

    @field_validator("environment")
    @classmethod
    def _is_a_label(cls, value: str) -> str:
        if not value.isprintable() or len(value) > _MOST_LABEL:
            raise ValueError(f"must be at most {_MOST_LABEL} printable characters on one line")
        return value.strip()

    @field_validator("freeze")
    @classmethod
    def _are_windows(cls, value: str) -> str:
        freeze_windows(value)
        return value

    @field_validator("recovery_command")
    @classmethod
    def _are_words(cls, value: str) -> str:
        try:
            shlex.split(value)
        except ValueError:
            raise ValueError("must be a program with its arguments: a quotation mark is not closed") from None
        return value

    @property
    def freeze_windows(self) -> tuple[FreezeWindow, ...]:
        """The windows of `freeze`."""
        return freeze_windows(self.freeze)
