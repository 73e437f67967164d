"""Applications of the realtime service: a key that everybody may know, and a secret that signs.

A key names its tenant, because tables show rows only to a tenant. The secret is derived from the installation's own secret and
the key, so no table holds it; a new key brings a new secret.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import structlog

from agent.approval.people import people
from agent.audit.sealing import seal_soon
from agent.db import load_queries
from agent.errors import DecisionRefused, InvalidInput, NotFound
from agent.execution.created_tools.signing import load_secret, sign
from agent.integration.realtime.signatures import Credentials
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
_MOST_APPS = 100
DEFAULT = "default"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An application. `tenant_id` owns it; `client_events` says whether its clients may send each other events, `subscription_counts` whether
    they and its webhook are told how many subscribe."""

    tenant_id: str
    app_id: int
    app_key: str
    name: str
    client_events: bool
    webhook_url: str | None
    subscription_counts: bool = False

    @property
    def channel(self) -> str:
        """Return the name of the sync channel that carries its events."""
        return f"realtime:{self.app_id}"

    @property
    def webhook_channel(self) -> str:
        """Return the name of the sync channel that holds what its webhook is still to get."""
        return f"realtime-webhooks:{self.app_id}"


async def credentials(app: App, *, runtime: Runtime) -> Credentials:
    """Return the key and the secret of an application."""
    acting = runtime.for_tenant(app.tenant_id)
    await load_secret(acting)
    return Credentials(key=app.app_key, secret=sign("realtime", str(app.app_id), app.app_key, runtime=acting)[:40])


async def of_key(key: str, *, runtime: Runtime) -> App | None:
    """Return the application of a key of any tenant, or None."""
    tenant = _tenant_of(key)
    if tenant is None:
        return None
    row = await runtime.for_tenant(tenant).one(_QUERIES["app_of_key"], app_key=key)
    return None if row is None else _app(row)


async def every(*, runtime: Runtime) -> list[App]:
    """Return the applications of the tenant, by name."""
    return [_app(row) for row in await runtime.all(_QUERIES["apps"])]


async def default(*, runtime: Runtime) -> App:
    """Return the tenant's own application; it is made at its first use."""
    for app in await every(runtime=runtime):
        if app.name == DEFAULT:
            return app
    return await _add(DEFAULT, runtime=runtime)


async def get(app_id: int, *, runtime: Runtime) -> App:
    """Return an application. Raises `NotFound`."""
    for app in await every(runtime=runtime):
        if app.app_id == app_id:
            return app
    raise _no_app(app_id)


async def add(
    name: str, *, client_events: bool = True, subscription_counts: bool = False, webhook_url: str | None = None, runtime: Runtime
) -> App:  # fmt: skip
    """Make an application, or return the one of that name. Only admins do that."""
    await _check_admin(runtime)
    if not 0 < len(name) <= 200 or not name.isprintable():
        raise InvalidInput("The name of an application has 1 to 200 printable characters.")
    if len(await every(runtime=runtime)) >= _MOST_APPS:
        raise InvalidInput(f"There are {_MOST_APPS} applications already: end one first.")
    more = {"client_events": client_events, "subscription_counts": subscription_counts}
    return await _add(name, **more, webhook_url=checked_url(webhook_url), runtime=runtime)


async def change(
    app_id: int, *, client_events: bool, subscription_counts: bool = False, webhook_url: str | None, runtime: Runtime
) -> App:  # fmt: skip
    """Change what an application allows, and where its webhooks go. Only admins do that. Raises `NotFound`."""
    await _check_admin(runtime)
    values = {
        "client_events": client_events,
        "subscription_counts": subscription_counts,
        "webhook_url": checked_url(webhook_url),
    }
    return await _changed("change_app", app_id, runtime=runtime, **values)


async def new_key(app_id: int, *, runtime: Runtime) -> App:
    """Give an application a new key and secret; the ones before are refused at once. Only admins do that. Raises `NotFound`."""
    await _check_admin(runtime)
    return await _changed("new_key", app_id, runtime=runtime, app_key=_new_key(runtime.tenant_id))


async def revoke(app_id: int, *, runtime: Runtime) -> App:
    """End an application. Only admins do that. Raises `NotFound`."""
    await _check_admin(runtime)
    return await _changed("revoke_app", app_id, runtime=runtime)


def checked_url(url: str | None) -> str | None:
    """Return the address of a webhook. Raises `InvalidInput` unless it is https, or this machine's own. Pure."""
    if url is None or not url.strip():
        return None
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname or ""
        own = host == "localhost" or _is(host, "is_loopback")
        inside = not own and any(_is(host, name) for name in ("is_private", "is_link_local", "is_multicast"))
        right = (parts.scheme == "https" or (parts.scheme == "http" and own)) and not inside and parts.username is None
    except ValueError:
        right = False
    if not right or len(url) > 2_000 or not url.strip().isprintable():
        raise InvalidInput("A webhook goes to an https:// address without a password, or to http://127.0.0.1.")
    return url.strip()


def _is(host: str, what: str) -> bool:
    try:
        return bool(getattr(ipaddress.ip_address(host), what))
    except ValueError:
        return False


async def _add(
    name: str, *, client_events: bool = True, subscription_counts: bool = False, webhook_url: str | None = None, runtime: Runtime
) -> App:  # fmt: skip
    await runtime.execute(
        _QUERIES["add_app"], app_id=secrets.randbelow(9 * 10**14) + 10**14, app_key=_new_key(runtime.tenant_id), name=name,
        client_events=client_events, subscription_counts=subscription_counts, webhook_url=webhook_url, created_by=runtime.user,
    )  # fmt: skip
    seal_soon(runtime)
    (made,) = [app for app in await every(runtime=runtime) if app.name == name]
    return made


async def _changed(query: str, app_id: int, *, runtime: Runtime, **values: Any) -> App:
    row = await runtime.one(_QUERIES[query], app_id=app_id, **values)
    if row is None:
        raise _no_app(app_id)
    seal_soon(runtime)
    _log.warning("realtime_app_changed", app_id=app_id, how=query)
    return _app(row)


def _no_app(app_id: int) -> NotFound:
    return NotFound(f"There is no realtime application {app_id}: GET /api/v1/integration/realtime/apps lists them.")


async def _check_admin(runtime: Runtime) -> None:
    who = await people.membership(runtime=runtime)
    if who.several and not (who.person and who.person.is_admin):
        raise DecisionRefused(f"Only an admin sees and changes realtime applications, and {who.name!r} is none.")


def _new_key(tenant_id: str) -> str:
    tenant = base64.b32encode(tenant_id.encode()).decode().rstrip("=").lower()
    return f"{tenant}-{secrets.token_hex(10)}"


def _tenant_of(key: str) -> str | None:
    text, _, rest = key.partition("-")
    if not text or len(key) > 600 or len(rest) != 20:
        return None
    try:
        return base64.b32decode(text.upper() + "=" * (-len(text) % 8)).decode() or None
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _app(row: Mapping[str, Any]) -> App:
    return App(**{name: row[name] for name in App.__dataclass_fields__})
