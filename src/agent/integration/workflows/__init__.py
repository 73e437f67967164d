"""The workflows that come with it, one file each. A new one is a file here and one line in `WORKFLOWS`."""

from __future__ import annotations

from agent.integration.workflow import Workflow
from agent.integration.workflows.content_generation import CONTENT_GENERATION
from agent.integration.workflows.roblox_deployment import ROBLOX_DEPLOYMENT
from agent.integration.workflows.user_sync import USER_SYNC

WORKFLOWS: tuple[Workflow, ...] = (CONTENT_GENERATION, USER_SYNC, ROBLOX_DEPLOYMENT)
