"""Try the whole OpenAPI document with generated requests: edge values of every parameter, and wrong and odd data."""

from __future__ import annotations

import tempfile
from pathlib import Path

from agent.testing.cluster import Cluster
from agent.testing.running import running
from benchmarks.generated_requests import GROUPS, OTHERS, send_generated
from benchmarks.report import Report


async def measure(report: Report) -> None:
    """Measure whether each answer is one that the document names."""
    cluster = Cluster()
    try:
        for group in (*GROUPS, OTHERS):
            async with running(cluster.database(cluster.template("blank"))) as runtime:
                with tempfile.TemporaryDirectory() as folder:
                    found = await send_generated(runtime, group, Path(folder), phases="coverage,fuzzing", examples=20)
            if not found.right:
                report.note(found.output[-3_000:])
            report.bar(
                f"answers that the document names, {group}",
                bar="all",
                reached=found.sent if found.right else "not all",
                ok=found.right,
            )
    finally:
        cluster.close()
