"""The same alerts over HTTP and on the command line, by role; and a monitor that has stopped in the service's health."""

from __future__ import annotations

from datetime import timedelta

from agent.access import keys
from agent.monitoring.continuous_monitor import ContinuousMonitor
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch
from agent.runtime import Runtime
from agent.testing.served import served


async def look(watch: Watch) -> list[Finding]:
    del watch
    return [Finding(subject="one", severity="HIGH", message="It is wrong.", action="Look.", evidence={"n": 1})]


async def test_alerts_and_runs_over_http_by_role(runtime: Runtime) -> None:
    monitor = ContinuousMonitor(checks=[Check(name="scripted", about="scripted", look=look)])
    await monitor.run_once()
    viewer = await keys.create("see", role="viewer", person="eva", runtime=runtime)
    async with served(runtime) as client, served(runtime, key=viewer.secret) as looking:
        [alert] = (await looking.get("/api/alerts")).json()["items"]
        assert (alert["severity"], alert["message"], alert["evidence"]) == ("HIGH", "It is wrong.", {"n": 1})
        path = f"/api/alerts/{alert['id']}"
        assert (await looking.post(f"{path}/acknowledge", json={})).status_code == 403
        assert (await client.post(f"{path}/acknowledge", json={"comment": "mine"})).json()[
            "acknowledged_by"
        ] == runtime.user
        assert (await client.post(f"{path}/mute", json={"hours": -1})).status_code == 422
        assert (await client.post(f"{path}/mute", json={"hours": 1})).json()["muted_until"]
        assert (await looking.get("/api/alerts/999999")).status_code == 404
        seen = (await looking.get("/api/monitoring")).json()
        assert (seen["open_alerts"], seen["worst"], seen["health"]["problem"]) == (1, "HIGH", "")
        assert (await client.post("/api/monitoring/runs")).json()["status"] == "done"
        await monitor.run_scheduled(timedelta(milliseconds=1), runtime=runtime)
        await runtime.execute(
            "UPDATE agents.monitor_runs SET started_at = now() - interval '1 hour', finished_at = now() - interval '1 hour' WHERE tenant_id = %(tenant_id)s"
        )
        deep = (await client.get("/health?level=deep")).json()
        assert "has not run since" in deep["parts"]["monitor"]["detail"]
