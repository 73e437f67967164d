"""The only reader of the environment: every setting, with its default and its one-line meaning."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent.errors import ConfigurationError
from agent.setting_values import PostgresUrl, by_risk, check_claims, check_domains, read_postgres_url
from agent.types import ActorRights, ReadAs, RiskLevel

_YEAR_SECONDS = 366 * 24 * 3600
_MOST_VOTES = 100


def _default_home() -> Path:
    return Path(platformdirs.user_data_dir("learning-agent", appauthor=False))


def _default_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"


def _env(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class DatabaseUrl(SecretStr):
    """A database's URL as libpq reads it, and what was left out for that."""

    def __init__(self, read: PostgresUrl) -> None:
        super().__init__(read.url)
        self.ignored = read.ignored
        self.schema = read.schema

    def hint(self, variable: str) -> str:
        """What was left out of the URL in `variable`."""
        meant = (
            f" The schema {self.schema!r} is taken as the application's where AGENT_APP_SCHEMAS names none."
            if self.schema
            else ""
        )
        return f"{variable} has parameters of other programs, which are ignored: {', '.join(self.ignored)}.{meant}"


class Settings(BaseSettings):
    """Frozen settings. Environment variables and `.env` use the upper-case names; keyword arguments the lower-case ones.

    Raises `pydantic.ValidationError`; `Settings.load()` turns that into `ConfigurationError`.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True,
        # As keyword arguments are the bare names, they would be read from the environment too: HOME, USER.
        env_prefix="AGENT_",
    )  # fmt: skip

    # where data is
    home: Path = Field(
        default_factory=_default_home,
        validation_alias=_env("AGENT_HOME"),
        description="Folder of the embedded database, the secret and the history.",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias=_env("DATABASE_URL"),
        description="Postgres >= 15 with pgvector that holds the agent's memory (administrator's URL). Empty: the embedded one.",
    )
    app_database_url: SecretStr | None = Field(
        None,
        validation_alias=_env("APP_DATABASE_URL"),
        description="The application database to learn and act on (administrator's URL). Empty: the same database.",
    )
    secret: SecretStr | None = Field(
        None,
        validation_alias=_env("AGENT_SECRET"),
        description="Secret from which the passwords of the four logins are derived. Embedded: made on first use.",
    )
    app_url: SecretStr | None = Field(
        None,
        validation_alias=_env("AGENT_APP_URL"),
        description="Full URL of the login agent_app, in place of the derived one.",
    )
    assessor_url: SecretStr | None = Field(
        None,
        validation_alias=_env("AGENT_ASSESSOR_URL"),
        description="Full URL of the login agent_assessor, in place of the derived one.",
    )
    reader_url: SecretStr | None = Field(
        None,
        validation_alias=_env("AGENT_READER_URL"),
        description="Full URL of the login agent_reader, in place of the derived one.",
    )
    actor_url: SecretStr | None = Field(
        None,
        validation_alias=_env("AGENT_ACTOR_URL"),
        description="Full URL of the login agent_actor, in place of the derived one.",
    )
    tenant_id: str = Field(
        "default",
        min_length=1,
        max_length=200,
        validation_alias=_env("AGENT_TENANT"),
        description="The organisation whose data this process works on.",
    )
    user: str = Field(
        default_factory=_default_user,
        min_length=1,
        max_length=200,
        validation_alias=_env("AGENT_USER"),
        description="Who is recorded as asking and deciding on this machine.",
    )
    app_schemas: str = Field(
        "",
        validation_alias=_env("AGENT_APP_SCHEMAS"),
        description="Comma-separated schemas to learn. Empty: all but the system's, the agent's and Supabase's own.",
    )

    # models
    model: str = Field(
        "",
        validation_alias=_env("AGENT_MODEL"),
        description="Chat model as provider:name (openai:..., deepseek:...). Empty: chosen by the keys, else the offline model.",
    )
    model_fallbacks: str = Field(
        "",
        validation_alias=_env("AGENT_MODEL_FALLBACKS"),
        description="Comma-separated models to try, in order, when the first does not answer.",
    )
    openai_api_key: SecretStr | None = Field(
        None,
        validation_alias=_env("OPENAI_API_KEY"),
        description="Key for OpenAI or for the server at OPENAI_BASE_URL.",
    )
    openai_base_url: str | None = Field(
        None,
        repr=False,
        validation_alias=_env("OPENAI_BASE_URL"),
        description="Any OpenAI-compatible server (Ollama, vLLM, a gateway).",
    )
    deepseek_api_key: SecretStr | None = Field(
        None, validation_alias=_env("DEEPSEEK_API_KEY"), description="Key for DeepSeek."
    )
    deepseek_base_url: str = Field(
        "https://api.deepseek.com",
        repr=False,
        validation_alias=_env("DEEPSEEK_BASE_URL"),
        description="DeepSeek's OpenAI-compatible endpoint.",
    )
    embedder: str = Field(
        "",
        validation_alias=_env("AGENT_EMBEDDER"),
        description="Embeddings as provider:name. Empty: openai:text-embedding-3-small with an OpenAI key, else the built-in lexical hashing.",
    )
    embedding_base_url: str | None = Field(
        None,
        repr=False,
        validation_alias=_env("AGENT_EMBEDDING_BASE_URL"),
        description="OpenAI-compatible server for embeddings, when it is another one than OPENAI_BASE_URL.",
    )
    model_timeout: float = Field(
        60.0,
        gt=0,
        validation_alias=_env("AGENT_MODEL_TIMEOUT"),
        description="Seconds to wait for one model call.",
    )
    model_retries: int = Field(
        3,
        ge=0,
        le=10,
        validation_alias=_env("AGENT_MODEL_RETRIES"),
        description="Retries on 429, 5xx and time-outs, with jittered back-off.",
    )
    model_prices: str = Field(
        "",
        validation_alias=_env("AGENT_MODEL_PRICES"),
        description='Prices in USD per million tokens, as JSON: {"openai:gpt-x": [input, output]}.',
    )
    turn_token_cap: int = Field(
        0,
        ge=0,
        validation_alias=_env("AGENT_TURN_TOKEN_CAP"),
        description="Most tokens one turn may use; 0 is no cap.",
    )
    day_token_cap: int = Field(
        0,
        ge=0,
        validation_alias=_env("AGENT_DAY_TOKEN_CAP"),
        description="Most tokens a tenant may use in a day (UTC); 0 is no cap.",
    )
    turn_cost_cap: float = Field(
        0,
        ge=0,
        validation_alias=_env("AGENT_TURN_COST_CAP"),
        description="Most US dollars one turn may cost; 0 is no cap.",
    )
    day_cost_cap: float = Field(
        0,
        ge=0,
        validation_alias=_env("AGENT_DAY_COST_CAP"),
        description="Most US dollars a tenant may spend in a day (UTC); 0 is no cap.",
    )

    # one turn
    max_rounds: int = Field(
        8,
        ge=1,
        le=100,
        validation_alias=_env("AGENT_MAX_ROUNDS"),
        description="Most rounds of tool calls in one turn.",
    )
    max_calls_per_round: int = Field(
        10,
        ge=1,
        le=100,
        validation_alias=_env("AGENT_MAX_CALLS_PER_ROUND"),
        description="Most tool calls taken from one model answer.",
    )
    context_tokens: int = Field(
        16_000,
        ge=2_000,
        validation_alias=_env("AGENT_CONTEXT_TOKENS"),
        description="Token budget of one model request: knowledge, history and results.",
    )
    schema_tokens: int = Field(
        4_000,
        ge=200,
        validation_alias=_env("AGENT_SCHEMA_TOKENS"),
        description="Part of the budget for the schema of the tables that matter.",
    )
    memory_tokens: int = Field(
        1_000,
        ge=100,
        validation_alias=_env("AGENT_MEMORY_TOKENS"),
        description="Part of the budget for recalled memories.",
    )
    max_question_chars: int = Field(
        20_000,
        ge=100,
        validation_alias=_env("AGENT_MAX_QUESTION_CHARS"),
        description="Longest question that is accepted.",
    )

    # safety
    statement_timeout: float = Field(
        15.0,
        gt=0,
        le=3600,
        validation_alias=_env("AGENT_STATEMENT_TIMEOUT"),
        description="Seconds that one statement may run.",
    )
    max_rows: int = Field(
        200,
        ge=1,
        le=100_000,
        validation_alias=_env("AGENT_MAX_ROWS"),
        description="Most rows of a result that are fetched.",
    )
    max_result_bytes: int = Field(
        256_000,
        ge=1_000,
        validation_alias=_env("AGENT_MAX_RESULT_BYTES"),
        description="Most bytes of a result that are fetched.",
    )
    approval_timeout: float = Field(
        300.0,
        gt=0,
        validation_alias=_env("AGENT_APPROVAL_TIMEOUT"),
        description="Seconds until an unanswered approval expires.",
    )
    approval_timeouts: str = Field(
        "",
        validation_alias=_env("AGENT_APPROVAL_TIMEOUTS"),
        description="Other seconds for some risk levels, such as HIGH=900, CRITICAL=1800.",
    )
    quorum: str = Field(
        "CRITICAL=2",
        validation_alias=_env("AGENT_QUORUM"),
        description="How many different people must approve an action of a risk level, once `agent people` are named.",
    )
    ask_from: RiskLevel = Field(
        "MEDIUM",
        validation_alias=_env("AGENT_ASK_FROM"),
        description="The lowest risk that a human is asked about: LOW (every write), MEDIUM, HIGH or CRITICAL.",
    )
    many_rows: int = Field(
        1000,
        ge=1,
        validation_alias=_env("AGENT_MANY_ROWS"),
        description="A write that changes more rows than this is of HIGH risk.",
    )
    undo_days: float = Field(
        7.0,
        ge=0,
        le=3650,
        validation_alias=_env("AGENT_UNDO_DAYS"),
        description="Days that the rows of approved changes are kept as they were, for `agent undo`; 0 keeps none.",
    )
    undo_max_bytes: int = Field(
        200_000,
        ge=0,
        le=300_000,
        validation_alias=_env("AGENT_UNDO_MAX_BYTES"),
        description="Most bytes of rows that are kept of one change; a larger one cannot be undone.",
    )
    refuse: str = Field(
        "",
        validation_alias=_env("AGENT_REFUSE"),
        description="Comma-separated reasons (globs allowed, such as write:drop) that are refused outright.",
    )
    reader_bypass_rls: bool = Field(
        default=False,
        validation_alias=_env("AGENT_READER_BYPASS_RLS"),
        description="Set up agent_reader with BYPASSRLS, instead of relying on the application's policies.",
    )
    read_as_role: ReadAs = Field(
        "",
        validation_alias=_env("AGENT_READ_AS_ROLE"),
        description="Let `agent setup` make agent_reader a member of Supabase's role anon or authenticated, so that its policies apply.",
    )
    read_as_claims: SecretStr | None = Field(
        None,
        validation_alias=_env("AGENT_READ_AS_CLAIMS"),
        description='Claims of the Supabase user as whom is read, as JSON: {"sub": "...", "role": "authenticated"}.',
    )
    read_views: str = Field(
        "",
        validation_alias=_env("AGENT_READ_VIEWS"),
        description="Comma-separated views (schema.view) that agent_reader may read although they go round row-level security or read auth.",
    )
    actor_rights: ActorRights = Field(
        "data",
        validation_alias=_env("AGENT_ACTOR_RIGHTS"),
        description="What `agent setup` lets agent_actor change: data (rows), or schema (also the tables themselves).",
    )
    deny: str = Field(
        "",
        validation_alias=_env("AGENT_DENY"),
        description="Comma-separated tables or table.columns (globs allowed) that never reach a model.",
    )
    secret_columns: str = Field(
        "",
        validation_alias=_env("AGENT_SECRET_COLUMNS"),
        description="Comma-separated tables or table.columns (globs allowed) that hold secrets, beside those that look so.",
    )
    open_columns: str = Field(
        "",
        validation_alias=_env("AGENT_OPEN_COLUMNS"),
        description="Comma-separated tables or table.columns (globs allowed) that are no secrets though they look so.",
    )
    read_secrets: bool = Field(
        default=False,
        validation_alias=_env("AGENT_READ_SECRETS"),
        description="Let reads show the values of secret columns to the model. No: a human is asked for each such statement.",
    )
    tool_seconds: float = Field(
        2.0,
        gt=0,
        le=60,
        validation_alias=_env("AGENT_TOOL_SECONDS"),
        description="Seconds that a tool of the agent's making may compute in one call.",
    )
    tool_memory_mb: int = Field(
        64,
        ge=8,
        le=1024,
        validation_alias=_env("AGENT_TOOL_MEMORY_MB"),
        description="Most memory of such a tool, in millions of bytes.",
    )
    tool_calls: int = Field(
        50,
        ge=0,
        le=500,
        validation_alias=_env("AGENT_TOOL_CALLS"),
        description="Most host functions (queries, mails ...) that such a tool may call in one call.",
    )
    audit_key: SecretStr | None = Field(
        None,
        validation_alias=_env("AGENT_AUDIT_KEY"),
        description="Secret that seals the audit log; keep it off the database's server. Empty: derived from AGENT_SECRET.",
    )
    audit_old_keys: SecretStr = Field(
        SecretStr(""),
        validation_alias=_env("AGENT_AUDIT_OLD_KEYS"),
        description="Comma-separated earlier values of AGENT_AUDIT_KEY (or AGENT_SECRET): what they sealed can still be verified.",
    )
    tool_require_bubblewrap: bool = Field(
        default=False,
        validation_alias=_env("AGENT_TOOL_REQUIRE_BUBBLEWRAP"),
        description="Refuse to run tools of the agent's making where bubblewrap is missing or does not work.",
    )
    mask_personal: bool = Field(
        default=True,
        validation_alias=_env("AGENT_MASK_PERSONAL"),
        description="Mask columns that look personal or secret in stored profiles and knowledge.",
    )

    trusted_sources: str = Field(
        "",
        validation_alias=_env("AGENT_TRUSTED_SOURCES"),
        description="Comma-separated table.columns (globs allowed) whose values may be sent to or written without a question about where they come from.",
    )

    # mail
    smtp_host: str = Field(
        "",
        validation_alias=_env("AGENT_SMTP_HOST"),
        description="Mail server for send_email. Empty: no mail is sent.",
    )
    smtp_port: int = Field(
        0,
        ge=0,
        le=65_535,
        validation_alias=_env("AGENT_SMTP_PORT"),
        description="Port of the mail server; 0 is 587, with tls 465, with none 25.",
    )
    smtp_user: str = Field(
        "",
        validation_alias=_env("AGENT_SMTP_USER"),
        description="User at the mail server. Empty: no login.",
    )
    smtp_password: SecretStr | None = Field(
        None, validation_alias=_env("AGENT_SMTP_PASSWORD"), description="Password at the mail server."
    )
    smtp_tls: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        validation_alias=_env("AGENT_SMTP_TLS"),
        description="How the way to the mail server is encrypted: starttls, tls, or none (on this machine only).",
    )
    smtp_plain_network: bool = Field(
        default=False,
        validation_alias=_env("AGENT_SMTP_PLAIN_NETWORK"),
        description="Allow AGENT_SMTP_TLS=none over the network, where everybody on the way can read.",
    )
    smtp_check_certificate: bool = Field(
        default=True,
        validation_alias=_env("AGENT_SMTP_CHECK_CERTIFICATE"),
        description="Refuse a mail server whose certificate does not prove its name.",
    )
    smtp_ca_file: Path | None = Field(
        None,
        validation_alias=_env("AGENT_SMTP_CA_FILE"),
        description="PEM file of a private authority that signed the mail server's certificate.",
    )
    smtp_from: str = Field(
        "",
        validation_alias=_env("AGENT_SMTP_FROM"),
        description="Address that mail is sent from.",
    )
    smtp_timeout: float = Field(
        20.0,
        gt=0,
        le=600,
        validation_alias=_env("AGENT_SMTP_TIMEOUT"),
        description="Seconds to wait for each answer of the mail server.",
    )
    email_domains: str = Field(
        "",
        validation_alias=_env("AGENT_EMAIL_DOMAINS"),
        description="Comma-separated domains (*. before one names those below it) that mail may go to and link to without being HIGH "
        "risk. Empty: none.",
    )
    email_refuse_others: bool = Field(
        default=False,
        validation_alias=_env("AGENT_EMAIL_REFUSE_OTHERS"),
        description="Refuse mail to domains, or with links to domains, outside AGENT_EMAIL_DOMAINS, instead of asking.",
    )
    email_outbox: Path | None = Field(
        None,
        validation_alias=_env("AGENT_EMAIL_OUTBOX"),
        description="Folder that gets mail as .eml files where no AGENT_SMTP_HOST is set.",
    )

    # logging
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning",
        validation_alias=_env("AGENT_LOG_LEVEL"),
        description="Least severe log event that is printed, to standard error.",
    )
    log_format: Literal["console", "json"] = Field(
        "console", validation_alias=_env("AGENT_LOG_FORMAT"), description="How log events are printed."
    )

    # Supabase
    supabase_url: str | None = Field(
        None,
        validation_alias=_env("SUPABASE_URL"),
        description="Supabase project URL. The agent reaches the project through DATABASE_URL.",
    )
    supabase_anon_key: SecretStr | None = Field(
        None,
        validation_alias=_env("SUPABASE_ANON_KEY"),
        description="Supabase anonymous key. The agent reaches the project through DATABASE_URL.",
    )

    @field_validator("database_url", "app_database_url", "app_url", "assessor_url", "reader_url", "actor_url")
    @classmethod
    def _is_postgres_url(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else DatabaseUrl(read_postgres_url(value.get_secret_value()))

    @field_validator("home", "smtp_ca_file", "email_outbox")
    @classmethod
    def _is_absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().absolute() if value is not None else None

    @field_validator("approval_timeouts")
    @classmethod
    def _is_seconds_by_risk(cls, value: str) -> str:
        by_risk(value, most=_YEAR_SECONDS, example="HIGH=900, CRITICAL=1800")
        return value

    @field_validator("quorum")
    @classmethod
    def _is_people_by_risk(cls, value: str) -> str:
        by_risk(value, most=_MOST_VOTES)
        return value

    @field_validator("email_domains")
    @classmethod
    def _is_domains(cls, value: str) -> str:
        check_domains(value)
        return value

    @field_validator("read_as_claims")
    @classmethod
    def _is_claims(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_claims(value.get_secret_value())
        return value

    @field_validator("tenant_id", "user")
    @classmethod
    def _is_clean(cls, value: str) -> str:
        if any(ord(character) < 32 for character in value):
            raise ValueError("must not hold control characters")
        return value

    @classmethod
    def load(cls, **overrides: object) -> Settings:
        """Read the environment. Raises `ConfigurationError` naming each wrong variable, never its value."""
        try:
            return cls(**overrides)  # type: ignore[arg-type]  # validated by pydantic
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
                for item in error.errors()
            )
            raise ConfigurationError(f"Correct these settings in the environment or .env: {problems}") from None
        except (UnicodeDecodeError, OSError) as error:
            raise ConfigurationError(
                f"The file '.env' cannot be read ({type(error).__name__}): it must be a text file in UTF-8."
            ) from None

    @property
    def pgdata(self) -> Path:
        """Data directory of the embedded server."""
        return self.home / "postgres"

    @property
    def chosen_schemas(self) -> tuple[str, ...]:
        """The schemas that `app_schemas`, or else the application's URL, names; empty: all that are the application's."""
        chosen = tuple(name.strip() for name in self.app_schemas.split(",") if name.strip())
        url = self.app_database_url or self.database_url
        return chosen or ((url.schema,) if isinstance(url, DatabaseUrl) and url.schema else ())

    @property
    def url_hints(self) -> tuple[str, ...]:
        """What was left out of a database's URL, a sentence each."""
        named = {"DATABASE_URL": self.database_url, "APP_DATABASE_URL": self.app_database_url}
        return tuple(url.hint(name) for name, url in named.items() if isinstance(url, DatabaseUrl) and url.ignored)

    @property
    def listed_views(self) -> tuple[str, ...]:
        """The views that `read_views` names."""
        return tuple(name.strip() for name in self.read_views.split(",") if name.strip())

    @property
    def claims(self) -> Mapping[str, Any] | None:
        """The claims of the Supabase user as whom is read; None: as nobody."""
        if self.read_as_claims is None:
            return None
        role = {"role": self.read_as_role} if self.read_as_role else {}
        return {**role, **check_claims(self.read_as_claims.get_secret_value())}

    def seconds_to_approve(self, risk: RiskLevel) -> float:
        """How long a request of this risk waits for its decision."""
        return by_risk(self.approval_timeouts, most=_YEAR_SECONDS).get(risk, self.approval_timeout)

    def votes_to_approve(self, risk: RiskLevel) -> int:
        """How many people must approve an action of this risk, where people are named."""
        return by_risk(self.quorum, most=_MOST_VOTES).get(risk, 1)

    @property
    def embedded(self) -> bool:
        """Whether the agent's own database is the embedded one."""
        return self.database_url is None and self.app_url is None


def env_example() -> str:
    """The text of `.env.example`: every setting with its meaning and its default."""
    lines = ["# Copy this file to .env and uncomment what you need. Every setting is optional."]
    for field in Settings.model_fields.values():
        default = "" if field.default is None or field.default_factory is not None else field.default
        shown = (
            str(default).lower()
            if isinstance(default, bool)
            else f"{default:g}"
            if isinstance(default, float)
            else default
        )
        lines += ["", f"# {field.description}", f"# {variable_name(field)}={shown}"]
    return "\n".join(lines) + "\n"


def variable_name(field: FieldInfo) -> str:
    """The environment variable of a setting."""
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else str(alias)
