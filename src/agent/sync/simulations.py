"""Results of simulations: kept, and brought to the agents that they are for, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import agent.sync.channels as channels
import agent.sync.subscriptions as subscriptions
from agent.db import load_queries
from agent.errors import InvalidInput
from agent.runtime import Runtime
from agent.sync.events import append, checked
from agent.sync.payloads import checked_name
from agent.sync.records import Simulation
from agent.sync.subscriptions import Terms
from agent.sync.wakeups import wakeups_of

_QUERIES = load_queries(__package__)
CHANNEL = "simulations"


async def propagate(
    simulation_id: str, results: Mapping[str, Any], target_agents: Sequence[str], *, subject: str, runtime: Runtime
) -> Simulation:
    """Keep the results of a simulation, and deliver them to the target agents over the channel `simulations`."""
    checked_name(simulation_id, what="simulation_id")
    if len(subject) > 10_000 or not target_agents:
        raise InvalidInput(
            "Name the agents that the results are for, and say in at most 10,000 characters what was simulated."
        )
    given = {"event_type": "simulation_results", "target_agents": list(target_agents)}
    event = checked(
        {**given, "data": {"simulation_id": simulation_id, "results": results}}, broadcast=True, runtime=runtime
    )
    channel = await channels.create(
        CHANNEL, channel_type="outbound", sync_strategy="immediate", batch_size=100, batch_ms=20, runtime=runtime
    )
    there = {one.agent_id for one in await subscriptions.every(channel_id=channel.channel_id, runtime=runtime)}
    for agent_id in dict.fromkeys(target_agents):
        if agent_id not in there:
            await subscriptions.subscribe(agent_id, channel.channel_id, Terms(), runtime=runtime)
    key, _ = await channels.rules(channel.channel_id, runtime=runtime)
    async with runtime.transaction() as conn:
        values = {
            "simulation_id": simulation_id,
            "subject": subject,
            "by": runtime.user,
            "tenant_id": runtime.tenant_id,
        }
        await conn.execute(_QUERIES["save_simulation"], {**values, "results": json.dumps(results, ensure_ascii=False)})
        (sent,) = await append(key, [event], runtime=runtime, connection=conn)
    wakeups_of(runtime).announce()
    return Simulation(simulation_id=simulation_id, results=dict(results), target_agents=list(target_agents), event=sent)
