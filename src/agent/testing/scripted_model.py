"""Give a chat client a script of answers, to test what is built around a model.

    client = scripted_client([call("execute_sql", sql="select 1"), "One."])

Each entry is the next answer: a text, one tool call or a list of them, a whole `AIMessage`, an exception to raise, or a
function of the messages that returns one of these. `client.requests` holds the messages that the model was sent.
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
    """Return a tool call for the script. It gets its id when the model answers with it."""
    return ToolCall(name=name, args=arguments, id=None, type="tool_call")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedClient(ChatClient):
    """A `ChatClient` that answers from a script. `requests` holds the message lists that it was sent."""

    requests: list[list[BaseMessage]] = field(default_factory=list)


def scripted_client(
    script: Sequence[Step], *, repeat_last: bool = False, delay: float = 0.0, name: str = "scripted:model"
) -> ScriptedClient:
    """Return a client that gives the answers of `script` in order, then raises `AssertionError` or repeats the last one.

    `delay` is the time in seconds before each streamed word.
    """
    requests: list[list[BaseMessage]] = []
    model = ScriptedChatModel(script=list(script), repeat_last=repeat_last, delay=delay)
    model._requests = requests
    return ScriptedClient(candidates=(Candidate(name=name, model=model),), retries=0, prices={}, requests=requests)


class ScriptedChatModel(BaseChatModel):
    """A LangChain chat model that answers from a script. Callbacks and streaming work as with any other model."""

    script: list[Any]
    repeat_last: bool = False
    delay: float = 0.0
    _position: int = PrivateAttr(default=0)
    _last: AIMessage | None = PrivateAttr(default=None)
    _requests: list[list[BaseMessage]] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Bind the tools, which change nothing: the script says what is called."""
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
        over = self._position >= len(self.script)
        if over and self._last is not None and _is_given_back(messages):  # it stands by its last answer
            return self._last
        if over and not (self.repeat_last and self.script):
            raise AssertionError(f"the script has {len(self.script)} answers, and the model was asked once more")
        step = self.script[min(self._position, len(self.script) - 1)]
        self._position += 1
        answer = step(messages) if callable(step) else step
        if isinstance(answer, Exception):
            raise answer
        self._last = _message(answer, self._position)
        return self._last


def _is_given_back(messages: Sequence[BaseMessage]) -> bool:
    """Return whether the agent gives the last answer back, because its results do not hold it."""
    return messages[-1].text.endswith("Do not mention this check.")


def _message(answer: Any, position: int) -> AIMessage:
    if isinstance(answer, AIMessage):
        return answer
    if isinstance(answer, str):
        return AIMessage(content=answer)
    calls = [answer] if isinstance(answer, dict) else list(answer)
    numbered = [
        ToolCall(name=call["name"], args=call["args"], id=call["id"] or f"call_{position}_{n}", type="tool_call")
        for n, call in enumerate(calls, 1)
    ]
    return AIMessage(content="", tool_calls=numbered)
