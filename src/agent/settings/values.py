"""Rules for settings whose values have a form of their own. Pure; no message quotes a value, which may be a password.

URLs of Postgres are taken as people have them: copied from a dashboard, a .env file or another program's configuration. What
other programs add to a URL means nothing to the server: it is left out, and said.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo
from pydantic import SecretStr

from agent.types import RISK_LEVELS, MemoryKind, RiskLevel

_FORM = "must have the form postgresql://user:password@host:5432/database"
_ENCODED = f"{_FORM}; in the password write @ as %40, / as %2F, ? as %3F, % as %25, a space as %20"
_SCHEME = re.compile(r"(?:jdbc:)?(?:postgres|postgresql|postgis|pgsql|psql)(?:\+\w+)?://", re.IGNORECASE)
# `[YOUR-PASSWORD]`, `[project-ref]`, `<password>`: what a dashboard or a guide leaves to be filled in. An IPv6 address has colons.
_PLACEHOLDER = re.compile(r"(?<=[/:.@-])(?:\[[A-Za-z][\w -]*\]|<[A-Za-z][\w -]*>|\{[A-Za-z][\w -]*\})(?=[:@./?-]|\Z)")
_NAME = re.compile(r"[A-Za-z][A-Za-z_.]*")
# What names the schema to Prisma and to JDBC.
_SCHEMAS = frozenset({"schema", "currentschema"})
# Parameters of Prisma, JDBC, SQLAlchemy, asyncpg, node-postgres, Rails, Django and hosters, in small letters.
_FOREIGN = frozenset(
    """
    pgbouncer connection_limit pool_timeout pool_size pool_max pool_min pool_mode pool max_overflow max_connections
    min_connections max_conns max_conn_lifetime max_conn_idle_time statement_cache_size prepared_statement_cache_size
    prepared_statement_name_func prepared_statements statement_cache_capacity single_use_connections socket_timeout
    sslaccept sslidentity supa workaround uselibpqcompat pgsslmode ssl_mode
    applicationname preparethreshold preparedstatementcachequeries preparedstatementcachesizemib logintimeout
    connecttimeout sockettimeout targetservertype loadbalancehosts stringtype tcpkeepalive tcpnodelay rewritebatchedinserts
    binarytransfer defaultrowfetchsize sslfactory sslhostnameverifier autosave readonly assumeminserverversion
    escapesyntaxcallmode databasemetadatacacheonly cleanupsavepoints loggerlevel disablecolumnsanitiser adaptivefetch
    command_timeout server_settings timeout query_timeout statement_timeout lock_timeout idle_in_transaction_session_timeout
    idle_timeout idletimeoutmillis connectiontimeoutmillis max checkout_timeout reaping_frequency encoding charset adapter
    variables conn_max_age conn_health_checks async_fallback prepare_threshold timezone search_path default_query_exec_mode
    """.split()  # noqa: SIM905  # a table of words is read more easily
)
_SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
# What other programs write for a mode of libpq.
_SSL = {
    "no-verify": "require",
    "no_verify": "require",
    "true": "require",
    "1": "require",
    "false": "disable",
    "0": "disable",
}


def by_risk(text: str, *, most: int, example: str = "HIGH=2, CRITICAL=3") -> dict[RiskLevel, int]:
    """`HIGH=900, CRITICAL=1800` as numbers. Raises `ValueError` with an `example`."""
    found: dict[RiskLevel, int] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        level, _, number = (word.strip() for word in part.partition("="))
        if level not in RISK_LEVELS or not (number.isascii() and number.isdecimal() and 0 < int(number) <= most):
            raise ValueError(f"must have the form {example}: levels of {', '.join(RISK_LEVELS)}, numbers to {most}")
        found[level] = int(number)
    return found


def days_by_kind(text: str) -> dict[str, int]:
    """`interaction=400, replaced=400` as days. Raises `ValueError`."""
    kinds, found = (*get_args(MemoryKind), "replaced"), dict[str, int]()
    for part in filter(None, map(str.strip, text.split(","))):
        kind, _, days = (word.strip() for word in part.partition("="))
        if kind not in kinds or not (days.isascii() and days.isdecimal() and 0 < int(days) <= 36_500):
            raise ValueError(f"must have the form interaction=400: kinds of {', '.join(kinds)}, days to 36500")
        found[kind] = int(days)
    return found


def check_domains(text: str) -> None:
    """Raise `ValueError` for what is no list of domains."""
    for domain in filter(None, map(str.strip, text.split(","))):
        if not re.fullmatch(r"(\*\.)?[^*?\[\]\s]+", domain):
            raise ValueError(
                "must have the form firm.example, *.firm.example: a * stands only before the first dot, for whole labels"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresUrl:
    """A URL that libpq reads, the parameters that were `ignored`, and the `schema` that one of them named."""

    url: str
    ignored: tuple[str, ...] = ()
    schema: str = ""


def read_postgres_url(text: str) -> PostgresUrl:
    """The URL in `text`. Raises `ValueError` for what libpq does not read as it was meant, with one sentence."""
    bare = _bare(text)
    scheme = _SCHEME.match(bare)
    if scheme is None:
        raise ValueError(_FORM)
    if _PLACEHOLDER.search(bare):
        raise ValueError(f"{_FORM}, with your own values in the place of the placeholders that it holds")
    head, _, query = bare[scheme.end() :].partition("?")
    kept, ignored, schema = _parameters(query)
    url = f"postgresql://{head}{'?' if kept else ''}{'&'.join(kept)}"
    _check(url)
    return PostgresUrl(url=url, ignored=tuple(ignored), schema=schema)


def _bare(text: str) -> str:
    """Without the spaces and quotes around it that a line of a file may leave."""
    bare = text.strip().strip("\ufeff\u200b").strip()
    while len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "'\"`":
        bare = bare[1:-1].strip()
    return bare


def _parameters(query: str) -> tuple[list[str], list[str], str]:
    """The parameters that libpq takes, the names of those that are of other programs, and a schema."""
    kept: list[str] = []
    ignored: list[str] = []
    schema = ""
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        folded = name.lower()
        if folded in _SCHEMAS:
            # `public` stands in every URL that Prisma writes, whatever other schemas there are.
            schema = "" if unquote(value) == "public" else unquote(value)
            ignored.append(name)
        elif folded in {"sslmode", "ssl"}:
            kept.append(f"sslmode={_ssl_mode(value)}")
        elif name in _libpq():
            kept.append(part)
        elif folded in _FOREIGN:
            ignored.append(name)
        elif "@" in query or not _NAME.fullmatch(name):
            raise ValueError(_ENCODED)
        else:
            raise ValueError(f"has the parameter {name!r}, which Postgres does not know: leave it out")
    return kept, ignored, schema


def _ssl_mode(value: str) -> str:
    mode = _SSL.get(value.lower(), value.lower())
    if mode not in _SSL_MODES:
        raise ValueError(f"must have an sslmode of {', '.join(sorted(_SSL_MODES))}")
    return mode


def _libpq() -> frozenset[str]:
    return frozenset(option.keyword.decode() for option in Conninfo.get_defaults())


def _check(url: str) -> None:
    try:
        parts = conninfo_to_dict(url)
    except (psycopg.ProgrammingError, UnicodeError):
        raise ValueError(_ENCODED) from None
    hosts, ports = str(parts.get("host") or ""), str(parts.get("port") or "")
    # An unencoded @ or / in the password moves the rest of it into the host or the port.
    astray = "@" in hosts or "@" in str(parts.get("dbname") or "")
    if astray or any(port and not port.isdecimal() for port in ports.split(",")):
        raise ValueError(_ENCODED)


def check_claims(text: str) -> Mapping[str, Any]:
    """The claims of a JSON Web Token in `text`. Raises `ValueError`."""
    form = 'must be a JSON object, such as {"sub": "00000000-0000-0000-0000-000000000001", "role": "authenticated"}'
    try:
        claims = json.loads(text)
        json.dumps(claims, ensure_ascii=False).encode()  # Postgres takes no lone surrogate, and no NUL
    except ValueError:
        raise ValueError(form) from None
    if not isinstance(claims, dict) or "\\u0000" in text:
        raise ValueError(form)
    return claims


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


def names_in(text: str) -> tuple[str, ...]:
    """Return the names of a comma-separated list."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def signing_key(secret: str) -> bytes:
    """Return the bytes of a secret that is written as whsec_ and base64; none if it is not."""
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True) if secret.startswith("whsec_") else b""
    except binascii.Error:
        return b""


def check_signing_secret(value: SecretStr | None) -> SecretStr | None:
    """Return the secret of signatures; raises ValueError if it has not the form of standardwebhooks.com, or is short."""
    if value is not None and len(signing_key(value.get_secret_value())) < 24:
        raise ValueError("must be whsec_ and at least 24 bytes in base64")
    return value
