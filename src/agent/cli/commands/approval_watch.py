"""`agent approvals watch`: show requests, decisions and reminders when they come. While it runs, reminders are sent in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.framework import examples
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.runtime import Runtime

EXAMPLES = examples("agent approvals watch", "agent approvals watch --every 10 --json")
_NOTICES = 50


def watch(
    *,
    every: Annotated[float, typer.Option(metavar="SECONDS", min=0.2, max=3600, help="Look this often.")] = 0.5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each, and nothing else.")] = False,
) -> None:
    """Show new requests, their decisions, and reminders when they come. Ctrl-C ends it."""

    async def show(runtime: Runtime) -> None:
        async for event in _events(every, runtime):
            _print(event, as_json=as_json)

    run(show)


async def _events(every: float, runtime: Runtime) -> AsyncIterator[dict[str, Any]]:
    from agent.approval.human_approval import human_approval_queue

    earlier = await human_approval_queue.notices(_NOTICES, runtime=runtime)
    known: set[tuple[Any, ...]] = {(notice.approval_id, notice.kind, at) for notice, at in earlier}
    waiting: set[int] = set()
    while True:
        pending = {
            request["id"]: request for request in await human_approval_queue.get_pending_approvals(runtime=runtime)
        }
        for approval_id in sorted(waiting - pending.keys()):
            decided = await human_approval_queue.get(approval_id, runtime=runtime)
            if decided.status != "pending":
                waiting.discard(approval_id)
                yield {"event": "decided", **decided.as_dict()}
        for approval_id in sorted(pending.keys() - waiting):
            waiting.add(approval_id)
            yield {"event": "asked", **pending[approval_id]}
        for notice, at in reversed(await human_approval_queue.notices(_NOTICES, runtime=runtime)):
            if (notice.approval_id, notice.kind, at) not in known:
                known.add((notice.approval_id, notice.kind, at))
                yield {"event": notice.kind, "id": notice.approval_id, "to": notice.recipients, "text": notice.text}
        await asyncio.sleep(every)


def _print(event: dict[str, Any], *, as_json: bool) -> None:
    from agent.cli.terminal.clean_text import left, one_line
    from agent.cli.terminal.render import print_json_line, say, stdout

    if as_json:
        print_json_line(event)
    elif event["event"] == "asked":
        head = f"Approval {event['id']} · risk {event['risk_level']} · {event['requested_by']} · {left(event['expires_at'])} left"
        say(stdout(), f"{head}: {one_line(event['summary'], 400)}")
    elif event["event"] == "decided":
        by = f" by {event['decided_by']}" if event["decided_by"] else ""
        say(stdout(), f"Approval {event['id']} is {event['status']}{by}: {one_line(event['summary'], 400)}", "dim")
    else:
        to = f" for {', '.join(event['to'])}" if event["to"] else ""
        say(stdout(), f"{event['event'].capitalize()}{to}: {one_line(event['text'], 400)}", "yellow")
