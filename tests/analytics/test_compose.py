"""The compose file and what runs in its container: the guide's names, ports, variables and commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from tests.analytics.conftest import Service

from agent.settings import Settings
from agent.testing.processes import environment

ROOT = Path(__file__).parents[2]
VARIABLES = """LEARNING_ENV LEARNING_LOG_LEVEL LEARNING_API_PORT ML_MODEL_UPDATE_INTERVAL ML_VECTOR_SIZE ML_BATCH_SIZE
PERFORMANCE_TRACKING_ENABLED ANOMALY_DETECTION_ENABLED PATTERN_RECOGNITION_ENABLED""".split()  # noqa: SIM905  # read more easily


def test_docker_compose_reads_the_file_as_the_guide_uses_it(capsys: pytest.CaptureFixture[str]) -> None:
    program = shutil.which("docker-compose")
    if program is None:
        with capsys.disabled():
            print("\nNot run: docker-compose config, no docker-compose (apt-get install docker-compose).")
        pytest.skip("no docker-compose")
    plain = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    arguments = [program, "-f", str(ROOT / "docker-compose.yml"), "config"]
    refused = subprocess.run(arguments, env=plain, capture_output=True, text=True, check=False)
    assert refused.returncode != 0, "no secret is made up"
    assert "AGENT_SECRET" in refused.stderr
    done = subprocess.run(
        arguments, env=plain | {"AGENT_SECRET": "s3cret"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in (
        "claude-postgres",
        "claude-learning",
        "learning-system:",
        "postgres:",
        "claude_user",
        "claude_auth",
        *VARIABLES,
    ):
        assert name in done.stdout, name
    assert re.search(r"127\.0\.0\.1:5433:5432", done.stdout)
    assert re.search(r"127\.0\.0\.1:8080:8080", done.stdout)


def test_each_variable_of_the_guide_has_an_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    given = dict(zip(VARIABLES, ("docker", "ERROR", "9123", "7", "256", "5", "false", "false", "false"), strict=True))
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None)
    assert (settings.environment, settings.log_level, settings.port) == ("docker", "error", 9123)
    assert (settings.model_update_seconds, settings.vector_size, settings.model_batch_size) == (7, 256, 5)
    enabled = (
        settings.performance_tracking_enabled,
        settings.anomaly_detection_enabled,
        settings.pattern_recognition_enabled,
    )
    assert enabled == (False, False, False)
    monkeypatch.setenv("AGENT_PORT", "9999")
    assert Settings(_env_file=None).port == 9999, "its own name comes first"
    monkeypatch.setenv("ML_VECTOR_SIZE", "128")
    with pytest.raises(ValueError, match="256"):
        Settings(_env_file=None)


def test_the_scripts_of_the_container_run(service: Service) -> None:
    """`container.exec_run("python3 /app/learning/<command>")` of the guide."""
    place = {**os.environ, **environment(service.settings), "LEARNING_API_PORT": service.url.rpartition(":")[2]}

    def run(script: str) -> str:
        path = ROOT / "docker" / "learning" / script
        done = subprocess.run(
            [sys.executable, str(path)],
            env=place,
            cwd=service.settings.home.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert json.loads(run("health.py"))["status"] == "healthy"
    assert {one["model"] for one in json.loads(run("train.py"))} == {"success", "time", "cost"}
    assert isinstance(json.loads(run("insights.py")), list)
    assert "works as the tenant default" in run("login.py")
    with psycopg.connect(
        service.database, autocommit=True
    ) as conn:  # as `psql -U claude_user -d claude_auth` in the container
        conn.execute("INSERT INTO agents.execution_log (agent_name, success) VALUES ('by-owner', true)")
        user = conn.info.user
    try:
        assert service.http.get("/agents/by-owner/performance").json()["runs"] == 1
    finally:
        with psycopg.connect(service.database, autocommit=True) as conn:
            conn.execute(
                psycopg.sql.SQL('alter role {} reset "request.jwt.claims"').format(psycopg.sql.Identifier(user))
            )
