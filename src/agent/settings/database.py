"""Settings: where the data is, and who this process is."""

from __future__ import annotations

import getpass
from pathlib import Path

import platformdirs
from pydantic import BaseModel, Field, SecretStr, field_validator

from agent.settings.values import DatabaseUrl, names_in, read_postgres_url


def _default_home() -> Path:
    return Path(platformdirs.user_data_dir("learning-agent", appauthor=False))


def _default_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"


class DatabaseSettings(BaseModel):
    """Where the data is, and who this process is."""

    home: Path = Field(
        default_factory=_default_home, description="Folder of the embedded database, the secret and the history."
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="Postgres >= 15 with pgvector that holds the agent's memory (administrator's URL). Empty: the embedded one.",
    )
    app_database_url: SecretStr | None = Field(
        None,
        validation_alias="APP_DATABASE_URL",
        description="The application database to learn and act on (administrator's URL). Empty: the same database.",
    )
    secret: SecretStr | None = Field(
        None, description="Secret from which the passwords of the four logins are derived. Embedded: made on first use."
    )
    app_url: SecretStr | None = Field(None, description="Full URL of the login agent_app, in place of the derived one.")
    assessor_url: SecretStr | None = Field(
        None, description="Full URL of the login agent_assessor, in place of the derived one."
    )
    reader_url: SecretStr | None = Field(
        None, description="Full URL of the login agent_reader, in place of the derived one."
    )
    actor_url: SecretStr | None = Field(
        None, description="Full URL of the login agent_actor, in place of the derived one."
    )
    tenant_id: str = Field(
        "default",
        min_length=1,
        max_length=200,
        validation_alias="AGENT_TENANT",
        description="The organisation whose data this process works on.",
    )
    user: str = Field(
        default_factory=_default_user,
        min_length=1,
        max_length=200,
        description="Who is recorded as asking and deciding on this machine.",
    )
    app_schemas: str = Field(
        "", description="Comma-separated schemas to learn. Empty: all but the system's, the agent's and Supabase's own."
    )
    supabase_url: str | None = Field(
        None,
        validation_alias="SUPABASE_URL",
        description="Supabase project URL, whose signed-in users may call the API. The agent itself reaches the project through DATABASE_URL.",
    )
    supabase_anon_key: SecretStr | None = Field(
        None,
        validation_alias="SUPABASE_ANON_KEY",
        description="Supabase anonymous key. The agent reaches the project through DATABASE_URL.",
    )

    @field_validator("database_url", "app_database_url", "app_url", "assessor_url", "reader_url", "actor_url")
    @classmethod
    def _is_postgres_url(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else DatabaseUrl(read_postgres_url(value.get_secret_value()))

    @field_validator("home")
    @classmethod
    def _is_absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("tenant_id", "user")
    @classmethod
    def _has_no_control_characters(cls, value: str) -> str:
        if any(ord(character) < 32 for character in value):
            raise ValueError("must not hold control characters")
        return value

    @property
    def pgdata(self) -> Path:
        """Data directory of the embedded server."""
        return self.home / "postgres"

    @property
    def embedded(self) -> bool:
        """Whether the agent's own database is the embedded one."""
        return self.database_url is None and self.app_url is None

    @property
    def chosen_schemas(self) -> tuple[str, ...]:
        """The schemas that `app_schemas`, or else the application's URL, names; empty: all that are the application's."""
        url = self.app_database_url or self.database_url
        return names_in(self.app_schemas) or ((url.schema,) if isinstance(url, DatabaseUrl) and url.schema else ())

    @property
    def url_hints(self) -> tuple[str, ...]:
        """What was left out of a database's URL, a sentence for each URL."""
        named = {"DATABASE_URL": self.database_url, "APP_DATABASE_URL": self.app_database_url}
        return tuple(url.hint(name) for name, url in named.items() if isinstance(url, DatabaseUrl) and url.ignored)
