"""Settings: the integration agents, and the platforms that they join."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr


class IntegrationSettings(BaseModel):
    """The integration agents, and the platforms that they join."""

    skip_integration_agents: bool = Field(
        default=False,
        validation_alias="SKIP_INTEGRATION_AGENTS",
        description="true: `agent serve` and `agent worker` start without the integration agents.",
    )
    redis_url: SecretStr | None = Field(
        None,
        validation_alias="REDIS_URL",
        description="Address of the Redis server that the integration agents cache in: redis://host:6379/0. Empty: no cache.",
    )
    pusher_app_id: str = Field(
        "", validation_alias="PUSHER_APP_ID", description="Id of the Pusher app that events are published to."
    )
    pusher_key: str = Field("", validation_alias="PUSHER_KEY", description="Key of the Pusher app.")
    pusher_secret: SecretStr | None = Field(
        None, validation_alias="PUSHER_SECRET", description="Secret of the Pusher app, which signs what is published."
    )
    pusher_cluster: str = Field(
        "", validation_alias="PUSHER_CLUSTER", description="Cluster of the Pusher app, such as eu or mt1."
    )
    integration_failure_threshold: int = Field(
        5, ge=1, le=1_000, description="After how many failures in a row a platform is not called any more."
    )
    integration_recovery_seconds: float = Field(
        60.0, gt=0, le=3_600, description="Seconds after which a platform that did not answer is tried again."
    )
    integration_half_open_calls: int = Field(
        3, ge=1, le=100, description="How many calls try a platform again at the same time, over all processes."
    )
    integration_attempts: int = Field(
        3, ge=1, le=10, description="How often a call to a platform is made before it counts as failed."
    )
