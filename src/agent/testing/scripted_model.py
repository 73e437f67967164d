"""A chat client whose answers are a script: for tests of what is built around a model.

    client = scripted_client([call("execute_sql", sql="select 1"), "One."])

Each entry is the next answer: a text, one tool call or a list of them, a whole `AIMessage`, an exception to raise, or a function of
the messages that returns one of these. What the model was sent is in `client.requests`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from agent.providers.chat.client import Candidate, ChatClient
from agent.providers.message_chunks import chunks_of

Answer: TypeAlias = "str | ToolCall | Sequence[ToolCall] | AIMessage | Exception"
Step: TypeAlias = "Answer | Callable[[Sequence[BaseMessage]], Answer]"


def call(name: str, /, **arguments: Any) -> ToolCall:
    """A tool call for the script; its id is set when it is answered."""
    return ToolCall(name=name, args=arguments, id=None, type="tool_call")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedClient(ChatClient):
    """A `ChatClient` that answers from a script; `requests` are the message lists it was sent."""

    requests: list[list[BaseMessage]] = field(default_factory=list)


def scripted_client(
    script: Sequence[Step], *, repeat_last: bool = False, delay: float = 0.0, name: str = "scripted:model"
) -> ScriptedClient:
    """A client that gives the answers of `script` in order, then raises `AssertionError` (or repeats the last).

    `delay` are seconds before each streamed word.
    """
    requests: list[list[BaseMessage]] = []
    model = ScriptedChatModel(script=list(script), repeat_last=repeat_last, delay=delay)
    model._requests = requests
    return ScriptedClient(candidates=(Candidate(name=name, model=model),), retries=0, prices={}, requests=requests)


class ScriptedChatModel(BaseChatModel):
    """A real LangChain chat model, so that callbacks and streaming work as with any other."""

    script: list[Any]
    repeat_last: bool = False
    delay: float = 0.0
    _position: int = PrivateAttr(default=0)
    _requests: list[list[BaseMessage]] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Tools change nothing: the script knows what it calls."""
        return self.bind(tools=list(tools))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages))])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        answer = self._next(messages)
        for chunk in chunks_of(answer):
            if self.delay:
                await asyncio.sleep(self.delay)
            yield ChatGenerationChunk(message=chunk)

    def _next(self, messages: Sequence[BaseMessage]) -> AIMessage:
        self._requests.append(list(messages))
        if self._position >= len(self.script) and not (self.repeat_last and self.script):
            raise AssertionError(f"the script has {len(self.script)} answers, and the model was asked once more")
        step = self.script[min(self._position, len(self.script) - 1)]
        self._position += 1
        answer = step(messages) if callable(step) else step
        if isinstance(answer, Exception):
            raise answer
        return _message(answer, self._position)


def _message(answer: Any, position: int) -> AIMessage:
    if isinstance(answer, AIMessage):
        return answer
    if isinstance(answer, str):
        return AIMessage(content=answer)
    calls = [answer] if isinstance(answer, dict) else list(answer)
    numbered = [
        ToolCall(name=one["name"], args=one["args"], id=one["id"] or f"call_{position}_{n}", type="tool_call")
        for n, one in enumerate(calls, 1)
    ]
    return AIMessage(content="", tool_calls=numbered)
