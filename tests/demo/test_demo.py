"""`agent demo` prints the same on every fresh machine, and README shows it.

`python tests/demo/test_demo.py` plays it and writes README's block anew; the part on the first screen is cut out of it
by hand.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
START, END = "<!-- demo:start -->\n", "<!-- demo:end -->"
PART, PART_END = "<!-- demo:part -->\n", "<!-- demo:part-end -->"
AGENT = Path(sys.executable).with_name("agent")


def play() -> str:
    """What a newcomer sees: no settings, an empty home, a pipe in place of a terminal."""
    with tempfile.TemporaryDirectory(prefix="demo-") as home:
        done = subprocess.run(
            [str(AGENT), "demo"],
            env={"PATH": os.environ["PATH"], "AGENT_HOME": str(Path(home) / "home"), "LANG": "C.UTF-8"},
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def block(transcript: str) -> str:
    """The transcript as README shows it."""
    return f"```\n$ agent demo\n{transcript}```\n"


def test_the_readme_shows_what_the_demo_prints() -> None:
    text = README.read_text(encoding="utf-8")
    shown = text.partition(START)[2].partition(END)[0]
    assert shown == block(play()), "play the demo again: python tests/demo/test_demo.py"
    part = text.partition(PART)[2].partition(PART_END)[0]
    assert len(part.splitlines()) > 10
    assert part.removeprefix("```\n").removesuffix("```\n") in shown


if __name__ == "__main__":
    before, rest = README.read_text(encoding="utf-8").split(START)
    README.write_text(before + START + block(play()) + END + rest.partition(END)[2], encoding="utf-8")
