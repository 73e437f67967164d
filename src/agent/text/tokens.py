"""Estimates the tokens of a text without a tokenizer; every budget uses this estimate.

A real tokenizer differs by model and downloads its tables; a budget needs only a number that is seldom too low.
English prose has about 4.5 bytes per token, SQL and schema text 3 to 4, and a Chinese or Arabic letter
(2 to 3 bytes) about one token, so bytes / 3 is on the safe side for all of them.
"""

from __future__ import annotations

BYTES_PER_TOKEN = 3


def estimate_tokens(text: str) -> int:
    """Return the tokens of `text`, rounded up; 0 for an empty text. Lone surrogates count as any other character."""
    length = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-length // BYTES_PER_TOKEN)
