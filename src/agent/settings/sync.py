"""Settings: how agents are kept in step."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, SecretStr


class SyncSettings(BaseModel):
    """How agents are kept in step."""

    unknown_agents: Literal["register", "refuse"] = Field(
        "register",
        description="register: an agent that nobody has named is registered at its first use; refuse: it is refused.",
    )
    sync_most_event_bytes: int = Field(
        262_144, ge=1_024, le=16_777_216, description="Most bytes of the JSON of one event."
    )
    sync_most_state_bytes: int = Field(
        1_048_576, ge=1_024, le=67_108_864, description="Most bytes of the JSON of an agent's state."
    )
    sync_poll_seconds: float = Field(
        2.0, gt=0, le=60, description="Seconds between looks for events where no notification comes."
    )
    sync_heartbeat_seconds: float = Field(
        15.0,
        gt=0,
        le=3_600,
        description="Seconds between heartbeats of an agent; it is offline after two that are missed.",
    )
    sync_most_sockets: int = Field(
        2_000, ge=1, le=100_000, description="Most WebSocket connections for events of one process."
    )
    sync_redis_url: SecretStr | None = Field(
        None, description="Address of a Redis server to whose streams outlets pass events on: redis://host:6379/0."
    )
    sync_rabbitmq_url: SecretStr | None = Field(
        None,
        description='Address of a RabbitMQ server to whose queues outlets pass events on: amqps://name:password@host/vhost. Needs the extra "rabbitmq".',
    )
    sync_supabase_key: SecretStr | None = Field(
        None,
        description="Secret key (sb_secret_...) of the project at SUPABASE_URL, to which outlets broadcast events.",
    )
    sync_keep_days: float = Field(30.0, gt=0, description="Days that events of channels are kept.")
    sync_keep_snapshots: int = Field(100, ge=2, description="How many snapshots of an agent's state are kept.")
