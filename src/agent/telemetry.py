"""OpenTelemetry (extra `otel`): a span for each turn, model call, tool call and call to a platform; by the conventions for generative AI.

A span holds names, ids, counts and the class of an error. It never holds a question, an answer, an argument, a result or the
text of an error: whoever may see those looks them up by the ids. A turn that waits for a human is no error, and goes on in
another span. The provider is this runtime's own and never the process's: other libraries send nothing through it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from agent.errors import ConfigurationError
from agent.runtime import Cache, Runtime

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import Tracer

# The names of semantic-conventions-genai 0.1.0, which is in development: they stand here and nowhere else.
OPERATION, PROVIDER, CONVERSATION = "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.conversation.id"
AGENT_NAME, REQUEST_MODEL, RESPONSE_MODEL = "gen_ai.agent.name", "gen_ai.request.model", "gen_ai.response.model"
INPUT_TOKENS, OUTPUT_TOKENS = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
TOOL_NAME, ERROR_TYPE = "gen_ai.tool.name", "error.type"
# Ours: what became of it ("done", "waiting", "refused", ...), and which row tells more.
OUTCOME, TURN, CALL, APPROVAL = "agent.outcome", "agent.turn", "agent.call", "agent.approval_id"
# Calls to platforms: HTTP's own names where there are some, else ours.
PLATFORM, PLATFORM_OPERATION, STATUS = "agent.platform", "agent.platform.operation", "http.response.status_code"
Operation = Literal["invoke_agent", "chat", "execute_tool"]
_AGENT = "learning-agent"
_EXPORT_SECONDS = 5
_CLOSE_SECONDS = 10.0


class Span:
    """One span; without a provider it takes what it is told and keeps nothing."""

    def __init__(self, span: OtelSpan | None = None) -> None:
        self._span = span

    def note(self, **values: str | int | None) -> None:
        """Say what became of it: `outcome`, `turn`, `model`, `input_tokens`, `output_tokens`, ... None is left out."""
        if self._span is not None:
            self._span.set_attributes({_NAMES[name]: value for name, value in values.items() if value is not None})

    def fail(self, kind: str) -> None:
        """Say that it failed, and with an error of which class. Its text is not told: it can quote values."""
        if self._span is not None:
            from opentelemetry.trace import StatusCode

            self._span.set_attribute(ERROR_TYPE, kind)
            self._span.set_status(StatusCode.ERROR)


_NAMES = {
    "provider": PROVIDER, "conversation": CONVERSATION, "agent": AGENT_NAME, "requested": REQUEST_MODEL, "model": RESPONSE_MODEL,
    "input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS, "tool": TOOL_NAME, "outcome": OUTCOME, "turn": TURN,
    "call": CALL, "approval": APPROVAL, "status": STATUS,
}  # fmt: skip
_TRACERS: Cache[Tracer] = Cache()


@contextmanager
def span_of(operation: Operation, subject: str, *, runtime: Runtime, **values: str | int | None) -> Iterator[Span]:
    """Trace a block as a span inside of the present one. An `Exception` that leaves it is its error, a cancellation is not.

    LangGraph's interrupts are exceptions too: no block that asks a human may be inside.
    """
    known: dict[str, str] = {OPERATION: operation}
    with _opened(f"{operation} {subject}", known, outgoing=operation == "chat", runtime=runtime) as span:
        span.note(**values)
        yield span


@contextmanager
def platform_span(platform: str, operation: str, *, runtime: Runtime) -> Iterator[Span]:
    """Trace a call to a platform, such as ("redis", "get"). Both are words of ours: no address, key or payload may be in them."""
    known = {PLATFORM: platform, PLATFORM_OPERATION: operation}
    with _opened(f"{operation} {platform}", known, outgoing=True, runtime=runtime) as span:
        yield span


def trace_headers(host: str | None, *, runtime: Runtime) -> dict[str, str]:
    """Return the header `traceparent` of the present span for a host that the operator named in AGENT_OTEL_TRACE_HOSTS, else nothing."""
    if host is None or host.lower() not in runtime.settings.trace_hosts or _tracer(runtime) is None:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    found: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(found)
    return {name: value for name, value in found.items() if name == "traceparent"}


@contextmanager
def _opened(name: str, known: dict[str, str], *, outgoing: bool, runtime: Runtime) -> Iterator[Span]:
    tracer = _tracer(runtime)
    if tracer is None:
        yield Span()
        return
    from opentelemetry.trace import SpanKind

    with tracer.start_as_current_span(
        name, kind=SpanKind.CLIENT if outgoing else SpanKind.INTERNAL, attributes=known, record_exception=False,
        set_status_on_exception=False,
    ) as opened:  # fmt: skip
        span = Span(opened)
        try:
            yield span
        except asyncio.CancelledError:
            span.note(outcome="stopped")
            raise
        except Exception as error:
            span.fail(type(error).__name__)
            raise


def trace_to(provider: TracerProvider, *, runtime: Runtime) -> None:
    """Send the spans of a runtime to a provider of yours, whatever the settings say. You close it."""
    _TRACERS.put(runtime, provider.get_tracer("agent"))


def _tracer(runtime: Runtime) -> Tracer | None:
    known = _TRACERS.get(runtime)
    if known is not None or runtime.settings.otel_endpoint is None:
        return known
    provider = _exporting(runtime)

    async def close() -> None:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await asyncio.to_thread(provider.shutdown)

    runtime.at_close.append(close)
    return _TRACERS.put(runtime, provider.get_tracer("agent"))


def _exporting(runtime: Runtime) -> TracerProvider:
    """Return a provider that sends spans in groups, in a thread of its own. Raises `ConfigurationError`."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigurationError(
            'AGENT_OTEL_ENDPOINT needs the extra "otel": install "learning-agent[otel]", or leave it empty.'
        ) from None
    settings = runtime.settings
    secret = settings.otel_headers.get_secret_value() if settings.otel_headers else ""
    headers = dict(part.strip().split("=", 1) for part in secret.split(",") if part.strip())
    exporter = OTLPSpanExporter(
        endpoint=f"{settings.otel_endpoint}/v1/traces", headers=headers, timeout=_EXPORT_SECONDS
    )
    provider = TracerProvider(resource=Resource.create({"service.name": _AGENT}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
