"""Settings: what is kept from the model and from people."""

from __future__ import annotations

from pydantic import BaseModel, Field


class PrivacySettings(BaseModel):
    """What is kept from the model and from people."""

    deny: str = Field(
        "", description="Comma-separated tables or table.columns (globs allowed) that never reach a model."
    )
    secret_columns: str = Field(
        "",
        description="Comma-separated tables or table.columns (globs allowed) that hold secrets, beside those that look so.",
    )
    open_columns: str = Field(
        "",
        description="Comma-separated tables or table.columns (globs allowed) that are no secrets though they look so.",
    )
    read_secrets: bool = Field(
        default=False,
        description="Let reads show the values of secret columns to the model. No: a human is asked for each such statement.",
    )
    mask_personal: bool = Field(
        default=True, description="Mask columns that look personal or secret in stored profiles and knowledge."
    )
