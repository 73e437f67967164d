"""Counts the requests of this process for `/metrics`, as JSON and in Prometheus's text form."""

from __future__ import annotations

import resource
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_WINDOW_SECONDS = 60.0
_MOST_KEPT = 10_000
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Connected(Protocol):
    """Something that holds a connection."""

    name: str
    reconnects: int


class Measures:
    """The figures of one application: requests by route and status, how long they took, and what the process uses."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter("agent_http_requests", "Requests answered.", labels, registry=self.registry)
        self._seconds = Histogram(
            "agent_http_request_seconds", "Seconds until a request was answered.", ("method", "route"), buckets=_BUCKETS,
            registry=self.registry,
        )  # fmt: skip
        self._running = Gauge("agent_http_requests_running", "Requests that are worked on.", registry=self.registry)
        memory = Gauge("agent_memory_bytes", "Most memory that this process has used.", registry=self.registry)
        memory.set_function(memory_bytes)
        self._recent: deque[tuple[float, float, bool]] = deque(maxlen=_MOST_KEPT)
        self._cpu = (time.monotonic(), time.process_time())

    def watch(self, services: Sequence[Connected]) -> None:
        """Also count the connections of messaging services that had to be made anew."""
        self.registry.register(_Reconnects(services))

    def begin(self) -> float:
        """Note that a request begins, and return when."""
        self._running.inc()
        return time.monotonic()

    def end(self, began: float, *, method: str, route: str, status: int) -> None:
        """Note how a request ended."""
        now = time.monotonic()
        self._running.dec()
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(now - began)
        self._recent.append((now, now - began, status < 500))

    def recent(self) -> tuple[float, float | None, float | None]:
        """Return requests a second, their mean seconds and the share that succeeded, of the last minute; None without any."""
        now = time.monotonic()
        last = [(seconds, good) for at, seconds, good in self._recent if now - at <= _WINDOW_SECONDS]
        if not last:
            return 0.0, None, None
        mean = sum(seconds for seconds, _ in last) / len(last)
        return len(last) / _WINDOW_SECONDS, mean, sum(good for _, good in last) / len(last)

    def cpu_percent(self) -> float:
        """Return the processor time of this process since the last call, in percent of one core."""
        before, now = self._cpu, (time.monotonic(), time.process_time())
        self._cpu = now
        passed = now[0] - before[0]
        return round(100 * (now[1] - before[1]) / passed, 2) if passed > 0 else 0.0


def memory_bytes() -> float:
    """Return the most memory that this process has used, in bytes."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(used if sys.platform == "darwin" else used * 1024)


class _Reconnects:
    """Says how often each service's connection was silent and made anew."""

    def __init__(self, services: Sequence[Connected]) -> None:
        self._services = services

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counter."""
        family = CounterMetricFamily(
            "agent_messaging_reconnects", "Silent connections that were made anew.", labels=["service"]
        )
        for service in self._services:
            family.add_metric([service.name], service.reconnects)
        yield family


class Measured:
    """An ASGI middleware that counts every request."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app = app
        self._measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = self._measures.begin()
        try:
            await self._app(scope, receive, noting)
        finally:
            # The route's pattern, not the path: a client must not be able to make new series.
            route = getattr(scope.get("route"), "path", "other")
            self._measures.end(began, method=_known(scope["method"]), route=route, status=status)


def _known(method: str) -> str:
    return method if method in {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"} else "other"
