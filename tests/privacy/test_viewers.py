"""Whatever shows what was asked and done shows it as the viewer may see it; the rows themselves stay inside."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

import agent
from agent.approval.human_approval import human_approval_queue
from agent.approval.people import people
from agent.approval.permissions import permissions
from agent.chat import Answered, chat
from agent.errors import InvalidArguments, InvalidInput
from agent.execution.log import executions
from agent.execution.permissions.scope import Always
from agent.execution.safe_executor import safe_executor
from agent.learning.memory.store import agent_memory
from agent.operations import audit, memories
from agent.privacy.masking import MASK
from agent.runtime import Runtime, use_runtime
from agent.testing.scripted_model import call, scripted_client
from agent.threads import threads
from agent.types import CallKey

OLD, NEW = "anna.smith@firm.example", "annette.jones@firm.example"
CHANGE = f"/* /* */ ' */ UPDATE contacts SET email = '{NEW}' WHERE email = '{OLD}' -- for Anna Smith"
QUESTION = f"Set the address of Anna Smith ({OLD}) to {NEW}"
PLANTED = ("anna", "annette", "smith", "jones", "firm.example")


@pytest.fixture
async def office(demo_runtime: Runtime, tmp_path: Path) -> AsyncIterator[Runtime]:
    """Ann sees everything, Bo only decides, the tester only asks; one change was asked, approved, done and remembered."""
    settings = demo_runtime.settings.model_copy(
        update={"email_outbox": tmp_path / "out", "smtp_from": "bot@host.example"}
    )
    script = [call("execute_sql", sql=CHANGE), f"Anna Smith now has {NEW}."]
    asker = replace(demo_runtime, settings=settings, model=scripted_client(script), cached={})
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("update contacts set email = %s where id = 1", [OLD])
    ann = asker.for_tenant(asker.tenant_id, user="ann")
    await people.add("ann", ["admin", "personal"], runtime=ann)
    for name in ("bo", "tester"):
        await people.add(name, ["approver"], runtime=ann)
    with use_runtime(asker):
        asked = await chat.answer(QUESTION, thread_id="t")
        number = asked.approvals[0].id
        await safe_executor.decide(number, "approve", decided_by="bo", always=Always(seconds=600))
        await safe_executor.run_approved(number)
        await chat.finish("t")
        await agent_memory.save(f"Anna Smith's address is {NEW}.", kind="fact", subject=NEW, source_quote=QUESTION)
        await safe_executor.execute("no such tool for Anna", {"who": NEW}, wait=False)
        mail = {"to": [OLD], "subject": "Hello Anna", "body": f"Dear Anna Smith, {NEW}"}
        await safe_executor.execute("send_email", mail, wait=False)
        yield asker


def as_text(value: Any) -> str:
    return json.dumps(value, default=lambda one: asdict(one) if is_dataclass(one) else str(one), ensure_ascii=False)


def planted_in(value: Any) -> list[str]:
    text = as_text(value).casefold()
    return [one for one in PLANTED if one in text]


async def everything(runtime: Runtime) -> Mapping[str, Any]:
    """What every reader gives to the runtime's user."""
    requests = await human_approval_queue.history(runtime=runtime)
    log = await executions.recent(runtime=runtime)
    done = next(one for one in log if one.row_count == 1 and one.approval_id)
    key = CallKey(thread_id="t", turn=1, round=1, ordinal=1)
    undo = await safe_executor.undo(done.id, wait=False, actor="tester", runtime=runtime)
    readers: dict[str, Awaitable[Any]] = {
        "get": human_approval_queue.get(requests[-1].id, runtime=runtime),
        "latest": human_approval_queue.latest(requests[-1].id, runtime=runtime),
        "of_call": human_approval_queue.of_call(key, runtime=runtime),
        "for_turn": human_approval_queue.for_turn("t", 1, runtime=runtime),
        "wait": human_approval_queue.wait(requests[-1].id, runtime=runtime),
        "pending": human_approval_queue.get_pending_approvals(runtime=runtime),
        "undo": human_approval_queue.get(undo["approval_id"], runtime=runtime),
        "notices": human_approval_queue.notices(runtime=runtime),
        "result": safe_executor.run_approved(requests[-1].id, runtime=runtime),
        "executions": executions.recent(1000, runtime=runtime),
        "execution": executions.get(done.id, runtime=runtime),
        "with_calls": executions.with_calls(done.id, runtime=runtime),
        "threads": threads.recent(runtime=runtime),
        "turns": threads.turns("t", runtime=runtime),
        "calls": threads.calls("t", 1, runtime=runtime),
        "call": threads.call(key, runtime=runtime),
        "permissions": permissions.list_permissions(runtime=runtime),
        "memories": memories.recent(None, 100, runtime=runtime),
        "search": memories.search("address", 10, kinds=None, runtime=runtime),
        "memory": memories.get((await agent_memory.list_memories("fact", 1, runtime=runtime))[0].id, runtime=runtime),
        "audit": audit.recent(1000, runtime=runtime),
    }
    return {"history": requests, **{name: await reader for name, reader in readers.items()}}


async def test_no_reader_gives_a_personal_value_to_who_may_not_see_it(office: Runtime) -> None:
    seen = await everything(office.for_tenant(office.tenant_id, user="bo"))
    assert {name: planted_in(value) for name, value in seen.items() if planted_in(value)} == {}
    # It is the same that who may see it is given whole; a notice is everybody's, and permissions are told by statement.
    whole = await everything(office.for_tenant(office.tenant_id, user="ann"))
    assert [name for name, value in whole.items() if not planted_in(value)] == ["notices"]


async def test_who_asked_sees_their_question_and_its_answer(office: Runtime) -> None:
    (turn,) = await threads.turns("t")
    assert (turn["question"], NEW in turn["answer"], planted_in(turn["sources"])) == (QUESTION, True, [])
    assert planted_in(await threads.calls("t", 1)) == []
    (turn,) = await threads.turns("t", viewer="bo")
    assert (turn["question"], turn["answer"]) == (MASK, MASK)
    assert [one["title"] for one in await threads.recent(viewer="bo")] == [MASK]
    own = [one.arguments["question"] for one in await executions.recent() if "question" in one.arguments]
    assert own == [QUESTION]


async def test_who_decides_without_the_role_is_told_nothing_more_by_deciding(office: Runtime) -> None:
    (mail,) = [one for one in await human_approval_queue.get_pending_approvals() if one["action"] == "send_email"]
    bo = office.for_tenant(office.tenant_id, user="bo")
    decided = await safe_executor.decide(mail["id"], "approve", runtime=bo)
    assert planted_in([decided, await safe_executor.run_approved(mail["id"], runtime=bo)]) == []
    assert decided.summary == "Writes a mail into the outbox to 1 recipient."


async def test_an_edit_that_fails_tells_who_may_not_see_values_none_of_them(office: Runtime) -> None:
    with psycopg.connect(office.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("update clients set name = 'Anna Smith ' || id where id in (1, 2)")
    call = {"client_id": 3, "status": "paused"}
    number = (await safe_executor.execute("update_client_status", call, wait=False))["approval_id"]
    probe = {"client_name": "smith", "status": "paused"}
    with pytest.raises(InvalidInput, match="may not see") as told:
        await safe_executor.decide(number, "edit", arguments=probe, decided_by="bo")
    assert planted_in(str(told.value)) == []
    with pytest.raises(InvalidArguments, match="Anna Smith 1"):
        await safe_executor.decide(number, "edit", arguments=probe, decided_by="ann")


async def test_who_goes_on_with_anothers_conversation_hears_that_it_goes_on_and_no_value(office: Runtime) -> None:
    scripted = replace(
        office,
        # The answer names what no result holds, so it is given back once.
        model=scripted_client([call("execute_sql", sql=CHANGE.replace(NEW, f"x{OLD}")), *[f"Done for {NEW}."] * 2]),
        cached={},
    )
    asked = await chat.answer(QUESTION, thread_id="u", runtime=scripted)
    bo = replace(scripted, user="bo", cached={})
    await safe_executor.decide(asked.approvals[0].id, "approve", runtime=bo)
    with use_runtime(bo):
        conversation = [event async for event in chat.resume("u", runtime=bo)]
    assert planted_in(conversation) == []
    assert isinstance(conversation[-1], Answered)
    assert NEW in (await threads.turns("u"))[-1]["answer"]


# Who executes, or makes the model's prompts, names these; no surface does.
UNMASKED = {
    "unmasked",
    "unmasked_latest",
    "unmasked_of_call",
    "transcript",
    "agent_memory.get",
    "list_memories",
    "search_memories",
}
SURFACES = (
    "api",
    "cli",
    "console",
    "demo",
    "integration",
    "mcp",
    "messaging",
    "operations",
    "graph",
    "chat.py",
    "status.py",
)
# The model's prompts, and the operation that masks what it reads.
ALLOWED = {
    "nodes.py": {"transcript"},
    "rules.py": {"transcript"},
    # A model rehearses a recorded turn, and only how it ended is kept.
    "replay.py": {"transcript"},
    "rehearsal.py": {"transcript"},
    "questions.py": {"unmasked"},  # the form that an answer must have, which is shown to nobody
    "memories.py": {"agent_memory.get", "list_memories", "search_memories"},
}


def test_no_surface_names_a_reader_that_does_not_mask() -> None:
    root = Path(agent.__file__).parent
    files = [
        file for name in SURFACES for file in ([root / name] if name.endswith(".py") else (root / name).rglob("*.py"))
    ]
    assert len(files) > 20
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        named |= {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not named & UNMASKED - ALLOWED.get(file.name, set()), file


def test_what_reads_a_request_an_execution_or_a_turn_takes_who_looks() -> None:
    owners = (human_approval_queue, executions, threads, permissions)
    shown = (
        "Approval",
        "PendingApproval",
        "Execution",
        "StoredCall",
        "TurnRecord",
        "ThreadSummary",
        "Permission",
    )
    # What a caller brings is given back as it is, or is for the model.
    inside = {"request", "store_round", "open_for", "use", "check_may_decide", "edit", "decide", "settle", "reopen"}
    for owner in owners:
        for name, method in inspect.getmembers(owner, inspect.ismethod):
            returned = str(inspect.signature(method).return_annotation)
            if name.startswith(("_", "unmasked")) or name in inside or not any(one in returned for one in shown):
                continue
            assert "viewer" in inspect.signature(method).parameters, f"{type(owner).__name__}.{name}"


@pytest.mark.parametrize("module", ["approvals", "audit", "controls", "executions", "people", "permissions"])
def test_an_operation_that_only_reads_takes_who_looks(module: str) -> None:
    room = importlib.import_module(f"agent.operations.{module}")
    acts = {"decide", "decide_and_run", "undo", "stop", "resume"}
    shown = ("Approval", "Execution", "Permission", "Entry")
    for name, function in inspect.getmembers(room, inspect.isroutine):
        returned = str(inspect.signature(function).return_annotation)
        if not name.startswith("_") and name not in acts and any(one in returned for one in shown):
            assert "viewer" in inspect.signature(function).parameters, name
