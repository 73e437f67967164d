"""A rejection with words lets the model propose something else, once asked about; without words it is final."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.approval.test_approval_graph import Studio

from agent.approval.human_approval import human_approval_queue
from agent.errors import InvalidInput
from agent.graph import open_graph
from agent.runtime import Runtime, use_runtime
from agent.testing.scripted_model import call, scripted_client

WORDS = "Only client 1, please. Ignore </data> and {braces}."
THREE = "UPDATE clients SET notes = 'seen' WHERE id IN (1, 2, 3)"
ONE = "UPDATE clients SET notes = 'seen' WHERE id = 1"


async def studio_of(runtime: Runtime, *statements: str, **settings: Any) -> Studio:
    steps = [call("execute_sql", sql=step) if step.startswith(("UPDATE", "update")) else step for step in statements]
    model = scripted_client([*steps, "All settled."])
    limited = replace(runtime, model=model, cached={}, settings=runtime.settings.model_copy(update=settings))
    studio = Studio(await open_graph(limited), model)
    studio.runtime = limited  # type: ignore[attr-defined]
    return studio


@pytest.fixture
async def runtime(demo_runtime: Runtime) -> Runtime:
    return demo_runtime


def noted(runtime: Runtime) -> list[int]:
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        return [row[0] for row in conn.execute("select id from clients where notes = 'seen' order by 1")]


def last_result(studio: Studio) -> str:
    return [message.text for message in studio.model.requests[-1] if message.type == "tool"][-1]


REJECTED: dict[str, Any] = {
    "langchain": {"decisions": [{"type": "reject", "message": WORDS}]},
    "inbox": [{"type": "response", "args": WORDS}],
}


@pytest.mark.parametrize("form", REJECTED)
async def test_after_a_correction_another_statement_is_asked_about_in_the_same_turn(
    runtime: Runtime, form: str
) -> None:
    studio = await studio_of(runtime, THREE, ONE)
    with use_runtime(studio.runtime):  # type: ignore[attr-defined]
        await studio.ask("Note them")
        (again,) = await studio.resume(REJECTED[form])
        told = last_result(studio)
        assert told.count("Only client 1, please.") == 1
        assert "are the human's, not data" in told.rpartition("</data ")[2]
        assert again["action_requests"][0]["args"]["sql"] == ONE
        assert await studio.resume({"type": "approve"}) == []
    assert noted(runtime) == [1]


SAME = [
    THREE,
    "update  public.clients -- once more\n set notes = 'seen' where id in (1, 2, 3)",
    "UPDATE clients SET notes = 'se' || 'en' WHERE id BETWEEN 1 AND 3",
]


@pytest.mark.parametrize("again", SAME)
@pytest.mark.parametrize("words", [None, WORDS])
async def test_what_was_rejected_is_refused_in_other_words_too(runtime: Runtime, again: str, words: str | None) -> None:
    studio = await studio_of(runtime, THREE, again)
    with use_runtime(studio.runtime):  # type: ignore[attr-defined]
        await studio.ask("Note them")
        assert await studio.resume({"type": "reject", **({"message": words} if words else {})}) == []
        assert '"status": "refused"' in last_result(studio)
        assert ("final in this turn" in last_result(studio)) is (words is None)
    assert noted(runtime) == []


@pytest.mark.parametrize(
    ("decision", "asked"),
    [
        ({"type": "reject"}, False),
        ([{"type": "ignore", "args": None}], False),
        ({"type": "reject", "message": "  "}, False),
        ({"type": "reject", "message": "not now", "final": True}, False),
        ({"type": "reject", "message": "fewer"}, True),
    ],
)
async def test_a_part_of_what_was_rejected_is_only_asked_about_after_a_correction(
    runtime: Runtime, decision: Any, asked: bool
) -> None:
    studio = await studio_of(runtime, THREE, ONE)
    with use_runtime(studio.runtime):  # type: ignore[attr-defined]
        await studio.ask("Note them")
        assert bool(await studio.resume(decision)) is asked
        if not asked:
            assert "final in this turn" in last_result(studio)
    assert noted(runtime) == []


async def test_after_a_no_nothing_about_the_same_table_runs_without_a_question(runtime: Runtime) -> None:
    studio = await studio_of(
        runtime, "UPDATE clients SET notes = 'seen'", "UPDATE clients SET notes = 'other' WHERE id = 4", ask_from="HIGH"
    )
    with use_runtime(studio.runtime):  # type: ignore[attr-defined]
        await studio.ask("Note all of them")
        (again,) = await studio.resume({"type": "reject"})
        assert "id = 4" in again["action_requests"][0]["args"]["sql"]
        assert noted(runtime) == []


async def test_a_new_turn_may_ask_again_and_the_words_count_as_said(runtime: Runtime) -> None:
    studio = await studio_of(
        runtime, THREE, "UPDATE clients SET notes = 'archived 4711' WHERE id = 2", "Nothing done.", THREE
    )
    with use_runtime(studio.runtime):  # type: ignore[attr-defined]
        await studio.ask("Note them")
        (again,) = await studio.resume({"type": "reject", "message": "write 'archived 4711' on number 2"})
        assert "was not said by the user" not in again["action_requests"][0]["description"]
        await studio.resume({"type": "reject"})
        assert len(await studio.ask("Then note them after all")) == 1


async def test_only_a_rejection_is_final(runtime: Runtime) -> None:
    with use_runtime(runtime):
        number = (await human_approval_queue.request("x", {}, executable=False)).id
        with pytest.raises(InvalidInput, match="Only a rejection"):
            await human_approval_queue.decide(number, "approve", final=True)
        rejected = await human_approval_queue.decide(number, "reject", comment="not so")
        assert (rejected.correction, rejected.answer()["response"]) == ("not so", None)


async def test_the_same_through_another_tool_and_the_same_mail_are_refused(runtime: Runtime, tmp_path: Path) -> None:
    mail = {"to": ["ana@agency.test"], "subject": "Hello", "body": "See you."}
    script = [
        call("execute_sql", sql="UPDATE clients SET status = 'paused' WHERE id = 5"),
        call("update_client_status", client_id=5, status="paused"),
        call("send_email", **mail),
        call("send_email", **{**mail, "body": " See  you."}),
        "Nothing was done.",
    ]
    model = scripted_client(script)
    settings = runtime.settings.model_copy(update={"email_outbox": tmp_path / "outbox"})
    limited = replace(runtime, model=model, cached={}, settings=settings)
    with use_runtime(limited):
        studio = Studio(await open_graph(limited), model)
        await studio.ask("Pause client 5 and write to Ana")
        (mailed,) = await studio.resume({"type": "reject", "message": "not that"})
        assert mailed["action_requests"][0]["name"] == "send_email"
        assert await studio.resume({"type": "reject"}) == []
        assert [one["status"] for one in studio.told()] == ["rejected", "refused", "rejected", "refused"]
