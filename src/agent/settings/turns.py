"""Settings: how much one turn of a conversation may hold."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator

from agent.settings.values import days_by_kind


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
    memory_top_k: int = Field(0, ge=0, le=100, description="Most memories recalled for a question; 0: as many as fit.")
    prompt_variant: str = Field(
        "", max_length=100, description="Variant of the instructions that the model gets. Empty: the built-in ones."
    )
    reuse_reads: bool = Field(
        default=False,
        description="A read that was made before in the same turn, with no change since, is answered by its result.",
    )
    memory_keep: str = Field(
        "",
        description="Days that memories of a kind are kept if nobody uses them, such as interaction=400, replaced=400; kinds that are not named are kept. `replaced`: those that are no longer valid.",
    )
    max_question_chars: int = Field(20_000, ge=100, description="Longest question that is accepted.")
    learn_minutes: float = Field(
        60.0,
        ge=0,
        le=525_600,
        description="Minutes between runs of the background learner in `agent serve` and workers; 0: none.",
    )
    learn_seconds: float = Field(120.0, gt=0, description="Most seconds that one run of the learner may take.")
    learn_calls: int = Field(
        0,
        ge=0,
        le=1_000,
        description="Most calls of the model in one run of the learner. 0: it asks no model; it needs none.",
    )
    learn_usd: float | None = Field(
        None,
        ge=0,
        description="Most US dollars that one run of the learner may cost; needs the model's price. Empty: no cap.",
    )

    @field_validator("memory_keep")
    @classmethod
    def _is_days_by_kind(cls, text: str) -> str:
        days_by_kind(text)
        return text

    @property
    def memory_keep_days(self) -> dict[str, int]:
        """For each kind of memory, the days that an unused one is kept."""
        return days_by_kind(self.memory_keep)
