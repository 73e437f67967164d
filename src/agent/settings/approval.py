"""Settings: when a human is asked, who decides, and what is refused."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

from agent.settings.values import by_risk
from agent.types import RiskLevel

_YEAR_SECONDS = 366 * 24 * 3600
_MOST_VOTES = 100


class ApprovalSettings(BaseModel):
    """When a human is asked, who decides, and what is refused."""

    approval_timeout: float = Field(300.0, gt=0, description="Seconds until an unanswered approval expires.")
    approval_timeouts: str = Field(
        "", description="Other seconds for some risk levels, such as HIGH=900, CRITICAL=1800."
    )
    quorum: str = Field(
        "CRITICAL=2",
        description="How many different people must approve an action of a risk level, once `agent people` are named.",
    )
    ask_from: RiskLevel = Field(
        "MEDIUM",
        description="The lowest risk that a human is asked about: LOW (every write), MEDIUM, HIGH or CRITICAL.",
    )
    interrupt_form: Literal["batched", "per_call"] = Field(
        "batched",
        description="Form of the interrupts that ask: batched as Agent Inbox and Agent Chat UI read it, or LangChain's per_call.",
    )
    refuse: str = Field(
        "", description="Comma-separated reasons (globs allowed, such as write:drop) that are refused outright."
    )
    trusted_sources: str = Field(
        "",
        description="Comma-separated table.columns (globs allowed) whose values may be sent to or written without a question about where they come from.",
    )
    audit_key: SecretStr | None = Field(
        None,
        description="Secret that seals the audit log; keep it off the database's server. Empty: derived from AGENT_SECRET.",
    )
    audit_old_keys: SecretStr = Field(
        SecretStr(""),
        description="Comma-separated earlier values of AGENT_AUDIT_KEY (or AGENT_SECRET): what they sealed can still be verified.",
    )

    @field_validator("approval_timeouts")
    @classmethod
    def _are_seconds_by_risk(cls, value: str) -> str:
        by_risk(value, most=_YEAR_SECONDS, example="HIGH=900, CRITICAL=1800")
        return value

    @field_validator("quorum")
    @classmethod
    def _are_people_by_risk(cls, value: str) -> str:
        by_risk(value, most=_MOST_VOTES)
        return value

    def seconds_to_approve(self, risk: RiskLevel) -> float:
        """Return how many seconds a request of this risk waits for its decision."""
        return by_risk(self.approval_timeouts, most=_YEAR_SECONDS).get(risk, self.approval_timeout)

    def votes_to_approve(self, risk: RiskLevel) -> int:
        """Return how many people must approve an action of this risk, where people are named."""
        return by_risk(self.quorum, most=_MOST_VOTES).get(risk, 1)
