"""What AGENT_MODEL_OPTIONS may say: how a chat model answers. Pure; no message quotes a value, which may be a secret."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from agent.text.faults import words

# The agent decides these for each request.
_OURS = frozenset({"model", "messages", "input", "tools", "tool_choice", "stream", "stream_options", "n"})


class ModelOptions(BaseModel):
    """Options of a chat model; what is None is left to the provider."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    reasoning_effort: str | None = Field(None, pattern=r"^[a-z]{1,20}$")
    thinking: bool | dict[str, Any] | None = None
    use_responses_api: bool | None = None
    extra_body: dict[str, Any] = {}

    @field_validator("extra_body")
    @classmethod
    def _leaves_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        if _OURS & value.keys():
            raise ValueError(f"cannot hold {', '.join(sorted(_OURS & value.keys()))}: the agent sets these")
        return value

    @property
    def thinks(self) -> dict[str, Any] | None:
        """Return the value of `thinking` for the wire."""
        if isinstance(self.thinking, bool):
            return {"type": "enabled" if self.thinking else "disabled"}
        return self.thinking


def read_model_options(text: str) -> ModelOptions:
    """Return the options in `text`, a JSON object. Raises `ValueError`."""
    if not text.strip():
        return ModelOptions()
    form = f'must be a JSON object with {", ".join(ModelOptions.model_fields)}, such as {{"temperature": 0}}'
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ValueError(form) from None
    if not isinstance(value, dict) or not value.keys() <= ModelOptions.model_fields.keys():
        raise ValueError(form)
    try:
        return ModelOptions.model_validate(value, strict=True)
    except ValidationError as error:
        wrong = "; ".join(f"{one['loc'][0]}: {words(one)}" for one in error.errors(include_input=False))
        raise ValueError(f"{form} ({wrong})") from None


def _refuse(_: str) -> None:
    raise ValueError("no number")
