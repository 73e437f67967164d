"""Says what a column holds, by its name: an address, an amount, prose, a short code, a key. Pure."""

from __future__ import annotations

from agent.provenance.origins import Kind
from agent.text.words import stem, word_set, words

_KINDS: tuple[tuple[Kind, frozenset[str]], ...] = (
    (
        "address",
        word_set(
            "email emails mail contact recipient recipients participants attendees invitees guests collaborators cc bcc"
        ),
    ),
    ("link", word_set("url urls uri link links website webhook endpoint callback homepage")),
    ("account", word_set("iban bic swift account bank routing card")),
    (
        "amount",
        word_set(
            "amount price prices cost costs total balance budget fee fees salary wage payment paid refund credit debit "
            "discount rate limit tax vat deposit charge money"
        ),
    ),
)
# Last words of columns that hold something else than their other words say: account_manager_id, email_sent_at.
_ATTRIBUTE_ENDS = word_set(
    "id at on by count status type kind date name verified method currency frequency period reference subject label title "
    "body text note notes description holder owner enabled"
)
_NAMES = word_set(
    "name names firstname lastname surname filename company organisation organization label title subject recipient payee "
    "beneficiary merchant vendor supplier provider customer client hotel airline restaurant"
)
_TITLES = word_set("title subject label filename file topic")
_PROSE = word_set(
    "body content contents text message messages note notes description comment comments details memo summary remark "
    "remarks reason instructions bio transcript snippet preview"
)
_CODES = word_set(
    "status state type kind currency category priority permission permissions access channel response role frequency period unit method "
    "language timezone visibility color colour direction class flag level"
)
_POWERS = word_set("admin administrator superuser owner staff root trusted verified approved write edit delete manage")
_AUTHORS = word_set("sender from author reporter owner creator organizer organiser payer source")
_KEY_ENDS = word_set("id ids key no nr number code uuid ref")


def kind_of_column(name: str) -> Kind | None:
    """Return which kind of value a column holds; None if its values may come from anywhere."""
    own = list(words(name))
    if not own or own[-1] in _ATTRIBUTE_ENDS:
        return None
    return next((kind for kind, known in _KINDS if known & set(own)), None)


def is_name(column: str) -> bool:
    """Return whether people call a row by this column."""
    return bool(_NAMES & set(words(column)))


def is_title(column: str) -> bool:
    """Return whether a column holds what people call a thing, not a person or a firm."""
    return bool(_TITLES & set(words(column)))


def is_subject(column: str) -> bool:
    """Return whether a column holds the subject of a message, which says nothing that its text does not."""
    return words(column)[-1:] == ["subject"]


def is_power(column: str) -> bool:
    """Return whether a column says that somebody may do more than others."""
    return bool(_POWERS & set(words(column)))


def is_prose(column: str) -> bool:
    """Return whether a column holds sentences, which may say anything."""
    own = words(column)
    return bool(own) and own[-1] in _PROSE


def is_code(column: str) -> bool:
    """Return whether a column holds one of a few short words."""
    own = words(column)
    return bool(own) and own[-1] in _CODES


def is_author(column: str) -> bool:
    """Return whether a column says from whom a row comes: whoever that is chose it, and nothing is sent there by itself."""
    return bool(_AUTHORS & set(words(column)))


def is_key(column: str) -> bool:
    """Return whether a column tells rows apart, or refers to another row. A column without a name may be one."""
    own = words(column)
    return not own or own[-1] in _KEY_ENDS


def entity_of(table: str, column: str) -> str | None:
    """Return the stem of the thing whose key a column holds: `events.id` and `guests.event_id` hold one of "event"."""
    own = words(column)
    if own in (["id"], ["uuid"]):
        name = words(table)
        return stem(name[-1]) if name else None
    return stem(own[-2]) if len(own) > 1 and own[-1] in {"id", "uuid"} else None
