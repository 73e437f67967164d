"""Settings: the platforms that the integration agents join."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr


class PlatformSettings(BaseModel):
    """The platforms that the integration agents join."""

    realtime_most_connections: int = Field(
        5_000, ge=1, le=1_000_000, description="Most connections of clients of the realtime service in one process."
    )
    pusher_url: str = Field(
        "", description="Address of the HTTP API of the Pusher app. Empty: that of PUSHER_CLUSTER at pusher.com."
    )
    cache_seconds: float = Field(
        60.0, gt=0, le=86_400, description="Most seconds that a cached record is used after it changed, whatever fails."
    )
    cache_load_seconds: float = Field(
        5.0,
        gt=0,
        le=600,
        description="Seconds that readers wait for whoever loads a record into the cache, before they load it too.",
    )
    cache_predict: bool = Field(
        default=False,
        description="true: records that are likely read next are loaded into the cache ahead, where that proves right often enough.",
    )
    studio_pairing_minutes: float = Field(
        10.0, gt=0, le=1_440, description="Minutes in which the code that pairs a plugin of Roblox Studio can be used."
    )
    studio_open_cloud_url: str = Field("https://apis.roblox.com", description="Address of Roblox's Open Cloud.")
    studio_open_cloud_key: SecretStr | None = Field(
        None, description="API key of Open Cloud with the right to write assets. Empty: no assets are uploaded."
    )
    studio_creator: str = Field("", description="Who owns uploaded assets: user:<id> or group:<id> of Roblox.")
