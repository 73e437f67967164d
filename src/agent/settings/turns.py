"""Settings: how much one turn of a conversation may hold."""

from __future__ import annotations

from pydantic import BaseModel, Field


class TurnSettings(BaseModel):
    """How much one turn of a conversation may hold."""

    max_rounds: int = Field(8, ge=1, le=100, description="Most rounds of tool calls in one turn.")
    max_calls_per_round: int = Field(10, ge=1, le=100, description="Most tool calls taken from one model answer.")
    context_tokens: int = Field(
        16_000, ge=2_000, description="Token budget of one model request: knowledge, history and results."
    )
    schema_tokens: int = Field(
        4_000, ge=200, description="Part of the budget for the schema: all of it if it fits, else what matters most."
    )
    memory_tokens: int = Field(1_000, ge=100, description="Part of the budget for recalled memories.")
    max_question_chars: int = Field(20_000, ge=100, description="Longest question that is accepted.")
