"""Pairs plugins: a code that works once and not for long, then a token of the plugin's own. Only their hashes are kept.

Both name their tenant, because tables show rows only to a tenant; that counts only after the hash was found among the tenant's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from agent.audit.sealing import seal_soon
from agent.db import load_queries
from agent.errors import NotAuthenticated, NotFound
from agent.integration.studio.scripts import project_of
from agent.integration.sync_channels import sync_channel
from agent.runtime import Runtime
from agent.sync import AgentSyncService

_QUERIES = load_queries(__package__)
CHANNEL = "studio"
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # none that looks like another
_WRONG = "The code is wrong, was used, or is too old: make a new one."
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """A code for one plugin."""

    code: str
    project: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StudioSession:
    """A plugin that is paired."""

    tenant_id: str
    session_id: UUID
    project: str
    place: str
    paired_by: str
    paired_at: datetime
    seen_at: datetime

    @property
    def agent_id(self) -> str:
        """Return the name under which it reads what is sent to it."""
        return f"studio:{self.session_id}"


async def begin(project: str | None, *, runtime: Runtime) -> Pairing:
    """Make a code for one plugin."""
    name = project_of(project)
    code = f"{_written(runtime.tenant_id)}-{''.join(secrets.choice(_LETTERS) for _ in range(10))}"
    lifetime = timedelta(minutes=runtime.settings.studio_pairing_minutes)
    row = await runtime.one(_QUERIES["add_pairing"], code_hash=_hash(code), project=name, by=runtime.user, lifetime=lifetime)  # fmt: skip
    assert row is not None  # noqa: S101  # an insert returns its row
    return Pairing(code=code, project=name, expires_at=row["expires_at"])


async def pair(code: str, place: str, *, runtime: Runtime) -> tuple[StudioSession, str]:
    """Pair a plugin by its code, and return it with its token, which nobody sees again. Raises `NotAuthenticated`."""
    tenant = _tenant_of(code.strip().upper().partition("-")[0])
    if tenant is None or len(code) > 700:
        raise NotAuthenticated(_WRONG)
    acting = runtime.for_tenant(tenant)
    row = await acting.one(_QUERIES["use_pairing"], code_hash=_hash(code.strip().upper()))
    if row is None:
        raise NotAuthenticated(_WRONG)
    token = f"std_{_written(tenant)}_{secrets.token_urlsafe(32).replace('_', '-')}"
    shown = "".join(one for one in place if one.isprintable())[:200]
    made = await acting.one(_QUERIES["add_session"], token_hash=_hash(token), project=row["project"], place=shown, by=row["created_by"])  # fmt: skip
    assert made is not None  # noqa: S101  # an insert returns its row
    session = _session(made)
    channel = await sync_channel(CHANNEL, runtime=acting)
    await AgentSyncService(acting).subscribe_agent_to_channel(session.agent_id, channel)
    seal_soon(acting)
    _log.warning("studio_paired", session=str(session.session_id), project=session.project)
    return session, token


async def of_token(token: str, *, runtime: Runtime) -> StudioSession:
    """Return the plugin of a token. Raises `NotAuthenticated`."""
    kind, _, rest = token.partition("_")
    tenant = _tenant_of(rest.partition("_")[0]) if kind == "std" and len(token) < 700 else None
    row = None if tenant is None else await runtime.for_tenant(tenant).one(_QUERIES["session_of_token"], token_hash=_hash(token))  # fmt: skip
    if row is None:
        raise NotAuthenticated("This plugin is not paired any more: pair it again.")
    return _session(row)


async def every(*, runtime: Runtime) -> list[StudioSession]:
    """Return the plugins that are paired, the newest first."""
    return [_session(row) for row in await runtime.all(_QUERIES["sessions"])]


async def end(session_id: UUID, *, runtime: Runtime) -> StudioSession:
    """End a pairing; its token is refused at once. Raises `NotFound`."""
    row = await runtime.one(_QUERIES["end_session"], session_id=session_id)
    if row is None:
        raise NotFound(f"No plugin is paired as {session_id}.")
    seal_soon(runtime)
    return _session(row)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _written(tenant_id: str) -> str:
    return base64.b32encode(tenant_id.encode()).decode().rstrip("=")


def _tenant_of(text: str) -> str | None:
    try:
        return base64.b32decode(text + "=" * (-len(text) % 8)).decode() or None
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _session(row: Mapping[str, Any]) -> StudioSession:
    return StudioSession(**{name: row[name] for name in StudioSession.__dataclass_fields__})
