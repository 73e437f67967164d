"""What Slack, Telegram and the links in mails call: each service proves by itself who calls, so no key is needed."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from agent.api.callers import Callers
from agent.messaging import Courier
from agent.messaging.base import Call

router = APIRouter(tags=["messaging"])
_LENGTH = 600


@router.api_route("/messaging/{service}", methods=["GET", "POST"], include_in_schema=False)
@router.api_route("/messaging/{service}/{path}", methods=["GET", "POST"], include_in_schema=False)
async def called(request: Request, service: str, path: str = "") -> Response:
    """Hand a call to its service."""
    callers: Callers = request.app.state.callers
    courier: Courier = request.app.state.courier
    where = request.client.host if request.client else ""
    if not await callers.limiter.hit(callers.limit, f"messaging/{service[:20]}/{where}"):
        raise HTTPException(429, "Too many calls (AGENT_RATE_LIMIT): wait a moment.", {"Retry-After": "5"})
    call = Call(
        method=request.method, path=path[:_LENGTH], headers=dict(request.headers), body=await request.body()
    )  # fmt: skip
    reply = await courier.called(service, call)
    return Response(reply.body, status_code=reply.status, media_type=reply.kind, headers=dict(reply.headers))
