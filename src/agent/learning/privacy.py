"""What must not be kept or shown: deny-listed tables and columns, and values that look personal or secret.

Pure rules. A denied object reaches no schema text, memory or profile. A masked column is known by name and type, its
values are not: no common values, no newest value, no default. Results of queries obey grants and the deny-list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise

from agent.learning.secret_names import is_secret
from agent.learning.words import word_set, words

_SECRET = word_set(
    """
    password passwords passwd pwd pass passphrase passwort contrasena secret secrets token apikey credential
    credentials salt otp totp mfa pin cvv cvc csrf nonce jwt cookie session oauth bearer signature webhook hash
    digest verifier
    """
)
_PERSONAL = word_set(
    """
    email emails mail correo phone phones telephone telefon telefono mobile cell fax whatsapp ssn nin nino iban
    bic swift card pan passport dob birth birthday birthdate born age gender sex religion ethnicity nationality
    race salary wage income address addresses addr adresse street strasse zip zipcode postal postcode plz latitude
    longitude ip mac username login nickname surname firstname lastname fullname forename vorname nachname nom
    prenom apellido diagnosis medical blood biometric fingerprint face photo avatar vat
    """
)
# Stems long and telling enough to be found inside a word: `userpassword`, `birthplace`.
_INSIDE = ("passw", "secret", "credential", "email", "phone", "birth", "apikey", "creditcard", "firstname", "lastname")
_PHRASES = (
    ("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key"), ("encryption", "key"), ("signing", "key"),
    ("recovery", "code"), ("verification", "code"), ("user", "agent"), ("device", "id"), ("social", "security"),
    ("tax", "id"), ("tax", "number"), ("national", "id"), ("account", "number"), ("bank", "account"), ("routing", "number"),
    ("driver", "license"), ("drivers", "license"), ("driving", "licence"), ("first", "name"), ("last", "name"),
    ("full", "name"), ("middle", "name"), ("given", "name"), ("family", "name"), ("maiden", "name"), ("legal", "name"),
    ("display", "name"), ("user", "name"), ("contact", "name"), ("customer", "name"), ("employee", "name"),
    ("patient", "name"), ("holder", "name"), ("last", "four"), ("auth", "key"), ("card", "number"),
)  # fmt: skip
_PEOPLE = word_set(
    """
    user users person persons people employee employees staff patient patients student students teacher teachers
    doctor doctors member members contact contacts applicant applicants candidate candidates passenger passengers
    guest guests subscriber subscribers author authors driver drivers profile profiles attendee attendees tenant
    tenants resident residents
    """
)
# May be companies: their `name` is a person's only where the table also holds an e-mail address, a phone or a birthday.
_MAYBE_PEOPLE = word_set(
    """
    client clients customer customers lead leads owner owners account accounts
    """
)
_REACHES_A_PERSON = word_set(
    """
    email mail phone mobile birth birthday birthdate dob
    """
)

_HEX = re.compile(r"\b[0-9a-fA-F]{32,}\b")  # digest or key
_KEY_SHAPES = (
    re.compile(r"\beyJ[\w-]{8,}"),  # JSON web token
    re.compile(r"\b(?:sk|pk|rk|ghp|gho|xox[abp])[-_][\w-]{8,}"),  # keys of well-known services
    re.compile(r"-----BEGIN [^-]*-----[\sA-Za-z0-9+/=]*"),  # PEM
    re.compile(r"://[^/\s:]+:[^/\s@]+@"),  # URL with a password
    re.compile(r"\$(?:2[aby]|argon2\w*|5|6)\$[\w./$=,+-]*"),  # password hash
)
_SHAPES = (
    *_KEY_SHAPES,
    _HEX,
    re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+"),  # e-mail address
    re.compile(r"\b[A-Z]{2}\d{2}[ ]?(?:[A-Z0-9]{4}[ ]?){2,7}[A-Z0-9]{1,4}\b"),  # IBAN
    re.compile(r"\b\d{3}-\d{2}-\d{4}\b"),  # US social security number
    re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b"),  # IPv4 address
)
_NUMBER_LIKE = re.compile(r"[+(]?\d[\d\s()./-]{6,}\d")
_DATE_LIKE = re.compile(r"\d{4}-\d{2}-\d{2}")


def looks_sensitive(column: str, *, table: str = "", siblings: Iterable[str] = (), numeric: bool = False) -> bool:
    """Whether a column looks personal or secret by its name; `siblings` are the other columns of `table`."""
    own = _words(column)
    found = set(own)
    if numeric:
        found -= {"token", "hash", "pass", "session", "age", "card", "digest"}  # counts and surrogate keys, not secrets
    if found & _SECRET or found & _PERSONAL:
        return True
    joined = "".join(own)
    if any(stem in joined for stem in _INSIDE) or any(_holds(own, phrase) for phrase in _PHRASES):
        return True
    return own == ("name",) and _is_about_people(table, siblings)


def looks_secret(column: str) -> bool:
    """Whether a column looks by its name as if who knows its values can do something with them: passwords, tokens, keys."""
    return is_secret(column)


def keys_in(text: str) -> list[str]:
    """The parts of a text that have the shape of a key, a token or a password's hash."""
    return [match.group() for shape in _KEY_SHAPES for match in shape.finditer(text)]


def looks_sensitive_value(value: str) -> bool:
    """Whether a value has the shape of an address, a number that reaches or identifies a person, or a key."""
    if any(shape.search(value) for shape in _SHAPES):
        return True
    return bool(_NUMBER_LIKE.fullmatch(value.strip())) and not _DATE_LIKE.match(value.strip())


@dataclass(frozen=True, slots=True)
class DenyList:
    """Tables and columns that never reach a model: globs over `table`, `schema.table`, `table.column`, `schema.table.column`.

    `a.b` denies the table `b` of schema `a` and the column `b` of a table `a`. Case does not matter, and no `*`
    reaches over a dot.
    """

    patterns: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def parse(cls, setting: str) -> DenyList:
        """From the comma-separated setting."""
        return cls(tuple(tuple(part.strip().lower().split(".")) for part in setting.split(",") if part.strip()))

    def fits(self, schema: str, table: str, columns: Iterable[str]) -> bool:
        """Whether the table or one of its columns is denied."""
        return self.table(schema, table) or any(self.column(schema, table, name) for name in columns)

    def table(self, schema: str, name: str) -> bool:
        """Whether the whole table is denied."""
        return self._matches(name) or self._matches(schema, name)

    def column(self, schema: str, table: str, name: str) -> bool:
        """Whether the column, or its whole table, is denied."""
        return self.table(schema, table) or self._matches(table, name) or self._matches(schema, table, name)

    def _matches(self, *names: str) -> bool:
        return any(
            len(pattern) == len(names)
            and all(fnmatchcase(name.lower(), part) for name, part in zip(names, pattern, strict=True))
            for pattern in self.patterns
        )


def _words(name: str) -> tuple[str, ...]:
    return tuple(words(name))


def _holds(own: tuple[str, ...], phrase: tuple[str, str]) -> bool:
    return any(pair == phrase for pair in pairwise(own))


def _is_about_people(table: str, siblings: Iterable[str]) -> bool:
    about = set(_words(table))
    if about & _PEOPLE:
        return True
    return bool(about & _MAYBE_PEOPLE) and any(_REACHES_A_PERSON & set(_words(name)) for name in siblings)
