"""Bring the agent's knowledge to agents that are made with `langchain.agents.create_agent`.

    agent = create_agent(model, tools=langchain_tools(), middleware=[KnowledgeMiddleware()])

Before a run the middleware loads the knowledge for the question, and shows it to the model as data. After the run it saves
the interaction.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NotRequired, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from agent.graph.prompts import knowledge_for_prompt, knowledge_text, system_message
from agent.graph.results_for_model import mark_as_data
from agent.learning.learning_middleware import Interaction, learning_middleware
from agent.provenance.conversation_context import reads_text
from agent.provenance.second_hand import is_second_hand
from agent.runtime import Runtime


class KnowledgeState(AgentState[Any]):
    """The agent's state with the knowledge of the current run."""

    knowledge: NotRequired[dict[str, Any]]


class KnowledgeMiddleware(AgentMiddleware[KnowledgeState, Any, Any]):
    """A middleware that loads knowledge before an agent runs, and saves the interaction after it."""

    state_schema = KnowledgeState

    def __init__(self, *, runtime: Runtime | None = None) -> None:
        super().__init__()
        self._runtime = runtime

    async def abefore_agent(self, state: KnowledgeState, runtime: Any) -> dict[str, Any]:
        """Load the schema parts and memories that matter for the last question."""
        knowledge = await learning_middleware.load(_question(state["messages"]), runtime=self._runtime)
        return {"knowledge": knowledge_for_prompt(knowledge)}

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> Any:
        """Put instructions and knowledge before the agent's own system prompt."""
        knowledge = cast("KnowledgeState", request.state).get("knowledge")
        if not knowledge:
            return await handler(request)
        own_prompt = request.system_message.text if request.system_message else ""
        parts = (system_message(knowledge).text, knowledge_text(knowledge), own_prompt)
        system = SystemMessage("\n\n".join(filter(None, parts)))
        messages = [_with_marked_result(message, knowledge["mark"]) for message in request.messages]
        return await handler(request.override(system_message=system, messages=messages))

    async def aafter_agent(self, state: KnowledgeState, runtime: Any) -> None:
        """Remember the question, the tools used and the answer."""
        messages = state["messages"]
        by_model = [message for message in messages if isinstance(message, AIMessage)]
        answer = next((message.text for message in reversed(by_model) if message.text), "")
        if not answer:
            return
        question = _question(messages)
        results = [message for message in messages if isinstance(message, ToolMessage)]
        await learning_middleware.save(
            Interaction(
                question=question,
                answer=answer,
                second_hand=any(reads_text(message.name or "", _result(message.text)) for message in results)
                or is_second_hand(answer, data=[message.text for message in results], user_words=question),
                recalled=state.get("knowledge", {}).get("memory_ids", ()),
                tools=[call["name"] for message in by_model for call in message.tool_calls],
            ),
            runtime=self._runtime,
        )


def _result(text: str) -> dict[str, Any]:
    """Return a tool's result; one of another agent's tools may be any text."""
    try:
        result = json.loads(text)
    except ValueError:
        result = None
    return result if isinstance(result, dict) and "success" in result else {"data": text}


def _with_marked_result(message: AnyMessage, mark: str) -> AnyMessage:
    """Return a tool's message with its result marked as data, and any other message as it is."""
    if not isinstance(message, ToolMessage):
        return message
    return message.model_copy(update={"content": mark_as_data(message.text, "result", mark)})


def _question(messages: Sequence[AnyMessage]) -> str:
    return next((message.text for message in reversed(messages) if isinstance(message, HumanMessage)), "")
