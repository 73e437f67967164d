"""docs/safety.md names checks and settings that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.settings import Settings, variable_name

ROOT = Path(__file__).parents[2]
SAFETY = (ROOT / "docs" / "safety.md").read_text(encoding="utf-8")


def test_every_check_is_a_test_that_is_there() -> None:
    files = set(re.findall(r"tests/\w+/\w+\.py", SAFETY))
    assert len(files) > 10
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_every_benchmark_is_there() -> None:
    parts = set(re.findall(r"`bench (\w+)`", SAFETY))
    assert parts
    assert [part for part in parts if not (ROOT / "benchmarks" / f"bench_{part}.py").exists()] == []


def test_every_setting_is_one() -> None:
    known = {variable_name(name) for name in Settings.model_fields}
    assert set(re.findall(r"\bAGENT_[A-Z_]+\b", SAFETY)) <= known


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`((?:\w+/)?\w+\.py)`", SAFETY))))
def test_every_layer_is_where_it_is_said_to_be(file: str) -> None:
    assert list((ROOT / "src" / "agent").rglob(file)) != []
