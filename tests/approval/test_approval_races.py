"""Sixteen people in four processes at the same moment; `make bench` does the same a few hundred times."""

from __future__ import annotations

import pytest
from benchmarks import votes

from agent.runtime import open_runtime, use_runtime
from agent.testing.cluster import Cluster


@pytest.mark.parametrize(
    ("kind", "rounds", "ends"),
    [("vote", 8, {"approved"}), ("edit", 2, {"edited", "approved"}), ("expiry", 12, {"rejected", "expired"})],
)
async def test_no_request_ends_otherwise_than_it_may(
    cluster: Cluster, kind: votes.Kind, rounds: int, ends: set[str]
) -> None:
    runtime = await open_runtime(cluster.database(cluster.template("votes", votes.fill)))
    with use_runtime(runtime):
        found = await votes.race(runtime, kind, rounds)
    await runtime.close()
    assert found.wrong == 0
    assert set(found.statuses) <= ends
