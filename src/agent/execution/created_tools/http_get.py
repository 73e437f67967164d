"""Fetches pages for the code of created tools: by https, from hosts that a human approved, and from no private address.

The name is resolved once, every address is checked, and the connection goes to a checked address: a name that resolves to
another address a moment later changes nothing. Redirects are followed only to approved hosts.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from agent.errors import ActionRefused, InvalidArguments, ProviderUnavailable
from agent.execution.created_tools.store import created_tools
from agent.execution.run_context import RunContext
from agent.execution.tools.arguments import HttpGet
from agent.types import ToolResult

_SECONDS = 10.0
_MOST_BYTES = 1_000_000
_MOST_REDIRECTS = 3
# Addresses that are not public: IANA's special-purpose IPv4 addresses, those of multicast and old tunnels, and those at which
# clouds answer only their own machines.
_SPECIAL = tuple(map(ipaddress.IPv4Network, (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "161.26.0.0/16", "166.8.0.0/14", "168.63.129.16/32",
)))  # fmt: skip
# IANA assigns public IPv6 addresses from this range only. In it these are special; 2002::/16 and 2001::/32 lead to IPv4.
_HANDED_OUT = ipaddress.IPv6Network("2000::/3")
_SPECIAL_6 = tuple(map(ipaddress.IPv6Network, (
    "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3ffe::/16", "3fff::/20",
)))  # fmt: skip
# IPv6 addresses that gateways translate to IPv4 ones (RFC 6052).
_GATEWAY = ipaddress.IPv6Network("64:ff9b::/96")
_HOST = re.compile(r"(private:)?([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)(:[1-9][0-9]{0,4})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A host that a tool may fetch from. `private` says that its address may be private, which its approver saw."""

    host: str
    port: int
    private: bool

    @classmethod
    def parse(cls, text: str) -> Place:
        """Parse `host`, `host:port` or `private:host:port`. Raises `InvalidArguments`."""
        match = _HOST.fullmatch(text)
        port = int(match.group(4)[1:]) if match and match.group(4) else 443
        if match is None or ".." in text or port > 65_535:
            raise InvalidArguments(
                f"{text[:100]!r} is not a host: write it as api.example.com or api.example.com:8443."
            )
        return cls(host=match.group(2), port=port, private=match.group(1) is not None)


async def fetch(arguments: HttpGet, context: RunContext) -> ToolResult:
    """Fetch a page for the tool whose code made this call, as `data` with `status` and `text`.

    Raises `ActionRefused` for a host that the tool does not list, `ProviderUnavailable` where it does not answer.
    """
    tool = await created_tools.of_call(context.call, runtime=context.runtime)
    if tool is None or "http_get" not in tool.content.capabilities:
        raise ActionRefused("http_get is only for the code of tools that a human approved with it.")
    tool.check_intact()
    places = [Place.parse(host) for host in tool.content.hosts]
    try:
        async with asyncio.timeout(_SECONDS):
            status, text = await _follow(arguments.url, places)
    except TimeoutError:
        raise ProviderUnavailable(f"{arguments.url[:200]!r} did not answer within {_SECONDS:g} s.") from None
    return ToolResult(success=True, status="succeeded", data={"status": status, "text": text})


async def _follow(url: str, places: Sequence[Place]) -> tuple[int, str]:
    for _ in range(_MOST_REDIRECTS + 1):
        place = listed(url, places)
        status, target, text = await _get(url, await _address(place), place)
        if target is None:
            return status, text
        url = urljoin(url, target)
    raise ActionRefused(f"More than {_MOST_REDIRECTS} redirects.")


def listed(url: str, places: Sequence[Place]) -> Place:
    """Return the listed host that a URL names. Raises `ActionRefused`."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip(".").lower(), parts.port or 443
    except ValueError:
        host, port, parts = "", 0, urlsplit("")
    plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    if not plain or parts.scheme != "https" or not host or parts.username is not None or parts.password is not None:
        raise ActionRefused(f"Not fetched: {url[:200]!r} is not a plain https:// address.")
    place = next((place for place in places if (place.host, place.port) == (host, port)), None)
    if place is None:
        raise ActionRefused(f"Not fetched: the tool does not list {host}:{port}; it lists {_list(places)}.")
    return place


async def _address(place: Place) -> str:
    """Return an address of the host if all its addresses are allowed. Raises `ActionRefused` or `ProviderUnavailable`."""
    loop = asyncio.get_running_loop()
    try:
        entries = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ProviderUnavailable(f"{place.host} has no address: {error}") from error
    addresses = [str(entry[4][0]) for entry in entries]
    private = [address for address in addresses if not is_public(address)]
    if private and not place.private:
        raise ActionRefused(f"Not fetched: {place.host} is at {private[0]}, which is not a public address.")
    return addresses[0]


def is_public(address: str) -> bool:
    """Return whether an IP address is public."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF) if parsed in _GATEWAY else parsed.ipv4_mapped
        if inner is None:
            return parsed in _HANDED_OUT and not any(parsed in network for network in _SPECIAL_6)
        parsed = inner
    return not any(parsed in network for network in _SPECIAL)


async def _get(url: str, address: str, place: Place) -> tuple[int, str | None, str]:
    import httpx

    bracketed = f"[{address}]" if ":" in address else address
    parts = urlsplit(url)
    target = parts._replace(netloc=f"{bracketed}:{place.port}", fragment="").geturl()
    host = place.host if place.port == 443 else f"{place.host}:{place.port}"
    try:
        async with httpx.AsyncClient(trust_env=False, verify=_tls(), timeout=_SECONDS) as client:
            headers = {"Host": host, "Accept-Encoding": "identity", "User-Agent": "learning-agent"}
            request = client.build_request("GET", target, headers=headers, extensions={"sni_hostname": place.host})
            answer = await client.send(request, stream=True)
            try:
                body = await _body(answer, place)
            finally:
                await answer.aclose()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProviderUnavailable(f"{place.host} could not be asked: {error or type(error).__name__}") from error
    moved = answer.headers.get("location") if answer.is_redirect else None
    return answer.status_code, moved, body.decode("utf-8", errors="replace")


async def _body(answer: Any, place: Place) -> bytes:
    body = bytearray()
    async for part in answer.aiter_raw():
        body += part
        if len(body) > _MOST_BYTES:
            raise ProviderUnavailable(f"{place.host} sent more than {_MOST_BYTES:,} bytes.")
    return bytes(body)


def _tls() -> ssl.SSLContext:
    """Return a context with the system's certificates and those of SSL_CERT_FILE."""
    return ssl.create_default_context()


def _list(places: Sequence[Place]) -> str:
    return ", ".join(f"{place.host}:{place.port}" for place in places) or "none"
