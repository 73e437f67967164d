"""Time: a request waits as long as its risk allows, people are told twice on the way, and its end is an end."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

import agent.approval
from agent.approval import reminders
from agent.approval.human_approval import human_approval_queue
from agent.approval.people import people
from agent.errors import AlreadyDecided, ProviderUnavailable
from agent.execution.log import executions
from agent.runtime import Runtime, open_runtime
from agent.types import Notice


def age(runtime: Runtime, approval: int, share: float) -> None:
    """As if `share` of the request's 100 seconds had passed."""
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        conn.execute(
            "update agents.human_approval_queue set created_at = now() - interval '100 s' * %s,"
            " expires_at = now() + interval '100 s' * (1 - %s) where id = %s",
            [share, share, approval],
        )


class Collected:
    """A notifier that keeps what it is given."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    async def notify(self, notice: Notice) -> None:
        self.notices.append(notice)


async def test_a_request_waits_as_long_as_its_risk_or_its_asker_says(runtime: Runtime) -> None:
    settings = runtime.settings.model_copy(update={"approval_timeouts": "CRITICAL=1800, LOW=60"})
    timed = replace(runtime, settings=settings)
    lives = []
    for risk, timeout in (("LOW", None), ("MEDIUM", None), ("CRITICAL", None), ("CRITICAL", 5.0)):
        one = await human_approval_queue.request("x", {}, risk_level=risk, timeout=timeout, runtime=timed)
        lives.append((one.expires_at - one.created_at).total_seconds())
    assert lives == [60, 300, 1800, 5]


async def test_people_are_reminded_and_admins_told_once_whichever_of_many_processes_looks(runtime: Runtime) -> None:
    ann = runtime.for_tenant("default", user="ann")
    await people.add("ann", ["admin"], runtime=ann)
    await people.add("bo", ["approver"], runtime=ann)
    await people.add("ed", ["personal"], runtime=ann)
    told = Collected()
    looking = [replace(runtime, notifier=told), replace(await open_runtime(runtime.settings), notifier=told)]

    async def look() -> None:
        reads = [human_approval_queue.get(approval.id, runtime=one) for one in looking for _ in range(4)]
        await asyncio.gather(*reads, *(human_approval_queue.get_pending_approvals(runtime=one) for one in looking))

    approval = await human_approval_queue.request("x", {}, summary="Do x?")
    for share, expected in ((0.49, []), (0.51, ["reminder"]), (0.79, ["reminder"]), (0.81, ["reminder", "escalation"])):
        age(runtime, approval.id, share)
        await look()
        assert [one.kind for one in told.notices] == expected
    assert [one.recipients for one in told.notices] == [("ann", "bo"), ("ann",)]
    assert "Allow x?" in told.notices[0].text  # one of them may not see what the sentence may hold
    assert "agent approvals show" in told.notices[0].text
    assert [one for one, _ in await human_approval_queue.notices()] == told.notices[::-1]
    await looking[1].close()


async def test_nobody_is_told_of_what_is_decided_or_over(runtime: Runtime) -> None:
    told = Collected()
    looking = replace(runtime, notifier=told)
    decided = await human_approval_queue.request("x", {})
    over = await human_approval_queue.request("y", {})
    await human_approval_queue.decide(decided.id, "approve")
    age(runtime, decided.id, 0.9)
    age(runtime, over.id, 1.1)
    for approval in (decided, over):
        await human_approval_queue.get(approval.id, runtime=looking)
    assert told.notices == []


async def test_a_delegate_is_reminded_in_place_of_the_others(runtime: Runtime) -> None:
    ann = runtime.for_tenant("default", user="ann")
    for name, roles in (("ann", ["admin"]), ("bo", ["approver"]), ("cy", ["approver"])):
        await people.add(name, roles, runtime=ann)
    told = Collected()
    looking = replace(runtime, notifier=told)
    approval = await human_approval_queue.request("x", {})
    await human_approval_queue.decide(approval.id, "delegate", decided_by="bo", delegate_to="cy", runtime=looking)
    age(runtime, approval.id, 0.9)
    await human_approval_queue.get(approval.id, runtime=looking)
    assert [(one.kind, one.recipients) for one in told.notices] == [
        ("delegated", ("cy",)),
        ("reminder", ("cy",)),
        ("escalation", ("ann",)),
    ]


@pytest.mark.parametrize("failure", [ProviderUnavailable("The mail server is away."), ValueError("a bug"), None])
async def test_a_notifier_that_fails_or_never_ends_keeps_nobody_from_deciding(
    runtime: Runtime, failure: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        async def notify(self, notice: Notice) -> None:
            if failure is None:
                await asyncio.Event().wait()
            raise failure

    monkeypatch.setattr(reminders, "_MOST_SECONDS", 0.05)
    looking = replace(runtime, notifier=Away())
    approval = await human_approval_queue.request("x", {})
    age(runtime, approval.id, 0.6)
    assert (await human_approval_queue.get(approval.id, runtime=looking)).status == "pending"
    assert (await human_approval_queue.decide(approval.id, "approve", runtime=looking)).status == "approved"
    assert [one.kind for one, _ in await human_approval_queue.notices()] == ["reminder"]


async def test_at_the_very_end_a_request_is_either_decided_in_time_or_expired(runtime: Runtime) -> None:
    outcomes: Counter[str] = Counter()
    for _ in range(12):
        approval = await human_approval_queue.request("x", {}, timeout=0.12)

        async def decide(wait: float, approval_id: int = approval.id) -> str:
            await asyncio.sleep(wait)
            try:
                return (await human_approval_queue.decide(approval_id, "reject")).status
            except AlreadyDecided:
                return "late"

        said = await asyncio.gather(*(decide(0.10 + number / 250) for number in range(12)))
        final = await human_approval_queue.get(approval.id)
        assert said.count("rejected") == (final.status == "rejected")
        assert final.decided_at is not None
        assert (final.decided_at < final.expires_at) == (final.status == "rejected")
        outcomes[final.status] += 1
    assert sorted(row.status for row in await executions.recent()) == sorted(outcomes.elements())


@pytest.mark.parametrize("decision", ["approve", "reject", "respond"])
async def test_after_the_end_nothing_is_decided(runtime: Runtime, decision: str) -> None:
    approval = await human_approval_queue.request("x", {})
    age(runtime, approval.id, 1.0)
    with pytest.raises(AlreadyDecided, match="reopen"):
        await human_approval_queue.decide(approval.id, decision, response="x")


def test_only_the_databases_clock_says_what_time_it_is() -> None:
    here = re.compile(r"datetime\.now|utcnow|time\.time\(")
    sources = Path(agent.approval.__file__).parent.glob("*.py")
    assert [path.name for path in sources if here.search(path.read_text(encoding="utf-8"))] == []
