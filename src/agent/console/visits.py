"""Finds out who looks at a page, and whether a form was sent by that person from one of our own pages.

A cookie names the session. On this machine, where no session is needed, there is none. Every form carries a token that is made
from the cookie; another site can make a browser send the cookie, but it cannot read a page, so it has no token.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from agent.access import sessions
from agent.access.identity import Identity
from agent.api.callers import Callers
from agent.api.guard import LOCAL_NAMES, host_name
from agent.approval.eligibility import AccessRole
from agent.errors import AccessDenied, AgentError, InvalidInput
from agent.operations.overview import heads
from agent.runtime import Runtime

ROOT = "/console"
SESSION, SEED = "agent_session", "agent_form"
_FORM_TYPE = "application/x-www-form-urlencoded"
_MOST_FIELDS = 500
_STALE = "This form is no longer valid: load the page again, and send it once more. Nothing was done."


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who looks, and the runtime that acts for them. `seed` makes the tokens of their forms; `session` is '' on this machine."""

    identity: Identity
    runtime: Runtime
    seed: str
    session: str

    @property
    def token(self) -> str:
        """Return a token for the forms of one page. It is another one each time, so that compression reveals nothing of it."""
        return form_token(self.seed)


async def visit_of(request: Request) -> Visit:
    """Return who looks at a page. Raises `NotAuthenticated`, and `AccessDenied` for a form that came from elsewhere."""
    known: Visit | None = getattr(request.state, "visit", None)
    if known is not None:
        return known
    callers: Callers = request.app.state.callers
    session = request.cookies.get(SESSION, "")
    if session:  # one that is over must not become the user of this machine
        identity = await sessions.identity_of(session, tokens=callers.tokens, runtime=callers.runtime)
    else:
        identity = await callers.identity_for(request)
    if not await callers.within_limit(identity):
        raise HTTPException(
            429, "You have sent too many requests (AGENT_RATE_LIMIT): wait a moment.", {"Retry-After": "5"}
        )
    seed = session or request.cookies.get(SEED) or secrets.token_urlsafe(32)
    visit = Visit(identity=identity, runtime=callers.acting_for(identity), seed=seed, session=session)
    request.state.visit = visit
    if request.method not in {"GET", "HEAD"}:
        check_sender(request, await form_of(request), seed=seed)
    return visit


Visitor = Annotated[Visit, Depends(visit_of)]


def needs(role: AccessRole) -> list[Any]:
    """Return the dependencies of a page that needs `role`: `@router.get("/console/x", dependencies=needs("viewer"))`."""

    async def check(request: Request, visit: Visitor) -> None:
        visit.identity.require(role)
        if request.method == "GET":  # before the page reads anything: what comes later is news to it
            with suppress(AgentError):  # the page itself says what is wrong
                request.state.heads = await heads(runtime=visit.runtime)

    return [Depends(check)]


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form as they were sent; of several with one name the last. Raises `InvalidInput`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM_TYPE:
        raise InvalidInput(f"Send the form as {_FORM_TYPE}.")
    try:
        fields = parse_qsl(
            (await request.body()).decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError:
        raise InvalidInput("The form cannot be read: load the page again, and send it once more.") from None
    # A browser sends line breaks as CR LF; what is signed has LF.
    return {name: value.replace("\r\n", "\n") for name, value in fields}


Form = Annotated[dict[str, str], Depends(form_of)]


def form_token(seed: str) -> str:
    """Return a token for forms that `check_sender` knows by the same seed."""
    nonce = secrets.token_hex(8)
    return f"{nonce}.{_signature(seed, nonce)}"


def check_sender(request: Request, form: dict[str, str], *, seed: str) -> None:
    """Raise `AccessDenied` unless one of our own pages sent the form, in this browser."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    same = origin is None or host_name(origin.partition("://")[2]) == host_name(request.headers.get("host", ""))
    nonce, _, signature = form.get("token", "").partition(".")
    if (
        not seed
        or site != "same-origin"
        or not same
        or not hmac.compare_digest(signature.encode(), _signature(seed, nonce).encode())
    ):
        raise AccessDenied(_STALE)


def keep(response: Response, request: Request, name: str, value: str, *, seconds: float | None = None) -> None:
    """Set a cookie that no script can read. Away from this machine, browsers send it over https only."""
    local = host_name(request.headers.get("host", "")) in LOCAL_NAMES
    response.set_cookie(
        name,
        value,
        max_age=None if seconds is None else int(seconds),
        path=ROOT,
        secure=not local,
        httponly=True,
        samesite="lax",
    )


def local_path(text: str, default: str = ROOT) -> str:
    """Return a path of the console that somebody gave to go back to, or `default` for anything else."""
    plain = text.isprintable() and "\\" not in text and not text.startswith("//")
    return text if plain and (text == ROOT or text.startswith((f"{ROOT}/", f"{ROOT}?"))) else default


def _signature(seed: str, nonce: str) -> str:
    return hmac.new(seed.encode(), nonce.encode(), hashlib.sha256).hexdigest()
