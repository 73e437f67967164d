"""Renders pages: every text with its characters visible and escaped, under a policy that lets only our own script and style run."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException

from agent.api.problems import status_of
from agent.console.visits import ROOT, SEED, SESSION, Visit, form_of, keep, local_path
from agent.errors import AgentError, NotAuthenticated
from agent.operations import saved_views
from agent.operations.overview import heads
from agent.text.amounts import ago, cell, count, left, span
from agent.text.visible import clean, one_line

STATIC = Path(__file__).parent / "static"
FROM_SCRIPT = "x-console"  # the header by which our script asks for a page that it takes parts of
_SAID = "agent_said"
_MOST_SAID, _LEAST_COMPRESSED = 600, 600
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "same-origin", "Vary": "Accept-Encoding, Cookie"}
_WRONG = {
    401: "Sign in first", 403: "Not allowed", 404: "Not found", 408: "Too slow", 409: "Not possible now", 413: "Too large",
    422: "Not valid", 429: "Too many requests", 503: "Not available",
}  # fmt: skip
NOTHING = "\u2013"  # what stands where there is no number
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What every page knows of its request: the path with its query, and links that change one part of the query."""

    path: str
    query: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, request: Request) -> Here:
        """Return that of a request."""
        return cls(path=request.url.path, query=tuple(request.query_params.multi_items()))

    def __str__(self) -> str:
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    def get(self, name: str, default: str = "") -> str:
        """Return a part of the query."""
        return dict(self.query).get(name, default)

    def but(self, **changes: object) -> str:
        """Return a link to this page with other parts of the query; None and '' leave a part out."""
        kept = {**dict(self.query), **{name: str(value) for name, value in changes.items() if value is not None}}
        left_out = {name for name, value in changes.items() if value is None or value == ""}
        query = urlencode([(name, value) for name, value in kept.items() if name not in left_out])
        return f"{self.path}?{query}" if query else self.path


def environment(groups: Sequence[Any]) -> Environment:
    """Return the templates, with the navigation and the filters that they use."""
    found = Environment(
        loader=PackageLoader("agent.console"), autoescape=True, undefined=StrictUndefined, finalize=_visible, trim_blocks=True,
        lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    found.globals |= {"root": ROOT, "groups": groups, "asset": asset}
    found.filters |= {
        "when": when, "moment": exact, "number": number, "figure": figure, "seconds": seconds, "share": share, "count": count, "cell": cell,
        "line": line, "as_it_is": as_it_is, "json": as_json, "left": left, "span": span, "segment": segment,
    }  # fmt: skip
    return found


async def page(request: Request, visit: Visit | None, template: str, *, status: int = 200, **values: Any) -> Response:
    """Return a page. `visit` is None where nobody is known yet."""
    taken, said = _said(request)
    now, views = getattr(request.state, "heads", None), []
    if visit:
        with suppress(AgentError):  # the page itself says what is wrong
            now = now or await heads(runtime=visit.runtime)
            views = await saved_views.every(runtime=visit.runtime)
    text = request.app.state.console.get_template(template).render(
        here=Here.of(request), visit=visit, heads=now, views=views, taken=taken, said=said, token=visit.token if visit else "",
        environment=request.app.state.runtime.settings.environment, **values,
    )  # fmt: skip
    response = HTMLResponse(text, status_code=status)
    if taken:
        response.delete_cookie(_SAID, path=ROOT)
    return response


def done(request: Request, form: Mapping[str, str], message: str = "", *, to: str | None = None) -> Response:
    """Go back to where a form was sent from (or to the page `to`), and say there what was done, if anything need be said."""
    target = to or local_path(form.get("back", ROOT))
    response = RedirectResponse(target, status_code=303)
    encoded = base64.urlsafe_b64encode(f"+{one_line(message, _MOST_SAID)}".encode()).decode()
    keep(response, request, _SAID, encoded, seconds=60)
    return response


class ConsoleRoute(APIRoute):
    """A route whose errors are pages, and whose answers are secured and compressed."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                response = await handle(request)
            except NotAuthenticated as error:
                response = await _signed_out(request, error)
            except AgentError as error:
                response = await _wrong(request, status_of(error), str(error))
            except RequestValidationError as error:
                names = ", ".join(dict.fromkeys(str(item["loc"][-1]) for item in error.errors()))
                response = await _wrong(request, 422, f"There is something wrong with {names}.")
            except HTTPException as error:
                response = await _wrong(request, error.status_code, str(error.detail))
            visit: Visit | None = getattr(request.state, "visit", None)
            if visit and not visit.session and SEED not in request.cookies:
                keep(response, request, SEED, visit.seed)
            return _compressed(request, secured(response))

        return answered


def secured(response: Response) -> Response:
    """Add what browsers must obey to an answer."""
    for name, value in _HEADERS.items():
        response.headers[name] = value
    return response


async def _signed_out(request: Request, error: NotAuthenticated) -> Response:
    """Send somebody who is not signed in to the page for that, and say what became of their form."""
    if FROM_SCRIPT in request.headers:
        return Response(str(error), status_code=401, media_type="text/plain")
    back = str(Here.of(request))
    if request.method not in {"GET", "HEAD"}:
        try:
            back = local_path((await form_of(request)).get("back", ROOT))
        except AgentError:
            back = ROOT
    why = "lost" if request.method not in {"GET", "HEAD"} else "over" if SESSION in request.cookies else ""
    query = urlencode([("next", back), *([("why", why)] if why else [])])
    response = RedirectResponse(f"{ROOT}/sign-in?{query}", status_code=303)
    response.delete_cookie(SESSION, path=ROOT)
    return response


async def _wrong(request: Request, status: int, detail: str) -> Response:
    if status >= 500:
        _log.warning("page_failed", path=request.url.path, error=detail)
    visit: Visit | None = getattr(request.state, "visit", None)
    back = ROOT
    if request.method not in {"GET", "HEAD"} and visit:
        back = local_path((await form_of(request)).get("back", ROOT))
    title = _WRONG.get(status, "Something went wrong")
    return await page(request, visit, "error.html", status=status, title=title, detail=detail, back=back)


def _compressed(request: Request, response: Response) -> Response:
    body = getattr(response, "body", b"")
    wanted = "gzip" in request.headers.get("accept-encoding", "")
    if wanted and len(body) >= _LEAST_COMPRESSED and "content-encoding" not in response.headers:
        response.body = gzip.compress(body, compresslevel=5, mtime=0)
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Content-Length"] = str(len(response.body))
    return response


def _said(request: Request) -> tuple[bool, str]:
    """Return whether the form before this page was taken, and what it did. Parts that the script fetches leave that to the page."""
    encoded = request.cookies.get(_SAID, "")
    if not encoded or FROM_SCRIPT in request.headers:
        return False, ""
    try:
        return True, base64.urlsafe_b64decode(encoded).decode()[1:_MOST_SAID]
    except ValueError:
        return False, ""


@cache
def asset(name: str) -> str:
    """Return the address of a file of ours. It changes with the file, so that browsers may keep it for ever."""
    return f"{ROOT}/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def _visible(value: object) -> object:
    """Return what a template writes: characters that would hide are made visible, None is nothing."""
    if value is None:
        return ""
    return clean(value) if type(value) is str else value


def as_it_is(text: str) -> Markup:
    """Return a text for a field that is sent back: escaped, and with every character as it is. HTML drops one first line break."""
    return Markup("\n") + escape(text) if text.startswith("\n") else escape(text)


def when(value: datetime | str | None, *, exactly: bool = False) -> Markup:
    """Return a time as `5 min ago`, with the exact one for who points at it; our script writes that in the reader's time zone."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return escape(clean(value))
    if value is None:
        return Markup("")
    at = value.astimezone(UTC)
    text = exact(at) if exactly else ago(at) if at <= datetime.now(UTC) else f"in {left(at)}"
    return Markup('<time datetime="{}" title="{}"{}>{}</time>').format(
        at.isoformat(timespec="seconds"), exact(at), Markup(" data-exact") if exactly else "", text
    )


def exact(value: datetime) -> str:
    """Return a time to the second, in the one zone that a server can know of its readers."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def number(value: float | int | None, digits: int = 0) -> str:
    """Return a number with separators; a dash where there is none."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def figure(value: float) -> str:
    """Return a measurement with four figures."""
    return f"{value:,.4g}" if abs(value) < 1e6 else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """Return a length of time with three figures at most: `12 ms`, `1.3 s`, `2 min`."""
    if value is None:
        return NOTHING
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 60 else f"{value / 60:,.0f} min"


def share(value: float | None) -> str:
    """Return a share of 1 in percent."""
    return NOTHING if value is None else f"{100 * value:.1f} %"


def line(value: object, limit: int | None = None) -> str:
    """Return a text on one line; nothing where there is none."""
    return "" if value is None else one_line(value, limit)


def as_json(value: object) -> str:
    """Return a value as JSON that people can read."""
    return json.dumps(value, ensure_ascii=False, default=str, indent=2)


def segment(value: object) -> str:
    """Return a value as one segment of a path."""
    return quote(str(value), safe="")
