"""Tokens of Supabase users: what is forged, expired, meant for others or signed with another key proves nothing."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.access.supabase_tokens import SupabaseTokens
from agent.errors import AccessDenied, NotAuthenticated, ProviderUnavailable
from agent.runtime import Runtime
from agent.testing.served import served

OURS, OTHERS = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


class Project:
    """A Supabase project that publishes keys; `keys` can change, and `down` makes it answer with an error."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [public("k1", OURS)]
        self.reads = 0
        self.down = False

    async def __aenter__(self) -> Project:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        self.reads += 1
        body = json.dumps({"keys": self.keys}).encode()
        good = path == b"/auth/v1/.well-known/jwks.json" and not self.down
        status = b"200 OK" if good else b"500 Error"
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body)) + body)
        await writer.drain()
        writer.close()


def public(kid: str, key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    """Return a public key as a project publishes it."""
    return {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())), "kid": kid, "alg": "ES256", "use": "sig"}


def token(project: Project, *, key: Any = OURS, kid: str | None = "k1", algorithm: str = "ES256", **claims: Any) -> str:
    """Return a token as the project's Auth would sign it, but for what `claims` changes; None leaves a claim out."""
    usual = {
        "sub": "4f0c", "email": "ana@example.com", "iss": f"{project.url}/auth/v1", "aud": "authenticated",
        "exp": time.time() + 600, "app_metadata": {"tenant_id": "acme", "agent_role": "approver"},
    }  # fmt: skip
    content = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return jwt.encode(content, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


def on(runtime: Runtime, project: Project, **changed: Any) -> Runtime:
    """Return the runtime with the settings of a project."""
    return replace(runtime, settings=runtime.settings.model_copy(update={"supabase_url": project.url, **changed}))


async def test_a_user_is_who_the_token_says_with_tenant_and_role_from_app_metadata(runtime: Runtime) -> None:
    async with Project() as project:
        who = await SupabaseTokens(on(runtime, project).settings).identity_of(token(project), runtime=runtime)
        assert (who.tenant_id, who.person, who.role, who.personal) == ("acme", "ana@example.com", "approver", False)
        async with served(on(runtime, project), key=token(project)) as client:
            assert (await client.get("/api/threads")).json() == {"items": [], "next": None}
            assert (await client.get("/api/keys")).status_code == 403


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": 1.0}, {"exp": None}, {"iss": "https://other.supabase.co/auth/v1"}, {"iss": None}, {"aud": "anon"}, {"aud": None},
        {"sub": None}, {"key": OTHERS}, {"kid": "unknown"}, {"kid": None}, {"nbf": 99_999_999_999},
        {"key": "x" * 40, "algorithm": "HS256"}, {"key": None, "algorithm": "none"}, {"email": "policy x"},
        {"user_metadata": {"tenant_id": "acme"}, "key": OTHERS},
    ],
)  # fmt: skip
async def test_a_token_that_is_wrong_in_one_way_proves_nothing(runtime: Runtime, changed: dict[str, Any]) -> None:
    async with Project() as project:
        tokens = SupabaseTokens(on(runtime, project).settings)
        with pytest.raises(NotAuthenticated):
            await tokens.identity_of(token(project, **changed), runtime=runtime)


def raw(header: Any, payload: Any = "{}") -> str:
    """Return what has the form of a token, with parts that need not be what a token has."""
    parts = (part if isinstance(part, str) else json.dumps(part) for part in (header, payload, "signature"))
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


NO_TOKENS = [
    "a.b.c", "..", "x", "a" * 30_000, raw("[" * 30_000), raw('{"a":' * 8_000), raw([]), raw("null"), raw({}), raw({"alg": ["ES256"], "kid": "k1"}),
    raw({"alg": {"a": 1}, "kid": "k1"}), raw({"alg": "ES256", "kid": ["k1"]}), raw({"alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": False}),
    raw({"alg": "ES256", "kid": "k1"}, "[" * 30_000), raw({"alg": "HS256", "kid": "\x00"}), raw({"alg": "none"}, {"sub": "ana"}),
    raw({"alg": "ES256", "kid": "k1", "jku": "https://evil.example/keys", "jwk": {}}), raw({"alg": "HS256", "typ": 1}),
]  # fmt: skip


async def test_what_only_looks_like_a_token_proves_nothing_and_is_no_fault(runtime: Runtime) -> None:
    async with Project() as project, served(on(runtime, project)) as client:
        for sent in NO_TOKENS:
            answer = await client.get("/api/threads", headers={"Authorization": f"Bearer {sent}"})
            assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json"), sent[:80]


async def test_clocks_may_differ_by_some_seconds_and_no_more(runtime: Runtime) -> None:
    async with Project() as project:
        tokens = SupabaseTokens(on(runtime, project).settings)

        def sent(**claims: float) -> str:
            return token(project, **{name: time.time() + seconds for name, seconds in claims.items()})

        for claims in ({"exp": -15.0}, {"iat": 20.0, "exp": 600.0}, {"nbf": 20.0, "exp": 600.0}):
            assert (await tokens.identity_of(sent(**claims), runtime=runtime)).person == "ana@example.com"
        for claims in (
            {"exp": -90.0}, {"iat": 300.0, "exp": 600.0}, {"nbf": 300.0, "exp": 600.0}, {"exp": 1e18}, {"exp": 1e300}, {"exp": float("inf")}
        ):  # fmt: skip
            with pytest.raises(NotAuthenticated):
                await tokens.identity_of(sent(**claims), runtime=runtime)


async def test_what_a_user_can_change_gives_no_tenant(runtime: Runtime) -> None:
    async with Project() as project:
        tokens = SupabaseTokens(on(runtime, project).settings)
        own = token(
            project, app_metadata={}, user_metadata={"tenant_id": "acme", "agent_role": "admin"}, tenant_id="acme"
        )
        with pytest.raises(AccessDenied, match=r"app_metadata\.tenant_id"):
            await tokens.identity_of(own, runtime=runtime)
        low = token(project, app_metadata={"tenant_id": "acme", "agent_role": "superuser"})
        assert (await tokens.identity_of(low, runtime=runtime)).role == "viewer"


async def test_the_public_key_is_no_shared_secret(runtime: Runtime) -> None:
    """A classic forgery: sign with HS256, and the published key as the secret."""
    async with Project() as project:
        project.keys.append(
            {"kty": "oct", "kid": "shared", "alg": "HS256", "k": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg"}
        )
        tokens = SupabaseTokens(on(runtime, project).settings)
        for kid in ("k1", "shared"):
            with pytest.raises(NotAuthenticated):
                await tokens.identity_of(token(project, key="x" * 32, kid=kid, algorithm="HS256"), runtime=runtime)
        legacy = SupabaseTokens(on(runtime, project, supabase_jwt_secret=runtime.settings.secret).settings)
        secret = runtime.settings.secret.get_secret_value()
        assert await legacy.identity_of(token(project, key=secret, kid=None, algorithm="HS256"), runtime=runtime)


async def test_keys_are_read_once_and_again_for_a_new_one_and_those_of_before_outlive_a_failure(
    runtime: Runtime,
) -> None:
    now = 1000.0
    async with Project() as project:
        tokens = SupabaseTokens(on(runtime, project).settings, now=lambda: now)
        await asyncio.gather(*(tokens.identity_of(token(project), runtime=runtime) for _ in range(20)))
        assert project.reads == 1
        rotated = token(project, key=OTHERS, kid="k2")
        project.keys = [public("k2", OTHERS)]
        for _ in range(5):
            with pytest.raises(NotAuthenticated):
                await tokens.identity_of(rotated, runtime=runtime)
        assert project.reads == 1, "an unknown key causes no fetch before half a minute has passed"
        now += 31
        assert (await tokens.identity_of(rotated, runtime=runtime)).person == "ana@example.com"
        with pytest.raises(NotAuthenticated):
            await tokens.identity_of(token(project), runtime=runtime)
        project.down, now = True, now + 700
        assert await tokens.identity_of(rotated, runtime=runtime)
        fresh = SupabaseTokens(on(runtime, project).settings)
        with pytest.raises(ProviderUnavailable):
            await fresh.identity_of(rotated, runtime=runtime)
