"""Which platforms the settings name, and what is missing where only some of their variables are set. Pure."""

from __future__ import annotations

from agent.settings import Settings


def remarks(settings: Settings) -> tuple[str, ...]:
    """Return a sentence for each platform that is not set up, or not wholly."""
    found = [] if settings.redis_url else ["REDIS_URL is not set: nothing is cached, each read asks Postgres."]
    given = {
        "PUSHER_APP_ID": settings.pusher_app_id, "PUSHER_KEY": settings.pusher_key,
        "PUSHER_SECRET": settings.pusher_secret, "PUSHER_CLUSTER": settings.pusher_cluster,
    }  # fmt: skip
    missing = [name for name, value in given.items() if not value]
    if len(missing) == len(given):
        found.append("PUSHER_APP_ID is not set: events are published on this server's own endpoint.")
    elif missing:
        found.append(f"Events do not go to Pusher: set {', '.join(missing)}, too.")
    return tuple(found)
