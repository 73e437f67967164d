"""The messages of Pusher's protocol, version 7: what channels are called, what may be sent, and how it is written. Pure."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

MOST_DATA_BYTES: Final = 10_240
MOST_CHANNELS: Final = 100
MOST_BATCH: Final = 10
MOST_MEMBERS: Final = 100
MOST_USER_ID: Final = 128
MOST_USER_INFO_BYTES: Final = 1_024
ACTIVITY_SECONDS: Final = 120
PONG_SECONDS: Final = 30
CLIENT_EVENTS_A_SECOND: Final = 10
VERSIONS: Final = range(5, 8)
SERVER_TO_USER: Final = "#server-to-user-"

_CHANNEL = re.compile(r"[-A-Za-z0-9_=@,.;]{1,164}\Z")
_USER_CHANNEL = re.compile(r"#server-to-user-.{1,128}\Z", re.DOTALL)
_EVENT = re.compile(r"[^\x00-\x1f\x7f]{1,200}\Z")
_SOCKET = re.compile(r"\d{1,20}\.\d{1,20}\Z")


class Code(Enum):
    """Why a connection or a message is refused. Up to 4099 a client must not come back as it is; from 4200 it may at once."""

    NO_APPLICATION = (4001, "There is no application with this key.")
    BAD_MESSAGE = (4000, "A message must be JSON with an event and its data.")
    NO_VERSION = (4008, "The query must name the protocol, for example protocol=7.")
    WRONG_VERSION = (4007, "This server speaks the protocol's versions 5 to 7.")
    UNAUTHORIZED = (4009, "The connection is not authorized.")
    FULL = (4100, "The server has as many connections as it may: come back later.")
    TOO_SLOW = (4101, "The connection does not take its messages fast enough: come back later.")
    ENDS = (4200, "The server ends: come back at once.")
    SILENT = (4201, "No pong came in time: come back at once.")
    CLIENT_EVENT = (4301, "The client event is refused.")


@dataclass(frozen=True, slots=True)
class Kind:
    """What the name of a channel says of it."""

    private: bool
    presence: bool
    cached: bool
    encrypted: bool

    @property
    def needs_proof(self) -> bool:
        """Return whether only who has a signature may subscribe."""
        return self.private or self.presence

    @property
    def takes_client_events(self) -> bool:
        """Return whether its subscribers may send each other events."""
        return self.needs_proof and not self.encrypted


def kind_of(channel: str) -> Kind:
    """Return the kind of a channel by the prefixes of its name."""
    presence, private = channel.startswith("presence-"), channel.startswith("private-")
    rest = channel.removeprefix("presence-").removeprefix("private-")
    encrypted = private and rest.startswith("encrypted-")
    return Kind(private, presence, rest.removeprefix("encrypted-").startswith("cache-"), encrypted)


def is_channel(name: object) -> bool:
    """Return whether somebody may subscribe to a channel of this name."""
    return isinstance(name, str) and _CHANNEL.match(name) is not None


def is_target(name: object) -> bool:
    """Return whether the HTTP API may publish to this name: a channel, or one user's connections."""
    return is_channel(name) or (isinstance(name, str) and _USER_CHANNEL.match(name) is not None)


def is_event(name: object) -> bool:
    """Return whether an event may have this name."""
    return isinstance(name, str) and _EVENT.match(name) is not None


def is_socket_id(value: object) -> bool:
    """Return whether a text has the form of the id of a connection."""
    return isinstance(value, str) and _SOCKET.match(value) is not None


def new_socket_id() -> str:
    """Return an id for a connection that nobody can guess."""
    return f"{secrets.randbelow(10**9)}.{secrets.randbelow(10**9)}"


def written(event: str, data: Any = None, *, channel: str | None = None, user_id: str | None = None) -> str:
    """Return a message as text. Data that is no text is written as JSON inside of it, as Pusher does."""
    message: dict[str, Any] = {"event": event}
    if channel is not None:
        message["channel"] = channel
    if data is not None:
        message["data"] = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    if user_id is not None:
        message["user_id"] = user_id
    return json.dumps(message, ensure_ascii=False)


def error(code: Code, detail: str | None = None) -> str:
    """Return the message that tells a client what is wrong."""
    number, text = code.value
    return json.dumps({"event": "pusher:error", "data": {"code": number, "message": detail or text}})


def subscription_error(channel: str, reason: str) -> str:
    """Return the message that refuses a subscription."""
    return written("pusher:subscription_error", {"type": "AuthError", "error": reason, "status": 401}, channel=channel)


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a client."""

    event: str
    data: Any
    channel: str | None

    def text(self, name: str) -> str | None:
        """Return a text of its data, or None."""
        found = self.data.get(name) if isinstance(self.data, Mapping) else None
        return found if isinstance(found, str) else None


def read(text: str) -> Message | None:
    """Return the message of a text, or None where it is none. Some clients write data as JSON in a text."""
    try:
        message = json.loads(text)
        if not isinstance(message, dict) or not isinstance(message.get("event"), str):
            return None
        data, channel = message.get("data"), message.get("channel")
        if message["event"].startswith("pusher:") and isinstance(data, str) and data:
            data = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return Message(message["event"], data, channel if isinstance(channel, str) else None)


@dataclass(frozen=True, slots=True)
class Member:
    """Who is in a presence channel, and what others are told of them."""

    user_id: str
    user_info: Any = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as clients get it."""
        return {"user_id": self.user_id} | ({} if self.user_info is None else {"user_info": self.user_info})


def member_of(channel_data: str | None) -> Member | None:
    """Return the member that `channel_data` names, or None where it names none."""
    try:
        found = json.loads(channel_data or "")
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    user_id, info = found.get("user_id"), found.get("user_info")
    if isinstance(user_id, int) and not isinstance(user_id, bool):
        user_id = str(user_id)
    if not isinstance(user_id, str) or not 0 < len(user_id) <= MOST_USER_ID:
        return None
    if info is not None and len(json.dumps(info, ensure_ascii=False).encode(errors="replace")) > MOST_USER_INFO_BYTES:
        return None
    return Member(user_id, info)


def signed_in(user_data: str | None) -> str | None:
    """Return the id of the user that `user_data` names, or None."""
    try:
        found = json.loads(user_data or "")
    except (ValueError, RecursionError):
        return None
    user_id = found.get("id") if isinstance(found, dict) else None
    return user_id if isinstance(user_id, str) and 0 < len(user_id) <= MOST_USER_ID else None


def presence_data(members: Mapping[str, Any]) -> str:
    """Return who is in a presence channel, as a new subscriber is told."""
    return json.dumps({"presence": {"ids": list(members), "hash": members, "count": len(members)}}, ensure_ascii=False)


def as_text(data: Any) -> str:
    """Return the data of a client's event as text."""
    return "" if data is None else json.dumps(data, ensure_ascii=False)


def too_long(data: str) -> bool:
    """Return whether the data of an event is more than 10 kB."""
    return len(data) > MOST_DATA_BYTES or len(data.encode(errors="replace")) > MOST_DATA_BYTES
