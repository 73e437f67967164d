"""Measure plans: what a durable step costs beside bare DBOS, how near plans are to their critical path, what is left after kills, and the learners."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from agent.runtime import open_runtime
from agent.testing.cluster import Cluster
from benchmarks.plans import kills, learners, rates, speech, times
from benchmarks.report import Report


async def measure(report: Report) -> None:
    logging.disable(logging.WARNING)
    learners.measure(report)
    speech.measure(report)
    cluster = Cluster()
    try:
        rates.measure(report, cluster.database(cluster.template("blank")))
        runtime = await open_runtime(cluster.database(cluster.template("blank")))
        try:
            await times.measure(report, runtime)
            with tempfile.TemporaryDirectory() as folder:
                await kills.measure(report, runtime, Path(folder))
        finally:
            await runtime.close()
    finally:
        cluster.close()
