"""People tap at random in both services while the worker is killed twice: nothing is lost, doubled or left with live buttons."""

from __future__ import annotations

from pathlib import Path

from benchmarks import taps

from agent.testing.cluster import Cluster


async def test_a_killed_worker_loses_and_doubles_nothing(cluster: Cluster, tmp_path: Path) -> None:
    settings = cluster.database(cluster.template("taps", taps.fill))
    found = await taps.race(settings, requests=20, kills=2, folder=tmp_path)
    assert (found.lost, found.doubled, found.live, found.copies["slack"]) == (0, 0, 0, 0)
    assert sum(found.statuses.values()) == 20
