"""Effects that no transaction holds: done once, never repeated on a guess, whoever races and whoever dies."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import psycopg
import pytest

from agent.approval.human_approval import Approval, human_approval_queue
from agent.approval.preview import ToolPreview
from agent.errors import OutcomeUnknown, ProviderUnavailable
from agent.execution import effects
from agent.execution.outside_effects import Happened, OutsideTool, Proposal
from agent.runtime import Runtime
from agent.types import ToolResult


@dataclass
class Horn:
    """Something outside that can be heard: `heard` are the keys it was sounded with."""

    conversation: list[str] = field(default_factory=list)
    fails: Exception | None = None
    dies: bool = False
    seen: Happened = "unknown"

    @property
    def outside(self) -> OutsideTool:
        return OutsideTool(propose=self.propose, carry_out=self.sound, look=self.look, seconds=1.0)

    async def propose(self, arguments: object, *, call: object, runtime: Runtime) -> Proposal:
        raise AssertionError("it was proposed before")

    async def sound(self, approval: Approval, *, key: str, runtime: Runtime) -> ToolResult:
        if self.fails is not None:
            raise self.fails
        self.conversation.append(key)
        if self.dies:
            raise asyncio.CancelledError
        await asyncio.sleep(0.02)
        return ToolResult(success=True, status="succeeded", message="It sounded.")

    async def look(self, approval: Approval, *, key: str, runtime: Runtime) -> Happened:
        return self.seen


async def approved() -> Approval:
    asked = await human_approval_queue.request(
        "sound_horn", {"times": 1}, preview=ToolPreview(sentence="Sounds the horn.")
    )
    return await human_approval_queue.decide(asked.id, "approve")


async def carry_out(horn: Horn, approval: Approval, runtime: Runtime) -> ToolResult:
    return await effects.carry_out(approval, horn.outside, runtime=runtime)


def claims_run_out(runtime: Runtime) -> None:
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute(
            "update agents.human_approval_queue set claimed_until = now() - interval '1 s' where claim is not null"
        )


async def died(horn: Horn, runtime: Runtime) -> Approval:
    approval, horn.dies = await approved(), True
    with pytest.raises(asyncio.CancelledError):
        await carry_out(horn, approval, runtime)
    horn.dies = False
    claims_run_out(runtime)
    return approval


async def test_sixteen_racers_make_one_effect_and_agree_on_it(runtime: Runtime) -> None:
    horn, approval = Horn(), await approved()
    results = await asyncio.gather(*(carry_out(horn, approval, runtime) for _ in range(16)))
    assert len(horn.conversation) == 1
    assert all(result == results[0] and result["success"] for result in results)


async def test_a_failure_says_that_it_did_not_happen_and_is_final(runtime: Runtime) -> None:
    horn, approval = Horn(fails=ProviderUnavailable("The horn has no air.")), await approved()
    result = await carry_out(horn, approval, runtime)
    assert (result["status"], result["error"]) == ("failed", "The horn has no air.")
    horn.fails = None
    assert (await carry_out(horn, approval, runtime))["status"] == "failed"
    assert horn.conversation == []


async def test_what_may_have_happened_is_not_repeated(runtime: Runtime) -> None:
    horn, approval = Horn(fails=OutcomeUnknown("The line went dead.")), await approved()
    result = await carry_out(horn, approval, runtime)
    assert result["status"] == "unknown"
    assert "Look" in result["error"]
    horn.fails = None
    assert (await carry_out(horn, approval, runtime))["status"] == "unknown"
    assert horn.conversation == []


async def test_an_effect_that_takes_too_long_is_not_known_to_have_happened(runtime: Runtime) -> None:
    approval = await approved()

    class Slow(Horn):
        async def sound(self, approval: Approval, *, key: str, runtime: Runtime) -> ToolResult:
            self.conversation.append(key)
            await asyncio.sleep(60)
            raise AssertionError("never reached")

    horn = Slow()
    assert (await carry_out(horn, approval, runtime))["status"] == "unknown"
    assert (await carry_out(horn, approval, runtime))["status"] == "unknown"
    assert len(horn.conversation) == 1


@pytest.mark.parametrize(("seen", "status", "times"), [("done", "succeeded", 1), ("unknown", "unknown", 1), ("not-done", "succeeded", 2)])  # fmt: skip
async def test_after_a_crash_whoever_comes_looks_first(
    seen: Happened, status: str, times: int, runtime: Runtime
) -> None:
    horn = Horn(seen=seen)
    approval = await died(horn, runtime)
    results = await asyncio.gather(*(carry_out(horn, approval, runtime) for _ in range(8)))
    assert {result["status"] for result in results} == {status}
    assert len(horn.conversation) == times
    assert len(set(horn.conversation)) == 1  # the key of the effect is the same at every try
