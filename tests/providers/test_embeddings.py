"""Embedders: chosen by provider string, real clients over HTTP, and failures that say what to do."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from agent.errors import ConfigurationError, InvalidInput, ProviderUnavailable
from agent.providers.embeddings import HashingEmbedder, OpenAIEmbedder, create_embedder
from agent.settings import Settings
from agent.testing.embedding_server import EmbeddingServer


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with EmbeddingServer().running() as server:
        yield server


def settings_with(**values: object) -> Settings:
    return Settings(_env_file=None, **values)


def embedder_of(server: EmbeddingServer, **values: object) -> OpenAIEmbedder:
    embedder = create_embedder(
        settings_with(embedder="openai:test-model", openai_base_url=server.url, openai_api_key="sk-secret", **values)
    )
    assert isinstance(embedder, OpenAIEmbedder)
    return embedder


def similarity(one: list[float], other: list[float]) -> float:
    return sum(x * y for x, y in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("values", "model"),
    [
        ({}, "hashing:384"),
        ({"openai_api_key": "k"}, "openai:text-embedding-3-small"),
        ({"openai_api_key": "k", "openai_base_url": "http://localhost:1/v1"}, "hashing:384"),
        ({"embedding_base_url": "http://localhost:1/v1"}, "openai:text-embedding-3-small"),
        ({"deepseek_api_key": "k"}, "hashing:384"),
        ({"deepseek_api_key": "k", "model": "deepseek:deepseek-chat", "openai_api_key": "k"}, "openai:text-embedding-3-small"),
        ({"embedder": "hashing:512", "openai_api_key": "k"}, "hashing:512"),
        ({"embedder": "ollama:nomic-embed-text"}, "ollama:nomic-embed-text"),
        ({"embedder": "huggingface:/models/mini"}, "huggingface:/models/mini"),
    ],
)  # fmt: skip
def test_the_embedder_follows_from_the_settings(values: dict[str, object], model: str) -> None:
    assert create_embedder(settings_with(**values)).model == model


@pytest.mark.parametrize("name", ["nonsense", "hashing:", "hashing:many", "hashing:4", "deepseek:x", ":x"])
def test_a_name_that_cannot_be_an_embedder_is_refused_with_what_to_set(name: str) -> None:
    with pytest.raises(ConfigurationError, match="AGENT_EMBEDDER"):
        create_embedder(settings_with(embedder=name))


async def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(ConfigurationError, match="langchain"):
        await create_embedder(settings_with(embedder="ollama:nomic-embed-text")).embed(["x"])


async def test_hashing_is_lexical_local_and_near_for_shared_words() -> None:
    embedder = HashingEmbedder()
    one, near, far, empty = await embedder.embed(
        ["pause the campaign", "campaigns paused", "monthly invoice totals", ""]
    )
    assert not embedder.semantic
    assert not embedder.remote
    assert math.isclose(math.hypot(*one), 1)
    assert math.hypot(*empty) == 0
    assert similarity(one, near) > 0.2 > similarity(one, far)


async def test_vectors_over_http_have_length_one_and_come_in_order(server: EmbeddingServer) -> None:
    embedder = embedder_of(server)
    texts = [f"text {number}" for number in range(300)]
    vectors = await embedder.embed(texts)
    alone = await embedder.embed([texts[299]])
    await embedder.close()
    assert [len(vector) for vector in vectors] == [128] * 300
    assert all(math.isclose(math.hypot(*vector), 1) for vector in vectors)
    assert vectors[299] == alone[0]
    assert embedder.dimensions == 128
    assert server.keys == {"sk-secret"}


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_passing_failure_is_retried(server: EmbeddingServer, status: int) -> None:
    server.failures = [status, status]
    embedder = embedder_of(server)
    assert len(await embedder.embed(["x"])) == 1
    await embedder.close()
    assert server.requests == 3


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "OPENAI_API_KEY"), (404, "AGENT_EMBEDDER"), (503, "Try again later")]
)
async def test_a_lasting_failure_says_what_to_do_and_keeps_the_key_secret(
    server: EmbeddingServer, status: int, advice: str
) -> None:
    server.failures = [status] * 9
    embedder = embedder_of(server, model_retries=1)
    with pytest.raises(ProviderUnavailable, match=advice) as caught:
        await embedder.embed(["x"])
    await embedder.close()
    assert "sk-secret" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_slow_server_is_given_up_after_the_time_out(server: EmbeddingServer) -> None:
    server.delay = 0.5
    embedder = embedder_of(server, model_timeout=0.1, model_retries=0)
    with pytest.raises(ProviderUnavailable, match="Timeout"):
        await embedder.embed(["x"])
    await embedder.close()


async def test_no_server_is_reported_with_its_address() -> None:
    embedder = create_embedder(
        settings_with(embedder="openai:m", openai_base_url="http://127.0.0.1:9/v1", model_retries=0)
    )
    with pytest.raises(ProviderUnavailable, match=r"127\.0\.0\.1:9"):
        await embedder.embed(["x"])


async def test_a_refused_text_is_the_text_s_fault(server: EmbeddingServer) -> None:
    server.refused = "poison"
    embedder = embedder_of(server)
    with pytest.raises(InvalidInput, match="400"):
        await embedder.embed(["poison"])
    await embedder.close()


async def test_other_dimensions_under_the_same_name_are_an_error(server: EmbeddingServer) -> None:
    embedder = embedder_of(server)
    await embedder.embed(["x"])
    server.dimensions = 64
    with pytest.raises(ProviderUnavailable, match="64 dimensions instead of 128"):
        await embedder.embed(["x"])
    await embedder.close()


@pytest.mark.parametrize("text", ["", "\x00", "\ud800", "x" * 1_000_000])
async def test_any_text_can_be_embedded(server: EmbeddingServer, text: str) -> None:
    embedder = embedder_of(server)
    assert len((await embedder.embed([text]))[0]) == 128
    await embedder.close()
    assert len((await HashingEmbedder().embed([text]))[0]) == 384
