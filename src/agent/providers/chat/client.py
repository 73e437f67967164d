"""One way to ask a chat model, whichever it is: messages and tools go in, one answer with its usage comes out.

A `ChatClient` tries its models in order. Each is asked by streaming (so that whoever listens to LangGraph's messages sees the words
come), retried with jittered back-off while it is busy or broken, and given up with an error that says what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import stamina
import structlog
from langchain_core.messages import AIMessage, BaseMessage

from agent.errors import ConfigurationError, OperatorError, ProviderUnavailable
from agent.providers.chat.builders import OFFLINE, build_model, chosen_models, speaks_openai
from agent.providers.chat.failures import CallFailed, error_for, failure_of
from agent.providers.chat.pricing import Prices, cost_of, parse_prices
from agent.providers.chat.stream import fold, tokens_of
from agent.settings import Settings
from agent.types import ToolSpec, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import Runnable, RunnableConfig

_log = structlog.get_logger(__name__)

_FIRST_PAUSE = 0.5
_LONGEST_BACKOFF = 8.0
# Retries of one model end after this many times the time-out of one call, whatever their number.
_PATIENCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """What a model said: `message` with its tool calls, what it used, and which model it was (`provider:name`)."""

    message: AIMessage
    usage: Usage
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One model to try. `must_finish`: its protocol ends every stream with a reason, so one without is cut off."""

    name: str
    model: BaseChatModel
    must_finish: bool = False
    _bound: list[tuple[tuple[ToolSpec, ...], Runnable[Any, AIMessage]]] = field(
        default_factory=list, repr=False, compare=False
    )

    def with_tools(self, tools: Sequence[ToolSpec]) -> Runnable[Any, AIMessage]:
        """The model, able to call `tools`; made anew only where they are others than the last time."""
        if not tools:
            return cast("Runnable[Any, AIMessage]", self.model)
        if not self._bound or self._bound[0][0] != tuple(tools):
            self._bound[:] = [(tuple(tools), self.model.bind_tools([_wire_tool(tool) for tool in tools]))]
        return self._bound[0][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatClient:
    """Asks the first of `candidates` that answers; `timeout` in seconds is for one call, `retries` for each model.

    `secrets` are taken out of every error's text.
    """

    candidates: tuple[Candidate, ...]
    timeout: float = 60.0
    retries: int = 3
    prices: Prices
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """The first choice, as `provider:name` or `"offline"`."""
        return self.candidates[0].name

    @property
    def offline(self) -> bool:
        """Whether the built-in model answers, which understands simple questions only."""
        return self.name == OFFLINE

    async def answer(
        self, messages: Sequence[BaseMessage], tools: Sequence[ToolSpec] = (), *, config: RunnableConfig | None = None
    ) -> ModelAnswer:
        """Ask, and return the whole answer.

        Tool calls come as the model made them: many, unknown, or malformed (`message.invalid_tool_calls`).
        Raises `ProviderUnavailable` when no model answers, `ConfigurationError` when a setting keeps them from it.
        """
        errors: list[OperatorError] = []
        for candidate in self.candidates:
            try:
                return await self._ask(candidate, messages, tools, config)
            except OperatorError as error:
                errors.append(error)
                _log.warning("model_failed", model=candidate.name, error=str(error))
        raise _all_failed(errors)

    async def _ask(
        self,
        candidate: Candidate,
        messages: Sequence[BaseMessage],
        tools: Sequence[ToolSpec],
        config: RunnableConfig | None,
    ) -> ModelAnswer:
        try:
            async for attempt in stamina.retry_context(
                on=_retry_after,
                attempts=self.retries + 1,
                timeout=self.timeout * _PATIENCE,
                wait_initial=_FIRST_PAUSE,
                wait_max=_LONGEST_BACKOFF,
            ):
                with attempt:
                    message = await self._attempt(candidate, messages, tools, config)
        except CallFailed as failed:
            raise error_for(failed.failure, name=candidate.name) from None
        return ModelAnswer(message=message, usage=self._usage(candidate, messages, message), model=candidate.name)

    async def _attempt(
        self,
        candidate: Candidate,
        messages: Sequence[BaseMessage],
        tools: Sequence[ToolSpec],
        config: RunnableConfig | None,
    ) -> AIMessage:
        """One call. A provider's own error ends here: its text may hold the key, and retries are logged with their cause."""
        try:
            return await self._stream(candidate, messages, tools, config)
        except Exception as error:
            failure = failure_of(error, secrets=self.secrets)
            if failure is None:
                raise
            raise CallFailed(failure) from None

    async def _stream(
        self,
        candidate: Candidate,
        messages: Sequence[BaseMessage],
        tools: Sequence[ToolSpec],
        config: RunnableConfig | None,
    ) -> AIMessage:
        stream = cast("AsyncGenerator[AIMessage]", candidate.with_tools(tools).astream(list(messages), config))
        async with asyncio.timeout(self.timeout), aclosing(stream):
            try:
                chunks = [chunk async for chunk in stream]
            except ValueError as error:
                if "No generation chunks" not in str(error):  # LangChain's words for a stream with nothing in it
                    raise
                chunks = []
        return fold(chunks, must_finish=candidate.must_finish)

    def _usage(self, candidate: Candidate, messages: Sequence[BaseMessage], answer: AIMessage) -> Usage:
        reported = answer.usage_metadata
        spent = reported["input_tokens"] if reported else tokens_of(messages)
        said = reported["output_tokens"] if reported else tokens_of([answer])
        if candidate.name == OFFLINE:
            return Usage(input_tokens=spent, output_tokens=said, cost_usd=0.0)
        cost = cost_of(candidate.name, input_tokens=spent, output_tokens=said, prices=self.prices)
        return Usage(input_tokens=spent, output_tokens=said, cost_usd=cost)


def create_chat_client(settings: Settings) -> ChatClient:
    """The client that `settings` describe; raises `ConfigurationError`. Nothing is called yet."""
    names, prices = chosen_models(settings), parse_prices(settings.model_prices)
    _check_cost_caps(names, prices, settings)
    return ChatClient(
        candidates=tuple(
            Candidate(name=name, model=build_model(name, settings=settings), must_finish=speaks_openai(name))
            for name in names
        ),
        timeout=settings.model_timeout,
        retries=settings.model_retries,
        prices=prices,
        secrets=tuple(
            key.get_secret_value() for key in (settings.openai_api_key, settings.deepseek_api_key) if key is not None
        ),
    )


def _check_cost_caps(names: Sequence[str], prices: Prices, settings: Settings) -> None:
    # A cap on a cost that is not known would never be reached.
    unpriced = [name for name in names if name != OFFLINE and _cost_is_unknown(name, prices)]
    if unpriced and (settings.turn_cost_cap or settings.day_cost_cap):
        raise ConfigurationError(
            f"a cap on the cost (AGENT_TURN_COST_CAP, AGENT_DAY_COST_CAP) needs the price of {', '.join(unpriced)}: "
            "set AGENT_MODEL_PRICES, or cap the tokens instead"
        )


def _cost_is_unknown(name: str, prices: Prices) -> bool:
    return cost_of(name, input_tokens=0, output_tokens=0, prices=prices) is None


def _retry_after(error: Exception) -> bool | float:
    if not isinstance(error, CallFailed) or not error.failure.retryable:
        return False
    failure = error.failure
    _log.info("model_retried", kind=failure.kind, detail=failure.detail, pause=failure.pause)
    return True if failure.pause is None else failure.pause


def _wire_tool(tool: ToolSpec) -> dict[str, Any]:
    parameters = dict(tool.parameters) or {"type": "object", "properties": {}}
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": parameters},
    }


def _all_failed(errors: Sequence[OperatorError]) -> OperatorError:
    if len(errors) == 1:
        return errors[0]
    kind = ConfigurationError if all(isinstance(error, ConfigurationError) for error in errors) else ProviderUnavailable
    return kind("no model answered: " + "; ".join(str(error) for error in errors))
