"""`/console/sign-in`: begin a session with an API key or an account, and end it. And our script, style and icon."""

from __future__ import annotations

import secrets
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from limits import parse

from agent.access import keys, sessions, supabase_accounts
from agent.access.supabase_accounts import AccountTokens
from agent.api.callers import Callers
from agent.api.guard import LOCAL_NAMES, host_name
from agent.console.rendering import STATIC, ConsoleRoute, page
from agent.console.visits import ROOT, SEED, SESSION, Form, check_sender, form_token, keep, local_path
from agent.errors import AccessDenied, AgentError, NotAuthenticated, NotFound, ProviderUnavailable
from agent.runtime import Runtime

router = APIRouter(prefix=ROOT, route_class=ConsoleRoute)
_LINK = "agent_link"
_LINK_SECONDS = 3600
_ATTEMPTS = parse("20/minute")
_FILES = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}
Text = Annotated[str, Query(max_length=2_000)]


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """Send a file of ours. Its address names its content, so it never changes."""
    if name not in _FILES:
        raise NotFound("There is no such file.")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response((STATIC / name).read_bytes(), media_type=_FILES[name], headers=headers)


@router.get("/sign-in")
async def show(request: Request, next: Text = ROOT, why: Text = "", sent: Text = "") -> Response:  # noqa: A002  # its name in the query
    """Show how to sign in."""
    return await _form(request, next=local_path(next), why=why, sent="" if not sent else sent[:200])


@router.post("/sign-in/key")
async def with_key(request: Request, form: Form) -> Response:
    """Begin a session with an API key."""
    runtime = await _checked(request, form)
    try:
        identity = await keys.identity_of(form.get("key", "").strip(), runtime=runtime)
    except NotAuthenticated as error:
        return await _form(request, next=local_path(form.get("next", ROOT)), wrong=str(error))
    return await _begin(request, form, await sessions.begin(identity, runtime=runtime))


@router.post("/sign-in/password")
async def with_password(request: Request, form: Form) -> Response:
    """Begin a session with the password of an account of the Supabase project."""
    runtime = await _checked(request, form)
    try:
        given = await supabase_accounts.with_password(form.get("email", ""), form.get("password", ""), runtime.settings)
        return await _begin(request, form, await _session_of(request, given))
    except (NotAuthenticated, AccessDenied, ProviderUnavailable) as error:
        return await _form(request, next=local_path(form.get("next", ROOT)), wrong=str(error))


@router.post("/sign-in/link")
async def send_link(request: Request, form: Form) -> Response:
    """Let the Supabase project mail a link that signs in, in this browser only."""
    runtime = await _checked(request, form)
    back, email = local_path(form.get("next", ROOT)), form.get("email", "")
    address = runtime.settings.public_url.rstrip("/") or f"http://{request.headers.get('host', '')}"
    try:
        verifier = await supabase_accounts.send_link(
            email, f"{address}{ROOT}/sign-in/link?{urlencode({'next': back})}", runtime.settings
        )
    except AgentError as error:
        return await _form(request, next=back, wrong=str(error))
    response = RedirectResponse(f"{ROOT}/sign-in?{urlencode({'next': back, 'sent': email})}", status_code=303)
    keep(response, request, _LINK, verifier, seconds=_LINK_SECONDS)
    return response


@router.get("/sign-in/link")
async def with_link(request: Request, next: Text = ROOT, code: Text = "") -> Response:  # noqa: A002  # its name in the query
    """Begin a session with a mailed link, in the browser that asked for it."""
    runtime: Runtime = request.app.state.runtime
    verifier, back = request.cookies.get(_LINK, ""), local_path(next)
    if not code or not verifier:
        return await _form(
            request, next=back, wrong="Open the link in the browser in which you asked for it, or ask for a new one."
        )
    try:
        given = await supabase_accounts.with_link(code, verifier, runtime.settings)
        response = await _begin(request, {"next": back}, await _session_of(request, given))
    except (NotAuthenticated, AccessDenied, ProviderUnavailable) as error:
        return await _form(request, next=back, wrong=str(error))
    response.delete_cookie(_LINK, path=ROOT)
    return response


@router.post("/sign-out")
async def sign_out(request: Request, form: Form) -> Response:
    """End the session of this browser."""
    session = request.cookies.get(SESSION, "")
    check_sender(request, form, seed=session or request.cookies.get(SEED, ""))
    await sessions.end(session, runtime=request.app.state.runtime)
    response = RedirectResponse(f"{ROOT}/sign-in", status_code=303)
    response.delete_cookie(SESSION, path=ROOT)
    return response


async def _form(
    request: Request, *, next: str, why: str = "", sent: str = "", wrong: str = ""  # noqa: A002  # its name in the form
) -> Response:  # fmt: skip
    runtime: Runtime = request.app.state.runtime
    callers: Callers = request.app.state.callers
    seed = request.cookies.get(SEED) or secrets.token_urlsafe(32)
    local = host_name(request.headers.get("host", "")) in LOCAL_NAMES
    try:
        here = (await callers.identify(request, None)).person
    except AgentError:
        here = ""
    response = await page(
        request, None, "sign_in.html", status=401 if wrong else 200, next=next, why=why, sent=sent, wrong=wrong,
        supabase=supabase_accounts.offered(runtime.settings), local=here, form_token=form_token(seed),
        unsafe=not local and request.headers.get("x-forwarded-proto", request.url.scheme) != "https",
    )  # fmt: skip
    keep(response, request, SEED, seed)
    return response


async def _checked(request: Request, form: dict[str, str]) -> Runtime:
    """Return the runtime for a sign-in. Raises `AccessDenied` for a form from elsewhere or too many attempts."""
    check_sender(request, form, seed=request.cookies.get(SEED, ""))
    callers: Callers = request.app.state.callers
    client = request.client.host if request.client else ""
    if not await callers.limiter.hit(_ATTEMPTS, "sign-in", client):
        raise AccessDenied("There were too many attempts to sign in: wait a minute.")
    return callers.runtime


async def _session_of(request: Request, given: AccountTokens) -> str:
    callers: Callers = request.app.state.callers
    identity = await callers.tokens.identity_of(given.access, runtime=callers.runtime)
    return await sessions.begin(identity, refresh=given.refresh, runtime=callers.runtime)


async def _begin(request: Request, form: dict[str, str], session: str) -> Response:
    runtime: Runtime = request.app.state.runtime
    response = RedirectResponse(local_path(form.get("next", ROOT)), status_code=303)
    keep(response, request, SESSION, session, seconds=runtime.settings.console_hours * 3600)
    return response
