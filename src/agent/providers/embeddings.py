"""Creates embedders by provider string: text in, vectors of length 1 out.

    hashing:384                       built in, lexical, no model and no network
    openai:text-embedding-3-small     OpenAI, or any server that speaks its protocol (a base URL in the settings)
    huggingface:/folder, ollama:...   all that LangChain's `init_embeddings` knows, with its package installed

`create_embedder` opens no connection and imports no client; the first call does.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from zlib import crc32

import stamina

from agent.errors import ConfigurationError, InvalidInput, ProviderUnavailable
from agent.providers.chat.failures import is_transient
from agent.settings import Settings
from agent.types import Embedder

if TYPE_CHECKING:
    from openai import AsyncOpenAI

DEFAULT_REMOTE = "openai:text-embedding-3-small"
DEFAULT_LOCAL = "hashing:384"

# Enough for a memory; every known embedding model takes at least as many tokens as this has characters of English.
MAX_EMBEDDED_CHARS = 8_000
_BATCH = 128
_KNOWN_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
_REFUSED_STATUSES = frozenset({400, 413, 422})


def create_embedder(settings: Settings) -> Embedder:
    """Return the embedder that `settings` name. Raises `ConfigurationError` if the name is not valid."""
    spec = settings.embedder.strip() or _default(settings)
    provider, colon, name = spec.partition(":")
    if not colon or not provider or not name.strip():
        raise ConfigurationError(
            f"AGENT_EMBEDDER={spec!r} must have the form provider:name, e.g. {DEFAULT_REMOTE} or {DEFAULT_LOCAL}."
        )
    if provider == "hashing":
        return HashingEmbedder(_hashing_dimensions(name))
    if provider == "openai":
        return OpenAIEmbedder(name.strip(), settings)
    if provider == "deepseek":
        raise ConfigurationError(
            f"DeepSeek has no embeddings. Set AGENT_EMBEDDER to {DEFAULT_LOCAL} or to another provider's model."
        )
    return LangChainEmbedder(spec, timeout=settings.model_timeout)


def _default(settings: Settings) -> str:
    if settings.embedding_base_url:
        return DEFAULT_REMOTE
    # A key for another server does not tell which embeddings that server has.
    return DEFAULT_REMOTE if settings.openai_api_key and not settings.openai_base_url else DEFAULT_LOCAL


def _hashing_dimensions(name: str) -> int:
    if not name.isdecimal() or not 16 <= int(name) <= 2000:
        raise ConfigurationError(f"AGENT_EMBEDDER='hashing:{name}' must have 16 to 2000 dimensions.")
    return int(name)


def unit_vectors(vectors: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return `vectors` scaled to length 1. Raises `ProviderUnavailable` unless they are finite numbers of one length."""
    import numpy as np

    try:
        matrix = np.asarray(vectors, dtype=np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise ProviderUnavailable("The embedder did not answer with vectors of one length.")
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return (matrix / np.where(lengths == 0, 1, lengths)).tolist()  # type: ignore[no-any-return]  # numpy says Any


class HashingEmbedder:
    """Embeds by lexical hashing: words and their character trigrams in signed buckets.

    Texts are near when they share words or parts of words; a paraphrase without a shared word is not near.
    """

    semantic = False
    remote = False

    def __init__(self, dimensions: int = 384) -> None:
        self.dimensions = dimensions
        self.model = f"hashing:{dimensions}"

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed `texts`; see `Embedder`."""
        if len(texts) > 32:
            return await asyncio.to_thread(self._vectors, texts)
        return self._vectors(texts)

    def _vectors(self, texts: Sequence[str]) -> list[list[float]]:
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self.dimensions
        for word in _WORD.findall(text[:MAX_EMBEDDED_CHARS].lower()):
            for number, weight in _features(word):
                vector[number % self.dimensions] += weight
        length = math.sqrt(sum(x * x for x in vector)) or 1.0
        return [x / length for x in vector]


_WORD = re.compile(r"[^\W_]+")


@lru_cache(maxsize=50_000)
def _features(word: str) -> tuple[tuple[int, float], ...]:
    """Return hash and signed weight of the word (long words weigh more: they are rarer) and of its trigrams."""
    padded = f"<{word}>"
    grams = [padded[start : start + 3] for start in range(len(padded) - 2)] if len(word) > 3 else []
    weight = min(len(word), 8) / 4
    weighted = [(padded, weight), *((gram, weight / math.sqrt(len(grams))) for gram in grams)]
    hashed = ((crc32(feature.encode("utf-8", "replace")), value) for feature, value in weighted)
    return tuple((number >> 1, value if number & 1 else -value) for number, value in hashed)


class OpenAIEmbedder:
    """Embeds by OpenAI's endpoint or a compatible one; retries 429, 5xx and time-outs with jitter."""

    semantic = True
    remote = True

    def __init__(self, name: str, settings: Settings) -> None:
        self.model = f"openai:{name}"
        self._name = name
        self._settings = settings
        self._dimensions = _KNOWN_DIMENSIONS.get(name, 0)
        self._client: AsyncOpenAI | None = None

    @property
    def dimensions(self) -> int:
        """Return the length of the vectors; 0 until a model that is not OpenAI's has answered for the first time."""
        return self._dimensions

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed `texts`; see `Embedder`. Raises `InvalidInput` when the server refuses one of the texts."""
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _BATCH):
            batch = [_embeddable(text) for text in texts[start : start + _BATCH]]
            vectors += await self._batch(batch, retries=self._settings.model_retries)
        return vectors

    async def embed_query(self, text: str) -> list[float]:
        """Embed what somebody searches for and waits for: with one retry at most."""
        return (await self._batch([_embeddable(text)], retries=min(1, self._settings.model_retries)))[0]

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _batch(self, texts: list[str], *, retries: int) -> list[list[float]]:
        import openai

        client = self._open_client()
        try:
            async for attempt in stamina.retry_context(
                on=_is_transient, attempts=retries + 1, timeout=None, wait_initial=0.2, wait_max=10
            ):
                with attempt:
                    answer = await client.embeddings.create(model=self._name, input=texts, encoding_format="float")
        except openai.OpenAIError as error:
            # Not chained: the server's message may contain the key.
            raise self._failure(error) from None
        return self._checked([item.embedding for item in answer.data or []], len(texts))

    def _open_client(self) -> AsyncOpenAI:
        if self._client is None:
            from openai import AsyncOpenAI

            key = self._settings.openai_api_key
            self._client = AsyncOpenAI(
                # Local servers need no key, but the client insists on one.
                api_key=key.get_secret_value() if key else "none",
                base_url=self._base_url or "https://api.openai.com/v1",
                timeout=self._settings.model_timeout,
                max_retries=0,
            )
        return self._client

    @property
    def _base_url(self) -> str | None:
        return self._settings.embedding_base_url or self._settings.openai_base_url

    def _checked(self, answer: list[list[float]], count: int) -> list[list[float]]:
        vectors = unit_vectors(answer) if answer else []
        if len(vectors) != count:
            raise ProviderUnavailable(
                f"{self.model} returned {len(vectors)} vectors for {count} texts. Check its base URL."
            )
        if self._dimensions not in {0, len(vectors[0])}:
            raise ProviderUnavailable(
                f"{self.model} returned vectors of {len(vectors[0])} dimensions instead of {self._dimensions}. "
                "Another model answers under this name: set AGENT_EMBEDDER to the model that the server serves."
            )
        self._dimensions = len(vectors[0])
        return vectors

    def _failure(self, error: Exception) -> ProviderUnavailable | InvalidInput:
        where = _without_credentials(self._base_url or "https://api.openai.com/v1")
        status = getattr(error, "status_code", None)
        if status in _REFUSED_STATUSES:
            return InvalidInput(f"{self.model} at {where} refused the text (HTTP {status}).")
        if status in {401, 403}:
            return ProviderUnavailable(f"{where} refused the key (HTTP {status}). Check OPENAI_API_KEY.")
        if status == 404:
            return ProviderUnavailable(
                f"{where} has no embedding model {self._name!r} (HTTP 404). Check AGENT_EMBEDDER and the base URL."
            )
        reason = f"HTTP {status}" if status else type(error).__name__
        return ProviderUnavailable(
            f"{self.model} at {where} did not answer ({reason}). Try again later; until then, search uses words only."
        )


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def _is_transient(error: Exception) -> bool:
    import openai

    if isinstance(error, openai.APIStatusError):
        return is_transient(error.status_code)
    return isinstance(error, openai.APIConnectionError)


def _embeddable(text: str) -> str:
    # The endpoint refuses an empty text, and a lone surrogate cannot be sent.
    return text[:MAX_EMBEDDED_CHARS].encode("utf-8", "replace").decode() or " "


class LangChainEmbedder:
    """Embeds by any embeddings that LangChain's `init_embeddings` creates from a provider string."""

    semantic = True
    remote = True

    def __init__(self, spec: str, *, timeout: float) -> None:
        self.model = spec
        self.dimensions = 0
        self._timeout = timeout
        self._embeddings: Any = None

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed `texts`; see `Embedder`. `dimensions` is 0 until the first answer."""
        if not texts:
            return []
        try:
            if self._embeddings is None:
                self._embeddings = await asyncio.to_thread(_init_langchain, self.model)
            async with asyncio.timeout(self._timeout):
                answer = await self._embeddings.aembed_documents([_embeddable(text) for text in texts])
        except ConfigurationError:
            raise
        except Exception as error:  # every package raises its own errors
            raise ProviderUnavailable(
                f"{self.model} did not answer ({type(error).__name__}). Check that it is running and set up."
            ) from error
        vectors = unit_vectors(answer)
        self.dimensions = len(vectors[0])
        return vectors


def _init_langchain(spec: str) -> Any:
    from langchain.embeddings import init_embeddings

    try:
        return init_embeddings(spec)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(f"AGENT_EMBEDDER={spec!r} cannot be used: {error}") from error
