"""Play `agent demo` and write it into the documents: the whole text into demo.md, two scenes as the picture demo.svg.

`python docs/play_demo.py` does it, without a network: the demo has its own database and model. A test plays it as well and
fails when the documents show anything else.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

DOCS = Path(__file__).parent
TRANSCRIPT, PICTURE = DOCS / "demo.md", DOCS / "demo.svg"
START, END = "<!-- demo:start -->\n", "<!-- demo:end -->"
AGENT = Path(sys.executable).with_name("agent")

_IN_THE_PICTURE = ("A question about data that it has never seen", "A change: shown first, then asked for, then done")
_FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace"
_ENDS_OF_LINES = re.compile(r"<text [^>]*>\n</text>")
_CURSOR = re.compile(r"\x1b\[\?25[lh]")


def play(**more: str) -> str:
    """Return what a newcomer sees: no settings, an empty home, a pipe in place of a terminal."""
    with tempfile.TemporaryDirectory(prefix="demo-") as home:
        done = subprocess.run(  # noqa: S603  # our own program, without arguments from outside
            [str(AGENT), "demo"],
            env={"PATH": os.environ["PATH"], "AGENT_HOME": str(Path(home) / "home"), "LANG": "C.UTF-8", **more},
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode or (done.stderr and not more):
        raise RuntimeError(f"agent demo failed: {done.stderr}")
    return done.stdout


def play_in_colour() -> str:
    """Return the same with the colours of a terminal, and without what moves on one."""
    return _CURSOR.sub("", play(FORCE_COLOR="1", TTY_INTERACTIVE="0", COLUMNS="80"))


def block(transcript: str) -> str:
    """Return the transcript as demo.md shows it."""
    return f"```\n$ agent demo\n{transcript}```\n"


def picture(coloured: str) -> str:
    """Return the chosen scenes as SVG. It loads no font and nothing else from the network."""
    from rich._export_format import CONSOLE_SVG_FORMAT

    scenes = re.split(r"(?m)^(?=\x1b\[2m── )", coloured)[1:]
    shown = [scene for scene in scenes if any(f"── {title}\x1b" in scene for title in _IN_THE_PICTURE)]
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi("\x1b[1m$ agent demo\x1b[0m\n\n" + "".join(shown).rstrip()))
    form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    form = form.replace("Fira Code, monospace", _FONTS)
    svg = console.export_svg(title="agent demo", theme=MONOKAI, code_format=form, unique_id="demo")
    return _ENDS_OF_LINES.sub("\n", svg)


def text_of(svg: str) -> list[str]:
    """Return the lines of text that a picture shows, without blanks."""
    import html

    lines: dict[str, str] = {}
    for height, text in re.findall(r'<text [^>]*\by="([\d.]+)"[^>]*clip-path="url\(#demo-line[^>]*>(.*?)</text>', svg):
        lines[height] = lines.get(height, "") + html.unescape(text)
    return ["".join(line.split()) for line in lines.values() if line.split()]


def main() -> None:
    """Write both files."""
    before, rest = TRANSCRIPT.read_text(encoding="utf-8").split(START)
    TRANSCRIPT.write_text(before + START + block(play()) + END + rest.partition(END)[2], encoding="utf-8")
    PICTURE.write_text(picture(play_in_colour()), encoding="utf-8")


if __name__ == "__main__":
    main()
