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
from typing import Literal

from agent.errors import ConfigurationError, OperatorError, ProviderUnavailable

# A provider that asks for a longer pause is treated as down: somebody is waiting for the answer.
LONGEST_PAUSE = 30.0

_MAX_DETAIL = 300
_KEY_LIKE = re.compile(r"\b(?:sk|key|pk)-[\w*.-]{6,}", re.IGNORECASE)
_TRANSPORT_MODULES = ("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "openai", "anthropic", "google")
_TRANSIENT = frozenset({408, 409, 425, 429})

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
        return Failure(kind="broken", detail=str(error) or "its answer broke off")
    if isinstance(error, json.JSONDecodeError):
        return Failure(kind="broken", detail="its answer is not JSON")
    if isinstance(error, ConnectionError) or _from_transport(error):
        return Failure(kind="broken", detail=_text_of(error) or "the connection failed")
    return None


def error_for(failure: Failure, *, name: str) -> OperatorError:
    """Return the error to raise for the model `name`; its message says who must do what."""
    key_setting = "DEEPSEEK_API_KEY" if name.startswith("deepseek:") else "OPENAI_API_KEY"
    match failure.kind:
        case "key":
            return ConfigurationError(f"{name} refused the key (or has no access): check {key_setting}")
        case "model":
            return ConfigurationError(
                f"{name} does not exist at its server: set AGENT_MODEL to provider:name of a model that it serves"
                f" ({failure.detail})"
            )
        case "refused":
            return ConfigurationError(
                f"{name} refused the request; lower AGENT_CONTEXT_TOKENS or choose another AGENT_MODEL"
                f" ({failure.detail})"
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


def is_transient(status: int) -> bool:
    """Return whether the same call may succeed a little later, by its HTTP status."""
    return status in _TRANSIENT or status >= 500


def _from_transport(error: BaseException) -> bool:
    return any(base.__module__.partition(".")[0] in _TRANSPORT_MODULES for base in type(error).__mro__)


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
    return Failure(kind="refused", detail=detail)


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
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    text = " ".join(str(message or error).split())
    return _KEY_LIKE.sub("[key]", text)
