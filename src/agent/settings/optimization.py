"""Settings: how the agent improves its own configuration."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator


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
    improve_stages: str = Field(
        "",
        description="Shares of the turns that see an approved change one after the other before all do, such as 0.1,0.25,0.5. Empty: all do at once.",
    )
    improve_stage_turns: int = Field(
        30, ge=10, le=100_000, description="Turns with a change that a stage needs before the next one begins."
    )
    improve_shadow: int = Field(
        0,
        ge=0,
        le=1_000,
        description="New turns that an approved change is replayed on, unseen, before anybody gets it; 0: none.",
    )
    improve_holdback: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="Share of the turns that stay on the old configuration, to measure what was reached.",
    )
    improve_explore: str = Field(
        "", description='Values to try by chance in some turns, as JSON: {"max_rounds": [4, 12]}.'
    )
    improve_explore_share: float = Field(
        0.0, ge=0, le=0.5, description="Share of the turns that try one of the values in AGENT_IMPROVE_EXPLORE."
    )
    improve_model: str = Field(
        "",
        description="Model that proposes prompts and workflows, as provider:name (deepseek:..., openai:...). Empty: AGENT_MODEL.",
    )
    improve_trusted_keys: str = Field(
        "",
        description="Public keys, comma-separated, of installations whose pattern files are taken: `agent improve research key` shows one's own.",
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

    @field_validator("improve_stages")
    @classmethod
    def _are_shares(cls, text: str) -> str:
        _shares(text)
        return text

    @field_validator("improve_explore")
    @classmethod
    def _are_values(cls, text: str) -> str:
        _values(text)
        return text

    @property
    def stages(self) -> tuple[float, ...]:
        """The shares of a canary, one after the other."""
        return _shares(self.improve_stages)

    @property
    def explored_values(self) -> dict[str, list[Any]]:
        """The values that some turns try, by parameter."""
        return _values(self.improve_explore)


def _shares(text: str) -> tuple[float, ...]:
    form = "must be shares that rise, such as 0.1,0.25,0.5"
    try:
        shares = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError(form) from None
    if not all(0 < one < 1 for one in shares) or list(shares) != sorted(set(shares)):
        raise ValueError(form)
    return shares


def _values(text: str) -> dict[str, list[Any]]:
    if not text.strip():
        return {}
    form = 'must be a JSON object with lists of values, such as {"max_rounds": [4, 12]}'
    try:
        values: dict[str, list[Any]] = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(form) from None
    plain = isinstance(values, dict) and all(isinstance(one, list) and len(one) <= 20 for one in values.values())
    if not plain or any(not isinstance(item, str | int | float | bool) for one in values.values() for item in one):
        raise ValueError(form)
    return values
