"""Agent Inbox and Agent Chat UI, as their users see them: they read an interrupt in their own way, and press a button."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, get_args

import psycopg
import pytest
from langchain.agents.middleware.human_in_the_loop import DecisionType, ToolApprovalRequest
from tests.approval.test_approval_graph import Studio

from agent.approval.human_approval import human_approval_queue
from agent.graph.application import open_graph
from agent.runtime import Runtime, use_runtime
from agent.testing.scripted_model import call, scripted_client

CHANGE = "UPDATE clients SET notes = 'seen | **twice**' WHERE id IN (1, 2)"


class AgentInbox:
    """What Agent Inbox makes of an interrupt: the first request's `arguments`, and buttons by the allowed decisions."""

    def __init__(self, value: Any) -> None:
        (request,), (review,) = value["action_requests"], value["review_configs"]
        self.action = {"action": request["name"], "args": request.get("arguments") or {}}
        self.shown = request["description"]
        self.buttons = {"accept": "approve", "edit": "edit", "response": "reject"}
        assert set(self.buttons.values()) <= set(review["allowed_decisions"])

    def press(self, button: str, args: Any) -> list[Any]:
        return [{"type": button, "args": args}]

    def edit(self, **changed: str) -> list[Any]:
        return self.press("edit", {**self.action, "args": {**self.action["args"], **changed}})


@pytest.fixture
async def studio(demo_runtime: Runtime) -> AsyncIterator[Studio]:
    model = scripted_client([call("execute_sql", sql=CHANGE), "All settled."])
    runtime = replace(demo_runtime, model=model, cached={})
    with use_runtime(runtime):
        yield Studio(await open_graph(runtime), model)


def noted(runtime: Runtime) -> list[int]:
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        return [row[0] for row in conn.execute("select id from clients where notes like 'seen%' order by id")]


@pytest.mark.parametrize("arguments", ["as shown", "none"])
async def test_an_accept_of_agent_inbox_is_an_approval(studio: Studio, demo_runtime: Runtime, arguments: str) -> None:
    inbox = AgentInbox((await studio.ask("Note it on 1 and 2"))[0])
    sent = inbox.action if arguments == "as shown" else {**inbox.action, "args": {}}
    assert await studio.resume(inbox.press("accept", sent)) == []
    assert noted(demo_runtime) == [1, 2]


async def test_an_edit_of_agent_inbox_runs_what_was_typed(studio: Studio, demo_runtime: Runtime) -> None:
    inbox = AgentInbox((await studio.ask("Note it on 1 and 2"))[0])
    assert await studio.resume(inbox.edit(sql="UPDATE clients SET notes = 'seen' WHERE id = 1")) == []
    assert noted(demo_runtime) == [1]


@pytest.mark.parametrize(("button", "args"), [("response", "Only the first one, please."), ("ignore", None)])
async def test_a_response_or_an_ignored_request_does_nothing_and_is_no_result_of_the_tool(
    studio: Studio, demo_runtime: Runtime, button: str, args: str | None
) -> None:
    value = (await studio.ask("Note it on 1 and 2"))[0]
    assert await studio.resume(AgentInbox(value).press(button, args)) == []
    assert noted(demo_runtime) == []
    (told,) = studio.told()
    assert (told["success"], told["status"]) == (False, "rejected")
    assert (args or "") in json.dumps(told)
    assert (await human_approval_queue.get(value["approval_id"])).comment == args


async def test_agent_chat_ui_approves_with_the_request_as_it_reads_it(studio: Studio, demo_runtime: Runtime) -> None:
    value = (await studio.ask("Note it on 1 and 2"))[0]
    assert all(isinstance(request["args"], dict) for request in value["action_requests"])
    assert all(review["action_name"] and review["allowed_decisions"] for review in value["review_configs"])
    assert await studio.resume({"decisions": [{"type": "approve"}]}) == []
    assert noted(demo_runtime) == [1, 2]


async def test_langchains_form_of_one_interrupt_for_each_call_is_a_setting(demo_runtime: Runtime) -> None:
    settings = demo_runtime.settings.model_copy(update={"interrupt_form": "per_call"})
    model = scripted_client([call("execute_sql", sql=CHANGE), "All settled."])
    with use_runtime(replace(demo_runtime, model=model, cached={}, settings=settings)) as runtime:
        studio = Studio(await open_graph(runtime), model)
        (value,) = await studio.ask("Note it on 1 and 2")
        (asked,) = (await studio.graph.aget_state(studio.thread)).interrupts
        assert set(ToolApprovalRequest.__annotations__) <= set(value)
        assert (value["type"], value["name"], value["args"]) == ("tool_approval", "execute_sql", {"sql": CHANGE})
        (request,) = (
            one for one in (await studio.graph.aget_state(studio.thread)).values["messages"] if one.type == "ai"
        )
        assert [value["tool_call_id"]] == [one["id"] for one in request.tool_calls]
        decisions = {one["properties"]["type"]["const"]: one["properties"] for one in asked.response_schema["oneOf"]}
        assert set(decisions) == set(get_args(DecisionType))
        assert "sql" in decisions["edit"]["edited_action"]["properties"]["args"]["properties"]
        assert "Answer with" in (await studio.resume({asked.id: {"type": "perhaps"}}))[0]["description"]
        (again,) = (await studio.graph.aget_state(studio.thread)).interrupts
        assert await studio.resume({again.id: {"type": "approve"}}) == []
    assert noted(demo_runtime) == [1, 2]


async def test_the_description_says_in_markdown_all_that_an_approver_needs(
    studio: Studio, demo_runtime: Runtime
) -> None:
    shown = AgentInbox((await studio.ask("Note it on 1 and 2"))[0]).shown
    assert shown.startswith("**MEDIUM risk**: ")
    assert f"/{demo_runtime.database_name}`" in shown
    assert f"```sql\n{CHANGE}\n```" in shown
    header, _, first, second = [line for line in shown.splitlines() if line.startswith("|")][:4]
    assert header.startswith("| `id` | ")
    assert "→ `seen \\| **twice**` |" in first
    assert second.startswith("| `2` | ")
    assert "clients 2 updated" in shown
    assert "Approval 1, asked by" in shown


async def test_nothing_in_a_description_becomes_a_link_an_image_or_a_tag(demo_runtime: Runtime) -> None:
    hostile = "```\n![x](http://evil.example/?q=1) <img src=//evil.example> `a` | b \u202e"
    with psycopg.connect(demo_runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("update clients set name = %s where id = 1", [hostile])
    sql = "UPDATE clients SET notes = '```\n![y](http://evil.example)' WHERE id = 1"
    model = scripted_client([call("execute_sql", sql=sql), "All settled."])
    with use_runtime(replace(demo_runtime, model=model, cached={})) as runtime:
        (value,) = await Studio(await open_graph(runtime), model).ask("Note it")
    html = rendered(value["action_requests"][0]["description"])
    assert "evil.example" in html
    assert [tag for tag in ("<img", "<a ", "\u202e") if tag in html] == []
    assert html.count("<table>") == 2  # the rows, and those of the application's own log
    assert html.count("<tr>") == 4


def rendered(markdown: str) -> str:
    """The HTML that a renderer of GitHub's Markdown makes of it."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))
