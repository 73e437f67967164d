"""`agent sync`: channels, live events, agents, states and open conflicts of agents that are kept in step."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from agent.cli.framework import JsonOption, LimitOption, examples, group
from agent.cli.runner import run
from agent.cli.terminal.results import show_done, show_listing

if TYPE_CHECKING:
    from agent.sync import AgentSyncService
    from agent.sync.records import Reading
    from agent.sync.views import Viewer

Result = TypeVar("Result")
app = group(
    "Keep agents in step: channels, events, states, conflicts.",
    *("agent sync channels", "agent sync events seo-1", "agent sync state seo-1"),
    default="channels",
)
ChannelArgument = Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel's name or id.")]
AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's id.")]


@app.command("channels", epilog=examples("agent sync channels", "agent sync channels --json"))
def channels(*, as_json: JsonOption = False) -> None:
    """List the channels with their subscribers and events."""
    known = _run(lambda service, _: service.list_sync_channels())
    rows = [
        (one.name, one.channel_type, one.sync_strategy, one.subscriber_count, one.last_sequence, one.channel_id)
        for one in known
    ]
    columns = ("name", "type", "strategy", "agents", "events", "id")
    show_listing(known, columns, rows, as_json=as_json, empty="There are no channels.")


@app.command(
    "create", epilog=examples("agent sync create seo-agents", "agent sync create nightly --strategy manual --json")
)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the channel.")],
    *,
    channel_type: Annotated[str, typer.Option("--type", help="bidirectional, inbound or outbound.")] = "bidirectional",
    strategy: Annotated[str, typer.Option(help="immediate, batched or manual.")] = "immediate",
    as_json: JsonOption = False,
) -> None:
    """Make a channel, or show the one of that name."""
    made = _run(
        lambda service, _: service.create_sync_channel(name=name, channel_type=channel_type, sync_strategy=strategy)
    )
    show_done(made, f"Channel {made.name} has the id {made.channel_id}.", as_json=as_json)


@app.command("subscribe", epilog=examples("agent sync subscribe seo-agents seo-1"))
def subscribe(
    channel: ChannelArgument,
    agent: AgentArgument,
    *,
    start: Annotated[str, typer.Option(help="new, or all that is kept.")] = "new",
    as_json: JsonOption = False,
) -> None:
    """Subscribe an agent to a channel."""

    async def join(service: AgentSyncService, _: Viewer) -> Any:
        found = await service.find_sync_channel(channel)
        return await service.subscribe_agent_to_channel(agent, found.channel_id, start=start)

    made = _run(join)
    show_done(made, f"{agent} gets the events after {made.delivered_through}.", as_json=as_json)


@app.command("publish", epilog=examples("agent sync publish seo-agents seo-1 status_update '{\"progress\": 0.5}'"))
def publish(
    channel: ChannelArgument,
    agent: AgentArgument,
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="The type of the event.")],
    data: Annotated[str, typer.Argument(metavar="JSON", help="The data of the event, a JSON object.")] = "{}",
    *,
    as_json: JsonOption = False,
) -> None:
    """Publish an agent's event."""
    _send(channel, {"source_agent_id": agent, "event_type": event_type, "data": _json(data)}, as_json=as_json)


@app.command("broadcast", epilog=examples("agent sync broadcast seo-agents config_update '{\"parallelism\": 5}'"))
def broadcast(
    channel: ChannelArgument,
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="The type of the event.")],
    data: Annotated[str, typer.Argument(metavar="JSON", help="The data of the event, a JSON object.")] = "{}",
    *,
    as_json: JsonOption = False,
) -> None:
    """Broadcast an event of the system to a channel's agents."""
    _send(channel, {"event_type": event_type, "data": _json(data)}, as_json=as_json)


@app.command("release", epilog=examples("agent sync release nightly"))
def release(channel: ChannelArgument, *, as_json: JsonOption = False) -> None:
    """Let a manual channel deliver what was published so far."""

    async def let_go(service: AgentSyncService, _: Viewer) -> Any:
        return await service.release_channel((await service.find_sync_channel(channel)).channel_id)

    done = _run(let_go)
    show_done(done, f"{done.name} delivers the events up to {done.released_sequence}.", as_json=as_json)


@app.command("events", epilog=examples("agent sync events seo-1", "agent sync events seo-1 --all --json"))
def events(
    agent: AgentArgument,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also what the agent has acknowledged.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """Show an agent's events that it has not acknowledged. Reading changes nothing."""
    offset = "-1" if everything else None

    async def read(service: AgentSyncService, viewer: Viewer) -> None:
        if not follow:
            reading = await service.get_agent_events(agent, offset=offset, limit=limit)
            _show_reading(viewer.reading(reading), as_json=as_json)
            return
        async for reading in service.follow_agent_events(agent, offset=offset, limit=limit):
            if reading.events or reading.gaps:
                _show_reading(viewer.reading(reading), as_json=as_json, lines=True)

    _run(read)


@app.command("agents", epilog=examples("agent sync agents", "agent sync agents --json"))
def list_agents(*, as_json: JsonOption = False) -> None:
    """List the registry of agents, with who is online."""
    known = _run(lambda service, _: service.list_agents())
    rows = [
        (one.agent_id, one.agent_type, "online" if one.online else "offline", one.status, one.name) for one in known
    ]
    show_listing(
        known, ("id", "type", "presence", "status", "name"), rows, as_json=as_json, empty="No agent is registered."
    )


@app.command("register", epilog=examples("agent sync register seo-1 --name 'SEO agent' --type worker"))
def register(
    agent: AgentArgument,
    *,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    agent_type: Annotated[str | None, typer.Option("--type", help="What kind of agent it is.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Name an agent, or say more of one."""
    made = _run(lambda service, _: service.register_agent(agent, name=name, agent_type=agent_type))
    show_done(made, f"{made.agent_id} is registered as {made.name}.", as_json=as_json)


@app.command("lag", epilog=examples("agent sync lag", "agent sync lag --json"))
def lag(*, as_json: JsonOption = False) -> None:
    """Show how far behind each subscription is, in events and seconds, and which are stuck."""
    known = _run(lambda service, _: service.list_subscriptions())
    rows = [
        (
            one.agent_id, one.lag, f"{one.lag_seconds:.0f} s", one.pending, one.dead, "stuck" if one.stuck else "",
            one.channel_id,
        )
        for one in known
    ]  # fmt: skip
    columns = ("agent", "lag", "age", "pending", "dead", "state", "channel")
    show_listing(known, columns, rows, as_json=as_json, empty="No agent is subscribed to anything.")


@app.command("dead", epilog=examples("agent sync dead", "agent sync dead --json"))
def dead(*, as_json: JsonOption = False) -> None:
    """List events that were delivered as often as allowed, without success."""

    async def letters(service: AgentSyncService, viewer: Viewer) -> Any:
        return [viewer.letter(one) for one in await service.list_dead_letters()]

    known = _run(letters)
    rows = [(one.agent_id, one.sequence, one.attempts, one.reason or "", one.channel_id) for one in known]
    show_listing(
        known,
        ("agent", "event", "attempts", "reason", "channel"),
        rows,
        as_json=as_json,
        empty="No event was given up.",
    )


@app.command("state", epilog=examples("agent sync state seo-1", "agent sync state seo-1 --json"))
def state(agent: AgentArgument, *, as_json: JsonOption = False) -> None:
    """Show an agent's current state."""

    async def read(service: AgentSyncService, viewer: Viewer) -> Any:
        return viewer.snapshot(await service.get_current_state(agent))

    current = _run(read)
    show_done(current, _text(current.state), as_json=as_json)


@app.command("snapshot", epilog=examples("agent sync snapshot seo-1 '{\"progress\": 75}'"))
def snapshot(
    agent: AgentArgument,
    data: Annotated[str, typer.Argument(metavar="JSON", help="The state, a JSON object.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Keep a state as an agent's next version."""
    made = _run(lambda service, _: service.create_state_snapshot(agent, _json(data)))
    show_done(made, f"This is version {made.version} of {agent}.", as_json=as_json)


@app.command("snapshots", epilog=examples("agent sync snapshots seo-1", "agent sync snapshots seo-1 --json"))
def snapshots(agent: AgentArgument, *, limit: LimitOption = 20, as_json: JsonOption = False) -> None:
    """List the versions of an agent's state, the newest first."""

    async def read(service: AgentSyncService, viewer: Viewer) -> Any:
        return [viewer.snapshot(one) for one in await service.list_snapshots(agent, limit=limit)]

    known = _run(read)
    rows = [(one.version, one.source, one.created_by, _text(one.state)) for one in known]
    show_listing(known, ("version", "from", "by", "state"), rows, as_json=as_json, empty=f"{agent} has no state yet.")


@app.command("diff", epilog=examples("agent sync diff seo-1 1", "agent sync diff seo-1 1 --json"))
def diff(
    agent: AgentArgument,
    before: Annotated[int, typer.Argument(metavar="VERSION", min=1, help="The earlier version.")],
    after: Annotated[int | None, typer.Argument(metavar="VERSION", min=1, help="The later one (default: now).")] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show how two versions of a state differ."""

    async def compare(service: AgentSyncService, viewer: Viewer) -> Any:
        return [viewer.difference(one) for one in await service.diff_snapshots(agent, before, after)]

    found = _run(compare)
    rows = [(one.path, one.change, _text(one.before), _text(one.after)) for one in found]
    show_listing(found, ("path", "change", "before", "after"), rows, as_json=as_json, empty="They are the same.")


@app.command("reconcile", epilog=examples("agent sync reconcile seo-1 '{\"progress\": 80}' --strategy merge"))
def reconcile(
    agent: AgentArgument,
    data: Annotated[str, typer.Argument(metavar="JSON", help="The state that was changed apart (docs/sync.md).")],
    *,
    strategy: Annotated[str, typer.Option(help="merge, latest_wins or manual.")] = "merge",
    as_json: JsonOption = False,
) -> None:
    """Bring a state that was changed apart together with the current one."""

    async def bring(service: AgentSyncService, viewer: Viewer) -> Any:
        return viewer.reconciled(await service.reconcile_states(agent, strategy, _json(data)))

    done = _run(bring)
    rows = [(one.path, one.took, _text(one.sides)) for one in done.decisions]
    show_listing(done, ("path", "took", "sides"), rows, as_json=as_json, empty="Nothing differs.")


@app.command("conflicts", epilog=examples("agent sync conflicts", "agent sync conflicts --json"))
def conflicts(*, as_json: JsonOption = False) -> None:
    """List the conflicts that wait for a decision."""

    async def read(service: AgentSyncService, viewer: Viewer) -> Any:
        return [viewer.conflict(one) for one in await service.list_conflicts()]

    known = _run(read)
    rows = [(one.conflict_id, one.agent_id, one.path, _text(one.sides)) for one in known]
    show_listing(known, ("id", "agent", "path", "sides"), rows, as_json=as_json, empty="No conflict waits.")


@app.command("resolve", epilog=examples("agent sync resolve 3 --take theirs --version 2"))
def resolve(
    conflict: Annotated[int, typer.Argument(metavar="ID", min=1, help="The conflict's number.")],
    *,
    take: Annotated[str, typer.Option(help="ours, or theirs.")],
    version: Annotated[int, typer.Option(min=0, help="The version of the state that you looked at.")],
    as_json: JsonOption = False,
) -> None:
    """Decide a conflict. It is refused if the state has changed since you looked."""
    made = _run(lambda service, _: service.resolve_conflict(conflict, take, expected_version=version))
    told = f"This is version {made.version} now." if made else "The state stays as it is."
    show_done(made or {"resolved": conflict}, told, as_json=as_json)


@app.command("outlets", epilog=examples("agent sync outlets", "agent sync outlets --json"))
def outlets(*, as_json: JsonOption = False) -> None:
    """Show where events are passed on to, how far behind that is, and why it waits."""
    found = _run(lambda service, _: service.list_outlets())
    rows = [(one.outlet_id, one.kind, one.target, one.lag, one.error or "") for one in found]
    show_listing(found, ("id", "kind", "target", "behind", "waits for"), rows, as_json=as_json, empty="No outlet.")


@app.command("statistics", epilog=examples("agent sync statistics", "agent sync statistics --json"))
def statistics(*, as_json: JsonOption = False) -> None:
    """Show the figures of all channels."""
    from agent.cli.terminal.render import facts, print_json, stdout

    figures = _run(lambda service, _: service.get_sync_statistics())
    if as_json:
        print_json(figures)
        return
    facts(stdout(), [(name.replace("_", " "), value) for name, value in figures.as_dict().items() if value is not None])


def _run(operation: Callable[[AgentSyncService, Viewer], Awaitable[Result]]) -> Result:
    from agent.sync import AgentSyncService
    from agent.sync.views import viewer_of

    async def acting(runtime: Any) -> Result:
        return await operation(AgentSyncService(runtime), await viewer_of(runtime))

    return run(acting)


def _send(channel: str, event: dict[str, Any], *, as_json: bool) -> None:
    async def send(service: AgentSyncService, _: Viewer) -> Any:
        found = await service.find_sync_channel(channel)
        if "source_agent_id" in event:
            return await service.publish_sync_event(found.channel_id, event)
        return await service.broadcast_to_channel(found.channel_id, event)

    sent = _run(send)
    show_done(sent, f"This is event {sent.sequence} of {channel}.", as_json=as_json)


def _json(text: str) -> Any:

    from agent.errors import InvalidInput

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput(
            "That is not JSON: write an object such as '{\"progress\": 75}', in single quotes."
        ) from None


def _text(value: Any) -> str:

    return json.dumps(value, ensure_ascii=False, default=str)


def _show_reading(reading: Reading, *, as_json: bool, lines: bool = False) -> None:
    from agent.cli.terminal.render import listing, print_json, print_json_line, say, stdout

    if as_json:
        (print_json_line if lines else print_json)(reading)
        return
    for gap in reading.gaps:
        say(stdout(), f"Not recovered: events {gap.from_sequence} to {gap.to_sequence}. {gap.reason}", "yellow")
    rows = [(one.sequence, one.event_type, one.source_agent_id or "system", _text(one.data)) for one in reading.events]
    listing(stdout(), ("event", "type", "from", "data"), rows, empty="There is nothing that is not acknowledged.")
