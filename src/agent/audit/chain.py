"""Seals the entries of the audit log into a chain and finds what was tampered with. Pure.

seal of an entry = HMAC-SHA256(key, seal of the entry before + the entry as canonical JSON, its number included)

What is sealed of a text is the digest of a salt and the text. Who erases a text removes it with its salt: the chain still
fits, and nobody can find the text again. Entries from before there were salts have a former seal, over the texts themselves.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from agent.errors import InvalidInput

Kind = Literal[
    "changed", "missing", "rewritten", "truncated", "key", "row", "machinery", "effect", "unsealed", "erased"
]
BEFORE_THE_FIRST = bytes(32)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
# A number with decimals is kept as its text after a NUL, which no string of the database contains.
_DECODER = json.JSONDecoder(parse_float=lambda number: f"\x00{number}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change of one audited row: its table (`subject`), its `key`, and its `content` after the change.

    `content` and `key` are JSON as the database wrote it, without what was erased; `values` parses the content. `sealed` has
    each column as the chain covers it, and `salts` the salts. Until the entry is sealed, `sequence` is None and `mac` is empty.
    `login` is the database login that made the change.
    """

    id: int
    at: str
    login: str
    event: str
    subject: str
    key: str | None
    content: str
    sealed: str
    salts: str = "{}"
    sequence: int | None = None
    sealed_at: str = ""
    key_id: str = ""
    mac: bytes = b""
    former_key_id: str = ""
    former_mac: bytes = b""

    @property
    def values(self) -> dict[str, Any]:
        """The columns of the row after the change; objects and long texts are `{"sha256": ...}`. Raises `ValueError` if it is no JSON."""
        values: dict[str, Any] = _read(self.content)
        return values

    @property
    def name(self) -> str:
        """The row that the entry is about, as text: `agent_execution_log 31`."""
        if self.key is None:
            return f"{self.subject} (its key was erased)"
        try:
            return " ".join([self.subject, *(str(part) for part in _read(self.key))])
        except (ValueError, TypeError):
            return f"{self.subject} {self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong with the log, and where: `sequence` is an entry's number in the chain, `subject` a table."""

    kind: Kind
    message: str
    sequence: int | None = None
    subject: str | None = None


class Anchor(TypedDict):
    """The end of the chain at some time. Keep it where nobody who can change the server can change it."""

    tenant: str
    sequence: int
    mac: str
    key_id: str
    sealed_at: str


class KeyRing:
    """The current key and the earlier ones. Each key is derived from the text of a setting."""

    def __init__(self, current: str, others: Sequence[str] = ()) -> None:
        self._keys = {key_id(key): key for key in map(_derived, [*others, current])}
        self.current = _derived(current)

    def get(self, name: str) -> bytes | None:
        """Return the key of that id, or None."""
        return self._keys.get(name)


def key_id(key: bytes) -> str:
    """Return an id for a key that reveals nothing of it."""
    return hmac.digest(key, b"id", "sha256").hex()[:12]


def seal(entry: Entry, previous: bytes, *, tenant_id: str, key: bytes) -> bytes:
    """Return the seal of a numbered entry after the seal `previous`. Raises `ValueError` on content that is not JSON."""
    content = [
        entry.sequence, tenant_id, entry.id, entry.at, entry.login, entry.event, entry.subject, _read(entry.sealed),
        entry.sealed_at, entry.key_id, entry.former_key_id, entry.former_mac.hex(),
    ]  # fmt: skip
    return hmac.digest(key, previous + _ENCODER.encode(content).encode(), "sha256")


def former_seal(entry: Entry, previous: bytes, *, tenant_id: str, key: bytes) -> bytes:
    """Return the seal that an entry got before there were salts. Raises `ValueError` on content that is not JSON."""
    content = [
        entry.sequence, tenant_id, entry.id, entry.at, entry.login, entry.event, entry.subject, _read(entry.key or ""),
        _read(entry.content), entry.sealed_at, entry.former_key_id,
    ]  # fmt: skip
    return hmac.digest(key, previous + _ENCODER.encode(content).encode(), "sha256")


def _erased_or_none(entry: Entry) -> list[str] | None:
    try:
        return erased_columns(entry)
    except (ValueError, RecursionError):  # the agent never wrote such content
        return None


def erased_columns(entry: Entry) -> list[str] | None:
    """Return the columns whose values were erased, '' for the key; None if what is there is not what was sealed.

    Raises `ValueError` on content that is not JSON.
    """
    sealed, salts = _members(entry.sealed), _members(entry.salts)
    there = _members(entry.content) | ({} if entry.key is None else {"": entry.key})
    salted = {name for name, proof in sealed.items() if proof.startswith('{"salted"')}
    erased = sorted(salted - there.keys())
    if there.keys() ^ sealed.keys() ^ {*erased} or salts.keys() != salted & there.keys():
        return None
    digests = {name: _digest(str(json.loads(salt)), there[name]) for name, salt in salts.items()}
    return erased if all(sealed[name] == digests.get(name, value) for name, value in there.items()) else None


def _digest(salt: str, value: str) -> str:
    return json.dumps({"salted": hashlib.sha256(f"{salt}{value}".encode()).hexdigest()})


def _members(text: str) -> dict[str, str]:
    """Return the values of a JSON object of the database, each as the database wrote it."""
    members: dict[str, str] = {}
    place = 1
    if text[:1] != "{":
        raise ValueError("no object")
    while text[place : place + 1] == '"':
        name, end = _DECODER.raw_decode(text, place)
        _, place = _DECODER.raw_decode(text, end + 2)
        members[name] = text[end + 2 : place]
        place += 2  # the comma and the space after it
    return members


@dataclass(kw_only=True)
class Chain:
    """Checks the entries of a tenant, in their order, against the keys and an anchor."""

    tenant_id: str
    keys: KeyRing
    anchor: Anchor | None = None
    erased: Collection[int] = frozenset()  # the entries from which erasures took something
    sequence: int = 0
    head: bytes = BEFORE_THE_FIRST
    former_head: bytes = BEFORE_THE_FIRST
    key_id: str | None = None
    without_values: int = 0
    _earlier_keys: set[str] = field(default_factory=set)

    def check(self, entry: Entry) -> Iterator[Finding]:
        """Yield what is wrong with the next entry."""
        sequence = entry.sequence or 0
        expected, previous = self.sequence + 1, self.head
        self.sequence, self.head = sequence, entry.mac
        former, self.former_head = self.former_head, entry.former_mac
        anchored = {entry.mac.hex(), entry.former_mac.hex()}
        if self.anchor and sequence == self.anchor["sequence"] and self.anchor["mac"] not in anchored:
            yield Finding(
                kind="rewritten", sequence=sequence,
                message=f"Entry {sequence} differs from the anchor: the log up to it was rewritten.",
            )  # fmt: skip
        erased = _erased_or_none(entry)
        yield from self._check_key(entry)
        if sequence != expected:
            missing = (
                f"Entry {expected} is" if sequence == expected + 1 else f"Entries {expected} to {sequence - 1} are"
            )
            yield Finding(kind="missing", sequence=expected, message=f"{missing} missing.")
        elif not self._fits(entry, previous, former, erased):
            yield Finding(
                kind="changed", sequence=sequence, subject=entry.subject,
                message=f"Entry {sequence} ({entry.name}, {entry.event}) was changed after it was sealed, or was moved.",
            )  # fmt: skip
        if erased:
            yield from self._check_erasure(entry)

    def check_unsealed(self, entry: Entry) -> Iterator[Finding]:
        """Yield what is wrong with an entry that waits to be sealed."""
        if _erased_or_none(entry):
            yield from self._check_erasure(entry)

    def _check_erasure(self, entry: Entry) -> Iterator[Finding]:
        self.without_values += 1
        if entry.id not in self.erased:
            yield Finding(
                kind="erased", sequence=entry.sequence, subject=entry.subject,
                message=f"Entry {entry.sequence or 'without a number'} ({entry.name}, {entry.event}) lacks values, and no erasure took them.",
            )  # fmt: skip

    def end(self) -> Iterator[Finding]:
        """Yield what is wrong after the last entry."""
        if self.anchor and self.sequence < self.anchor["sequence"]:
            yield Finding(
                kind="truncated", sequence=self.sequence + 1,
                message=f"The log ends with entry {self.sequence}, and when the anchor was taken it had {self.anchor['sequence']}: "
                "its end was cut off.",
            )  # fmt: skip

    def _check_key(self, entry: Entry) -> Iterator[Finding]:
        # An entry that was sealed anew counts as of the key of its former seal.
        name = entry.former_key_id or entry.key_id
        if name == self.key_id:
            return
        if name in self._earlier_keys:
            message = (
                f"From entry {entry.sequence} on, an older key ({name}) is used again: "
                "two processes have different keys, or somebody uses a key that was replaced."
            )
            yield Finding(kind="key", sequence=entry.sequence, message=message)
        elif self.keys.get(name) is None:
            message = (
                f"From entry {entry.sequence} on, the log is sealed with a key ({name}) that is not known here. "
                "If that key was replaced, add it to AGENT_AUDIT_OLD_KEYS; if not, somebody else sealed these entries."
            )
            yield Finding(kind="key", sequence=entry.sequence, message=message)
        self._earlier_keys.add(name)
        self.key_id = name

    def _fits(self, entry: Entry, previous: bytes, former: bytes, erased: list[str] | None) -> bool:
        key, former_key = self.keys.get(entry.key_id), self.keys.get(entry.former_key_id)
        try:
            if key and not hmac.compare_digest(seal(entry, previous, tenant_id=self.tenant_id, key=key), entry.mac):
                return False
            if former_key and erased == []:
                expected = former_seal(entry, former, tenant_id=self.tenant_id, key=former_key)
                return hmac.compare_digest(expected, entry.former_mac)
        except (ValueError, RecursionError):  # the agent never wrote such content
            return False
        return erased is not None or key is None


def read_anchor(text: str, *, tenant_id: str) -> Anchor:
    """Return the anchor in the text of a file that `agent audit export` wrote. Raises `InvalidInput`."""
    try:
        parsed = json.loads(text)
        anchor = Anchor(
            tenant=parsed["tenant"], sequence=int(parsed["sequence"]), mac=bytes.fromhex(parsed["mac"]).hex(),
            key_id=parsed["key_id"], sealed_at=parsed["sealed_at"],
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInput("This file is not an anchor: name a file that `agent audit export` wrote.") from error
    if anchor["tenant"] != tenant_id:
        raise InvalidInput(f"This anchor is of the tenant {anchor['tenant']!r}, and AGENT_TENANT is {tenant_id!r}.")
    return anchor


def _derived(text: str) -> bytes:
    return hmac.digest(text.encode(), b"learning-agent audit log", "sha256")


def _read(text: str) -> Any:
    return _DECODER.decode(text)
