"""Settings: what is logged, and how."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator


class LoggingSettings(BaseModel):
    """What is logged, and how."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="Least severe log event that is printed, to standard error."
    )
    log_format: Literal["console", "json"] = Field("console", description="How log events are printed.")
    otel_endpoint: str | None = Field(
        None,
        description="OpenTelemetry receiver that gets spans over OTLP/HTTP, such as http://127.0.0.1:4318 (extra `otel`). Empty: none are made.",
    )
    otel_headers: SecretStr | None = Field(
        None, description="Headers for that receiver, as name=value,name=value: its key, for instance."
    )
    otel_trace_hosts: str = Field(
        "",
        description="Hosts that are told the id of the trace (the header traceparent) with a call to them, by commas: hooks.example.com. Empty: none.",
    )

    @property
    def trace_hosts(self) -> frozenset[str]:
        """Return the hosts of `otel_trace_hosts`."""
        return frozenset(part.strip().lower() for part in self.otel_trace_hosts.split(",") if part.strip())

    @field_validator("otel_endpoint")
    @classmethod
    def _is_receiver(cls, value: str | None) -> str | None:
        if not value:
            return None
        if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
            raise ValueError("must be an address such as http://127.0.0.1:4318, without a key in it")
        return value.rstrip("/")

    @field_validator("otel_headers")
    @classmethod
    def _are_headers(cls, value: SecretStr | None) -> SecretStr | None:
        parts = [part for part in (value.get_secret_value() if value else "").split(",") if part.strip()]
        if not all(re.fullmatch(r"\s*[A-Za-z0-9-]+=[\x20-\x7e]+", part) for part in parts):
            raise ValueError("must be name=value,name=value")
        return value
