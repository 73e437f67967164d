"""What the models cost: more tokens or money in an hour than usual at this time of day."""

from __future__ import annotations

from agent.db import load_queries
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch

_QUERIES = load_queries(__package__, "own.sql")
_LEAST = {"cost_usd": 0.05, "tokens": 20_000.0}
_TIMES_MORE = 5.0


async def look(watch: Watch) -> list[Finding]:
    """Measure money and tokens of the last hour, and compare them with the days before."""
    [row] = await watch.own(_QUERIES["spent"])
    findings = []
    for metric, least in _LEAST.items():
        now, most = row[metric], row[f"{metric}_before"]
        watch.note(metric, now)
        unusual = await watch.unusual(metric, least=least)
        if not unusual and not (row["hours"] >= 12 and now > max(_TIMES_MORE * most, least * 10)):
            continue
        spent = f"{now:.2f} USD" if metric == "cost_usd" else f"{now:,.0f} tokens"
        findings.append(
            Finding(
                subject=metric, severity="HIGH",
                message=f"The models used {spent} in the last hour, much more than usual.",
                action="See which questions: agent executions. `agent stop` ends it at once.",
                evidence={"last_hour": round(now, 4), "most_before": round(most, 4), "by": row["by"]},
            )
        )  # fmt: skip
    return findings


CHECK = Check(name="cost", about="What the models cost", look=look)
