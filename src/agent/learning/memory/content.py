"""What counts as the same text: cleaning, the length cap, and the hash on which exact duplicates collapse.

Pure rules. Text comes in from models, people and databases; what goes out can be stored in Postgres, and two texts
share a hash only when they differ in nothing but white space.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from agent.errors import InvalidInput
from agent.text.storable import storable

# A memory is a statement, not a document: longer texts are cut, and the cut is written into the text.
MAX_CONTENT_CHARS = 16_000


@dataclass(frozen=True, slots=True)
class Content:
    """A text ready to be stored: what is kept, and the hash of the whole of it."""

    text: str
    digest: bytes


def prepare(content: str, *, subject: str | None = None) -> Content:
    """Clean, cap and hash `content`. With a `subject`, equal texts about different subjects stay apart.

    Raises `InvalidInput` when nothing is left to remember.
    """
    text = storable(content).strip()
    if not text:
        raise InvalidInput("A memory needs some text; give it content.")
    return Content(_capped(text), _digest(text, subject))


def _digest(text: str, subject: str | None) -> bytes:
    # Only white space is normalised: case, numbers, negations and names all carry meaning.
    normal = " ".join(text.split())
    salted = normal if subject is None else f"{subject}\x00{normal}"
    return hashlib.sha256(salted.encode()).digest()


def _capped(text: str) -> str:
    if len(text) <= MAX_CONTENT_CHARS:
        return text
    notice = f" … [cut here: the first of {len(text)} characters]"
    return text[: MAX_CONTENT_CHARS - len(notice)] + notice


_LINE = re.compile(r"^\s*(?:[-*]\s+)?(?:\[\w+, \w+\]\s+)?(?P<text>.*?)\s*(?:\(memory \d+\)[.\s]*)?$", re.DOTALL)
_QUOTES = {'"': '"', "'": "'", "“": "”", "«": "»", "„": "“", "`": "`"}


def quoted_texts(content: str) -> tuple[str, ...]:
    """The texts that `content` would repeat if it is nothing but quoted memories: prompt lines or quotations.

    Empty when `content` is written plainly. Whether such memories exist is for the caller to look up.
    """
    if len(content) > 2 * MAX_CONTENT_CHARS:
        return ()
    lines = [line for line in content.splitlines() if line.strip()]
    texts = tuple(_bare(line) for line in lines)
    plain = [" ".join(line.split()) for line in lines]
    return texts if all(text and text != line for text, line in zip(texts, plain, strict=True)) else ()


def _bare(line: str) -> str:
    match = _LINE.match(line)
    text = " ".join((match["text"] if match else line).split())
    if len(text) > 2 and _QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return text
