"""The learning middleware for agents made with `langchain.agents.create_agent`.

    agent = create_agent(model, tools=langchain_tools(), middleware=[KnowledgeMiddleware()])

Before a run it loads what is known for the question, shows it to the model as data, and afterwards saves the interaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NotRequired, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from agent.graph.prompts import knowledge_for_prompt, mark_as_data, system_message
from agent.learning.learning_middleware import Interaction, learning_middleware
from agent.provenance.second_hand import is_second_hand
from agent.runtime import Runtime


class KnowledgeState(AgentState[Any]):
    """The agent's state with the knowledge of the current run."""

    knowledge: NotRequired[dict[str, Any]]


class KnowledgeMiddleware(AgentMiddleware[KnowledgeState, Any, Any]):
    """Loads knowledge before an agent runs and saves the interaction after it."""

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
        known = cast("KnowledgeState", request.state).get("knowledge")
        if not known:
            return await handler(request)
        message = system_message(known)
        own = request.system_message.text if request.system_message else ""
        shown = [_marked(one, known["mark"]) for one in request.messages]
        system = SystemMessage(f"{message.text}\n\n{own}".strip())
        return await handler(request.override(system_message=system, messages=shown))

    async def aafter_agent(self, state: KnowledgeState, runtime: Any) -> None:
        """Remember the question, the tools used and the answer."""
        messages = state["messages"]
        answer = next((one.text for one in reversed(messages) if isinstance(one, AIMessage) and one.text), "")
        if not answer:
            return
        question = _question(messages)
        data = [one.text for one in messages if isinstance(one, ToolMessage)]
        await learning_middleware.save(
            Interaction(
                question=question,
                answer=answer,
                second_hand=is_second_hand(answer, data=data, user_words=question),
                recalled=state.get("knowledge", {}).get("memory_ids", ()),
                tools=[call["name"] for one in messages if isinstance(one, AIMessage) for call in one.tool_calls],
            ),
            runtime=self._runtime,
        )


def _marked(message: AnyMessage, mark: str) -> AnyMessage:
    """A tool's result as data; everything else as it is."""
    if not isinstance(message, ToolMessage):
        return message
    return message.model_copy(update={"content": mark_as_data(message.text, "result", mark)})


def _question(messages: Sequence[AnyMessage]) -> str:
    return next((message.text for message in reversed(messages) if isinstance(message, HumanMessage)), "")
