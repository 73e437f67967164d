"""What clients from npm need: a folder with the packages, made once a run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that installs packages of npm, and returns their folder; without node or npm the test says what did not run."""
    folder = tmp_path_factory.mktemp("npm")
    installed: set[str] = set()

    def install(*packages: str) -> Path:
        wanted = set(packages) - installed
        if shutil.which("node") is None or shutil.which("npm") is None:
            _not_run(f"no node and npm for {', '.join(packages) or 'JavaScript'} (apt-get install nodejs npm)")
        if wanted:
            command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), *sorted(wanted)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            if done.returncode:
                _not_run(f"npm could not fetch {', '.join(sorted(wanted))}")
            installed.update(wanted)
        return folder

    return install


def _not_run(why: str) -> None:
    if "npm" in os.environ.get("AGENT_TEST_REQUIRE", ""):
        pytest.fail(f"It must run, and there is {why}.")
    print(f"\nNot run: {why}.")
    pytest.skip(f"Not run: {why}.")
