"""Measure plans: what a durable step costs beside bare DBOS, how near plans are to their critical path, and what is left after kills."""

from __future__ import annotations

import logging

from agent.testing.cluster import Cluster
from benchmarks.plans import rates
from benchmarks.report import Report


async def measure(report: Report) -> None:
    logging.disable(logging.WARNING)
    cluster = Cluster()
    try:
        rates.measure(report, cluster.database(cluster.template("blank")))
    finally:
        cluster.close()
