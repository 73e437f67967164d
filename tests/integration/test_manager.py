"""The manager: agents start, take tasks and events, fail alone, are counted by tenant, and end with their process."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from agent.api import create_app
from agent.errors import ConfigurationError, NotFound
from agent.integration import BaseIntegrationAgent, IntegrationAgentsManager, IntegrationEvent, integration_manager
from agent.integration.circuits import Backoff, PlatformAway
from agent.integration.events import platform_of
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.running import running


class Away(Exception):
    """The platform does not answer."""


class Platform:
    """A platform that can be switched off."""

    def __init__(self) -> None:
        self.away, self.calls, self.closed = False, 0, False

    async def ask(self) -> str:
        self.calls += 1
        if self.away:
            raise Away("redis://user:password@host")
        return "answer"

    async def check(self) -> None:
        await self.ask()

    async def close(self) -> None:
        self.closed = True


class Caller(BaseIntegrationAgent):
    name, summary = "caller", "Calls a platform."

    async def initialize(self) -> None:
        self.platform = Platform()
        self.heard: list[tuple[str, str]] = []
        self.connect("platform", self.platform)

    def tasks(self) -> dict[str, Any]:
        return {"ask": self._ask, "tell": self._tell}

    async def _ask(self, parameters: dict[str, Any], *, runtime: Runtime) -> str:
        return await self.call("platform", self.platform.ask, failed=Away, runtime=runtime)

    async def _tell(self, parameters: dict[str, Any], *, runtime: Runtime) -> None:
        await self.emit("told", parameters, runtime=runtime)

    async def _process_integration_event(self, event: IntegrationEvent, *, runtime: Runtime) -> None:
        self.heard.append((runtime.tenant_id, event.event_type))


class Listener(Caller):
    name = "listener"

    async def _process_integration_event(self, event: IntegrationEvent, *, runtime: Runtime) -> None:
        await super()._process_integration_event(event, runtime=runtime)
        raise RuntimeError("a listener that fails")


class Broken(Caller):
    name = "broken"

    async def initialize(self) -> None:
        raise RuntimeError("postgresql://user:password@host")


async def test_one_agent_that_fails_keeps_no_other_from_its_work(runtime: Runtime) -> None:
    manager = IntegrationAgentsManager([Broken, Caller, Listener])
    assert await manager.initialize(runtime=runtime)
    assert await manager.initialize(runtime=runtime)
    caller, listener = [await manager.agent(name, runtime=runtime) for name in ("caller", "listener")]
    assert isinstance(caller, Caller)
    assert isinstance(listener, Listener)

    assert await manager.execute("caller", "ask", runtime=runtime) == "answer"
    await manager.execute("caller", "tell", {"x": 1}, runtime=runtime.for_tenant("other"))
    assert (caller.heard, listener.heard) == ([], [("other", "told")])

    with pytest.raises(NotFound, match="ask, tell"):
        await manager.execute("caller", "steal", runtime=runtime)
    with pytest.raises(NotFound, match="caller, listener"):
        await manager.execute("nobody", "ask", runtime=runtime)
    with pytest.raises(ConfigurationError, match="did not start: RuntimeError") as raised:
        await manager.execute("broken", "ask", runtime=runtime)
    assert "password" not in str(raised.value)

    ours, theirs = await manager.metrics(runtime=runtime), await manager.metrics(runtime=runtime.for_tenant("other"))
    assert (ours["caller"].total_requests, ours["caller"].failed_requests, ours["caller"].success_rate) == (2, 1, 0.5)
    assert (theirs["caller"].total_requests, theirs["listener"].events_processed) == (1, 1)
    assert {name: one.status for name, one in (await manager.health(runtime=runtime)).items()} == {
        "caller": "healthy", "listener": "healthy", "broken": "unhealthy",
    }  # fmt: skip
    await manager.shutdown(runtime=runtime)
    assert caller.platform.closed
    assert listener.platform.closed
    assert not manager.is_initialized(runtime)


async def test_a_platform_that_is_away_is_called_again_then_left_alone_then_tried(cluster: Any) -> None:
    fast = {
        "integration_recovery_seconds": 0.2,
        "integration_attempts": 2,
        "integration_failure_threshold": 4,
        "integration_half_open_calls": 1,
    }
    settings: Settings = cluster.database(cluster.template("blank")).model_copy(update=fast)
    async with running(settings) as runtime:
        manager = IntegrationAgentsManager([Caller])
        await manager.initialize(runtime=runtime)
        caller = await manager.agent("caller", runtime=runtime)
        assert isinstance(caller, Caller)
        caller.platform.away = True
        for _ in range(2):
            with pytest.raises(PlatformAway, match="platform did not answer") as raised:
                await manager.execute("caller", "ask", runtime=runtime)
            assert "password" not in str(raised.value)
        assert caller.platform.calls == 4
        with pytest.raises(PlatformAway, match="tried again in"):
            await manager.execute("caller", "ask", runtime=runtime)
        assert caller.platform.calls == 4  # refused without a call
        health = (await manager.health(runtime=runtime))["caller"]
        assert (health.status, health.connections["platform"].circuit) == ("degraded", "open")
        deep = (await manager.health(deep=True, runtime=runtime))["caller"].connections["platform"]
        assert deep.error == "platform did not answer (Away)."
        caller.platform.away = False
        await asyncio.sleep(0.25)
        assert await manager.execute("caller", "ask", runtime=runtime) == "answer"
        assert (await manager.health(runtime=runtime))["caller"].status == "healthy"


async def test_three_of_fifty_calls_try_a_platform_again_over_two_processes(cluster: Any) -> None:
    fast = {"integration_recovery_seconds": 0.3, "integration_attempts": 1, "integration_failure_threshold": 1}
    settings: Settings = cluster.database(cluster.template("blank")).model_copy(update=fast)
    async with running(settings) as one, running(settings) as other:  # each has its own memory, as a process has
        manager = IntegrationAgentsManager([Caller])
        first, second = [await manager.agent("caller", runtime=runtime) for runtime in (one, other)]
        assert isinstance(first, Caller)
        assert isinstance(second, Caller)
        first.platform.away = True
        with pytest.raises(PlatformAway):
            await manager.execute("caller", "ask", runtime=one)
        await asyncio.sleep(0.35)
        answered = asyncio.Event()
        calls = 0

        async def hang() -> str:
            nonlocal calls
            calls += 1
            await answered.wait()
            return "answer"

        first.platform.ask = second.platform.ask = hang  # type: ignore[method-assign]
        asked = [asyncio.create_task(manager.execute("caller", "ask", runtime=one if at % 2 else other)) for at in range(50)]  # fmt: skip
        async with asyncio.timeout(20):
            while sum(task.done() for task in asked) < 47:
                await asyncio.sleep(0.02)
        assert calls == 3
        answered.set()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["PlatformAway"] * 47 + ["str"] * 3
        assert (await manager.health(runtime=one))["caller"].connections["platform"].circuit == "closed"


def test_pauses_grow_and_are_bounded() -> None:
    backoff = Backoff(first=0.2, longest=1.0)
    assert [backoff.pause(attempt, 1.0) for attempt in (1, 2, 3, 4, 4_000)] == pytest.approx([0.2, 0.4, 0.8, 1.0, 1.0])
    assert backoff.pause(1, 0.0) == pytest.approx(0.1)


def test_platforms_have_the_words_of_the_document() -> None:
    assert [platform_of(name) for name in ("backend", "Dashboard", " studio ", "Roblox")] == ["backend", "frontend", "roblox", "roblox"]  # fmt: skip


async def test_switched_off_agents_say_who_switches_them_on(cluster: Any) -> None:
    settings = cluster.database(cluster.template("blank")).model_copy(update={"skip_integration_agents": True})
    async with running(settings) as runtime:
        assert not await integration_manager.initialize(runtime=runtime)
        with pytest.raises(ConfigurationError, match="SKIP_INTEGRATION_AGENTS"):
            await integration_manager.execute("schema_validator", "validate", runtime=runtime)
        app = create_app(runtime, jobs=False)
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                status = (await client.get("/api/v1/integration/status")).json()
    assert (status["initialized"], status["agents"]) == (False, {})
