"""The offline model as a LangChain chat model, which streams its answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from agent.providers.message_chunks import chunks_of
from agent.providers.offline_model.reply import reply


class OfflineChatModel(BaseChatModel):
    """A deterministic chat model without key and network; it understands simple questions about any schema in its prompt."""

    @property
    def _llm_type(self) -> str:
        return "offline"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Return this model with the tools that it may call."""
        return self.bind(tools=list(tools))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=_answer(messages, kwargs))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in _chunks(messages, kwargs):
            yield ChatGenerationChunk(message=chunk)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in _chunks(messages, kwargs):
            yield ChatGenerationChunk(message=chunk)


def _chunks(messages: list[BaseMessage], kwargs: dict[str, Any]) -> list[AIMessageChunk]:
    return chunks_of(_answer(messages, kwargs))


def _answer(messages: list[BaseMessage], kwargs: dict[str, Any]) -> AIMessage:
    tools = frozenset(tool["function"]["name"] for tool in kwargs.get("tools", []) if "function" in tool)
    return reply(messages, tools=tools)
