"""Settings: where the agent is served, to whom, and how much of it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator


class ServingSettings(BaseModel):
    """Where the agent is served, to whom, and how much of it."""

    host: str = Field("127.0.0.1", description="Address that `agent serve` listens on.")
    port: int = Field(8080, ge=0, le=65_535, description="Port that `agent serve` listens on.")
    mcp_port: int = Field(8090, ge=0, le=65_535, description="Port that `agent mcp --http` listens on.")
    public_url: str = Field(
        "",
        description="Address at which people and services reach this server, such as https://agent.example.com, for links and webhooks. Empty: AGENT_HOST and AGENT_PORT.",
    )
    api_auth: Literal["auto", "required"] = Field(
        "auto",
        description="auto: on this machine's own address no key is needed; required: every request needs a key or token.",
    )
    allowed_hosts: str = Field(
        "",
        description="Comma-separated host names (without port) that requests may name, besides this machine's own.",
    )
    cors_origins: str = Field(
        "", description="Comma-separated origins, such as https://app.example.com, whose pages may call the API."
    )
    rate_limit: str = Field("600/minute", description="Most requests of one caller, such as 600/minute or 20/second.")
    most_requests: int = Field(500, ge=1, description="Most requests that are worked on at the same time.")
    max_body_bytes: int = Field(1_048_576, ge=1_024, description="Most bytes of a request's body.")
    supabase_jwt_secret: SecretStr | None = Field(
        None,
        validation_alias="SUPABASE_JWT_SECRET",
        description="Secret of a project that still signs tokens with HS256. Empty: only asymmetric keys are accepted.",
    )
    supabase_jwt_audience: str = Field(
        "authenticated",
        validation_alias="SUPABASE_JWT_AUDIENCE",
        description="Audience that a Supabase token must have.",
    )
    console_hours: float = Field(
        12.0, gt=0, le=24 * 30, description="Hours for which somebody stays signed in to the console."
    )
    console_recheck_minutes: float = Field(
        5.0,
        gt=0,
        le=60,
        description="Minutes after which the Supabase project is asked again whether an account that is signed in still may.",
    )
    worker_slots: int = Field(
        8, ge=1, le=200, description="How many turns and approved actions one worker goes on with at the same time."
    )
    langgraph_api_url: str = Field(
        "",
        validation_alias="LANGGRAPH_API_URL",
        description="LangGraph Server that serves this graph: the worker goes on with its threads there, after their decisions.",
    )
    langgraph_api_key: SecretStr | None = Field(
        None, validation_alias="LANGGRAPH_API_KEY", description="Key for that server, if it asks for one."
    )
    tenant_claim: str = Field(
        "app_metadata.tenant_id",
        description="Claim of a Supabase token that names the tenant. Users cannot change app_metadata.",
    )
    role_claim: str = Field(
        "app_metadata.agent_role",
        description="Claim of a Supabase token that names the role; without it the caller is a viewer.",
    )

    @field_validator("public_url")
    @classmethod
    def _reaches_this_server(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise ValueError("must begin with https://")
        return value
