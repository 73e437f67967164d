"""The wheel: complete, and at work outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from agent.testing.cluster import Cluster

ROOT = Path(__file__).parents[2]

# Run from an unpacked wheel, with only its dependencies beside it.
WORK = """
import sys
import agent
from agent.db import migrations
from agent.db.queries import load_queries
from agent.demo import application
from agent.settings import Settings
assert agent.__file__.startswith(sys.argv[1]), agent.__file__
assert str(migrations.supabase_folder()).startswith(sys.argv[1])
settings = Settings(_env_file=None, home=sys.argv[1], database_url=sys.argv[2], secret=sys.argv[3])
assert application.load_demo(settings)
print("loaded")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    arguments = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", *arguments, "--wheel-dir", str(folder), str(ROOT)], check=True)
    (built,) = folder.iterdir()
    return built


def test_it_carries_the_migrations_the_demo_and_every_query_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "agent").rglob("*.sql")}
    migrations = {
        f"agent/_supabase/migrations/{path.name}" for path in (ROOT / "supabase" / "migrations").glob("*.sql")
    }
    assert migrations
    assert sources | migrations | {"agent/_supabase/seed.sql", "agent/_supabase/config.toml"} <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "docs"))]


def test_it_migrates_a_database_and_loads_the_demo_outside_the_checkout(
    wheel: Path, tmp_path: Path, cluster: Cluster
) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    secret = cluster.settings("any").secret  # passwords are the whole server's
    assert secret is not None
    arguments = [str(tmp_path / "installed"), cluster.empty_database(), secret.get_secret_value()]
    done = subprocess.run(
        [sys.executable, "-c", WORK, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "loaded"), done.stderr
