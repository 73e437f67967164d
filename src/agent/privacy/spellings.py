"""Says in which spellings a name or an address may stand in stored texts, as a regular expression of Postgres. Pure.

A text may be plain, JSON, part of an address, a user name, or bytes that Postgres shows with escapes; accents may be written
out, left out, or composed of two characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import permutations

from agent.errors import InvalidInput
from agent.text.words import STOP_WORDS

_LETTERS = {
    "ł": ["l"], "ø": ["o", "oe"], "đ": ["d"], "ß": ["ss"], "æ": ["ae"], "œ": ["oe"], "ä": ["ae"], "ö": ["oe"], "ü": ["ue"], "å": ["aa"],
    "ð": ["d"], "þ": ["th"], "\u0131": ["i"],
}  # fmt: skip
# Between two parts of a name: "Zofia_Nowak", "Zofia, Nowak", "'Zofia' and 'Nowak'".
_BETWEEN = (
    r"""["'\u2019\u201d\\]{0,2}(?:[[:space:]_.,+\u00a0-]|%20|\\[nrt]){0,3}(?:(?:and|or) )?["'\u2018\u201c\\]{0,2}"""
)
# No letter or digit stands beside it, except as part of an escape.
_BEFORE = r"(?:(?<![[:alnum:]])|(?<=\\[bfnrt])|(?<=%[[:xdigit:]]{2})|(?<=\\[0-7]{3}))"
_AFTER = r"(?![[:alnum:]])"
_MOST_WORDS, _LONGEST, _MOST = 3, 200, 50


def pattern_of(names: Sequence[str]) -> str:
    """Return an expression that fits each of `names` in all its spellings. Raises `InvalidInput` for one that fits too much."""
    if len(names) > _MOST:
        raise InvalidInput(f"{len(names)} names are too many: give at most {_MOST}.")
    return f"{_BEFORE}(?:{'|'.join(spelling for name in names for spelling in _spellings(name))}){_AFTER}"


def _spellings(name: str) -> Iterator[str]:
    cleaned = unicodedata.normalize("NFC", name).strip()
    if len(cleaned) > _LONGEST or sum(map(str.isalnum, cleaned)) < 2 or cleaned.casefold() in STOP_WORDS:
        raise InvalidInput(
            f"{name[:50]!r} would be found in texts about anything: give a full name, an address or a number of 2 to {_LONGEST} characters."
        )
    words = cleaned.replace(",", " ").split()
    # "Kowalska, Anna" is Anna Kowalska.
    orders = permutations(words) if 1 < len(words) <= _MOST_WORDS else [tuple(words)]
    for order in orders:
        yield _BETWEEN.join("".join(map(_character, word)) for word in order)


def _character(character: str) -> str:
    """Return the forms of one character: itself, escaped in JSON, in an address and by Postgres, and without its accent."""
    if character.isascii() and character.isalnum():
        return character
    forms = [character, character.lower(), character.upper()]
    plain = unicodedata.normalize("NFD", character)
    if not character.isascii():
        letters = "".join(mark for mark in plain if not unicodedata.combining(mark))
        forms += [plain, letters, *_LETTERS.get(character.lower(), [])]
        forms += [unicodedata.normalize("NFD", form) for form in forms[1:3]]
    escaped = [_literal(form) for form in forms]
    for form in dict.fromkeys(forms[:3]):
        escaped.append("".join(rf"\\u{ord(unit):04x}" for unit in form if ord(unit) < 0x10000))
        escaped.append("".join(f"%{byte:02x}" for byte in form.encode()))
        if not form.isascii():
            escaped.append("".join(rf"\\{byte:03o}" for byte in form.encode()))
    if character in "\"'\\&<>":
        escaped += [rf"\\+\{character}", rf"&#x?0*(?:{ord(character)}|{ord(character):x});", r"\'\'"]
    return f"(?:{'|'.join(dict.fromkeys(filter(None, escaped)))})"


def _literal(text: str) -> str:
    return "".join(
        character if character.isalnum() or not character.isascii() else f"\\{character}" for character in text
    )
