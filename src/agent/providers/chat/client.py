"""Asks a chat model, whichever it is: messages and tools go in, one answer with its usage comes out.

A `ChatClient` tries its models in order. It asks each by streaming, so that listeners to LangGraph's messages see the words
come; retries a busy or broken model with jittered back-off; and gives up with an error that says what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import stamina
import structlog
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from pydantic import SecretStr

from agent.errors import ConfigurationError, OperatorError, ProviderUnavailable
from agent.providers.chat.builders import OFFLINE, build_model, chosen_models, speaks_openai
from agent.providers.chat.failures import CallFailed, error_for, failure_of
from agent.providers.chat.own_messages import for_model, own_form
from agent.providers.chat.pricing import Prices, cost_of, parse_prices
from agent.providers.chat.stream import fold, tokens_of, was_cut_off
from agent.settings import Settings
from agent.types import ToolSpec, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from langchain_core.runnables import Runnable, RunnableConfig

_log = structlog.get_logger(__name__)

_FIRST_PAUSE = 0.5
_LONGEST_BACKOFF = 8.0
Restarted: TypeAlias = Callable[[str], None]
# Retries of one model end after this many time-outs of one call, whatever their number.
_MAX_TIMEOUTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """The answer of a model: `message` with its tool calls, its `usage`, and the `model` that gave it (`provider:name`)."""

    message: AIMessage
    usage: Usage
    model: str

    @property
    def cut_off(self) -> bool:
        """Return whether the answer ends at the model's length limit and not at its own end."""
        return was_cut_off(self.message)

    @property
    def own_form(self) -> dict[str, Any] | None:
        """Return what to store beside the calls of this answer, so that its model gets them back as it wrote them."""
        return own_form(self.message, model=self.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One model to try. `must_finish`: its protocol ends every stream with a reason, so a stream without one is cut off."""

    name: str
    model: BaseChatModel
    must_finish: bool = False
    _bound: list[tuple[tuple[ToolSpec, ...], Runnable[Any, AIMessage]]] = field(
        default_factory=list, repr=False, compare=False
    )

    def with_tools(self, tools: Sequence[ToolSpec]) -> Runnable[Any, AIMessage]:
        """Return the model, able to call `tools`. The last result is kept for the next call with the same tools."""
        if not tools:
            return cast("Runnable[Any, AIMessage]", self.model)
        if not self._bound or self._bound[0][0] != tuple(tools):
            self._bound[:] = [(tuple(tools), self.model.bind_tools([_wire_tool(tool) for tool in tools]))]
        return self._bound[0][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatClient:
    """Asks `candidates` until one answers, with `retries` for each model.

    `timeout` is the longest silence in seconds, before the first part of an answer and between two; `total_timeout` is for all.

    `secrets` are removed from every error's text.
    """

    candidates: tuple[Candidate, ...]
    timeout: float = 60.0
    total_timeout: float = 900.0
    retries: int = 3
    prices: Prices
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """Return the first choice, as `provider:name` or "offline"."""
        return self.candidates[0].name

    @property
    def offline(self) -> bool:
        """Return whether the built-in model answers, which understands simple questions only."""
        return self.name == OFFLINE

    async def answer(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[ToolSpec] = (),
        *,
        config: RunnableConfig | None = None,
        restarted: Restarted | None = None,
    ) -> ModelAnswer:
        """Ask, and return the whole answer. `restarted` is told why, whenever what was streamed so far is void.

        Tool calls stay as the model wrote them: many, unknown, or malformed (`message.invalid_tool_calls`).
        Raises `ProviderUnavailable` when no model answers, `ConfigurationError` when settings are the only cause.
        """
        errors: list[OperatorError] = []
        tell = restarted or _nobody
        for candidate in self.candidates:
            if errors:
                tell(f"{self.candidates[len(errors) - 1].name} did not answer; {candidate.name} is asked")
            try:
                return await self._ask(candidate, messages, tools, config, tell)
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
        tell: Restarted,
    ) -> ModelAnswer:
        try:
            async for attempt in stamina.retry_context(
                on=_retry_after,
                attempts=self.retries + 1,
                timeout=self.timeout * _MAX_TIMEOUTS,
                wait_initial=_FIRST_PAUSE,
                wait_max=_LONGEST_BACKOFF,
            ):
                with attempt:
                    try:
                        message = await self._attempt(candidate, messages, tools, config)
                    except CallFailed as failed:
                        if failed.failure.retryable and attempt.num <= self.retries:
                            tell(f"{candidate.name}: {failed.failure.detail}")
                        raise
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
        """Make one call. Replace a provider's error: its text may contain the key, and retries log their cause."""
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
        stream = cast(
            "AsyncGenerator[AIMessage]",
            candidate.with_tools(tools).astream(for_model(messages, candidate.name), config),
        )
        chunks: list[AIMessage] = []
        async with asyncio.timeout(self.total_timeout), asyncio.timeout(self.timeout) as silence, aclosing(stream):
            try:
                async for chunk in stream:
                    silence.reschedule(asyncio.get_running_loop().time() + self.timeout)
                    chunks.append(chunk)
            except ValueError as error:
                if "No generation chunks" not in str(error):  # LangChain's message for an empty stream
                    raise
        return fold(chunks, must_finish=candidate.must_finish)

    def _usage(self, candidate: Candidate, messages: Sequence[BaseMessage], answer: AIMessage) -> Usage:
        reported = answer.usage_metadata
        input_tokens = reported["input_tokens"] if reported else tokens_of(messages)
        output_tokens = reported["output_tokens"] if reported else tokens_of([answer])
        if candidate.name == OFFLINE:
            return Usage(input_tokens=input_tokens, output_tokens=output_tokens, cost_usd=0.0)
        cost = cost_of(candidate.name, input_tokens=input_tokens, output_tokens=output_tokens, prices=self.prices)
        return Usage(input_tokens=input_tokens, output_tokens=output_tokens, cost_usd=cost)


def _nobody(_: str) -> None:
    """Tell nobody."""


ChatModel: TypeAlias = ChatClient | BaseChatModel


def create_chat_client(settings: Settings) -> ChatClient:
    """Return the client that `settings` describe, without calling a model. Raises `ConfigurationError`."""
    names, prices = chosen_models(settings), parse_prices(settings.model_prices)
    _check_cost_caps(names, prices, settings)
    return ChatClient(
        candidates=tuple(
            Candidate(name=name, model=build_model(name, settings=settings), must_finish=speaks_openai(name))
            for name in names
        ),
        timeout=settings.model_timeout,
        total_timeout=settings.model_total_timeout,
        retries=settings.model_retries,
        prices=prices,
        secrets=tuple(
            key.get_secret_value() for key in (settings.openai_api_key, settings.deepseek_api_key) if key is not None
        ),
    )


def as_chat_client(model: ChatModel, settings: Settings) -> ChatClient:
    """Return a client that asks `model`, with the time-out, retries and prices of the settings. Raises `ConfigurationError`."""
    if isinstance(model, ChatClient):
        return model
    if not isinstance(model, BaseChatModel):
        raise ConfigurationError(f"model= takes a chat model of LangChain, not {model!r}; AGENT_MODEL takes a name.")
    name, prices = _name_of(model), parse_prices(settings.model_prices)
    _check_cost_caps([name], prices, settings)
    return ChatClient(
        candidates=(Candidate(name=name, model=model, must_finish=speaks_openai(name)),),
        timeout=settings.model_timeout,
        total_timeout=settings.model_total_timeout,
        retries=settings.model_retries,
        prices=prices,
        secrets=tuple(value.get_secret_value() for value in vars(model).values() if isinstance(value, SecretStr)),
    )


def _name_of(model: BaseChatModel) -> str:
    """Return `provider:name` as LangChain's traces say it."""
    traced = model._get_ls_params()  # the only place where every integration says its provider
    return f"{traced.get('ls_provider') or model._llm_type}:{traced.get('ls_model_name') or 'model'}"


def _check_cost_caps(names: Sequence[str], prices: Prices, settings: Settings) -> None:
    # An unknown cost would never reach its cap.
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
