"""What README and docs say is true: the snippet runs, commands, files and benchmarks exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.main import app
from agent.demo.application import load_demo
from agent.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
USING = (ROOT / "docs" / "using.md").read_text(encoding="utf-8")
SAFETY = (ROOT / "docs" / "safety.md").read_text(encoding="utf-8")
DEMO = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
EMBEDDING = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_python_example_runs_as_it_stands(tmp_path: Path) -> None:
    load_demo(Settings(_env_file=None, home=tmp_path))
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AGENT_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", snippet],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Quartz Health" in done.stdout
    assert len(done.stdout.splitlines()) >= 2


def test_every_command_of_the_readme_exists_and_every_command_is_in_the_readme() -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "agent.cli.main", "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    offered = set(re.findall(r"^│ ([a-z][a-z-]+) ", help_text, re.MULTILINE)) - {"agent"}
    named = set(re.findall(r"`(?:\.venv/bin/)?agent ([a-z-]+)", README))
    assert named <= offered | {"serve"}, named - offered
    assert offered <= named, offered - named


def test_every_number_of_the_readme_is_one_of_the_safety_document_with_a_benchmark() -> None:
    table = README.partition("| measured |")[2].partition("\n\n")[0]
    parts = re.findall(r"`\.venv/bin/python -m benchmarks (\w+)`", table)
    assert len(parts) == 3
    assert [part for part in parts if f"`bench {part}`" not in SAFETY] == []
    assert [part for part in parts if not (ROOT / "benchmarks" / f"bench_{part}.py").exists()] == []
    numbers = re.findall(r"\b\d[\d,]+\b", re.sub(r"`[^`]*`", "", table))
    assert len(numbers) >= 5
    assert [number for number in numbers if not re.search(rf"\b{number}\b", SAFETY)] == []


def test_the_guide_names_settings_and_commands_that_exist_and_leads_to_its_own_headings() -> None:
    settings = set(re.findall(r"^# ([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"\b((?:AGENT|OPENAI|DEEPSEEK|SUPABASE)_[A-Z_]+|(?:APP_)?DATABASE_URL)\b", USING + README))
    assert named <= settings, named - settings
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    commands |= {str(one.name) for one in app.registered_groups}
    spoken = set(re.findall(r"(?:^|`)agent ([a-z]+)", USING, re.MULTILINE))
    assert spoken <= commands, spoken - commands
    anchors = {re.sub(r"[^a-z -]", "", line.lower()).strip().replace(" ", "-") for line in USING.splitlines()}
    assert set(re.findall(r"\]\(#([a-z-]+)\)", USING)) <= anchors


@pytest.mark.parametrize(
    "text",
    [README, ARCHITECTURE, USING, SAFETY, DEMO, EMBEDDING],
    ids=["README", "architecture", "using", "safety", "demo", "embedding"],
)
def test_every_link_leads_to_a_file(text: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) if "://" not in link]
    assert links
    for link in links:
        assert (ROOT / link).exists() or (ROOT / "docs" / link).exists(), link


def test_the_tree_in_the_architecture_names_what_is_there() -> None:
    tree = ARCHITECTURE.partition("```\nsrc/agent/")[2].partition("```")[0]
    named = {name.rstrip("/") for name in re.findall(r"\b([a-z_]+(?:/|\.py))", tree)}
    there = {path.name for path in (ROOT / "src" / "agent").iterdir() if path.suffix == ".py" or path.is_dir()}
    there -= {"__init__.py", "__pycache__", "py.typed", "queries.sql"}
    assert there <= named, there - named
