"""Embedders by provider string."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence

from agent.settings import Settings
from agent.types import Embedder


class HashingEmbedder:
    """Lexical hashing: words and character trigrams hashed into a fixed number of signed buckets."""

    def __init__(self, dimensions: int = 384) -> None:
        self.dimensions = dimensions
        self.model = f"hashing:{dimensions}"
        self.semantic = False
        self.remote = False

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self.dimensions
        for word in re.findall(r"\w+", text.lower()):
            digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
            number = int.from_bytes(digest, "big")
            vector[number % self.dimensions] += 1 if number >> 63 else -1
        length = math.sqrt(sum(x * x for x in vector)) or 1.0
        return [x / length for x in vector]


def create_embedder(settings: Settings) -> Embedder:
    return HashingEmbedder()
