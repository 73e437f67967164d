"""Make every character of a text visible, so that no surface takes one for an instruction.

A control character could be an escape sequence, and a change of writing direction could make one statement look like another.
"""

from __future__ import annotations

import re
import unicodedata

_JOINERS = "\u200c\u200d"  # zero width (non-)joiner, which Persian words and emoji need
_HOSTILE_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_PLAIN = re.compile(r"[ -~\n]*", re.ASCII)


def clean(text: object) -> str:
    """Return `text` with its line breaks, and with every control or invisible character made visible."""
    string = str(text).replace("\r\n", "\n").replace("\t", "    ")
    if _PLAIN.fullmatch(string):
        return string
    return "".join(_visible(character) for character in string)


def one_line(text: object, limit: int | None = None) -> str:
    """Return `text` on one line, cut at `limit` characters."""
    flat = " ".join(clean(text).split())
    return flat if limit is None or len(flat) <= limit else f"{flat[: max(limit - 1, 0)]}…"


def _visible(character: str) -> str:
    if character == "\n" or character in _JOINERS or unicodedata.category(character) not in _HOSTILE_CATEGORIES:
        return character
    point = ord(character)
    if point < 0x20:
        return chr(0x2400 + point)  # the symbol for a control character, such as ␛
    return "␡" if point == 0x7F else "\ufffd"
