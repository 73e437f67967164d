"""Settings: what statements may do, and as whom they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, SecretStr, field_validator

from agent.settings.values import check_claims, names_in
from agent.types import ActorRights, ReadAs


class ExecutionSettings(BaseModel):
    """What statements may do, and as whom they run."""

    statement_timeout: float = Field(15.0, gt=0, le=3600, description="Seconds that one statement may run.")
    max_rows: int = Field(200, ge=1, le=100_000, description="Most rows of a result that are fetched.")
    max_result_bytes: int = Field(256_000, ge=1_000, description="Most bytes of a result that are fetched.")
    many_rows: int = Field(1000, ge=1, description="A write that changes more rows than this is of HIGH risk.")
    undo_days: float = Field(
        7.0,
        ge=0,
        le=3650,
        description="Days that the rows of approved changes are kept as they were, for `agent undo`; 0 keeps none.",
    )
    undo_max_bytes: int = Field(
        200_000,
        ge=0,
        le=300_000,
        description="Most bytes of rows that are kept of one change; a larger one cannot be undone.",
    )
    reader_bypass_rls: bool = Field(
        default=False,
        description="Set up agent_reader with BYPASSRLS, instead of relying on the application's policies.",
    )
    read_as_role: ReadAs = Field(
        "",
        description="Let `agent setup` make agent_reader a member of Supabase's role anon or authenticated, so that its policies apply.",
    )
    read_as_claims: SecretStr | None = Field(
        None,
        description='Claims of the Supabase user as whom is read, as JSON: {"sub": "...", "role": "authenticated"}.',
    )
    read_views: str = Field(
        "",
        description="Comma-separated views (schema.view) that agent_reader may read although they go round row-level security or read auth.",
    )
    actor_rights: ActorRights = Field(
        "data",
        description="What `agent setup` lets agent_actor change: data (rows), or schema (also the tables themselves).",
    )

    @field_validator("read_as_claims")
    @classmethod
    def _are_claims(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_claims(value.get_secret_value())
        return value

    @property
    def listed_views(self) -> tuple[str, ...]:
        """The views that `read_views` names."""
        return names_in(self.read_views)

    @property
    def claims(self) -> Mapping[str, Any] | None:
        """The claims of the Supabase user as whom the agent reads; None: as nobody."""
        if self.read_as_claims is None:
            return None
        role = {"role": self.read_as_role} if self.read_as_role else {}
        return {**role, **check_claims(self.read_as_claims.get_secret_value())}
