"""What an edit of a request begins with, and what it may not end with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.approval.human_approval import human_approval_queue
from agent.chat import chat
from agent.errors import InvalidInput
from agent.operations.edits import new_arguments, present
from agent.privacy.masking import MASK
from agent.runtime import Runtime
from agent.testing.scripted_model import call, scripted_client


async def test_an_edit_begins_with_the_statement_and_never_runs_a_mask(demo_runtime: Runtime) -> None:
    statement = "update clients\n  set notes = 'private'"
    runtime = demo_runtime
    asking = replace(runtime, model=scripted_client([call("execute_sql", sql=statement)]), cached={})
    (asked,) = (await chat.answer("Notify them", thread_id="t", runtime=asking)).approvals
    request = await human_approval_queue.unmasked(asked.id, runtime=runtime)
    assert present(request) == statement
    assert new_arguments(request, statement) == new_arguments(request, " \n") == {}
    assert new_arguments(request, "create table other ()") == {"sql": "create table other ()"}
    masked = replace(request, arguments={"sql": f"create table notes (text text default {MASK})"})
    with pytest.raises(InvalidInput, match="may not see"):
        new_arguments(masked, present(masked).replace("notes", "others"))
    assert new_arguments(masked, "create table notes (text text default 'x')")
