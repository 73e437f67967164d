"""Assets: files that are handed to Roblox's Open Cloud, each once."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import time
from collections import deque
from typing import Any, Final

from agent.db import load_queries
from agent.errors import ConfigurationError, InvalidInput, ProviderUnavailable
from agent.integration.platform_http import ask
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
TYPES: Final = {"Image": "image/png", "Decal": "image/png", "Audio": "audio/mpeg", "Model": "model/x-rbxm", "Video": "video/mp4"}  # fmt: skip
MOST_A_MINUTE: Final = 500
_MOST_BYTES = 20_000_000
_SECONDS = 20.0
_LOOK_SECONDS, _LOOKS = 0.5, 20


class OpenCloudAway(ProviderUnavailable):
    """Open Cloud did not answer; the asset is sent again later."""


class OpenCloud:
    """Roblox's Open Cloud, asked at most 500 times a minute."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._settings = runtime, runtime.settings
        self._asked: deque[float] = deque()

    async def upload(self, name: str, asset_type: str, content: bytes) -> str:
        """Hand a file over, and return the operation. Raises `OpenCloudAway`, and `InvalidInput` if it is refused."""
        owner, _, number = self._settings.studio_creator.partition(":")
        if owner not in ("user", "group") or not number.isdecimal():
            raise ConfigurationError("Set AGENT_STUDIO_CREATOR to user:<id> or group:<id>: somebody owns an asset.")
        request = {
            "assetType": asset_type, "displayName": name[:50], "description": "",
            "creationContext": {"creator": {f"{owner}Id": number}},
        }  # fmt: skip
        answer = await self._ask("POST", "/assets/v1/assets", files={
            "request": (None, json.dumps(request)), "fileContent": (name, content, TYPES[asset_type]),
        })  # fmt: skip
        return str(answer.get("path") or f"operations/{answer.get('operationId', '')}")

    async def result(self, operation: str) -> dict[str, Any]:
        """Return what became of an operation."""
        return await self._ask("GET", f"/assets/v1/{operation}")

    async def check(self) -> None:
        """Ask for a sign of life. Any answer is one. Raises `OpenCloudAway`."""
        await self._ask("GET", "/assets/v1/operations/none", any_answer=True)

    async def close(self) -> None:
        """Nothing stays open."""

    async def _ask(self, method: str, path: str, *, any_answer: bool = False, **more: Any) -> dict[str, Any]:
        import httpx

        key = self._settings.studio_open_cloud_key
        if key is None:
            raise ConfigurationError("Set AGENT_STUDIO_OPEN_CLOUD_KEY to upload assets.")
        self._count()
        url = self._settings.studio_open_cloud_url.rstrip("/")
        try:
            answer = await ask(
                "open_cloud", "upload" if method == "POST" else "look", method, url + path,
                headers={"x-api-key": key.get_secret_value()}, seconds=_SECONDS, runtime=self._runtime, **more,
            )  # fmt: skip
            found = answer.json() if answer.content else {}
        except (httpx.HTTPError, ValueError) as error:
            raise OpenCloudAway(f"Open Cloud did not answer ({type(error).__name__}): try again later.") from None
        if answer.status_code == 429 or answer.status_code >= 500:
            raise OpenCloudAway(f"Open Cloud answers {answer.status_code}: try again later.")
        if not answer.is_success and not any_answer:
            raise InvalidInput(f"Open Cloud refuses it ({answer.status_code}): check the file, AGENT_STUDIO_OPEN_CLOUD_KEY and AGENT_STUDIO_CREATOR.")  # fmt: skip
        return found if isinstance(found, dict) else {}

    def _count(self) -> None:
        now = time.monotonic()
        while self._asked and now - self._asked[0] > 60:
            self._asked.popleft()
        if len(self._asked) >= MOST_A_MINUTE:
            raise OpenCloudAway("Open Cloud takes 500 requests a minute: try again in a minute.")
        self._asked.append(now)


async def upload(cloud: OpenCloud, name: str, asset_type: str, content: str, *, runtime: Runtime) -> dict[str, Any]:
    """Upload a file (`content` in base64) unless it was uploaded before, and return the asset. Raises `InvalidInput`."""
    if asset_type not in TYPES:
        raise InvalidInput(f"The type of an asset is one of {', '.join(TYPES)}.")
    if not isinstance(name, str) or not 0 < len(name) <= 50 or not name.isprintable():
        raise InvalidInput("The name of an asset has 1 to 50 printable characters.")
    try:
        data = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise InvalidInput("The content of an asset is base64.") from None
    if not 0 < len(data) <= _MOST_BYTES:
        raise InvalidInput("An asset has 1 byte to 20 MB.")
    digest = hashlib.sha256(data).digest()
    row = await runtime.one(_QUERIES["begin_asset"], digest=digest, name=name, asset_type=asset_type, by=runtime.user)
    assert row is not None  # noqa: S101  # an upsert returns its row
    if row["status"] == "ready":
        return _asset(row, "ready", row["asset_id"])
    operation = row["operation"]
    try:
        if operation is None:
            operation = await cloud.upload(name, asset_type, data)
            await _save(row, "processing", operation=operation, runtime=runtime)
        for _ in range(_LOOKS):
            found = await cloud.result(operation)
            if found.get("done"):
                asset_id = str((found.get("response") or {}).get("assetId") or "")
                status = "ready" if asset_id else "failed"
                await _save(row, status, operation=operation, asset_id=asset_id or None, runtime=runtime)
                return _asset(row, status, asset_id or None)
            await asyncio.sleep(_LOOK_SECONDS)
    except InvalidInput as error:
        await _save(row, "failed", error=str(error), runtime=runtime)
        raise
    return _asset(row, "processing", None)


async def _save(
    row: dict[str, Any], status: str, *, operation: str | None = None, asset_id: str | None = None,
    error: str | None = None, runtime: Runtime,
) -> None:  # fmt: skip
    values = {"status": status, "operation": operation, "asset_id": asset_id, "error": error}
    await runtime.execute(_QUERIES["save_asset"], asset_key=row["asset_key"], **values)


def _asset(row: dict[str, Any], status: str, asset_id: str | None) -> dict[str, Any]:
    return {"asset_key": row["asset_key"], "name": row["name"], "asset_type": row["asset_type"], "status": status, "asset_id": asset_id}  # fmt: skip
