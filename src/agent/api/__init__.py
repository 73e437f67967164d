"""The agent over HTTP. `uvicorn agent.api:app` serves it; `agent serve` does the same and checks the address first."""

from __future__ import annotations

from typing import Any

__all__ = ["app", "create_app"]


def __getattr__(name: str) -> Any:
    """Make the application at its first use, so that importing this package needs no web framework."""
    if name in __all__:
        from agent.api import application  # start-up: it imports FastAPI

        globals()["create_app"] = application.create_app
        globals()["app"] = application.create_app() if name == "app" else globals().get("app")
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
