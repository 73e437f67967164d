"""`agent serve` in a process of its own, once for all tests of this folder that call it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from agent.settings import Settings
from agent.testing.cluster import Cluster
from agent.testing.processes import environment, free_port


@dataclass(frozen=True)
class Service:
    """A served process: its address, its settings, and a client."""

    url: str
    settings: Settings
    http: httpx.Client

    @property
    def database(self) -> str:
        assert self.settings.database_url is not None
        return self.settings.database_url.get_secret_value()


@pytest.fixture(scope="module")
def service(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = cluster.database(cluster.template("blank"))
    folder: Path = tmp_path_factory.mktemp("served")
    port = free_port()
    # The document's own variables; the host's PATH and HOME come from `environment`.
    more = {"LEARNING_ENV": "docker", "LEARNING_LOG_LEVEL": "INFO", "LEARNING_API_PORT": str(port)}
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "agent.cli.main", "serve"], env={**os.environ, **environment(settings), **more}, cwd=folder, stdout=log, stderr=log
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=60) as http:
            for _ in range(600):
                assert process.poll() is None, (folder / "log").read_text()
                try:
                    if http.get("/health").status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield Service(url, settings, http)
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.fixture(scope="module")
def login(service: Service) -> str:
    """The URL of a login of the document's kind: with a default tenant, and rights on the document's tables."""
    from agent.analytics.login import login_script

    with psycopg.connect(service.database, autocommit=True) as conn:
        conn.execute("drop role if exists claude_user")
        conn.execute("create role claude_user login password 'password'")
        conn.execute(login_script("claude_user", tenant_id="default"))
    return psycopg.conninfo.make_conninfo(service.database, user="claude_user", password="password")
