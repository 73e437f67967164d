"""Decides what must not be kept or shown: deny-listed tables and columns, and values that look personal or secret. Pure.

A denied table or column reaches no schema text, memory or profile. Of a masked column only its name and type are kept: no
common values, no newest value, no default. Grants and the deny-list decide what a query may return.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise

from agent.privacy.secret_names import is_secret
from agent.text.words import word_set, words

_SECRET = word_set(
    """
    password passwords passwd pwd pass passphrase passwort contrasena secret secrets token apikey credential
    credentials salt otp totp mfa pin cvv cvc csrf nonce jwt cookie session oauth bearer signature webhook hash
    digest verifier
    """
)
# The text that replaces a secret.
HIDDEN = "[secret]"
_PERSONAL = word_set(
    """
    email emails mail correo phone phones telephone telefon telefono mobile cell fax whatsapp ssn nin nino iban
    bic swift card pan passport dob birth birthday birthdate born age gender sex religion ethnicity nationality
    race salary wage income address addresses addr adresse street strasse zip zipcode postal postcode plz latitude
    longitude ip mac username login nickname surname firstname lastname fullname forename vorname nachname nom
    prenom apellido diagnosis medical blood biometric fingerprint face photo avatar vat
    """
)
# Stems that are long and distinctive enough to be found inside a word: `userpassword`, `birthplace`.
_STEMS = ("passw", "secret", "credential", "email", "phone", "birth", "apikey", "creditcard", "firstname", "lastname", "middlename",
           "addressline", "streetaddress", "loginid", "demographic", "marital", "cardholder", "accountnumber", "contactinfo", "resume")  # fmt: skip
_PHRASES = (
    ("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key"), ("encryption", "key"), ("signing", "key"),
    ("recovery", "code"), ("verification", "code"), ("user", "agent"), ("device", "id"), ("social", "security"),
    ("tax", "id"), ("tax", "number"), ("national", "id"), ("account", "number"), ("bank", "account"), ("routing", "number"),
    ("driver", "license"), ("drivers", "license"), ("driving", "licence"), ("first", "name"), ("last", "name"),
    ("middle", "name"), ("given", "name"), ("family", "name"), ("maiden", "name"), ("legal", "name"),
    ("user", "name"), ("contact", "name"), ("customer", "name"), ("employee", "name"),
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
# These may be companies: their `name` is a person's only if the table also holds an e-mail address, a phone or a birthday.
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

_BIRTH = word_set("dob birth birthday birthdate birthyear born geboren geburtsdatum naissance")
# Numbers that identify or reach a person.
_IDENTITY = word_set(
    """
    phone telephone telefon telefono mobile cell fax whatsapp msisdn imei imsi ssn sin nin nino iban passport pan zip
    zipcode plz postcode cpf cnpj nif dni aadhaar bsn ip mac
    """
)
_IDENTITY_STEMS = (
    "phone",
    "creditcard",
    "cardnumber",
    "nationalid",
    "socialsecurity",
    "taxid",
    "postalcode",
    "zipcode",
    "ssn",
)
_ACCESS_CODES = word_set("pin otp cvv cvc cvv2 password passcode passwd pincode")
_NUMBERS = (
    ("card", "number"), ("account", "number"), ("vat", "number"), ("routing", "number"), ("tax", "number"), ("tax", "id"), ("social", "security"),
    ("national", "id"), ("national", "number"), ("postal", "code"), ("zip", "code"), ("pin", "code"), ("otp", "code"),
    ("recovery", "code"), ("verification", "code"), ("last", "four"), ("license", "number"), ("licence", "number"),
    ("insurance", "number"), ("patient", "number"), ("personal", "number"), ("identity", "number"), ("id", "number"),
)  # fmt: skip
# Numbers that are personal in a table of people only, not the income of a year or the longitude of a city.
_ABOUT_PEOPLE = word_set("salary salaries wage wages income latitude longitude lat lng lon weight height bmi")
_AMOUNTS = word_set(
    """
    count counts total totals num attempts attempt failed quantity qty sent opened clicked clicks bounced limit max min
    length size version score points promotion opt retries seconds minutes hours days ttl amount avg average sum
    emails phones addresses passwords tokens sessions cards logins per percent rate ratio rank order position weight
    """
) - {"weight"}  # fmt: skip
_COUNTS_OF = (("number", "of"), ("no", "of"), ("num", "of"), ("count", "of"), ("has", "email"))
_KEY_ENDS = frozenset({"id", "ids", "fk", "pk", "uuid", "guid", "oid", "sk", "ref"})
_ELEMENTS = (
    ("N", ("int", "bigint", "smallint", "numeric", "real", "double", "float", "money")),
    ("B", "bool"),
    ("D", ("date", "time")),
)
# Health, family and identity numbers are personal even if the column only describes them.
_ALWAYS_PERSONAL = word_set("diagnosis diagnoses medical blood biometric marital religion ethnicity ssn iban")
# Words that are personal only at the end of a name: `mobile`, not `mobile_app`.
_ENDS_ONLY = word_set(
    "mobile cell card pan fax face photo race age login vat swift mail latitude longitude salary wage income"
)
# Last words of a column that only describes what the word before them names.
_DESCRIPTIONS = word_set(
    """
    id at on by count status state type kind date name expiry expires hint policy required enabled length version
    """
)
_DESCRIPTIONS_OF_TEXTS = word_set(
    """
    template format category provider verified confirmed language subject server host port issuer algorithm audience scheme
    protocol driver prefix suffix label title description reason message error source mode level class group role
    frequency consent preference preferences setting settings theme client platform os app brand color colour layout
    folder queue topic event endpoint expiration scope scopes
    """
)
_HASHED = word_set(
    "commit content file block tx transaction git tree row schema query image body object parent merge head sha variation checksum pixel"
)
_NOT_DESCRIPTIONS = (
    ("pin", "code"),
    ("otp", "code"),
    ("zip", "code"),
    ("postal", "code"),
    ("recovery", "code"),
    ("verification", "code"),
)
_NUMBERED = frozenset({"number", "no", "num", "nr"})
_MORE_PEOPLE = word_set("reviewer recipient sender payer payee beneficiary signer traveller traveler voter donor")
_PEOPLES_NAMES = (("display", "name"), ("full", "name"))

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


def looks_sensitive(
    column: str,
    *,
    table: str = "",
    siblings: Iterable[str] = (),
    category: str = "",
    type_name: str = "",
    is_key: bool = False,
    numeric: bool = False,
) -> bool:
    """Return whether a column's values look personal or secret, by its name and type.

    `siblings` are the other columns of `table`. `category` is pg_type.typcategory; where it is "" the name alone decides.
    `numeric` says that the column holds numbers, `is_key` that it belongs to a primary or foreign key. A number is personal
    only if it identifies or reaches somebody, a time only if it is a birthday; flags, labels and surrogate keys never are.
    """
    name_words = _words(column)
    kind = "N" if numeric else _kind(category, type_name)
    if not name_words or kind in {"B", "E"}:
        return False
    if kind in {"D", "T"}:
        return _is_birth(name_words) and name_words[-1] not in _DESCRIPTIONS - {"at", "on", "date", "by"}
    if kind == "N":
        return _identifies(name_words, table=table, siblings=siblings)
    if name_words[-1] in _KEY_ENDS and len(name_words) > 1:
        return not is_key and _is_identity(name_words[:-1])
    if kind == "uuid":
        return (
            not is_key
            and not _HASHED & set(name_words)
            and bool(set(name_words) & _SECRET)
            and name_words[-1] not in _DESCRIPTIONS
        )
    return _is_personal_text(name_words, table=table, siblings=siblings)


def _kind(category: str, type_name: str) -> str:
    """Return the category of a type: for an array that of its elements, for a uuid "uuid"."""
    base = type_name.removesuffix("[]")
    if category == "A":
        return next((kind for kind, start in _ELEMENTS if base.startswith(start)), "S")
    return "uuid" if base == "uuid" else category


def _is_birth(name_words: tuple[str, ...]) -> bool:
    return bool(set(name_words) & _BIRTH) or any("birth" in word for word in name_words)


def _identifies(name_words: tuple[str, ...], *, table: str, siblings: Iterable[str]) -> bool:
    """Return whether a number of that name is personal: a phone, an identity, an access code, a birth year, a wage."""
    joined, last = "".join(name_words), next((word for word in reversed(name_words) if not word.isdigit()), "")
    if _is_birth(name_words):
        return last not in _KEY_ENDS
    if (
        _AMOUNTS & set(name_words)
        or name_words[:2] in _COUNTS_OF
        or (joined.endswith("id") and joined not in {"taxid", "nationalid"})
    ):
        return False
    if last in _IDENTITY | _ACCESS_CODES or (last in _NUMBERED | {"code"} and set(name_words) & _IDENTITY):
        return True
    if len(name_words) == 1 and any(stem in joined for stem in _IDENTITY_STEMS):
        return True
    if any(_has_phrase(name_words, phrase) for phrase in _NUMBERS) and last not in _DESCRIPTIONS_OF_TEXTS:
        return True
    return bool(set(name_words) & _ABOUT_PEOPLE) and _is_about_people(table, siblings)


def _is_identity(name_words: tuple[str, ...]) -> bool:
    """Return whether the words before "id" make it a person's identity (`tax_id`, `email_id`), not a key of a table."""
    return bool(set(name_words) & (_IDENTITY | _REACHES_A_PERSON | _SECRET)) or name_words[-1] in {
        "tax",
        "national",
        "device",
        "login",
    }


def _is_personal_text(name_words: tuple[str, ...], *, table: str, siblings: Iterable[str]) -> bool:
    last, people = name_words[-1], _is_about_people(table, siblings)
    singulars = {*name_words, *(word.removesuffix("s") for word in name_words)}
    if singulars & _ALWAYS_PERSONAL:
        return True
    if (
        _is_description(name_words)
        or (_HASHED & singulars and last in {"hash", "digest"})
        or (name_words == ("race",) and not people)
    ):
        return False
    if (
        singulars & (_SECRET | _PERSONAL - _ENDS_ONLY)
        or last in _ENDS_ONLY
        or (set(name_words[-2:]) & _ENDS_ONLY and last in _NUMBERED)
        or _has_personal_word(name_words)
    ):
        return True
    if any(_has_phrase(name_words, phrase) for phrase in _PEOPLES_NAMES):
        return not table or people or _has_contact_column(siblings)
    is_whose = any("".join(name_words[-2:]) == f"{who}name" for who in _PEOPLE | _MORE_PEOPLE)
    return is_whose or (name_words in {("name",), ("picture",), ("portrait",)} and people)


def _has_personal_word(name_words: tuple[str, ...]) -> bool:
    joined = "".join(name_words)
    return any(stem in joined for stem in (*_STEMS, *_IDENTITY_STEMS)) or any(
        _has_phrase(name_words, phrase) for phrase in _PHRASES
    )


def _is_description(name_words: tuple[str, ...]) -> bool:
    """Return whether a column only describes something: `phone_type` and `email_template` do, `phone_number` does not."""
    if len(name_words) == 1 and name_words[0].endswith(("type", "flag", "count", "format")):
        return True
    if (
        len(name_words) == 1
        or name_words[-2:] in _NOT_DESCRIPTIONS
        or name_words[-1] in {"number", "name"}
        or _is_birth(name_words)
    ):
        return False
    return name_words[-1] in _DESCRIPTIONS | _DESCRIPTIONS_OF_TEXTS or name_words[:2] in _COUNTS_OF


def _has_contact_column(siblings: Iterable[str]) -> bool:
    return any(_REACHES_A_PERSON & set(_words(name)) for name in siblings)


def looks_secret(column: str) -> bool:
    """Return whether a column's name is that of a secret: a password, a token, a key."""
    return is_secret(column)


def keys_in(text: str) -> list[str]:
    """Return the parts of a text that have the form of a key, a token or a password's hash."""
    return [match.group() for shape in _KEY_SHAPES for match in shape.finditer(text)]


def looks_sensitive_value(value: str) -> bool:
    """Return whether a value has the form of an address, of a number that reaches or identifies a person, or of a key."""
    if any(shape.search(value) for shape in _SHAPES):
        return True
    return bool(_NUMBER_LIKE.fullmatch(value.strip())) and not _DATE_LIKE.match(value.strip())


@dataclass(frozen=True, slots=True)
class DenyList:
    """A list of tables and columns: globs over `table`, `schema.table`, `table.column` or `schema.table.column`.

    `a.b` names the table `b` of the schema `a` and the column `b` of a table `a`. Case does not matter, and a `*` does not
    match a dot. AGENT_DENY lists what must never reach a model.
    """

    patterns: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def parse(cls, setting: str) -> DenyList:
        """Return the list that a comma-separated setting holds."""
        return cls(tuple(tuple(part.strip().lower().split(".")) for part in setting.split(",") if part.strip()))

    def fits(self, schema: str, table: str, columns: Iterable[str]) -> bool:
        """Return whether the list has the table or one of its columns."""
        return self.table(schema, table) or any(self.column(schema, table, name) for name in columns)

    def table(self, schema: str, name: str) -> bool:
        """Return whether the list has the whole table."""
        return self._matches(name) or self._matches(schema, name)

    def column(self, schema: str, table: str, name: str) -> bool:
        """Return whether the list has the column or its whole table."""
        return self.table(schema, table) or self._matches(table, name) or self._matches(schema, table, name)

    def _matches(self, *names: str) -> bool:
        return any(
            len(pattern) == len(names)
            and all(fnmatchcase(name.lower(), part) for name, part in zip(names, pattern, strict=True))
            for pattern in self.patterns
        )


def _words(name: str) -> tuple[str, ...]:
    return tuple(words(name))


def _has_phrase(name_words: tuple[str, ...], phrase: tuple[str, str]) -> bool:
    return any(pair == phrase for pair in pairwise(name_words))


def _is_about_people(table: str, siblings: Iterable[str]) -> bool:
    about = set(_words(table))
    if about & _PEOPLE:
        return True
    return bool(about & _MAYBE_PEOPLE) and _has_contact_column(siblings)
