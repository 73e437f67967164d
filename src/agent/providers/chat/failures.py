"""Classifies what went wrong in a model call: wait and try again, change a setting, or give up.

Provider libraries raise dozens of classes, which agree on an HTTP status, headers and a message. This module reads those and
imports none of the libraries. None of its texts contains a key.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from agent.errors import ConfigurationError, OperatorError, ProviderUnavailable
from agent.text.storable import storable

# A provider that asks for a longer pause is treated as down: somebody is waiting for the answer.
LONGEST_PAUSE = 30.0

_MAX_DETAIL = 300
_KEY_LIKE = re.compile(r"\b(?:(?:sk|key|pk|gsk|rk)[-_][\w*.-]{6,}|AIza[\w*-]{10,}|(?<=Bearer )\S{6,})", re.IGNORECASE)
_TRANSPORT_MODULES = ("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "openai", "anthropic", "google")
_TRANSIENT = frozenset({408, 409, 425, 429})

# Some providers send 400 for what has a status of its own.
_KINDS_OF_400: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"api[_ ]key", re.IGNORECASE), "key"),
    (re.compile(r"credit balance|insufficient balance|billing", re.IGNORECASE), "quota"),
    (
        re.compile(r"model.{0,60}(not exist|not found|not a valid|unknown)|(invalid|unknown) model", re.IGNORECASE),
        "model",
    ),
)
# What to do about a refused request, by the provider's words; the first that fits.
_ADVICE: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"reasoning_content|signature|thinking.{0,20}block", re.IGNORECASE),
        (
            "it wants its own thinking back, which this thread does not have: begin a new thread, or turn thinking off "
            'with AGENT_MODEL_OPTIONS={"thinking": false}'
        ),
    ),
    (
        re.compile(r"context|too long|too large|token limit|(maximum|exceed).{0,40}tokens", re.IGNORECASE),
        "lower AGENT_CONTEXT_TOKENS, or choose an AGENT_MODEL with a longer context",
    ),
    (
        re.compile(
            r"temperature|reasoning|thinking|(unsupported|unknown|unrecognized|extra).{0,20}(param|arg|input|field|value)",
            re.IGNORECASE,
        ),
        "it does not take an option of the request: correct AGENT_MODEL_OPTIONS",
    ),
    (re.compile(r"tool|function", re.IGNORECASE), "set AGENT_MODEL to a model that can call tools"),
    (re.compile(r"content.{0,20}(filter|policy)|safety|moderation|risk", re.IGNORECASE), "ask in other words"),
)
_OTHER_ADVICE = "set AGENT_MODEL to another model, or correct AGENT_MODEL_OPTIONS"

Kind = Literal["busy", "broken", "timeout", "quota", "key", "model", "refused"]


class BrokenStream(Exception):
    """The answer broke off. It never leaves the providers, where it becomes `ProviderUnavailable`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed call: `kind` decides what happens next; `pause` is the wait in seconds that the provider asks for."""

    kind: Kind
    detail: str
    pause: float | None = None

    @property
    def retryable(self) -> bool:
        """Return whether the same call may succeed a little later."""
        if self.kind not in ("busy", "broken", "timeout"):
            return False
        return self.pause is None or self.pause <= LONGEST_PAUSE


class CallFailed(Exception):
    """One call failed. It never leaves the providers, where `error_for` turns it into the error to raise."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


def failure_of(error: BaseException, *, secrets: Sequence[str] = ()) -> Failure | None:
    """Return what `error` means, or None if it is not a provider's failure: a bug must stay visible."""
    failure = _classified(error)
    if failure is None:
        return None
    detail = failure.detail
    for secret in secrets:
        detail = detail.replace(secret, "[key]")
    return replace(failure, detail=detail[:_MAX_DETAIL])


def _classified(error: BaseException) -> Failure | None:
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return _by_status(error, status)
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return Failure(kind="timeout", detail="it did not answer in time")
    if isinstance(error, BrokenStream):
        return Failure(kind="broken", detail=_text_of(error) or "its answer broke off")
    if isinstance(error, json.JSONDecodeError):
        return Failure(kind="broken", detail="its answer is not JSON")
    if isinstance(error, ConnectionError) or _from_transport(error) or _of_integration(error):
        return Failure(kind="broken", detail=_text_of(error) or "the connection failed")
    return None


def error_for(failure: Failure, *, name: str) -> OperatorError:
    """Return the error to raise for the model `name`; its message says who must do what."""
    match failure.kind:
        case "key":
            return ConfigurationError(f"{name} refused the key (or has no access): check {_key_of(name)}")
        case "model":
            return ConfigurationError(
                f"{name} does not exist at its server: set AGENT_MODEL to provider:name of a model that it serves"
                f" ({failure.detail})"
            )
        case "refused":
            return ConfigurationError(f"{name} refused the request ({failure.detail}): {_advice(failure.detail)}")
        case "timeout":
            return ProviderUnavailable(
                f"{name} did not answer ({failure.detail}): try again later, raise AGENT_MODEL_TIMEOUT (seconds of silence) "
                "or AGENT_MODEL_TOTAL_TIMEOUT, or set AGENT_MODEL_FALLBACKS"
            )
        case "quota":
            return ProviderUnavailable(
                f"{name} is over its quota: add credit there, or set AGENT_MODEL_FALLBACKS ({failure.detail})"
            )
        case _:
            wait = f"; it asks to wait {failure.pause:.0f} s" if failure.pause else ""
            return ProviderUnavailable(
                f"{name} did not answer ({failure.detail}{wait}): try again later, or set AGENT_MODEL_FALLBACKS"
            )


def _advice(detail: str) -> str:
    return next((advice for words, advice in _ADVICE if words.search(detail)), _OTHER_ADVICE)


def _key_of(name: str) -> str:
    provider = name.partition(":")[0]
    keys = {"deepseek": "DEEPSEEK_API_KEY", "openai": "OPENAI_API_KEY"}
    return keys.get(provider, f"the key of {provider} in the environment")


def is_transient(status: int) -> bool:
    """Return whether the same call may succeed a little later, by its HTTP status."""
    return status in _TRANSIENT or status >= 500


def _from_transport(error: BaseException) -> bool:
    return any(base.__module__.partition(".")[0] in _TRANSPORT_MODULES for base in type(error).__mro__)


def _of_integration(error: BaseException) -> bool:
    """Return whether a provider's LangChain package raised a plain `ValueError`: that is how error events in a stream come."""
    trace = error.__traceback__ if type(error) is ValueError else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = str(trace.tb_frame.f_globals.get("__name__")) if trace is not None else ""
    return name.startswith("langchain_") and not name.startswith("langchain_core")


def _by_status(error: BaseException, status: int) -> Failure:
    detail = f"HTTP {status}: {_text_of(error)}"
    if status in (401, 403):
        return Failure(kind="key", detail=f"HTTP {status}")
    if status == 404:
        return Failure(kind="model", detail=detail)
    if status == 402 or (status == 429 and getattr(error, "code", None) == "insufficient_quota"):
        return Failure(kind="quota", detail=detail)
    if is_transient(status):
        return Failure(kind="busy", detail=detail, pause=_pause_of(error))
    kinds = (kind for words, kind in _KINDS_OF_400 if status == 400 and words.search(detail))
    return Failure(kind=next(kinds, "refused"), detail=detail)


def _pause_of(error: BaseException) -> float | None:
    """Return the seconds of the Retry-After header (seconds or a date), or None if it has no valid value."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    value = headers.get("retry-after") if headers is not None else None
    if not value:
        return None
    try:
        return max(0.0, min(float(value), 86_400.0))
    except ValueError:
        parsed = email.utils.parsedate_tz(value)
    return max(0.0, email.utils.mktime_tz(parsed) - time.time()) if parsed else None


def _text_of(error: BaseException) -> str:
    text = " ".join(storable(_said(getattr(error, "body", None)) or str(error)).split())
    return _KEY_LIKE.sub("[key]", text)


def _said(body: Any, *, depth: int = 4) -> str:
    """Return the message in an error's body: servers have it as `message`, `error` or `detail`, in an object or a list."""
    if isinstance(body, dict) and depth:
        inner = (_said(body.get(name), depth=depth - 1) for name in ("message", "error", "detail", "msg"))
        return next(filter(None, inner), "")
    if isinstance(body, list) and body and depth:
        return _said(body[0], depth=depth - 1)
    return body if isinstance(body, str) else ""
