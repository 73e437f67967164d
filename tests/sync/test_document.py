"""The examples of the requirements' part on synchronisation, as they are written there, in Python."""

from __future__ import annotations

import dataclasses

import pytest

from agent.runtime import Runtime
from agent.sync import AgentSyncService


async def test_two_way_communication(runtime: Runtime) -> None:
    sync_service, agent_id = AgentSyncService(runtime), "seo-1"
    channel = await sync_service.create_sync_channel(
        {"name": "seo-agents", "channel_type": "bidirectional", "sync_strategy": "immediate"}
    )
    await sync_service.subscribe_agent_to_channel(agent_id, channel.channel_id)
    await sync_service.publish_sync_event(
        channel.channel_id,
        {"source_agent_id": agent_id, "event_type": "status_update", "data": {"status": "processing", "progress": 0.5}},
    )
    await sync_service.broadcast_to_channel(
        channel.channel_id, {"event_type": "config_update", "data": {"new_config": {"parallelism": 5}}}
    )

    reading = await sync_service.get_agent_events(agent_id)
    assert [(one.sequence, one.event_type, one.source_agent_id) for one in reading.events] == [
        (1, "status_update", agent_id),
        (2, "config_update", None),
    ]
    assert reading.events[0]["data"] == {"status": "processing", "progress": 0.5}
    assert (await sync_service.get_agent_events(agent_id, offset=reading.offset)).events == []
    assert channel["channel_id"] == channel.channel_id
    with pytest.raises(dataclasses.FrozenInstanceError):
        channel.name = "other"  # type: ignore[misc]  # that is what is tried


async def test_state_management(runtime: Runtime) -> None:
    sync_service, agent_id = AgentSyncService(), "seo-1"  # the current runtime
    state = {"current_task": "seo_analysis", "progress": 75, "metrics": {"processed": 1500, "remaining": 500}}
    snapshot = await sync_service.create_state_snapshot(agent_id, state)
    current_state = await sync_service.get_current_state(agent_id)
    assert (snapshot.version, current_state.state) == (1, state)

    reconciled = await sync_service.reconcile_states(agent_id, "merge", {"progress": 80})
    assert reconciled.state == {**state, "progress": 80}
    (decision,) = reconciled.decisions
    assert (decision.path, decision.took, decision.sides) == (
        "/progress", "theirs", {"base": 75, "ours": 75, "theirs": 80},
    )  # fmt: skip
    assert [(one.path, one.before, one.after) for one in await sync_service.diff_snapshots(agent_id, 1)] == [
        ("/progress", 75, 80)
    ]


async def test_simulation_results_reach_the_target_agents_only(runtime: Runtime) -> None:
    sync_service = AgentSyncService(runtime)
    results = {"estimated_duration": 5000, "predicted_output": {"pages": 3}}
    sent = await sync_service.propagate_simulation_results("simulation-7", results, ["a1", "a2"])
    await sync_service.subscribe_agent_to_channel("a3", sent.event.channel_id, start="all")
    for agent_id in ("a1", "a2"):
        (event,) = (await sync_service.get_agent_events(agent_id)).events
        assert event.data == {"simulation_id": "simulation-7", "results": results}
    assert (await sync_service.get_agent_events("a3")).events == []
    row = await runtime.one("select results from agents.agent_simulations where tenant_id = %(tenant_id)s")
    assert row == {"results": results}


async def test_the_statistics_show_the_subscriber_count(runtime: Runtime) -> None:
    sync_service = AgentSyncService(runtime)
    channel = await sync_service.create_sync_channel(name="learning-workflow")
    await sync_service.subscribe_agent_to_channel("a1", channel.channel_id)
    for number in range(3):
        await sync_service.broadcast_to_channel(
            channel.channel_id, {"event_type": "new_config_available", "data": {"n": number}}
        )
    stats = await sync_service.get_sync_statistics(channel.channel_id)
    assert (stats.subscriber_count, stats.event_count, stats.most_lag) == (1, 3, 3)
