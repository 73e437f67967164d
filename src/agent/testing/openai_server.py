"""Serve OpenAI's API on loopback for tests: real HTTP, scripted answers, scripted failures.

    async with OpenAIServer([text("Hello"), tool_calls(("execute_sql", {"sql": "select 1"}))]) as server:
        settings = Settings(openai_base_url=server.url, ...)

Each chat request takes the next reply of the script; at its end the last reply repeats. `choose=` is a function of the
request's body that gives the reply instead, for requests that come at the same time. Embeddings are deterministic.
`server.requests` holds the requests that came in. `dialect=` makes it behave like another provider (see `dialects`).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from agent.testing import responses_api
from agent.testing.dialects import OPENAI, Dialect
from agent.testing.responses_api import IssuedItems

EMBEDDING_DIMENSIONS = 64
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer: a message with text and tool calls (arguments as raw JSON text), or an HTTP error.

    `delay` is in seconds, before anything is sent, and `pause` before each chunk. `cut` ends the stream half way: "clean" ends the body as if it were
    complete, "abrupt" drops the connection, "empty" sends nothing, "error" ends it with an error event. `garbage` is sent as if it were a chunk. `usage` False
    leaves the usage out. `reasoning` is sent as the server's dialect has it.
    """

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    error: str = "something went wrong"
    code: str | None = None
    delay: float = 0.0
    pause: float = 0.0
    cut: Literal["", "clean", "abrupt", "empty", "error"] = ""
    garbage: str = ""
    usage: bool = True
    finish: str | None = None
    reasoning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


def text(content: str, **options: Any) -> Reply:
    """Return an answer that is only text."""
    return Reply(text=content, **options)


def tool_calls(*calls: tuple[str, dict[str, Any] | str], **options: Any) -> Reply:
    """Return an answer that calls tools. Arguments given as a string are sent as they are."""
    raw = tuple((name, value if isinstance(value, str) else json.dumps(value)) for name, value in calls)
    return Reply(calls=raw, **options)


def failure(
    status: int, error: str = "something went wrong", *, retry_after: float | None = None, code: str | None = None
) -> Reply:
    """Return an HTTP error in OpenAI's form."""
    headers = (("Retry-After", f"{retry_after:g}"),) if retry_after is not None else ()
    return Reply(status=status, error=error, headers=headers, code=code)


@dataclass(slots=True)
class OpenAIServer:
    """A server of `/v1/chat/completions` (streaming and not), `/v1/responses`, `/v1/embeddings` and `/v1/models`."""

    script: Sequence[Reply] = ()
    requests: list[Request] = field(default_factory=list)
    embedding_failures: list[Reply] = field(default_factory=list)
    dialect: Dialect = OPENAI
    choose: Callable[[dict[str, Any]], Reply] | None = None
    _issued: IssuedItems = field(default_factory=IssuedItems)
    _position: int = 0
    _server: asyncio.Server | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Return the base URL, with `/v1`."""
        assert self._server is not None, "use `async with`"  # noqa: S101  # a test's mistake
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    @property
    def chats(self) -> list[Request]:
        """Return the requests to a chat model only."""
        return [request for request in self.requests if request.path.endswith(("/chat/completions", "/responses"))]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None  # noqa: S101  # entered before it is left
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # asyncio runs callbacks in tasks
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            request = await _read_request(reader)
            self.requests.append(request)
            await self._respond(request, writer)
        with suppress(ConnectionError):
            writer.close()

    async def _respond(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if request.path.endswith("/models"):
            await _send_json(writer, 200, {"object": "list", "data": [{"id": "test-model", "object": "model"}]})
        elif request.path.endswith("/embeddings"):
            reply = self.embedding_failures.pop(0) if self.embedding_failures else Reply()
            await asyncio.sleep(reply.delay)
            await _send_embeddings(writer, request, reply)
        elif request.path.endswith("/chat/completions"):
            refusal = self.dialect.refusal(request.body["messages"])
            reply = failure(400, refusal, code="invalid_request_error") if refusal else self._reply(request)
            await asyncio.sleep(reply.delay)
            await _send_chat(writer, request, reply, self.dialect)
        elif request.path.endswith("/responses"):
            refusal = self._issued.refusal(request.body)
            reply = failure(400, refusal, code="invalid_request_error") if refusal else self._reply(request)
            await asyncio.sleep(reply.delay)
            await _send_response(writer, request, reply, self._issued)
        else:
            await _send_json(writer, 404, {"error": {"message": f"no such path: {request.path}"}})

    def _reply(self, request: Request) -> Reply:
        return self.choose(request.body) if self.choose else self._next()

    def _next(self) -> Reply:
        if not self.script:
            return Reply(text="ok")
        reply = self.script[min(self._position, len(self.script) - 1)]
        self._position += 1
        return reply


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(path=head[0].split(" ")[1], headers=headers, body=json.loads(body) if body else {})


async def _send_chat(writer: asyncio.StreamWriter, request: Request, reply: Reply, dialect: Dialect) -> None:
    if reply.status != 200:
        await _send_error(writer, reply)
    elif request.body.get("stream"):
        await _send_stream(writer, reply, list(_events(request, reply, dialect)))
    elif reply.garbage:
        await _send(writer, 200, reply.garbage.encode(), headers=reply.headers)
    else:
        await _send_json(writer, 200, _completion(request, reply), headers=reply.headers)


async def _send_error(writer: asyncio.StreamWriter, reply: Reply) -> None:
    error = {"message": reply.error, "type": "test_error", "param": None, "code": reply.code}
    await _send_json(writer, reply.status, {"error": error}, headers=reply.headers)


async def _send_response(writer: asyncio.StreamWriter, request: Request, reply: Reply, issued: IssuedItems) -> None:
    if reply.status != 200:
        await _send_error(writer, reply)
        return
    finish: Literal["completed", "incomplete", "failed"] = "incomplete" if reply.finish == "length" else "completed"
    events = responses_api.events(
        request.body, issued, text=reply.text, calls=reply.calls, reasoning=reply.reasoning, finish=finish, usage=reply.usage
    )  # fmt: skip
    await _send_stream(writer, reply, events)


async def _send_stream(writer: asyncio.StreamWriter, reply: Reply, events: Sequence[dict[str, Any]]) -> None:
    writer.write(_head(200, (("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked"), *reply.headers)))
    lines = [json.dumps(event) for event in events]
    if reply.cut:
        lines = [] if reply.cut == "empty" else lines[: max(1, len(lines) // 2)]
    if reply.cut == "error":
        lines.append(json.dumps(_error_event(reply, named="type" in events[0])))
    if reply.garbage:
        lines.insert(1, reply.garbage)
    for line in [*lines, *(() if reply.cut else ("[DONE]",))]:
        await asyncio.sleep(reply.pause)
        data = f"data: {line}\n\n".encode()
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await writer.drain()
    if reply.cut == "abrupt":
        writer.transport.abort()
        return
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _error_event(reply: Reply, *, named: bool) -> dict[str, Any]:
    """Return an error in the middle of a stream; the events of the Responses API are `named`."""
    if named:
        return {"type": "error", "code": reply.code, "message": reply.error, "param": None, "sequence_number": 0}
    return {"error": {"message": reply.error, "type": "server_error", "param": None, "code": reply.code}}


def _events(request: Request, reply: Reply, dialect: Dialect) -> Iterable[dict[str, Any]]:
    """Yield the chunks of one streamed answer: words, pieces of tool calls, the finish reason, the usage."""
    yield _chunk(request, {"role": "assistant", "content": ""})
    for name, thought in (dialect.thought(reply.reasoning) if reply.reasoning else {}).items():
        for at in range(0, len(thought), 5):
            yield _chunk(request, {name: thought[at : at + 5]})
    for word in reply.text.split(" ") if reply.text else ():
        yield _chunk(request, {"content": word if word == reply.text.rsplit(" ", 1)[-1] else word + " "})
    for number, (name, arguments) in enumerate(reply.calls):
        first = {
            "index": number,
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": name, "arguments": ""},
            **(dialect.signed(arguments) if number == 0 else {}),
        }
        yield _chunk(request, {"tool_calls": [first]})
        for at in range(0, len(arguments), 16):
            piece = {"index": number, "function": {"arguments": arguments[at : at + 16]}}
            yield _chunk(request, {"tool_calls": [piece]})
    yield _chunk(request, {}, finish=reply.finish or ("tool_calls" if reply.calls else "stop"))
    if reply.usage and request.body.get("stream_options", {}).get("include_usage"):
        yield {**_chunk(request, {}), "choices": [], "usage": _usage(request, reply)}


def _chunk(request: Request, delta: dict[str, Any], *, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {**_envelope(request, "chat.completion.chunk"), "choices": [choice]}


def _completion(request: Request, reply: Reply) -> dict[str, Any]:
    calls = [
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(reply.calls)
    ]
    message = {"role": "assistant", "content": reply.text or None, **({"tool_calls": calls} if calls else {})}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    usage = {"usage": _usage(request, reply)} if reply.usage else {}
    return {**_envelope(request, "chat.completion"), "choices": [choice], **usage}


def _envelope(request: Request, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-test", "object": kind, "created": 0, "model": request.body.get("model", "test-model")}


def _usage(request: Request, reply: Reply) -> dict[str, int]:
    """Count one token for each message, and one for each word or call of the answer, so that a test can foresee the sums."""
    prompt = len(request.body.get("messages", []))
    completion = len(reply.text.split()) + len(reply.calls)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


async def _send_embeddings(writer: asyncio.StreamWriter, request: Request, reply: Reply) -> None:
    if reply.status != 200:
        await _send_error(writer, reply)
        return
    value = request.body.get("input", [])
    texts = [value] if isinstance(value, str) else value
    size = int(request.body.get("dimensions") or EMBEDDING_DIMENSIONS)
    data = [
        {"object": "embedding", "index": n, "embedding": _encoded(embedding(str(item), size), request)}
        for n, item in enumerate(texts)
    ]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    await _send_json(writer, 200, {"object": "list", "data": data, "model": request.body.get("model"), "usage": usage})


def _encoded(vector: list[float], request: Request) -> list[float] | str:
    if request.body.get("encoding_format") != "base64":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def embedding(content: str, dimensions: int = EMBEDDING_DIMENSIONS) -> list[float]:
    """Return the server's vector for `content`: its words hashed into `dimensions` numbers, of length 1."""
    vector = [0.0] * dimensions
    for word in content.lower().split():
        vector[
            int.from_bytes(hashlib.blake2b(word.encode(errors="replace"), digest_size=4).digest(), "big") % dimensions
        ] += 1
    length = math.hypot(*vector) or 1.0
    return [value / length for value in vector]


async def _send_json(
    writer: asyncio.StreamWriter, status: int, body: dict[str, Any], *, headers: Sequence[tuple[str, str]] = ()
) -> None:
    await _send(writer, status, json.dumps(body).encode(), headers=headers)


async def _send(
    writer: asyncio.StreamWriter, status: int, body: bytes, *, headers: Sequence[tuple[str, str]] = ()
) -> None:
    fixed = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    writer.write(_head(status, (*fixed, *headers)) + body)
    await writer.drain()


def _head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
