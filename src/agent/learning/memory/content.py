"""Prepares the text of a memory: cleans it, limits its length, and hashes it to find duplicates. Pure.

Text comes from models, people and databases; the result can be stored in Postgres. Two texts share a hash only when they
differ in nothing but white space.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from agent.errors import InvalidInput
from agent.text.storable import storable

# A memory is a statement, not a document: longer texts are cut, and a note at the end says so.
MAX_CONTENT_CHARS = 16_000


@dataclass(frozen=True, slots=True)
class Content:
    """A text ready to be stored, perhaps cut, and the hash of the whole text."""

    text: str
    digest: bytes


def prepare(content: str, *, subject: str | None = None) -> Content:
    """Clean, cut and hash `content`. With a `subject`, equal texts about different subjects get different hashes.

    Raises `InvalidInput` when no text is left.
    """
    text = storable(content).strip()
    if not text:
        raise InvalidInput("A memory needs some text; give it content.")
    return Content(_cut(text), _digest(text, subject))


def _digest(text: str, subject: str | None) -> bytes:
    # Only white space is normalised: case, numbers, negations and names all carry meaning.
    normal = " ".join(text.split())
    salted = normal if subject is None else f"{subject}\x00{normal}"
    return hashlib.sha256(salted.encode()).digest()


def _cut(text: str) -> str:
    if len(text) <= MAX_CONTENT_CHARS:
        return text
    notice = f" … [cut here: the first of {len(text)} characters]"
    return text[: MAX_CONTENT_CHARS - len(notice)] + notice


_LINE = re.compile(
    r"^\s*(?:[-*]\s+)?(?:\[\w+, \w+(?:, [^\]]*)?\]\s+)?(?P<text>.*?)\s*(?:\(memory \d+\)[.\s]*)?$", re.DOTALL
)
_QUOTES = {'"': '"', "'": "'", "“": "”", "«": "»", "„": "“", "`": "`"}


def quoted_texts(content: str) -> tuple[str, ...]:
    """Return the texts that `content` quotes if each of its lines is a quoted memory: a prompt line or a quotation.

    Return () when one line is plain text. The caller looks up whether such memories exist.
    """
    if len(content) > 2 * MAX_CONTENT_CHARS:
        return ()
    lines = [line for line in content.splitlines() if line.strip()]
    texts = tuple(_unquoted(line) for line in lines)
    plain = [" ".join(line.split()) for line in lines]
    return texts if all(text and text != line for text, line in zip(texts, plain, strict=True)) else ()


def _unquoted(line: str) -> str:
    match = _LINE.match(line)
    text = " ".join((match["text"] if match else line).split())
    if len(text) > 2 and _QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return text
