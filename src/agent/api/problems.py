"""Answers errors as problem details (RFC 9457): what is wrong, who must act, and the next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from agent.errors import (
    AccessDenied,
    AgentError,
    AgentStopped,
    AlreadyDecided,
    InvalidArguments,
    InvalidInput,
    ModelError,
    NotAuthenticated,
    NotFound,
    OperatorError,
    PolicyError,
    StateChanged,
    ThreadBusy,
    TurnStopped,
    UnknownTool,
    UserError,
)
from agent.text.faults import words

_log = structlog.get_logger(__name__)
_TYPE = "application/problem+json"
# The first class that an error belongs to decides.
_STATUS: tuple[tuple[type[AgentError], int], ...] = (
    (NotAuthenticated, 401), (AccessDenied, 403), (AgentStopped, 409), (PolicyError, 403), (NotFound, 404), (ThreadBusy, 409), (TurnStopped, 409),
    (AlreadyDecided, 409), (StateChanged, 409), (InvalidInput, 422), (UserError, 400), (InvalidArguments, 422), (UnknownTool, 404), (ModelError, 422),
    (OperatorError, 503),
)  # fmt: skip
_TITLES = {
    400: "Bad request", 401: "Not authenticated", 403: "Not allowed", 404: "Not found", 405: "Method not allowed",
    406: "Not acceptable", 408: "Too slow", 409: "Conflict", 410: "Gone", 413: "Too large", 415: "Unsupported media type", 421: "Wrong host",
    422: "Not valid", 429: "Too many requests", 500: "Internal error", 503: "Not available",
}  # fmt: skip


class Problem(BaseModel):
    """What went wrong with a request. `detail` says what to do next; `errors` names the wrong fields."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[dict[str, Any]] | None = None


_ANSWER = {
    "description": "What went wrong, and the next step.",
    "content": {_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
# What every route can answer besides its own; FastAPI would document its own form of 422.
RESPONSES: dict[int | str, dict[str, Any]] = {"default": _ANSWER, 422: _ANSWER}


def problem_response(
    status: int,
    detail: str,
    *,
    request_id: str | None = None,
    errors: Sequence[Mapping[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return a problem as a response."""
    body = {"type": "about:blank", "title": _TITLES.get(status, "Error"), "status": status, "detail": detail}
    if request_id is not None:
        body["request_id"] = request_id
    if errors is not None:
        body["errors"] = list(errors)
    more = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse(body, status_code=status, media_type=_TYPE, headers={**more, **(headers or {})})


def status_of(error: AgentError) -> int:
    """Return the HTTP status of an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def install(app: FastAPI) -> None:
    """Answer every error of `app` as a problem, and describe problems once in its OpenAPI document."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        document["components"]["schemas"].setdefault("Problem", Problem.model_json_schema())
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI documents it

    @app.exception_handler(AgentError)
    async def _agent_error(request: Request, error: AgentError) -> JSONResponse:
        status = status_of(error)
        if status >= 500:
            _log.warning("request_failed", path=request.url.path, error=str(error))
        return problem_response(status, str(error), request_id=_request_id(request))

    @app.exception_handler(HTTPException)
    async def _http_error(request: Request, error: HTTPException) -> JSONResponse:
        detail = str(error.detail)
        if error.status_code == 404 and detail == "Not Found":
            detail = f"There is nothing at {request.url.path[:200]!r}. /docs lists the paths."
        return problem_response(error.status_code, detail, request_id=_request_id(request), headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def _not_valid(request: Request, error: RequestValidationError) -> JSONResponse:
        # The input itself is left out: it may hold a secret, or what JSON cannot hold.
        errors = [{"loc": list(item["loc"]), "msg": words(item), "type": item["type"]} for item in error.errors()]
        where = ", ".join(dict.fromkeys(".".join(map(str, item["loc"])) for item in errors))
        detail = f"Correct {where or 'the request'}: /docs shows what is expected."
        return problem_response(422, detail, request_id=_request_id(request), errors=errors)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        _log.error("request_crashed", path=request.url.path, exc_info=error)
        detail = "This is a fault of the server; its log says more under the request id."
        return problem_response(500, detail, request_id=_request_id(request))


def _request_id(request: Request) -> str | None:
    given: str | None = request.scope.get("state", {}).get("request_id")
    return given
