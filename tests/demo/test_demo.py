"""`agent demo` prints the same on every fresh machine; docs/demo.md and the picture show just that."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
from play_demo import END, PICTURE, START, TRANSCRIPT, block, play, text_of

README = Path(__file__).parents[2] / "README.md"
AGAIN = "play the demo again: python docs/play_demo.py"


def test_the_documents_show_what_the_demo_prints() -> None:
    shown = TRANSCRIPT.read_text(encoding="utf-8").partition(START)[2].partition(END)[0]
    assert shown == block(play()), AGAIN
    svg = PICTURE.read_text(encoding="utf-8")
    command, *scenes = re.split(r"\n(?=──[^─])", "\n".join(text_of(svg)))
    assert command == "$agentdemo"
    assert len(scenes) == 2
    for scene in scenes:
        assert len(scene.splitlines()) > 8
        assert scene in "\n".join(without_blanks(shown)), AGAIN
    assert "](docs/demo.svg)" in README.read_text(encoding="utf-8")


def test_the_picture_loads_nothing_and_runs_nothing() -> None:
    svg = PICTURE.read_text(encoding="utf-8")
    assert len(svg) < 50_000
    assert [word for word in ("<script", "<image", "@import", "@font-face", "url(http", "href") if word in svg] == []


def without_blanks(text: str) -> list[str]:
    return ["".join(line.split()) for line in text.splitlines() if line.split()]
