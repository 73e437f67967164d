"""The Studio bridge agent: scripts, data and assets for Roblox Studio, and what its plugin sends back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import agent.integration.studio.deployments as deployments
import agent.integration.studio.scripts as scripts
from agent.errors import InvalidInput
from agent.integration.base import BaseIntegrationAgent, Task
from agent.integration.events import IntegrationEvent
from agent.integration.studio import pairing
from agent.integration.studio.assets import OpenCloud, upload
from agent.integration.studio.scripts import Script
from agent.runtime import Runtime

_WAIT_SECONDS, _MOST_WAIT = 30.0, 300.0


class StudioBridgeAgent(BaseIntegrationAgent):
    """Brings scripts and data to the paired Studio."""

    name = "studio_bridge"
    summary = "Roblox Studio: scripts with versions, data as modules, assets through Open Cloud, debug messages."
    capabilities = ("plugin communication", "script synchronization", "asset management", "debug messages", "version control")  # fmt: skip

    async def initialize(self) -> None:
        """Name Open Cloud, if it is set up."""
        self._cloud = OpenCloud(self.runtime)
        if self.runtime.settings.studio_open_cloud_key is not None:
            self.connect("open_cloud", self._cloud)

    def tasks(self) -> Mapping[str, Task]:
        """Return what it can do."""
        return {
            "sync_to_roblox": self._sync, "sync_data": self._sync_data, "prepare_scripts": self._prepare,
            "validate_scripts": self._validate, "deploy_to_studio": self._deploy, "verify_deployment": self._verify,
            "upload_asset": self._upload, "cleanup": self._cleanup,
        }  # fmt: skip

    async def _process_integration_event(self, event: IntegrationEvent, *, runtime: Runtime) -> None:
        """Bring data to Studio that another agent asks for: an event of the type `to_roblox`."""
        if event.event_type == "to_roblox":
            await self._sync(event.data, runtime=runtime)

    async def _sync(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        """Keep data as a module, and send it to the paired Studio; without one it is there when one is paired and asks."""
        script = scripts.as_module(str(parameters.get("name") or "content"), parameters.get("content"))
        project = scripts.project_of(parameters.get("project"))
        version = await scripts.save(script, project=project, runtime=runtime)
        paired = any(one.project == project for one in await pairing.every(runtime=runtime))
        sent = await deployments.deploy([script], project=project, runtime=runtime) if paired else {}
        return {"path": script.path, "version": version, "sent": paired, "deployment_id": sent.get("deployment_id")}

    async def _sync_data(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        name = f"sync_{parameters.get('source_platform', 'backend')}"
        return await self._sync({"name": name, "content": parameters.get("data")}, runtime=runtime)

    async def _prepare(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        """Keep a version of each script."""
        project, found = scripts.project_of(parameters.get("project")), []
        for one in _scripts(parameters):
            version = await scripts.save(one, project=project, runtime=runtime)
            found.append({"path": one.path, "source": one.source, "kind": one.kind, "version": version})
        return {"scripts": found}

    async def _validate(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        del runtime
        return {"scripts": [{"path": one.path, "source": one.source, "kind": one.kind} for one in _scripts(parameters)]}

    async def _deploy(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        project = scripts.project_of(parameters.get("project"))
        return await deployments.deploy(_scripts(parameters), project=project, runtime=runtime)

    async def _verify(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        """Wait for what the plugin says of a batch."""
        seconds = parameters.get("wait_seconds", _WAIT_SECONDS)
        if not isinstance(seconds, int | float) or not 0 <= seconds <= _MOST_WAIT:
            raise InvalidInput(f"wait_seconds is 0 to {_MOST_WAIT:g}.")
        return await deployments.verify(parameters.get("deployment_id"), seconds=seconds, runtime=runtime)

    async def _upload(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        return await upload(
            self._cloud, str(parameters.get("name") or ""), str(parameters.get("asset_type") or ""),
            parameters.get("content", ""), runtime=runtime,
        )  # fmt: skip

    async def _cleanup(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        del parameters
        return {"forgotten": await deployments.forget_messages(runtime=runtime)}


def _scripts(parameters: Mapping[str, Any]) -> list[Script]:
    given = parameters.get("scripts")
    if not isinstance(given, list) or not 0 < len(given) <= scripts.MOST_SCRIPTS:
        raise InvalidInput(f"scripts is a list of 1 to {scripts.MOST_SCRIPTS:,} scripts.")
    return [scripts.checked(one) for one in given]
