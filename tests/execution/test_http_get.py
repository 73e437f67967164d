"""http_get of created tools: only listed hosts, only https, no private address unless it was listed as one, capped."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.cases.created_tool_cases import proposal

from agent.approval.human_approval import human_approval_queue
from agent.errors import ActionRefused, InvalidArguments
from agent.execution.created_tools import http_get
from agent.execution.created_tools.http_get import Place, is_public, listed
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.types import ToolResult

PLACES = [Place.parse("api.example.com"), Place.parse("api.example.com:8443")]


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/", "https://example.com/", "https://api.example.com.evil.org/", "https://evil.org/api.example.com",
        "https://api.example.com@evil.org/", "https://user:pass@api.example.com/", "https://api.example.com:444/",
        "https://evil.org\\@api.example.com/", "https://evil.org#@api.example.com/", "ftp://api.example.com/", "file:///etc/passwd",
        "//api.example.com/", "https:///", "https://api.example.com:port/", "https://[::1]/", "https://127.0.0.1/",
        "https://api.example.com /", "https://api.example.com\r\nHost: evil.org/", "https://\u0430pi.example.com/", "gopher://api.example.com",
    ],
)  # fmt: skip
def test_another_place_is_refused(url: str) -> None:
    with pytest.raises(ActionRefused):
        listed(url, PLACES)


@pytest.mark.parametrize(
    "url", ["https://api.example.com/a?b=c", "https://API.example.com", "https://api.example.com:8443/x"]
)
def test_a_listed_place_is_found(url: str) -> None:
    assert listed(url, PLACES).host == "api.example.com"


@pytest.mark.parametrize(
    "host", ["", "https://a.b", "a b", "*.example.com", "a..b", "a/b", "a:0", "a:70000", "-a.b", "a@b", "[::1]"]
)
def test_what_is_no_host_is_not_taken(host: str) -> None:
    with pytest.raises(InvalidArguments):
        Place.parse(host)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("127.0.0.1", False), ("10.0.0.1", False), ("172.16.1.1", False),
        ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False),
        ("::1", False), ("fe80::1", False), ("fe80::1%eth0", False), ("fc00::1", False), ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False), ("2002:7f00:1::", False), ("::", False), ("localhost", False),
        ("64:ff9b::7f00:1", False), ("64:ff9b::a9fe:a9fe", False), ("64:ff9b::5db8:d822", True), ("64:ff9b:1::5db8:d822", False),
        ("::7f00:1", False), ("::5db8:d822", False), ("::ffff:0:7f00:1", False), ("fec0::1", False),
        ("168.63.129.16", False), ("::ffff:168.63.129.16", False), ("64:ff9b::a83f:8110", False), ("100.100.100.200", False),
        ("192.0.0.192", False), ("192.0.0.9", False), ("198.19.255.255", False), ("240.0.0.1", False), ("255.255.255.255", False),
        ("192.88.99.1", False), ("192.0.2.1", False), ("203.0.113.9", False), ("161.26.0.10", False), ("166.9.0.1", False),
        ("5f00::1", False), ("3fff::1", False), ("3fff:fff::1", False), ("2001:db8::1", False), ("2002:5db8:d822::1", False),
        ("2001:0:5db8:d822::1", False), ("2001:2::1", False), ("2001:1ff::1", False), ("100::1", False), ("100:0:0:1::1", False),
        ("fd00:ec2::254", False), ("fd20:ce::254", False), ("4000::1", False), ("ff02::1", False), ("3ffe::1", False),
        ("::ffff:93.184.216.34", True), ("168.63.129.17", True), ("2001:200::1", True), ("2a00:1450:4001::1", True),
        ("100.63.255.255", True), ("172.32.0.1", True), ("223.255.255.255", True), ("3fff:1000::1", True),
    ],
)  # fmt: skip
def test_only_addresses_of_the_open_internet_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


class Site:
    """An HTTPS server on loopback."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked: list[str] = []


ANSWERS = {
    "/hello": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "/gone": b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    "/away": b"HTTP/1.1 302 Found\r\nLocation: https://evil.example.com/\r\nContent-Length: 0\r\n\r\n",
    "/down": b"HTTP/1.1 302 Found\r\nLocation: http://localhost/\r\nContent-Length: 0\r\n\r\n",
    "/near": b"HTTP/1.1 302 Found\r\nLocation: /hello\r\nContent-Length: 0\r\n\r\n",
    "/round": b"HTTP/1.1 302 Found\r\nLocation: /round\r\nContent-Length: 0\r\n\r\n",
    "/big": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_500_000,
}


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """Its certificate is one that the machine trusts."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    site = Site(0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ")[1]
        site.asked.append(path)
        if path == "/slow":
            await asyncio.sleep(5)
        writer.write(ANSWERS.get(path, b""))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    site.port = server.sockets[0].getsockname()[1]
    yield site
    server.close()
    await server.wait_closed()


async def fetched(site: Site, path: str, *, host: str = "private:localhost") -> ToolResult:
    arguments: dict[str, Any] = proposal(
        "fetch_page",
        parameters={"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]},
        code="def run(url: str) -> object:\n    return http_get(url=url)\n",
        tests=[{"arguments": {"url": "x"}, "expected": 1, "answers": [{"function": "http_get", "value": 1}]}],
        capabilities=["http_get"],
        hosts=[f"{host}:{site.port}"],
    )
    asked = await safe_executor.execute("create_new_tool", arguments, wait=False)
    await human_approval_queue.decide(asked["approval_id"], "approve")
    await safe_executor.run_approved(asked["approval_id"])
    return await safe_executor.execute("fetch_page", {"url": f"https://localhost:{site.port}{path}"})


async def test_a_page_is_fetched_and_redirects_stay_at_listed_hosts(runtime: Runtime, site: Site) -> None:
    assert (await fetched(site, "/hello"))["data"] == {"status": 200, "text": "hello"}
    for path, told in (
        ("/away", "does not list"), ("/down", "not a plain https"), ("/round", "redirects"), ("/big", "more than 1,000,000"),
    ):  # fmt: skip
        again = await safe_executor.execute("fetch_page", {"url": f"https://localhost:{site.port}{path}"})
        assert not again["success"], path
        assert told in again["error"]
    near = await safe_executor.execute("fetch_page", {"url": f"https://localhost:{site.port}/near"})
    assert near["data"]["text"] == "hello"
    gone = await safe_executor.execute("fetch_page", {"url": f"https://localhost:{site.port}/gone"})
    assert gone["data"]["status"] == 404


async def test_a_private_address_must_be_listed_as_one(runtime: Runtime, site: Site) -> None:
    result = await fetched(site, "/hello", host="localhost")
    assert "not a public address" in result["error"]
    assert site.asked == []


async def test_a_slow_or_silent_host_is_an_error_of_the_tools(
    runtime: Runtime, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_get, "_SECONDS", 0.3)
    assert "did not answer" in (await fetched(site, "/slow"))["error"]
    silent = await safe_executor.execute("fetch_page", {"url": f"https://localhost:{site.port}/nothing"})
    assert "could not be asked" in silent["error"]


async def test_a_model_cannot_call_it(runtime: Runtime) -> None:
    result = await safe_executor.execute("http_get", {"url": "https://example.com/"}, wait=False)
    assert result["status"] == "refused"
    assert "only for the code of tools" in result["error"]
