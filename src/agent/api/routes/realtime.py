"""Pusher's protocol: the WebSocket `/app/{key}`, the HTTP API `/apps/{app_id}/...`, and who may listen to what.

The HTTP API is for servers, which sign each request with the application's secret. The routes under `/api/v1/integration/realtime`
are for our own callers: they sign subscriptions for the clients of whoever has a key here, and manage the applications.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Form, Path, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field

import agent.integration.realtime.apps as apps
import agent.integration.realtime.occupancy as occupancy
import agent.integration.realtime.protocol as protocol
import agent.integration.realtime.publishing as publishing
import agent.integration.realtime.signatures as signatures
from agent.api.callers import Acting, Caller, needs
from agent.concurrency import gather_or_cancel
from agent.errors import AccessDenied, AgentError, InvalidInput, NotFound
from agent.integration.realtime.apps import App
from agent.integration.realtime.connections import Connection
from agent.integration.realtime.hub import hub_of
from agent.integration.realtime.protocol import Code
from agent.integration.realtime.session import Session
from agent.runtime import Runtime

router = APIRouter(tags=["integration"])
_SEND_SECONDS = 20.0
_log = structlog.get_logger(__name__)
AppId = Annotated[int, Path(ge=1, lt=2**62, description="Id of the realtime application.")]


class _Left(Exception):
    """The connection is closed."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


@router.websocket("/app/{key}")
async def socket(websocket: WebSocket, key: str) -> None:
    """Speak Pusher's protocol with one client."""
    await websocket.accept()
    try:
        await _served(websocket, key)
    except _Left as left:
        await _close(websocket, left.code)
    except AgentError:
        await _close(websocket, Code.FULL)
    except WebSocketDisconnect:
        pass


async def _served(websocket: WebSocket, key: str) -> None:
    runtime: Runtime = websocket.app.state.callers.runtime
    hub = hub_of(runtime)
    app = await apps.of_key(key, runtime=runtime)
    refused = _why_not(websocket, app, hub.connections, runtime)
    if refused is not None or app is None:
        code = refused or Code.NO_APPLICATION
        await websocket.send_text(protocol.error(code))
        raise _Left(code)
    connection = Connection()
    hub.end_with(websocket.app.state.leaving)
    room = hub.enter(app, connection)
    try:
        session = Session(connection, room)
        session.welcome()
        await gather_or_cancel(_send(websocket, connection), _take(websocket, session))
    finally:
        await asyncio.shield(room.leave(connection))


def _why_not(websocket: WebSocket, app: App | None, connections: int, runtime: Runtime) -> Code | None:
    version = websocket.query_params.get("protocol", "")
    if not version.isascii() or not version.isdecimal():
        return Code.NO_VERSION
    if int(version[:4]) not in protocol.VERSIONS:
        return Code.WRONG_VERSION
    if app is None:
        return Code.NO_APPLICATION
    return Code.FULL if connections >= runtime.settings.realtime_most_connections else None


async def _send(websocket: WebSocket, connection: Connection) -> None:
    while True:
        texts = await connection.outgoing()
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                for text in texts:
                    await websocket.send_text(text)
        except (TimeoutError, RuntimeError):
            raise _Left(Code.TOO_SLOW) from None
        if connection.ended is not None:
            raise _Left(connection.ended)


async def _take(websocket: WebSocket, session: Session) -> None:
    """Take a client's messages; one that is silent is asked for a sign of life, and left if none comes."""
    asked = False
    while True:
        try:
            async with asyncio.timeout(protocol.PONG_SECONDS if asked else protocol.ACTIVITY_SECONDS):
                message = await websocket.receive()
        except TimeoutError:
            if asked:
                raise _Left(Code.SILENT) from None
            session.ask()
            asked = True
            continue
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        asked = False
        text = message.get("text")
        await session.take(text if text is not None else "")


async def _close(websocket: WebSocket, code: Code) -> None:
    number, text = code.value
    with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(_SEND_SECONDS):
            await websocket.close(number, text)


# The HTTP API. Its paths and answers are Pusher's, so they are not part of our own document.

Handler = Callable[[App, Any, Request, Runtime], Awaitable[Any]]


async def _signed(request: Request, app_id: str | None, handle: Handler) -> Response:
    """Answer a request that an application's secret has signed; everything else is refused before it is read as JSON."""
    runtime: Runtime = request.app.state.callers.runtime
    query = {name: value for name, value in request.query_params.multi_items()}  # noqa: C416  # one value of each name
    app = await apps.of_key(query.get("auth_key", ""), runtime=runtime)
    body = await request.body()
    if app is None or app_id not in (None, str(app.app_id)):
        return PlainTextResponse("There is no application with this auth_key.\n", status_code=401)
    key = await apps.credentials(app, runtime=runtime)
    refused = signatures.why_refused(
        key, request.method, request.scope["path"], body=body, query=query, now=time.time()
    )
    if refused is not None:
        return PlainTextResponse(f"{refused}\n", status_code=401)
    try:
        return JSONResponse(await handle(app, _object(body), request, runtime))
    except publishing.TooLong as error:
        return PlainTextResponse(f"{error}\n", status_code=413)
    except NotFound as error:
        return PlainTextResponse(f"{error}\n", status_code=404)
    except InvalidInput as error:
        return PlainTextResponse(f"{error}\n", status_code=400)


def _object(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        raise InvalidInput("The body is not JSON.") from None
    if not isinstance(given, dict):
        raise InvalidInput("The body is a JSON object.")
    return given


@router.post("/apps/{app_id}/events", include_in_schema=False)
async def trigger(app_id: str, request: Request) -> Response:
    """Publish one event to up to 100 channels."""
    return await _signed(request, app_id, _trigger)


@router.post("/apps/{app_id}/batch_events", include_in_schema=False)
async def trigger_batch(app_id: str, request: Request) -> Response:
    """Publish up to 10 events."""
    return await _signed(request, app_id, _trigger_batch)


@router.get("/apps/{app_id}/channels", include_in_schema=False)
async def list_channels(app_id: str, request: Request) -> Response:
    """Answer which channels somebody is connected to."""
    return await _signed(request, app_id, _channels)


@router.get("/apps/{app_id}/channels/{channel}", include_in_schema=False)
async def get_channel(app_id: str, channel: str, request: Request) -> Response:
    """Answer whether somebody is connected to a channel."""
    del channel
    return await _signed(request, app_id, _channel)


@router.get("/apps/{app_id}/channels/{channel}/users", include_in_schema=False)
async def get_users(app_id: str, channel: str, request: Request) -> Response:
    """Answer who is in a presence channel."""
    del channel
    return await _signed(request, app_id, _users)


@router.post("/apps/{app_id}/users/{user_id}/terminate_connections", include_in_schema=False)
async def terminate(app_id: str, user_id: str, request: Request) -> Response:
    """End the connections of a user."""
    del user_id
    return await _signed(request, app_id, _terminate)


@router.post("/users/{user_id}/terminate_connections", include_in_schema=False)
async def terminate_as_the_library_asks(user_id: str, request: Request) -> Response:
    """End the connections of a user: the library for Python leaves the application out of the path, which the signature names."""
    del user_id
    return await _signed(request, None, _terminate)


async def _trigger(app: App, given: Any, request: Request, runtime: Runtime) -> Any:
    del request
    channels = given.get("channels") if "channels" in given else [given.get("channel")]
    if not isinstance(channels, list):
        raise InvalidInput("channels is a list of names.")
    event = publishing.checked(channels, given.get("name"), given.get("data", ""), without=given.get("socket_id"))
    await publishing.publish(app, [event], runtime=runtime)
    wanted = _wanted(given.get("info"))
    if not wanted:
        return {}
    return {"channels": {name: await _attributes(app, name, wanted, runtime) for name in event.channels}}


async def _trigger_batch(app: App, given: Any, request: Request, runtime: Runtime) -> Any:
    del request
    batch = given.get("batch")
    if not isinstance(batch, list) or not 0 < len(batch) <= protocol.MOST_BATCH:
        raise InvalidInput("A batch has 1 to 10 events.")
    if not all(isinstance(one, dict) for one in batch):
        raise InvalidInput("Each event of a batch is a JSON object.")
    events = [
        publishing.checked([one.get("channel")], one.get("name"), one.get("data", ""), without=one.get("socket_id"))
        for one in batch
    ]
    await publishing.publish(app, events, runtime=runtime)
    wanted = [_wanted(one.get("info")) for one in batch]
    if not any(wanted):
        return {}
    pairs = zip(events, wanted, strict=True)
    return {"batch": [await _attributes(app, one.channels[0], names, runtime) for one, names in pairs]}


async def _channels(app: App, given: Any, request: Request, runtime: Runtime) -> Any:
    del given
    prefix, wanted = request.query_params.get("filter_by_prefix", ""), _wanted(request.query_params.get("info"))
    if "user_count" in wanted and not prefix.startswith("presence-"):
        raise InvalidInput("user_count is of presence channels: filter by the prefix presence-.")
    found = await occupancy.occupied(app, prefix=prefix, runtime=runtime)
    counts = {"user_count": lambda one: one.users, "subscription_count": lambda one: one.subscriptions}
    return {"channels": {one.channel: {name: counts[name](one) for name in wanted if name in counts} for one in found}}


async def _channel(app: App, given: Any, request: Request, runtime: Runtime) -> Any:
    del given
    channel, wanted = request.path_params["channel"], _wanted(request.query_params.get("info"))
    if "user_count" in wanted and not protocol.kind_of(channel).presence:
        raise InvalidInput("user_count is of presence channels.")
    found = await _attributes(app, channel, {*wanted, "subscription_count"}, runtime)
    occupied = bool(found["subscription_count"])
    return {"occupied": occupied} | {name: value for name, value in found.items() if name in wanted}


async def _users(app: App, given: Any, request: Request, runtime: Runtime) -> Any:
    del given
    channel = request.path_params["channel"]
    if not protocol.kind_of(channel).presence:
        raise InvalidInput("Only presence channels have users.")
    return {"users": [{"id": name} for name in await occupancy.members(app, channel, runtime=runtime)]}


async def _terminate(app: App, given: Any, request: Request, runtime: Runtime) -> Any:
    del given
    user_id: str = request.path_params["user_id"]
    if not 0 < len(user_id) <= protocol.MOST_USER_ID:
        raise InvalidInput("The id of a user has 1 to 128 characters.")
    await publishing.terminate(app, user_id, runtime=runtime)
    return {}


def _wanted(info: Any) -> set[str]:
    return set(info.split(",")) & {"user_count", "subscription_count", "cache"} if isinstance(info, str) else set()


async def _attributes(app: App, channel: str, wanted: set[str], runtime: Runtime) -> dict[str, Any]:
    found = await occupancy.occupied(app, channel=channel, limit=1, runtime=runtime)
    values: dict[str, Any] = {}
    if "subscription_count" in wanted:
        values["subscription_count"] = found[0].subscriptions if found else 0
    if "user_count" in wanted and protocol.kind_of(channel).presence:
        values["user_count"] = found[0].users if found else 0
    if "cache" in wanted and protocol.kind_of(channel).cached:
        kept = await publishing.last_event(app, channel, runtime=runtime)
        values["cache"] = None if kept is None else {"data": kept["data"]}
    return values


# Our own callers.


class RealtimeApp(BaseModel):
    """A realtime application. `app_key` may be known to everybody."""

    app_id: str
    app_key: str
    name: str
    client_events: bool
    subscription_counts: bool
    webhook_url: str | None


class RealtimeSecret(RealtimeApp):
    """A realtime application with the secret that signs for it."""

    secret: str


class NewRealtimeApp(BaseModel):
    """An application to make."""

    name: str = Field(min_length=1, max_length=200)
    client_events: bool = True
    subscription_counts: bool = False
    webhook_url: str | None = Field(None, max_length=2_000)


class RealtimeTerms(BaseModel):
    """What an application allows, and where its webhooks go."""

    client_events: bool = True
    subscription_counts: bool = False
    webhook_url: str | None = Field(None, max_length=2_000)


class WhereToListen(BaseModel):
    """Where clients of the tenant's own application connect: Pusher if it is set up, else, or while that is away, this server."""

    key: str
    path: str = "/app/{key}"
    auth_endpoint: str = "/api/v1/integration/realtime/auth"
    user_auth_endpoint: str = "/api/v1/integration/realtime/user-auth"
    pusher_key: str | None = None
    pusher_cluster: str | None = None


class ChannelAuth(BaseModel):
    """What a client shows to subscribe."""

    auth: str
    channel_data: str | None = None


class UserAuth(BaseModel):
    """What a client shows to sign in."""

    auth: str
    user_data: str


@router.get("/api/v1/integration/realtime", **needs("viewer"))
async def where_to_listen(runtime: Acting) -> WhereToListen:
    """Say where clients listen for events."""
    app = await apps.default(runtime=runtime)
    settings = runtime.settings
    return WhereToListen(
        key=app.app_key, pusher_key=settings.pusher_key or None, pusher_cluster=settings.pusher_cluster or None
    )


@router.post("/api/v1/integration/realtime/auth", response_model_exclude_none=True, **needs("viewer"))
async def sign_subscription(
    socket_id: Annotated[str, Form(max_length=50)], channel_name: Annotated[str, Form(max_length=200)], runtime: Acting,
    caller: Caller,
) -> ChannelAuth:  # fmt: skip
    """Sign a subscription of the caller's client to a private or presence channel of the tenant's own application."""
    if not protocol.is_socket_id(socket_id) or not protocol.is_channel(channel_name):
        raise InvalidInput("socket_id is the id of a connection, and channel_name the name of a channel.")
    own = channel_name.removeprefix("private-").removeprefix("cache-")
    if own.startswith("person-") and own.removeprefix("person-") != caller.person:
        raise AccessDenied("A channel private-person-... is of that person alone.")
    app = await apps.default(runtime=runtime)
    key = await apps.credentials(app, runtime=runtime)
    member = protocol.Member(caller.person[: protocol.MOST_USER_ID], {"name": caller.person[: protocol.MOST_USER_ID]})
    data = json.dumps(member.as_dict()) if protocol.kind_of(channel_name).presence else None
    return ChannelAuth(auth=signatures.channel_auth(key, socket_id, channel_name, data), channel_data=data)


@router.post("/api/v1/integration/realtime/user-auth", **needs("viewer"))
async def sign_user(socket_id: Annotated[str, Form(max_length=50)], runtime: Acting, caller: Caller) -> UserAuth:
    """Sign the caller's client in as the caller."""
    if not protocol.is_socket_id(socket_id):
        raise InvalidInput("socket_id is the id of a connection.")
    key = await apps.credentials(await apps.default(runtime=runtime), runtime=runtime)
    user_data = json.dumps({"id": caller.person[: protocol.MOST_USER_ID]})
    return UserAuth(auth=signatures.user_auth(key, socket_id, user_data), user_data=user_data)


@router.get("/api/v1/integration/realtime/apps", **needs("admin"))
async def list_apps(runtime: Acting) -> list[RealtimeApp]:
    """List the realtime applications, without their secrets."""
    return [_shown(app) for app in await apps.every(runtime=runtime)]


@router.post("/api/v1/integration/realtime/apps", status_code=201, **needs("admin"))
async def create_app(body: NewRealtimeApp, runtime: Acting) -> RealtimeSecret:
    """Make a realtime application, or return the one of that name."""
    made = await apps.add(**body.model_dump(), runtime=runtime)
    return await _with_secret(made, runtime)


@router.get("/api/v1/integration/realtime/apps/{app_id}", **needs("admin"))
async def get_app(app_id: AppId, runtime: Acting) -> RealtimeSecret:
    """Return a realtime application with its secret."""
    return await _with_secret(await apps.get(app_id, runtime=runtime), runtime)


@router.put("/api/v1/integration/realtime/apps/{app_id}", **needs("admin"))
async def change_app(app_id: AppId, body: RealtimeTerms, runtime: Acting) -> RealtimeApp:
    """Change what a realtime application allows, and where its webhooks go."""
    changed = await apps.change(app_id, **body.model_dump(), runtime=runtime)
    return _shown(changed)


@router.post("/api/v1/integration/realtime/apps/{app_id}/key", **needs("admin"))
async def renew_key(app_id: AppId, runtime: Acting) -> RealtimeSecret:
    """Give a realtime application a new key and secret; the ones before are refused at once."""
    return await _with_secret(await apps.new_key(app_id, runtime=runtime), runtime)


@router.delete("/api/v1/integration/realtime/apps/{app_id}", **needs("admin"))
async def end_app(app_id: AppId, runtime: Acting) -> RealtimeApp:
    """End a realtime application: its connections are closed, and nothing can be published to it."""
    return _shown(await apps.revoke(app_id, runtime=runtime))


def _shown(app: App) -> RealtimeApp:
    return RealtimeApp(
        app_id=str(app.app_id), app_key=app.app_key, name=app.name, client_events=app.client_events,
        subscription_counts=app.subscription_counts, webhook_url=app.webhook_url,
    )  # fmt: skip


async def _with_secret(app: App, runtime: Runtime) -> RealtimeSecret:
    key = await apps.credentials(app, runtime=runtime)
    return RealtimeSecret(**_shown(app).model_dump(), secret=key.secret)
