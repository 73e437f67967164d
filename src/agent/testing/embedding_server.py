"""Serve OpenAI-compatible embeddings on loopback, for tests with the real client over HTTP.

The server knows a few synonyms, so that a paraphrase that shares no word is near. It fails on request.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_SYNONYMS = (
    "paused halted suspended stopped frozen",
    "campaign promotion advert ad advertisement",
    "client customer buyer account",
    "invoice bill receipt",
    "cheap inexpensive affordable budget",
    "car automobile vehicle",
    "doctor physician medic",
    "quick fast rapid speedy",
    "money funds cash spend spending",
)
_CONCEPT = {word: line.split()[0] for line in _SYNONYMS for word in line.split()}
_STOP_WORDS = "a an the is are was of to in on and or for what which who how do does did it its"
_MEANINGLESS = frozenset(re.findall(r"\w+", _STOP_WORDS))


class EmbeddingServer:
    """An embeddings server with the base URL `url`.

    Tests set `failures` (HTTP statuses to answer first), `refused` (a word whose text gets a 400), `delay` (seconds) and
    `dimensions`. `requests` counts calls, and `keys` holds the bearer tokens that it got.
    """

    def __init__(self, *, dimensions: int = 128) -> None:
        self.dimensions = dimensions
        self.failures: list[int] = []
        self.refused: str | None = None
        self.delay = 0.0
        self.requests = 0
        self.keys: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    @contextmanager
    def running(self) -> Iterator[EmbeddingServer]:
        """Serve in a thread until the `with` block ends."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def answer(self, texts: list[str]) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status and body for one request."""
        self.requests += 1
        time.sleep(self.delay)
        if self.failures:
            return self.failures.pop(0), {"error": {"message": "as requested: your key sk-secret is to blame"}}
        if self.refused is not None and any(self.refused in text for text in texts):
            return 400, {"error": {"message": "one of the inputs is refused"}}
        data = [{"object": "embedding", "index": i, "embedding": self.vector(t)} for i, t in enumerate(texts)]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return 200, {"object": "list", "data": data, "model": "test", "usage": usage}

    def vector(self, text: str) -> list[float]:
        """Return the sum of the directions of the text's concepts."""
        vector = [0.0] * self.dimensions
        for word in re.findall(r"\w+", text.lower()):
            if word not in _MEANINGLESS:
                for place, value in enumerate(self._direction(_CONCEPT.get(word, word))):
                    vector[place] += value
        return vector

    def _direction(self, concept: str) -> list[float]:
        seed = int.from_bytes(hashlib.sha256(concept.encode()).digest()[:8], "big")
        numbers = random.Random(seed)  # noqa: S311  # directions, not secrets
        return [numbers.gauss(0, 1) for _ in range(self.dimensions)]


def _handler(server: EmbeddingServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.keys.add(self.headers.get("Authorization", "").removeprefix("Bearer "))
            status, answer = server.answer(body["input"])
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's signature
            """Say nothing."""

    return Handler
