"""Call a served agent from Python, with the names of the Python API.

async with AgentClient("http://127.0.0.1:8080", key="agk_...") as agent:
    answer = await agent.answer("How many clients are active?")
    async for event in agent.ask("Pause client 3"):
        ...
    await agent.decide(answer["approvals"][0]["id"], "approve")
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

import httpx

from agent.errors import (
    AgentError,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    PolicyError,
    ProviderUnavailable,
    UserError,
)

__all__ = ["AgentClient", "StreamEvent"]

_TIMEOUT_SECONDS = 600.0
_RETRIES = 2
_ERRORS: dict[int, type[AgentError]] = {
    401: NotAuthenticated, 403: PolicyError, 404: NotFound, 409: UserError, 422: InvalidInput, 503: ProviderUnavailable,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """One event of a turn: started, knowledge, token, restart, tool, approval, answer, error or done. `id` lets a stream be read on after it."""

    id: str
    event: str
    data: dict[str, Any]


class AgentClient:
    """A client of one served agent. Errors are those of the Python API, with the server's sentence."""

    def __init__(
        self, url: str = "http://127.0.0.1:8080", *, key: str | None = None, timeout: float = _TIMEOUT_SECONDS
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        transport = httpx.AsyncHTTPTransport(retries=_RETRIES)
        self._http = httpx.AsyncClient(base_url=url.rstrip("/"), headers=headers, timeout=timeout, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    # Chat

    async def answer(self, question: str, *, thread_id: str | None = None) -> dict[str, Any]:
        """Ask, and return the answer, or what must be decided first. Raises the agent's errors."""
        return await self._write("POST", "/api/chat", {"message": question, "thread_id": thread_id})

    async def ask(self, question: str, *, thread_id: str | None = None) -> AsyncIterator[StreamEvent]:
        """Ask, and yield the turn's events as they happen. A broken connection is taken up again where it broke."""
        body = {"message": question, "thread_id": thread_id}
        async for event in self._events("POST", "/api/chat", body):
            yield event

    async def finish(self, thread_id: str) -> dict[str, Any]:
        """Continue a turn whose approvals were decided, and return the answer."""
        return await self._write("POST", f"/api/chat/{_quoted(thread_id)}/resume")

    async def cancel(self, thread_id: str) -> None:
        """Stop the turn that runs on a thread."""
        await self._write("POST", f"/api/chat/{_quoted(thread_id)}/cancel")

    async def turns(self, thread_id: str) -> list[dict[str, Any]]:
        """Return the whole conversation of a thread."""
        turns: list[dict[str, Any]] = (await self._read(f"/api/threads/{_quoted(thread_id)}"))["turns"]
        return turns

    # Approvals

    async def pending(self) -> list[dict[str, Any]]:
        """Return the requests that wait for a human."""
        return await self._all("/api/approvals")

    async def approval(self, approval_id: int, *, wait: float = 0) -> dict[str, Any]:
        """Return one request; with `wait`, as soon as it is decided or after that many seconds."""
        return await self._read(f"/api/approvals/{approval_id}", wait=wait)

    async def decide(self, approval_id: int, decision: str, **details: Any) -> dict[str, Any]:
        """Decide a request: approve, reject, edit (`arguments=`), respond (`response=`) or delegate (`delegate_to=`)."""
        return await self._write("POST", f"/api/approvals/{approval_id}/decision", {"decision": decision, **details})

    async def ask_human(self, question: str, *, schema: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask a human through the agent's inbox; `schema` says what object the answer must be. Does not wait."""
        body = {"question": question, "answer_schema": schema}
        return await self._write("POST", "/api/approvals/questions", body)

    async def human_answer(self, question_id: int, *, wait: float = 0) -> dict[str, Any]:
        """Return what became of a question; with `wait`, as soon as it is answered or after that many seconds."""
        return await self._read(f"/api/approvals/questions/{question_id}", wait=wait)

    # Memory and knowledge

    async def search_memories(self, query: str, *, limit: int = 10) -> list[dict[str, Any]]:
        """Search what the agent remembers; the best come first."""
        found: list[dict[str, Any]] = (await self._read("/api/memories", query=query, limit=limit))["items"]
        return found

    async def remember(self, content: str) -> dict[str, Any]:
        """Teach the agent a fact."""
        return await self._write("POST", "/api/memories", {"content": content})

    async def forget(self, memory_id: int) -> None:
        """Forget a memory for good."""
        await self._write("DELETE", f"/api/memories/{memory_id}")

    async def knowledge(self, *, name: str | None = None, question: str | None = None) -> dict[str, Any]:
        """Return what is known of an object, for a question, or of everything in short."""
        return await self._read("/api/knowledge", name=name, question=question)

    # What it does

    async def assess(self, action: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Say what would become of an action. Nothing runs."""
        return await self._write("POST", "/api/executions/preflight", {"action": action, "arguments": dict(arguments)})

    async def executions(self) -> list[dict[str, Any]]:
        """Return what was done, the newest first."""
        return await self._all("/api/executions")

    async def undo(self, execution_id: int) -> dict[str, Any]:
        """Ask for approval to take a change back."""
        return await self._write("POST", f"/api/executions/{execution_id}/undo")

    async def stop(self, reason: str = "") -> dict[str, Any]:
        """Stop the agent in every process."""
        return await self._write("POST", "/api/controls/stop", {"reason": reason})

    async def resume(self) -> dict[str, Any]:
        """Lift the stop switch and the read-only mode."""
        return await self._write("POST", "/api/controls/resume")

    async def break_glass(self, reason: str, *, minutes: int = 15) -> dict[str, Any]:
        """Lift the freeze and the recovery condition for some minutes; everybody is told. Only a named admin may."""
        return await self._write("POST", "/api/controls/break-glass", {"reason": reason, "minutes": minutes})

    async def end_break_glass(self) -> dict[str, Any]:
        """End a break-glass before its time, and return the switches."""
        return await self._write("POST", "/api/controls/break-glass/end")

    async def doctor(self) -> dict[str, Any]:
        """Say which guard is on, what is missing, and which kind of action asks whom."""
        return await self._read("/api/doctor")

    async def coverage(self) -> dict[str, Any]:
        """Say which kind of action runs at once, asks whom, or is refused."""
        return await self._read("/api/coverage")

    async def settings(self) -> list[dict[str, Any]]:
        """Return the settings that may be read, as they are in force."""
        settings: list[dict[str, Any]] = (await self._read("/api/settings"))["settings"]
        return settings

    async def health(self, *, level: str = "basic") -> dict[str, Any]:
        """Say whether the service works."""
        return await self._read("/health", level=level)

    async def request(self, method: str, path: str, **options: Any) -> Any:
        """Call a route that has no method here, and return its JSON. Raises the agent's errors."""
        return _read(await self._http.request(method, path, **options))

    async def _read(self, path: str, **parameters: Any) -> dict[str, Any]:
        given = {name: value for name, value in parameters.items() if value is not None}
        document: dict[str, Any] = await self.request("GET", path, params=given)
        return document

    async def _write(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        # The key makes a repetition after a lost connection harmless.
        headers = {"Idempotency-Key": uuid4().hex}
        document: dict[str, Any] = await self.request(
            method, path, json=None if body is None else dict(body), headers=headers
        )
        return document

    async def _all(self, path: str) -> list[dict[str, Any]]:
        """Return every entry of a list, page by page."""
        page = await self._read(path, limit=200)
        entries: list[dict[str, Any]] = page["items"]
        while page["next"]:
            page = await self._read(path, limit=200, cursor=page["next"])
            entries += page["items"]
        return entries

    async def _events(self, method: str, path: str, body: Mapping[str, Any] | None) -> AsyncIterator[StreamEvent]:
        last = ""
        for _ in range(_RETRIES + 1):
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
            try:
                async with self._http.stream(method, path, json=body, headers=headers) as response:
                    if response.status_code >= 400:
                        await response.aread()
                        _read(response)
                    async for event in _parsed(response):
                        last = event.id or last
                        yield event
                        if event.event in ("done", "error"):
                            return
            except httpx.TransportError:
                if not last:
                    raise
            if not last:
                break
            method, path, body = "GET", f"/api/chat/streams/{last.partition(':')[0]}", None
        raise ProviderUnavailable("The connection to the agent broke, and the turn may still run: read its thread.")


def _quoted(part: str) -> str:
    return quote(part, safe="")


def _read(response: httpx.Response) -> Any:
    if response.status_code < 400:
        return response.json() if response.content else {}
    try:
        detail = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"The agent answered {response.status_code}."
    raise _ERRORS.get(response.status_code, AgentError)(detail)


async def _parsed(response: httpx.Response) -> AsyncIterator[StreamEvent]:
    """Yield the events of a stream as they come."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if not line:
            if "data" in fields:
                data = json.loads(fields["data"])
                yield StreamEvent(id=fields.get("id", ""), event=fields.get("event", "message"), data=data)
            fields = {}
            continue
        name, _, value = line.partition(":")
        if name:  # a line that begins with a colon is a comment that keeps the connection open
            fields[name] = value.removeprefix(" ")
