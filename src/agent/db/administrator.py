"""Gives set-up, migrations, backups and the demo the administrator's connection URLs. An agent's turn never uses them."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.db import embedded
from agent.errors import ConfigurationError
from agent.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Administrator:
    """The administrator's URLs of the agent's and of the application's database, and the secret that the logins' passwords derive from."""

    url: str = field(repr=False)
    app_url: str = field(repr=False)
    secret: str = field(repr=False)


def administrator(settings: Settings) -> Administrator:
    """Return the administrator that `settings` name; start the embedded server where they name no other. Blocks.

    Raises `ConfigurationError` when DATABASE_URL or AGENT_SECRET is missing, `DatabaseUnavailable` when the embedded
    server does not start.
    """
    secret = settings.secret.get_secret_value() if settings.secret else None
    url = settings.database_url.get_secret_value() if settings.database_url else None
    if settings.embedded:
        secret = secret or embedded.read_or_make_secret(settings.home)
        url = embedded.start(settings.home, secret)
    if url is None or secret is None:
        raise ConfigurationError(
            "This needs an administrator: set DATABASE_URL and AGENT_SECRET, or neither of them for the embedded database."
        )
    app_url = settings.app_database_url.get_secret_value() if settings.app_database_url else url
    return Administrator(url=url, app_url=app_url, secret=secret)
