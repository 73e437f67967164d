"""What the tests of platforms need: clients from npm, and a Redis."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.integration.redis_server import RedisServer


@pytest.fixture(scope="session")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that installs packages of npm, and returns their folder; without node or npm the test says what did not run."""
    folder = tmp_path_factory.mktemp("npm")
    installed: set[str] = set()
    away: list[str] = []  # what could not be fetched: nobody waits for the registry twice

    def install(*packages: str) -> Path:
        wanted = set(packages) - installed
        if shutil.which("node") is None or shutil.which("npm") is None:
            _not_run(f"no node and npm for {', '.join(packages) or 'JavaScript'} (apt-get install nodejs npm)")
        if wanted and away:
            _not_run(f"npm could not fetch {away[0]}")
        if wanted:
            command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), *sorted(wanted)]
            try:
                fetched = not subprocess.run(command, capture_output=True, timeout=120, check=False).returncode
            except subprocess.TimeoutExpired:
                fetched = False
            if not fetched:
                away.append(", ".join(sorted(wanted)))
                _not_run(f"npm could not fetch {', '.join(sorted(wanted))}")
            installed.update(wanted)
        return folder

    return install


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    if shutil.which("redis-server") is None:
        if "redis" in os.environ.get("AGENT_TEST_REQUIRE", ""):
            pytest.fail("There is no redis-server: apt-get install redis-server")
        pytest.skip("Not run: records in Redis, no redis-server (apt-get install redis-server).")
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


def _not_run(why: str) -> None:
    if "npm" in os.environ.get("AGENT_TEST_REQUIRE", ""):
        pytest.fail(f"It must run, and there is {why}.")
    print(f"\nNot run: {why}.")
    pytest.skip(f"Not run: {why}.")
