"""Collect what the benchmarks reached, and compare it with their bars."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One promise: its subject, its bar, what was reached, and whether that is enough."""

    part: str
    name: str
    bar: str
    reached: str
    ok: bool


class Report:
    """The bars and notes of one run. A note is a fact without a bar. Both are printed on stderr when they come."""

    def __init__(self) -> None:
        self.part = ""
        self.bars: list[Bar] = []
        self.notes: list[str] = []

    def bar(self, name: str, *, bar: str, reached: str, ok: bool) -> None:
        """Record one bar."""
        self.bars.append(Bar(part=self.part, name=name, bar=bar, reached=reached, ok=ok))
        self.progress(f"{'ok' if ok else 'MISSED':6} {name}: {reached} (bar: {bar})")

    def note(self, text: str) -> None:
        """Record a fact that has no bar."""
        self.notes.append(f"{self.part}: {text}" if self.part else text)
        self.progress(f"note   {text}")

    def progress(self, text: str) -> None:
        """Print on stderr what is happening."""
        print(f"[{self.part}] {text}", file=sys.stderr, flush=True)

    @property
    def ok(self) -> bool:
        """Return whether every bar was reached."""
        return all(bar.ok for bar in self.bars)

    def as_dict(self) -> dict[str, object]:
        """Return the report as JSON-compatible data."""
        return {"ok": self.ok, "bars": [asdict(bar) for bar in self.bars], "notes": self.notes}

    def add(self, data: Mapping[str, Any]) -> None:
        """Add the bars and notes of another report's `as_dict`."""
        self.bars += [Bar(**bar) for bar in data["bars"]]
        self.notes += data["notes"]

    def as_table(self) -> str:
        """Return a table with one line for each bar, and the notes after it."""
        head = ("part", "what", "bar", "reached", "")
        rows = [
            head,
            *((bar.part, bar.name, bar.bar, bar.reached, "ok" if bar.ok else "MISSED") for bar in self.bars),
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        rows.insert(1, tuple("-" * width for width in widths))
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([*(line.rstrip() for line in lines), *(f"note: {note}" for note in self.notes)])
