"""Rules for settings whose values have a form of their own. Pure; no message quotes a value, which may be a password."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from agent.types import RISK_LEVELS, RiskLevel


def by_risk(text: str, *, most: int, example: str = "HIGH=2, CRITICAL=3") -> dict[RiskLevel, int]:
    """`HIGH=900, CRITICAL=1800` as numbers. Raises `ValueError` with an `example`."""
    found: dict[RiskLevel, int] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        level, _, number = (word.strip() for word in part.partition("="))
        if level not in RISK_LEVELS or not (number.isascii() and number.isdecimal() and 0 < int(number) <= most):
            raise ValueError(f"must have the form {example}: levels of {', '.join(RISK_LEVELS)}, numbers to {most}")
        found[level] = int(number)
    return found


def check_postgres_url(url: str) -> None:
    """Raise `ValueError` for what libpq does not read as it was meant."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    form = "must have the form postgresql://user:password@host:5432/database"
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError(form)
    encoded = f"{form}; in the password write @ as %40, / as %2F, % as %25, a space as %20"
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise ValueError(encoded) from None
    hosts, ports = str(parts.get("host") or ""), str(parts.get("port") or "")
    # An unencoded @ or / in the password moves the rest of it into the host or the port.
    astray = "@" in hosts or "@" in str(parts.get("dbname") or "")
    if astray or any(port and not port.isdecimal() for port in ports.split(",")):
        raise ValueError(encoded)


def check_domains(text: str) -> None:
    """Raise `ValueError` for what is no list of domains."""
    for domain in filter(None, map(str.strip, text.split(","))):
        if not re.fullmatch(r"(\*\.)?[^*?\[\]\s]+", domain):
            raise ValueError(
                "must have the form firm.example, *.firm.example: a * stands only before the first dot, for whole labels"
            )


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
